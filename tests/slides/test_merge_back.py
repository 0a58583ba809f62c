"""A corrected region goes back into a slide's result: nothing cut, doubled, lost or renamed."""

import gzip
import json
import shutil
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import pyarrow.parquet as pq
import pytest
import tifffile
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_uninuc.core.classes import ClassPalette
from napari_uninuc.core.labels import LabelMap
from napari_uninuc.core.nuclei import Nucleus, Status
from napari_uninuc.errors import OutputError
from napari_uninuc.slides import merge_back as merging
from napari_uninuc.slides.correction import Correction
from napari_uninuc.slides.joining import join
from napari_uninuc.slides.merge_back import finish_merge, merge_back, merge_steps
from napari_uninuc.slides.opening import open_slide
from napari_uninuc.slides.results import open_result
from napari_uninuc.slides.run import segment_slide
from napari_uninuc.slides.summary import OUTPUTS
from napari_uninuc.slides.tissue import Tissue
from napari_uninuc.testing import FakeAnnotator, FakeCard, make_tile

NAN = float("nan")
BOX = (120, 150, 400, 520)
TISSUE = Tissue(np.full((17, 24, 3), 220, np.uint8), np.ones((17, 24), bool), 8.0)


# -- the rule, on small label images --------------------------------------------------------


def squares(rng, shape, count, first=1):
    """Squares of 2 to 5 px, one id each, never one over another."""
    labels = np.zeros(shape, np.int32)
    for id_ in range(first, first + count):
        y, x, side = (
            rng.integers(0, shape[0] - 4),
            rng.integers(0, shape[1] - 4),
            rng.integers(2, 6),
        )
        part = labels[y : y + side, x : x + side]
        if not part.any():
            part[...] = id_
    return labels


@st.composite
def corrected(draw):
    """A slide, a rectangle of it, and what a person made of that."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shape = (24, 30)
    before = squares(rng, shape, draw(st.integers(0, 25)))
    y, x = draw(st.integers(0, 12)), draw(st.integers(0, 12))
    height, width = draw(st.integers(4, 12)), draw(st.integers(4, 14))
    region = before[y : y + height, x : x + width].copy()
    own_from = int(before.max()) + 1
    ids = [i for i in np.unique(region) if i]
    for id_ in ids:
        if rng.random() < 0.3:
            region[region == id_] = 0
        elif rng.random() < 0.2:
            region[(region == id_) & (rng.random(region.shape) < 0.5)] = 0
    new = squares(rng, (max(height, 5), max(width, 5)), draw(st.integers(0, 5)), own_from)
    new = new[:height, :width]
    region = np.where(region == 0, new, region).astype(np.int32)
    if draw(st.booleans()):  # all outlined anew: no id of the result is left
        region = np.where(region > 0, region + own_from, 0).astype(np.int32)
    return before, region, (y, x), own_from


def joined(before, region, at, own_from):
    y, x = at
    inside = before[y : y + region.shape[0], x : x + region.shape[1]]
    elsewhere = set(np.unique(before).tolist()) - set(np.unique(inside).tolist())
    next_id = int(before.max(initial=0)) + 1
    return join(before, region, at, own_from=own_from, elsewhere=elsewhere, next_id=next_id)


@given(corrected())
@settings(max_examples=150)
def test_inside_the_region_is_right_and_outside_nothing_is_cut_or_doubled(case):
    before, region, (y, x), own_from = case
    after = joined(before, region, (y, x), own_from)
    window = slice(y, y + region.shape[0]), slice(x, x + region.shape[1])
    wanted = np.zeros_like(region)
    for id_, out in after.id_of.items():
        wanted[region == id_] = out
    np.testing.assert_array_equal(after.pixels[window], wanted)
    assert len(set(after.id_of.values())) == len(after.id_of)  # nobody becomes another
    outside = np.ones(before.shape, bool)
    outside[window] = False
    for id_ in set(np.unique(before[outside]).tolist()) - {0}:
        old, new = before == id_, after.pixels == id_
        if not old[window].any():
            np.testing.assert_array_equal(new, old)  # not touched: same pixels, same id
        elif id_ in after.removed:
            assert not new.any()  # deleted whole
        else:
            np.testing.assert_array_equal(new[outside], old[outside])  # kept whole
            assert new[window].any()
    assert not after.pixels[outside & (before == 0)].any()
    assert after.removed == set(np.unique(before)) - set(np.unique(after.pixels)) - {0}


@given(corrected())
def test_merging_twice_is_merging_once(case):
    before, region, at, own_from = case
    once = joined(before, region, at, own_from)
    again = join(
        once.pixels,
        region,
        at,
        own_from=own_from,
        elsewhere=set(np.unique(once.pixels).tolist()) - set(once.id_of.values()),
        next_id=once.next_id,
    )
    np.testing.assert_array_equal(again.pixels, once.pixels)
    assert (again.id_of, again.removed, again.next_id) == (once.id_of, frozenset(), once.next_id)


@given(corrected())
def test_a_region_that_nobody_changed_changes_nothing(case):
    before, region, (y, x), own_from = case
    untouched = before[y : y + region.shape[0], x : x + region.shape[1]]
    after = joined(before, untouched.copy(), (y, x), own_from)
    np.testing.assert_array_equal(after.pixels, before)
    assert not after.removed


def test_a_nucleus_across_the_edge_drawn_anew_inside_is_joined_with_its_part_outside():
    before = np.zeros((10, 10), np.int32)
    before[4:7, 2:8] = 5
    region = np.zeros((10, 5), np.int32)
    region[3:7, 2:5] = 40
    after = joined(before, region, (0, 0), 6)
    assert after.id_of == {40: 5}
    wanted = before.copy()
    wanted[3:7, 2:5] = 5
    np.testing.assert_array_equal(after.pixels, wanted)


# -- a whole result -------------------------------------------------------------------------


@dataclass(frozen=True)
class Source:
    def __call__(self):
        return FakeAnnotator(FakeCard(), field_size=256, halo=40)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A slide of two scales of the same tissue, outlined; level 1 is the model's in the second."""
    from tifffile import TiffWriter

    rgb = make_tile((520, 760), 420, seed=3).tile.rgb
    folder = tmp_path_factory.mktemp("runs")
    for step in (1, 2):
        path = folder / f"slide{step}.ome.tif"
        pyramid = [rgb.repeat(step, 0).repeat(step, 1)]
        pyramid.append(np.ascontiguousarray(pyramid[0][::2, ::2]))
        scale = {"PhysicalSizeX": 0.25 / step, "PhysicalSizeY": 0.25 / step}
        layout = {"tile": (256, 256), "photometric": "rgb", "compression": "deflate"}
        with TiffWriter(path, ome=True) as writer:
            writer.write(pyramid[0], subifds=1, metadata={"axes": "YXS", **scale}, **layout)
            writer.write(pyramid[1], subfiletype=1, metadata=None, **layout)
        slide = open_slide(path)
        segment_slide(slide, Source(), folder / f"out{step}")
        slide.close()
    return folder


@pytest.fixture(params=[1, 2])
def result(request, finished, tmp_path):
    shutil.copytree(finished / f"out{request.param}", tmp_path / "out")
    return open_result(tmp_path / "out")


def merge(result, correction):
    return merge_back(result, correction, TISSUE)


def begun(result, box=BOX):
    """A correction that has changed nothing yet, as the window begins it."""
    part = result.part(box)
    rows = {i: row for i, row in part.labels.nuclei.items() if row.visible}
    return Correction(box, part.labels.pixels.copy(), rows, part.classes, part.labels.next_id)


def features(result):
    with gzip.open(result.folder / "nuclei.geojson.gz", "rt") as file:
        found = json.load(file)["features"]
    return {int(each["properties"]["metadata"]["UniNuc: id"]): each for each in found}


def table(result):
    return pq.read_table(result.table_path).to_pandas().set_index("id")


def everything(result):
    return {
        path.relative_to(result.folder): path.read_bytes()
        for path in sorted(result.folder.rglob("*"))
        if path.is_file()
    }


def require_consistent(result):
    """Labels at every level, table and features say the same."""
    levels = [np.asarray(array[...]) for array in result.levels()]
    for fine, coarse in pairwise(levels):
        np.testing.assert_array_equal(coarse, fine[::2, ::2])
    ids = set(np.unique(levels[0]).tolist()) - {0}
    rows, found = table(result), features(result)
    assert ids == set(rows.index) == set(found)
    assert rows.index.is_unique
    step = result.plan.downsample
    for id_, row in rows.iterrows():
        ys, xs = np.nonzero(levels[0] == id_)
        np.testing.assert_allclose(row["area_um2"], len(ys) * result.plan.level_mpp**2, rtol=1e-4)
        centre = ((ys.mean() + 0.5) * step - 0.5, (xs.mean() + 0.5) * step - 0.5)
        got = row[["centroid_y_px", "centroid_x_px"]].astype(float)
        np.testing.assert_allclose(got, centre, atol=1e-2)
        corners = np.array(found[id_]["geometry"]["coordinates"][0])
        assert corners[:, 1].min() == ys.min() * step
        assert corners[:, 0].max() == (xs.max() + 1) * step
    require_counted(result, rows)


def require_counted(result, rows):
    """Counts, heat maps and report are those of the table."""
    state = json.loads((result.folder / "run.json").read_text())["finished"]
    counted = rows["class"].value_counts().to_dict()
    assert {name: count for name, count in state["nuclei"].items() if count} == counted
    with tifffile.TiffFile(result.folder / OUTPUTS["density"]) as file:
        density = file.asarray() * 0.064**2
    assert len(density) == 1 + len(state["nuclei"])
    np.testing.assert_allclose(density.sum(axis=(1, 2)), [len(rows), *state["nuclei"].values()])
    page = (result.folder / OUTPUTS["report"]).read_text(encoding="utf-8")
    for name, count in {"all": len(rows), **state["nuclei"]}.items():
        assert f"<td>{name}</td><td>{count:,}</td>" in page
    words = {1: "in one region"}.get(state["merged"], f"in {state['merged']} regions")
    assert f"corrected by a person {words}" in page


def test_a_merge_changes_what_was_corrected_and_nothing_else(result):
    before_rows, before_features = table(result), features(result)
    correction = begun(result)
    ids = sorted(correction.rows)
    whole = [
        i
        for i in ids
        if (correction.pixels == i).sum() == (result.pixels((0, 0, *result.plan.shape)) == i).sum()
    ]
    pixels, rows = correction.pixels.copy(), dict(correction.rows)
    deleted, reviewed, classed = whole[:3]
    pixels[pixels == deleted] = 0
    del rows[deleted]
    rows[reviewed] = replace(rows[reviewed], status=Status.REVIEWED)
    palette = correction.classes.with_added("mitosis")
    rows[classed] = replace(rows[classed], class_id=1, status=Status.EDITED)
    free = np.argwhere(pixels == 0)
    y, x = next(
        (y, x) for y, x in free if y < 270 and x < 360 and not pixels[y : y + 6, x : x + 6].any()
    )
    new = correction.own_from
    pixels[y : y + 6, x : x + 6] = new
    rows[new] = Nucleus(new, 0, NAN, NAN, Status.EDITED)
    merged = merge(result, replace(correction, pixels=pixels, rows=rows, classes=palette))
    assert (merged.changed, merged.added, merged.removed) == (2, 1, 1)
    require_consistent(result)
    after_rows, after_features = table(result), features(result)
    assert set(after_rows.index) == (set(before_rows.index) - {deleted}) | {new}
    untouched = sorted(set(before_rows.index) - {deleted, reviewed, classed})
    columns = list(before_rows.columns)
    assert after_rows.loc[untouched, columns].equals(before_rows.loc[untouched, columns])
    assert (after_rows.loc[untouched, "status"] == "automatic").all()
    assert all(after_features[i] == before_features[i] for i in untouched)
    assert after_rows.loc[reviewed, "status"] == "reviewed"
    assert after_rows.loc[reviewed, "score"] == before_rows.loc[reviewed, "score"]
    box = ["detected_y0", "detected_x0", "detected_y1", "detected_x1"]
    np.testing.assert_allclose(
        after_rows.loc[reviewed, box].astype(float), before_rows.loc[reviewed, box].astype(float)
    )
    assert after_features[classed]["properties"]["classification"]["name"] == "mitosis"
    assert after_features[reviewed]["properties"]["metadata"]["UniNuc: status"] == "reviewed"
    assert after_features[reviewed]["id"] == before_features[reviewed]["id"]
    again = result.part(BOX)  # and can be corrected again
    assert again.labels.nuclei[reviewed].status is Status.REVIEWED
    assert again.classes.name_of(again.labels.nuclei[classed].class_id) == "mitosis"
    assert again.labels.next_id == new + 1


def test_nuclei_across_the_edge_stay_whole_when_all_is_outlined_anew(result):
    shape = result.plan.shape
    before = result.pixels((0, 0, *shape))
    y0, x0, y1, x1 = BOX
    correction = begun(result)
    fresh = np.where(correction.pixels > 0, correction.pixels + correction.own_from, 0)
    rows = {
        i + correction.own_from: replace(row, id=i + correction.own_from)
        for i, row in correction.rows.items()
    }
    merge(result, replace(correction, pixels=fresh.astype(np.int32), rows=rows))
    np.testing.assert_array_equal(result.pixels((0, 0, *shape)), before)  # same nuclei, same ids
    crossing = [
        i for i in correction.rows if (before == i).sum() > (before[y0:y1, x0:x1] == i).sum()
    ]
    assert len(crossing) > 3
    gone = begun(result)
    merge(result, replace(gone, pixels=np.zeros_like(gone.pixels), rows={}))
    after = result.pixels((0, 0, *shape))
    assert not set(np.unique(after)) & set(correction.rows)
    untouched = ~np.isin(before, list(correction.rows))
    np.testing.assert_array_equal(after[untouched], before[untouched])
    require_consistent(result)


def test_two_regions_begun_from_the_same_result_get_different_new_ids(result):
    first, second = begun(result, (0, 0, 100, 100)), begun(result, (300, 400, 420, 520))
    for correction in (first, second):
        assert correction.own_from == first.own_from
        pixels, new = np.zeros_like(correction.pixels), correction.own_from
        pixels[20:30, 40:50] = new
        rows = {new: Nucleus(new, 0, NAN, NAN, Status.EDITED)}
        merge(result, replace(correction, pixels=pixels, rows=rows))
    require_consistent(result)
    assert result.next_id() == int(result.ids().max()) + 1


def test_only_chunks_that_differ_are_written(result):
    correction = begun(result)
    times = {
        path: path.stat().st_mtime_ns
        for path in result.labels_path.rglob("*/*/*")
        if path.is_file()
    }
    id_ = sorted(correction.rows)[0]
    pixels, rows = correction.pixels.copy(), dict(correction.rows)
    pixels[pixels == id_] = 0
    del rows[id_]
    merge(result, replace(correction, pixels=pixels, rows=rows))
    written = [p for p, t in times.items() if p.exists() and p.stat().st_mtime_ns != t]
    finest = [p for p in written if p.relative_to(result.labels_path).parts[0] == "0"]
    assert (
        len(finest) <= 2 < sum(p.relative_to(result.labels_path).parts[0] == "0" for p in times) + 1
    )


def test_a_merge_that_is_stopped_while_writing_is_carried_on(result, monkeypatch):
    correction = begun(result)
    pixels = np.zeros_like(correction.pixels)
    untouched = everything(result)
    steps = merge_steps(result, replace(correction, pixels=pixels, rows={}), TISSUE)
    next(steps)
    steps.close()  # before anything is ready: nothing has happened
    assert finish_merge(result) is False
    assert everything(result) == untouched

    def fails(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(merging, "_write_where_different", fails)
        with pytest.raises(OutputError, match="is carried on"):
            merge(result, replace(correction, pixels=pixels, rows={}))
    assert finish_merge(result) is True
    require_consistent(result)
    assert not result.pixels(BOX).any()
    assert finish_merge(result) is False
    assert not list(result.folder.glob(".*"))


def test_a_merge_that_is_stopped_while_clearing_up_is_done(result, monkeypatch):
    def half(folder, **_):
        (folder / "labels.npz").unlink(missing_ok=True)

    with monkeypatch.context() as patched:
        patched.setattr(merging.shutil, "rmtree", half)
        merge(result, begun(result))
    after = everything(result)
    assert finish_merge(result) is False
    assert not list(result.folder.glob(".*"))
    assert everything(result).items() <= after.items()
    require_consistent(result)


def test_a_merge_that_changes_nothing_counts_the_same(result):
    density = tifffile.imread(result.folder / OUTPUTS["density"])
    merge(result, begun(result))
    np.testing.assert_array_equal(tifffile.imread(result.folder / OUTPUTS["density"]), density)
    require_consistent(result)


def test_what_a_run_did_not_write_a_merge_does_not_make(result):
    for name in ("geojson", "density", "report"):
        (result.folder / OUTPUTS[name]).unlink()
    merge(result, begun(result))
    assert sorted(path.name for path in result.folder.iterdir()) == [
        "labels.ome.zarr",
        "nuclei.parquet",
        "run.json",
    ]


@pytest.fixture
def kept(finished, tmp_path):
    """A run that kept its tiles and wrote no QuPath file: runs it again, and its folder."""

    def again(**words):
        slide = open_slide(finished / "slide1.ome.tif")
        try:
            return segment_slide(slide, Source(), tmp_path / "kept", keep_tiles=True, **words)
        finally:
            slide.close()

    few = [name for name in OUTPUTS if name != "geojson"]
    return again, again(outputs=few).count, few, tmp_path / "kept"


def without_nuclei(result):
    correction = begun(result)
    return replace(correction, pixels=np.zeros_like(correction.pixels), rows={})


def test_a_run_does_not_undo_a_merge_unless_it_is_told_to(kept):
    again, count, few, folder = kept
    result = open_result(folder)
    merge(result, without_nuclei(result))
    before = everything(result)
    summary = again(outputs=few)
    assert summary.merged == 1
    assert summary.count == len(result.ids()) < count
    with pytest.raises(OutputError, match=r"nuclei\.geojson\.gz.* pass --overwrite"):
        again()
    assert everything(result) == before
    summary = again(outputs=["geojson"], overwrite=True)
    assert (summary.count, summary.merged) == (count, 0)
    assert set(summary.outputs) == set(OUTPUTS)  # all are made anew, for they belong together
    assert len(result.ids()) == len(features(result)) == count
    merge(result, without_nuclei(result))
    shutil.rmtree(folder / "tiles")
    before = everything(result)
    with pytest.raises(OutputError, match="they are gone"):
        again(overwrite=True)
    assert everything(result) == before


def test_a_run_carries_a_stopped_merge_on(kept, monkeypatch):
    again, count, few, folder = kept
    result = open_result(folder)

    def fails(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(merging, "_write_where_different", fails)
        with pytest.raises(OutputError, match="is carried on"):
            merge(result, without_nuclei(result))
    summary = again(outputs=few)
    assert summary.merged == 1
    assert summary.count == len(result.ids()) < count
    assert not result.pixels(BOX).any()
    assert not (folder / ".merge").exists()


def test_a_result_of_another_slide_or_unfinished_is_refused(result, tmp_path):
    with pytest.raises(OutputError, match="expected a result of this slide"):
        open_result(result.folder, "0" * 32)
    assert open_result(result.folder, result.plan.fingerprint).key == result.key
    with pytest.raises(OutputError, match="expected the output folder"):
        open_result(tmp_path)
    state = json.loads((result.folder / "run.json").read_text())
    (result.folder / "run.json").write_text(json.dumps(state | {"finished": None}))
    with pytest.raises(OutputError, match="expected a finished run"):
        open_result(result.folder)
    (result.folder / "run.json").write_text(json.dumps(state))
    shutil.rmtree(result.labels_path)
    with pytest.raises(OutputError, match=r"expected labels\.ome\.zarr"):
        open_result(result.folder)


def test_labels_of_another_run_are_noticed(result):
    group = zarr.open_group(str(result.labels_path), mode="r+")
    group["0"][200:210, 200:210] = 99_999
    with pytest.raises(OutputError, match="expected a row for nucleus 99999"):
        result.part(BOX)


def test_what_a_part_holds_is_what_the_run_found(result):
    part = result.part(BOX)
    assert isinstance(part.labels, LabelMap)
    assert isinstance(part.classes, ClassPalette)
    rows = table(result)
    for id_, nucleus in part.labels.nuclei.items():
        assert nucleus.status is Status.AUTOMATIC
        assert nucleus.score == pytest.approx(float(rows.loc[id_, "score"]))
        assert part.candidates[id_].area == part.labels.area(id_)
        y = nucleus.detected_box_yxyx[0] + BOX[0]
        assert y * result.plan.downsample == pytest.approx(float(rows.loc[id_, "detected_y0"]))
