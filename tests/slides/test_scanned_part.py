"""A slide whose scan begins somewhere in a frame: all is counted from the scan's first px."""

import gzip
import json
from dataclasses import dataclass, replace

import numpy as np
import pyarrow.parquet as pq
import pytest
import tifffile
import zarr

from napari_uninuc.core.labels import LabelMap
from napari_uninuc.core.nuclei import Status
from napari_uninuc.core.segmentation import Segmentation
from napari_uninuc.errors import OutputError
from napari_uninuc.io.formats import write_segmentation
from napari_uninuc.io.labels import read_segmentation
from napari_uninuc.slides.correction import Correction
from napari_uninuc.slides.merge_back import merge_back
from napari_uninuc.slides.plan import fingerprint_of
from napari_uninuc.slides.regions import place_of, read_region
from napari_uninuc.slides.results import open_result
from napari_uninuc.slides.run import segment_slide
from napari_uninuc.slides.tissue import find_tissue
from napari_uninuc.testing import FakeAnnotator, FakeCard, make_tile

pytest.importorskip("openslide")

AT = (520, 1310)
SHAPE = (400, 560)
BOX = (100, 120, 300, 420)


@dataclass(frozen=True)
class Source:
    mpp: float = 0.25

    def __call__(self):
        return FakeAnnotator(FakeCard(mpp=self.mpp), field_size=256, halo=40)


@pytest.fixture(scope="module")
def tissue_pixels():
    return np.array(make_tile(SHAPE, 160, seed=5).tile.rgb)


@pytest.fixture
def scan(scn, tissue_pixels, tmp_path):
    return scn(tmp_path / "scan.scn", tissue_pixels, AT, frame=(2000, 3000), step=2)


def outlined(slide, folder, mpp=0.25, **options):
    segment_slide(slide, Source(mpp), folder, **options)
    return folder


def rows(folder):
    return pq.read_table(folder / "nuclei.parquet").to_pandas()


def geojson(folder):
    with gzip.open(folder / "nuclei.geojson.gz", "rt") as file:
        return json.load(file)


@pytest.mark.parametrize("mpp", [0.25, 0.5])
def test_every_output_is_that_of_the_scan_alone(opened, make_slide, scan, tmp_path, mpp):
    """The same pixels in a file that has no frame give the same numbers, at either level."""
    slide = opened(scan)
    assert slide.origin_yx == AT
    alone = make_slide("ome-tiff", slide.read(0, (0, 0, *SHAPE)), levels=2)
    level = slide.read(1, (0, 0, *slide.levels[1].shape))
    if mpp == 0.5:  # ours are means of 2 x 2 px: put the scan's own level in their place
        alone.unlink()
        with tifffile.TiffWriter(alone, ome=True) as writer:
            layout = {"tile": (256, 256), "photometric": "rgb"}
            scale = {"axes": "YXS", "PhysicalSizeX": 0.25, "PhysicalSizeY": 0.25}
            writer.write(slide.read(0, (0, 0, *SHAPE)), subifds=1, metadata=scale, **layout)
            writer.write(level, subfiletype=1, metadata=None, **layout)
    ours = outlined(slide, tmp_path / "ours", mpp)
    bare = outlined(opened(alone), tmp_path / "bare", mpp)
    assert len(rows(ours)) > 50
    assert rows(ours).equals(rows(bare))
    for a, b in zip(geojson(ours)["features"], geojson(bare)["features"], strict=True):
        assert a["geometry"] == b["geometry"]
    labels = [zarr.open_group(str(f / "labels.ome.zarr"), mode="r") for f in (ours, bare)]
    np.testing.assert_array_equal(labels[0]["0"][...], labels[1]["0"][...])
    assert labels[0].attrs["multiscales"] == labels[1].attrs["multiscales"]
    maps = [tifffile.imread(f / "density.ome.tif") for f in (ours, bare)]
    np.testing.assert_array_equal(*maps)


def test_the_run_says_where_the_scan_begins(opened, scan, tmp_path):
    out = outlined(opened(scan), tmp_path / "out")
    assert json.loads((out / "run.json").read_text())["settings"]["origin_yx"] == list(AT)
    assert geojson(out)["uninuc"]["origin_yx_frame"] == list(AT)
    assert geojson(out)["uninuc"]["shape"] == list(SHAPE)
    assert f"x {AT[1]}, y {AT[0]}" in (out / "report.html").read_text("utf-8")
    assert open_result(out).plan.origin_yx == AT


def test_a_slide_without_a_frame_has_the_settings_it_always_had(opened, make_slide, tmp_path):
    slide = opened(make_slide("tiff", np.array(make_tile((200, 200), 20, seed=1).tile.rgb)))
    out = outlined(slide, tmp_path / "out")
    assert "origin_yx" not in json.loads((out / "run.json").read_text())["settings"]
    assert open_result(out).plan.origin_yx == (0, 0)
    assert "scanner" not in (out / "report.html").read_text("utf-8")


def test_runs_that_counted_from_the_frame_are_not_mixed_in(opened, scan, tmp_path):
    slide = opened(scan)
    out = outlined(slide, tmp_path / "out", keep_tiles=True)
    stored = json.loads((out / "run.json").read_text())
    del stored["settings"]["origin_yx"]
    stored["settings"]["fingerprint"] = "0" * 32
    (out / "run.json").write_text(json.dumps(stored))
    before = geojson(out)
    words = r"counts from \[0, 0\] .* counts from \[520, 1310\]"
    with pytest.raises(OutputError, match=words):
        outlined(slide, out)
    fingerprint = fingerprint_of(slide, find_tissue(slide))
    with pytest.raises(OutputError, match=words):
        open_result(out, fingerprint, slide.origin_yx)
    assert geojson(out) == before


def test_a_damaged_origin_is_refused(opened, scan, tmp_path):
    out = outlined(opened(scan), tmp_path / "out")
    stored = json.loads((out / "run.json").read_text())
    for value in ("x", [1], [1, "a"], 7, None):
        stored["settings"]["origin_yx"] = value
        (out / "run.json").write_text(json.dumps(stored))
        with pytest.raises(OutputError, match="damage"):
            open_result(out)


def region_of(slide, box=BOX):
    place = place_of(slide, fingerprint_of(slide, find_tissue(slide)), 0, box)
    return read_region(slide, box, place, "scan, Region 1")


def test_a_region_goes_to_qupath_and_back(opened, scan, tmp_path, tissue_pixels):
    tile = region_of(opened(scan))
    y0, x0, y1, x1 = BOX
    np.testing.assert_allclose(tile.rgb, tissue_pixels[y0:y1, x0:x1], atol=3)
    labels = np.zeros(tile.shape, np.int32)
    labels[20:34, 30:41] = 7
    path = write_segmentation(Segmentation.from_labels(labels), tmp_path / "a.geojson", tile)
    stored = json.loads(path.read_text())
    ring = np.array(stored["features"][0]["geometry"]["coordinates"][0])
    assert ring.min(axis=0).tolist() == [x0 + 30, y0 + 20]
    assert ring.max(axis=0).tolist() == [x0 + 41, y0 + 34]
    del stored["uninuc"]  # QuPath saves it without
    path.write_text(json.dumps(stored))
    back = read_segmentation(path, tile.shape, tile.origin_yx_slide)
    np.testing.assert_array_equal(back.segmentation.labels > 0, labels > 0)


def test_a_corrected_region_is_merged_where_it_was_seen(opened, scan, tmp_path):
    slide = opened(scan)
    out = outlined(slide, tmp_path / "out")
    tissue = find_tissue(slide)
    result = open_result(out, fingerprint_of(slide, tissue), slide.origin_yx)
    part = result.part(BOX)
    gone = min(part.labels.nuclei)
    pixels = np.where(part.labels.pixels == gone, 0, part.labels.pixels).astype(np.int32)
    kept = {
        id_: replace(row, status=Status.REVIEWED)
        for id_, row in part.labels.nuclei.items()
        if id_ != gone
    }
    labels = LabelMap.from_labels(pixels, kept, next_id=part.labels.next_id)
    correction = Correction(BOX, pixels, kept, part.classes, labels.next_id)
    before = rows(out).set_index("id")
    merge_back(result, correction, tissue)
    after = rows(out).set_index("id")
    assert gone not in after.index
    columns = ["y0", "x0", "y1", "x1"]
    same = after.index.intersection(before.index)
    assert after.loc[same, columns].equals(before.loc[same, columns])
    assert (after["status"] == "reviewed").any()
    ys, xs = after["y1"].max(), after["x1"].max()
    assert ys <= SHAPE[0]
    assert xs <= SHAPE[1]
