import gzip
import json
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import pyarrow.parquet as pq
import pytest
import tifffile
import zarr
from napari_ome_zarr import napari_get_reader
from ome_zarr_models.v04.image_label import ImageLabelAttrs

from napari_uninuc.core.geometry import Field
from napari_uninuc.core.instances import paint_masks, resolve_overlaps
from napari_uninuc.core.tile import Tile
from napari_uninuc.engine.protocol import FoundNucleus
from napari_uninuc.engine.settings import SegmentSettings
from napari_uninuc.errors import CheckpointError, ImageError, OutputError
from napari_uninuc.slides import jobs
from napari_uninuc.slides.run import segment_slide
from napari_uninuc.slides.state import claimed
from napari_uninuc.slides.summary import OUTPUTS, SlideSummary
from napari_uninuc.slides.tiles import read_notices, read_tile_file
from napari_uninuc.testing import FakeAnnotator, FakeCard, make_tile

SHAPE = (520, 760)


class Seamy(FakeAnnotator):
    """A fake whose fields disagree about scores, and whose nuclei overlap, as a network's do."""

    outlined = 0
    stains: ClassVar[list[bool | None]] = []

    def segment_field(self, tile, field, score_threshold):
        type(self).outlined += 1
        self.stains.append(tile.brown)
        place = np.add(field.outer_yxyx, tile.origin_yx_slide * 2)
        found = []
        for mask, box in super().segment_field(tile, field, 0.0):
            y, x = np.add(mask.origin_yx, tile.origin_yx_slide)
            rng = np.random.default_rng([int(y), int(x), mask.area, *map(int, place)])
            crop = np.pad(mask.mask, 3)
            for _ in range(int(rng.integers(0, 4))):
                crop[1:] |= crop[:-1]
            score = round(float(rng.uniform(0.4, 1)), 2)
            grown = type(mask)((mask.origin_yx[0] - 3, mask.origin_yx[1] - 3), crop, score, 0, 0.5)
            if score >= score_threshold:
                found.append(FoundNucleus(grown, box))
        return sorted(found, key=lambda one: -one.mask.score)


@dataclass(frozen=True)
class Source:
    """Makes an annotator; picklable, as a run wants it."""

    field_size: int = 256
    mpp: float | None = 0.25
    flips: bool = False

    def __call__(self):
        return Seamy(FakeCard(mpp=self.mpp, flips=self.flips), field_size=self.field_size, halo=40)


@pytest.fixture(scope="module")
def pixels():
    return make_tile(SHAPE, 420, seed=3).tile.rgb


@pytest.fixture
def slide(make_slide, opened, pixels):
    return opened(make_slide("ome-tiff", np.array(pixels)))


def whole(annotator, rgb, mpp=0.25, threshold=0.4):
    """The same picture in one piece, as `Predictor.segment` does it."""
    tile = Tile.from_array(rgb, mpp)
    every = [
        one.mask
        for field in annotator.fields(tile)
        for one in annotator.segment_field(tile, field, threshold)
    ]
    kept = resolve_overlaps(every, tile.shape, min_area=int(np.ceil(1.0 / mpp**2)))
    return kept, paint_masks(kept, tile.shape)


def labels_of(folder):
    return np.asarray(zarr.open_group(str(folder / OUTPUTS["labels"]), mode="r")["0"][...])


def same_nuclei(first, second):
    """Whether two label images differ in their numbers alone."""
    pairs = set(zip(first.ravel().tolist(), second.ravel().tolist(), strict=True))
    return len(pairs) == len(np.unique(first)) == len(np.unique(second))


def test_no_nucleus_is_cut_doubled_or_lost(slide, pixels, tmp_path):
    summary = segment_slide(slide, Source(), tmp_path / "run")
    kept, truth = whole(Source()(), pixels)
    assert summary.tiles == summary.tiles_of_slide == 12
    assert summary.count == len(kept) > 200
    assert same_nuclei(labels_of(tmp_path / "run"), truth)


def test_the_level_fits_the_model(make_slide, opened, pixels, tmp_path):
    """A slide twice as fine as the model is segmented at its second level."""
    fine = np.repeat(np.repeat(pixels, 2, axis=0), 2, axis=1)
    slide = opened(make_slide("svs", fine, mpp=0.125))
    segment_slide(slide, Source(), tmp_path / "run")
    rows = pq.read_table(tmp_path / "run" / OUTPUTS["parquet"]).to_pandas()
    _, truth = whole(Source()(), pixels)
    labels = labels_of(tmp_path / "run")
    assert same_nuclei(labels, truth)
    scales = zarr.open_group(str(tmp_path / "run" / OUTPUTS["labels"]), mode="r").attrs
    step = scales["multiscales"][0]["datasets"][0]["coordinateTransformations"][0]["scale"]
    assert step == [0.25, 0.25]
    one = rows.iloc[100]
    ys, xs = np.nonzero(labels == one["id"])
    # Level pixel i covers 2 i and 2 i + 1 of full resolution.
    assert one["centroid_y_px"] == pytest.approx(2 * ys.mean() + 0.5, abs=1e-2)
    assert one["centroid_x_um"] == pytest.approx((2 * xs.mean() + 0.5) * 0.125, abs=1e-2)
    assert (one["y0"], one["x1"]) == (2 * ys.min(), 2 * xs.max() + 2)
    assert one["area_um2"] == pytest.approx(len(ys) * 0.25**2)
    with gzip.open(tmp_path / "run" / OUTPUTS["geojson"]) as file:
        features = json.load(file)["features"]
    corners = np.array(features[0]["geometry"]["coordinates"][0])
    assert (corners % 2 == 0).all()
    ys, xs = np.nonzero(labels == features[0]["properties"]["measurements"]["UniNuc: id"])
    assert corners.max(axis=0).tolist() == [2 * xs.max() + 2, 2 * ys.max() + 2]


def test_every_output_tells_the_same(slide, tmp_path):
    folder = tmp_path / "run"
    summary = segment_slide(slide, Source(), folder)
    labels = labels_of(folder)
    ids = np.unique(labels)[1:]
    rows = pq.read_table(folder / OUTPUTS["parquet"]).to_pandas()
    assert sorted(rows["id"]) == ids.tolist()
    by_id = rows.set_index("id")
    for number in ids[::50].tolist():
        ys, xs = np.nonzero(labels == number)
        assert by_id.loc[number, "centroid_y_px"] == pytest.approx(ys.mean(), abs=1e-3)
        assert by_id.loc[number, ["y0", "x0", "y1", "x1"]].tolist() == [
            *(ys.min(), xs.min()),
            *(ys.max() + 1, xs.max() + 1),
        ]
    with gzip.open(folder / OUTPUTS["geojson"]) as file:
        collection = json.load(file)
    assert len(collection["features"]) == len(ids)
    assert len({each["id"] for each in collection["features"]}) == len(ids)
    assert collection["uninuc"]["shape"] == list(SHAPE)
    areas = {
        int(each["properties"]["metadata"]["UniNuc: id"]): each["properties"]["measurements"]
        for each in collection["features"]
    }
    assert areas[int(ids[5])]["UniNuc: area px^2"] == (labels == ids[5]).sum()
    density = tifffile.imread(folder / OUTPUTS["density"])
    assert density[0].sum() * 0.064**2 == pytest.approx(len(ids))
    page = (folder / OUTPUTS["report"]).read_text(encoding="utf-8")
    assert f"{len(ids):,}" in page
    assert "data:image/png;base64" in page
    assert "http" not in page
    assert summary.tissue_mm2 == pytest.approx(SHAPE[0] * SHAPE[1] * 0.25**2 / 1e6, rel=0.15)
    assert sorted(path.name for path in folder.iterdir()) == sorted([*OUTPUTS.values(), "run.json"])


def test_label_pyramid_is_read_by_others(slide, tmp_path):
    folder = tmp_path / "run"
    segment_slide(slide, Source(), folder, outputs=("labels",))
    group = zarr.open_group(str(folder / OUTPUTS["labels"]), mode="r")
    ImageLabelAttrs.model_validate(dict(group.attrs))
    path = str(folder / OUTPUTS["labels"])
    ((levels, meta, kind),) = napari_get_reader(path)(path)
    assert (kind, list(meta["scale"])[-2:]) == ("labels", [0.25, 0.25])
    fine = np.asarray(group["0"][...])
    np.testing.assert_array_equal(np.squeeze(np.asarray(levels[0])), fine)
    for level in range(1, 3):
        np.testing.assert_array_equal(group[str(level)][...], fine[:: 2**level, :: 2**level])


@pytest.mark.parametrize("brown", [True, False])
def test_the_stain_is_judged_for_the_slide_and_not_tile_by_tile(
    make_slide, opened, pixels, tissue, tmp_path, brown
):
    picture = np.array(tissue(*SHAPE) if brown else pixels)
    # A patch of the other stain, as blood and ink are.
    picture[200:456, 300:556] = pixels[:256, :256] if brown else tissue(256, 256)
    Seamy.stains.clear()
    segment_slide(opened(make_slide("ome-tiff", picture)), Source(128), tmp_path / "run")
    assert set(Seamy.stains) == {brown}
    report = (tmp_path / "run" / OUTPUTS["report"]).read_text()
    assert ("immunohistochemistry (brown)" in report) == brown


def test_glass_costs_nothing(make_slide, opened, glass, pixels, tmp_path):
    slide = opened(make_slide("ome-tiff", glass(pixels, (1100, 1700), at=(500, 700))))
    summary = segment_slide(slide, Source(), tmp_path / "run")
    assert summary.tiles < summary.tiles_of_slide / 2
    _, truth = whole(Source()(), glass(pixels, (1100, 1700), at=(500, 700)))
    assert same_nuclei(labels_of(tmp_path / "run"), truth)
    stored = [
        path for path in (tmp_path / "run" / OUTPUTS["labels"] / "0").rglob("*") if path.is_file()
    ]
    assert len(stored) < 9  # of 12 chunks and the array's metadata


def test_glass_alone_ends_well(make_slide, opened, tmp_path):
    slide = opened(make_slide("ome-tiff", np.full((900, 1200, 3), 244, np.uint8)))
    summary = segment_slide(slide, Source(), tmp_path / "run")
    assert (summary.count, summary.tiles, summary.tissue_mm2) == (0, 0, 0.0)
    assert not labels_of(tmp_path / "run").any()
    assert len(pq.read_table(tmp_path / "run" / OUTPUTS["parquet"])) == 0
    assert "No tissue" in (tmp_path / "run" / OUTPUTS["report"]).read_text(encoding="utf-8")


class Stop(Exception):
    pass


def stopped_after(count):
    def progress(done, total):
        if done == count:
            raise Stop

    return progress


def test_a_stopped_run_goes_on_where_it_was(slide, tmp_path):
    stopped, at_once = tmp_path / "stopped", tmp_path / "at once"
    with pytest.raises(Stop):
        segment_slide(slide, Source(), stopped, progress=stopped_after(5))
    assert len(list((stopped / "tiles").iterdir())) == 5
    assert not (stopped / OUTPUTS["labels"]).exists()
    kept = sorted((stopped / "tiles").iterdir())
    kept[3].write_bytes(kept[3].read_bytes()[:-40])  # the machine went down while writing it
    times = {path: path.stat().st_mtime_ns for path in kept if path != kept[3]}
    told = []
    before = Seamy.outlined
    segment_slide(
        slide, Source(), stopped, keep_tiles=True, progress=lambda *done: told.append(done)
    )
    assert told[0] == (4, 12)
    assert told[-1] == (12, 12)
    assert Seamy.outlined - before == 8
    assert {path: path.stat().st_mtime_ns for path in times} == times
    segment_slide(slide, Source(), at_once)
    assert (labels_of(stopped) == labels_of(at_once)).all()
    for name in ("geojson", "parquet"):
        files = [folder / OUTPUTS[name] for folder in (stopped, at_once)]
        assert files[0].read_bytes() == files[1].read_bytes()


def test_a_finished_run_is_not_done_again(slide, tmp_path):
    first = segment_slide(slide, Source(), tmp_path / "run", outputs=("parquet",))
    before = Seamy.outlined
    again = segment_slide(slide, Source(), tmp_path / "run", outputs=("parquet",))
    assert Seamy.outlined == before
    assert again == first
    with pytest.raises(OutputError, match="expected the tiles of a finished run"):
        segment_slide(slide, Source(), tmp_path / "run", outputs=("geojson",))


def test_kept_tiles_give_other_outputs_later(slide, tmp_path):
    segment_slide(slide, Source(), tmp_path / "run", outputs=("parquet",), keep_tiles=True)
    assert not (tmp_path / "run" / OUTPUTS["labels"]).exists()
    before = Seamy.outlined
    summary = segment_slide(slide, Source(), tmp_path / "run")
    assert Seamy.outlined == before
    assert labels_of(tmp_path / "run").max() == summary.count
    assert set(summary.outputs) == set(OUTPUTS)


def test_folders_of_others_are_refused(slide, make_slide, opened, pixels, tmp_path):
    folder = tmp_path / "run"
    with pytest.raises(Stop):
        segment_slide(slide, Source(), folder, progress=stopped_after(2))
    stricter = SegmentSettings(score_threshold=0.9)
    with pytest.raises(OutputError, match=r"score_threshold 0.4, got 0.9; name another"):
        segment_slide(slide, Source(), folder, settings=stricter)
    with pytest.raises(OutputError, match="flips False, got True; name another"):
        segment_slide(slide, Source(flips=True), folder)
    with pytest.raises(OutputError, match=r"holds a run with (tiles|plan)"):
        segment_slide(slide, Source(field_size=300), folder)
    other = opened(make_slide("svs", pixels[::-1].copy()))
    with pytest.raises(OutputError, match="holds a run with slide"):
        segment_slide(other, Source(), folder)
    taught = tmp_path / "taught"
    with pytest.raises(Stop):
        segment_slide(slide, Source(), taught, classifier="abab", progress=stopped_after(2))
    with pytest.raises(OutputError, match="classifier abab, got none; name another"):
        segment_slide(slide, Source(), taught)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    with pytest.raises(OutputError, match=r"expected an empty folder .*letter.txt"):
        segment_slide(slide, Source(), tmp_path / "mine")
    (folder / "run.json").write_text("{")
    with pytest.raises(OutputError, match="expected the state of a run"):
        segment_slide(slide, Source(), folder)
    assert len(list((folder / "tiles").iterdir())) == 2


def test_what_a_killed_run_had_begun_is_swept(slide, tmp_path):
    folder = tmp_path / "run"
    with pytest.raises(Stop):
        segment_slide(slide, Source(), folder, progress=stopped_after(2))
    (folder / ".labels.ome.zarr.0a1b.part" / "0").mkdir(parents=True)
    (folder / ".scratch-x").mkdir()
    (folder / "tiles" / ".0000003.npz.0a1b.part").write_bytes(b"half")
    segment_slide(slide, Source(), folder)
    assert sorted(path.name for path in folder.iterdir()) == sorted([*OUTPUTS.values(), "run.json"])


def test_a_model_that_takes_pictures_whole_is_refused(make_slide, opened, tmp_path, monkeypatch):
    from napari_uninuc.slides import plan

    slide = opened(make_slide("ome-tiff", make_tile((300, 300), 20).tile.rgb))
    monkeypatch.setattr(plan, "_LARGEST_FIELD", 299 * 300)
    with pytest.raises(ImageError, match="expected a model that sees a slide in fields, got fake"):
        segment_slide(slide, Source(field_size=4000), tmp_path / "run")


def test_two_runs_do_not_share_a_folder(slide, tmp_path):
    with (
        claimed(tmp_path / "run"),
        pytest.raises(OutputError, match="expected no other run"),
    ):
        segment_slide(slide, Source(), tmp_path / "run")


def test_a_full_disk_keeps_what_was_done(slide, tmp_path, monkeypatch):
    written = []
    real = jobs.write_tile_file

    def full(result, path):
        if len(written) == 3:
            raise OutputError(f"{path}: cannot be written (No space left on device)")
        written.append(path)
        real(result, path)

    monkeypatch.setattr(jobs, "write_tile_file", full)
    with pytest.raises(OutputError, match="No space left"):
        segment_slide(slide, Source(), tmp_path / "run")
    monkeypatch.undo()
    assert len(list((tmp_path / "run" / "tiles").iterdir())) == 3
    assert segment_slide(slide, Source(), tmp_path / "run").count > 200


def test_tile_file_gives_back_what_was_found(slide, tmp_path):
    with pytest.raises(Stop):
        segment_slide(slide, Source(), tmp_path / "run", progress=stopped_after(1))
    path = next((tmp_path / "run" / "tiles").iterdir())
    result = read_tile_file(path)
    tile = Tile.from_array(slide.read(0, (0, 0, 256, 256)), 0.25)
    inner = Source()().fields(Tile.from_array(slide.read(0, (0, 0, *SHAPE)), 0.25))[0].inner_yxyx
    found = Source()().segment_field(tile, Field(0, (0, 0, 256, 256), inner), 0.4)
    assert len(result.found) == len(found) > 10
    for mine, theirs in zip(result.found, found, strict=True):
        assert mine.mask.origin_yx == theirs.mask.origin_yx
        assert mine.mask.score == theirs.mask.score
        assert mine.box_yxyx == pytest.approx(theirs.box_yxyx)
        np.testing.assert_array_equal(mine.mask.mask, theirs.mask.mask)
    path.write_bytes(b"PK")
    with pytest.raises(OutputError, match="expected a tile of this run"):
        read_tile_file(path)


def test_other_weights_on_a_worker_are_refused(slide, tmp_path):
    def runner(job, fields, done):
        jobs.do_tile(replace(job, model_sha256="ab"), fields[0])

    with pytest.raises(CheckpointError, match="install one version"):
        segment_slide(slide, Source(), tmp_path / "run", runner=runner)
    jobs._BENCH.let_go()


FULL = "Fake GPU ran out of memory: computing on the CPU now, which is slower."


class Crowded(Seamy):
    """A fake whose GPU is full at the third tile that it is asked for, with another card."""

    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        self.device_name, self._asked = "Fake GPU", 0

    def segment_field(self, tile, field, score_threshold):
        self._asked += 1
        if self._asked == 3:
            self.device_name = "CPU"
            self.notice(FULL)
        return super().segment_field(tile, field, score_threshold)


@dataclass(frozen=True)
class CrowdedSource:
    run: str

    def __call__(self):
        return Crowded(FakeCard(), field_size=256, halo=40)


def test_a_gpu_that_was_full_is_told_once_and_stands_in_the_report(slide, tmp_path):
    told, folder = [], tmp_path / "run"
    summary = segment_slide(slide, CrowdedSource("a"), folder, notice=told.append)
    assert told == [FULL]
    assert summary.devices == {"Fake GPU": 2, "CPU": 10}
    assert summary.notices == (FULL,)
    page = (folder / OUTPUTS["report"]).read_text(encoding="utf-8")
    assert FULL in page
    assert "Fake GPU: 2, CPU: 10" in page
    again = segment_slide(slide, CrowdedSource("a"), folder, notice=told.append)
    assert again == summary
    assert told == [FULL]


def test_a_run_carried_on_still_knows_that_the_gpu_was_full(slide, tmp_path):
    def stop(done, total):
        if done == 4:
            raise KeyboardInterrupt

    told, folder = [], tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        segment_slide(slide, CrowdedSource("b"), folder, progress=stop, notice=told.append)
    assert told == [FULL]
    # The model of this process is on the CPU by now, and stays there.
    summary = segment_slide(slide, CrowdedSource("b"), folder, notice=told.append)
    assert told == [FULL]
    assert summary.notices == (FULL,)
    assert summary.devices == {"Fake GPU": 2, "CPU": 10}


def test_what_earlier_versions_wrote_says_nothing_of_devices(slide, tmp_path):
    segment_slide(slide, Source(), tmp_path / "run", keep_tiles=True)
    tile = next((tmp_path / "run" / "tiles").glob("*.npz"))
    with np.load(tile) as stored:
        left = {name: stored[name] for name in stored.files if name != "said"}
    np.savez_compressed(tile, **left)
    read = read_tile_file(tile)
    assert (read.device, read.notices, read_notices(tile)) == ("", (), ())
    state = json.loads((tmp_path / "run" / "run.json").read_text())["finished"]
    assert (
        SlideSummary.of(
            {name: value for name, value in state.items() if name not in ("devices", "notices")}
        ).notices
        == ()
    )
