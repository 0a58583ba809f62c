import gzip
import json
import zipfile
from contextlib import redirect_stdout
from dataclasses import replace
from importlib.util import find_spec
from io import StringIO

import highdicom
import numpy as np
import pandas as pd
import pydicom
import pytest
import roifile
import skimage.io
import tifffile
import zarr
from PIL import Image
from pyarrow import parquet
from pycocotools.coco import COCO

from napari_uninuc.core.classes import ClassPalette
from napari_uninuc.core.segmentation import Segmentation
from napari_uninuc.errors import OutputError
from napari_uninuc.io import formats
from napari_uninuc.io.formats import FORMATS, suffix_of, write_segmentation
from napari_uninuc.io.labels import read_segmentation


def ids_in(path) -> list[int]:
    """Ids of a file, by another reader than ours."""
    if path.name.endswith(".csv"):
        return pd.read_csv(path)["id"].tolist()
    if path.name.endswith(".parquet"):
        return parquet.read_table(path).column("id").to_pylist()
    if path.name.endswith((".geojson", ".geojson.gz")):
        text = path.read_bytes()
        text = gzip.decompress(text) if path.name.endswith(".gz") else text
        features = json.loads(text)["features"]
        return [each["properties"]["measurements"]["UniNuc: id"] for each in features]
    if path.name.endswith(".coco.json"):
        with redirect_stdout(StringIO()):
            return COCO(path).getAnnIds()
    if path.name.endswith(".rois.zip"):
        return [int(roi.name) for roi in roifile.roiread(path)]
    if path.name.endswith(".ann.dcm"):
        groups = highdicom.ann.annread(path).get_annotation_groups()
        return sorted(int(each.get_measurements()[1][0, 0]) for each in groups)
    if path.name.endswith(".seg.dcm"):
        pieces = pydicom.dcmread(path).private_block(0x0041, "NAPARI-UNINUC")[0x02].value
        return np.frombuffer(pieces, "<i4").reshape(-1, 5)[:, 2].tolist()
    if path.name.endswith(".npy"):
        labels = np.load(path, allow_pickle=True).item()["masks"]
    elif path.name.endswith(".png"):
        labels = skimage.io.imread(path)
    elif path.name.endswith(".zarr"):
        first = "s0" if path.name.endswith(".sd.zarr") else "0"
        labels = zarr.open_group(path, mode="r")[f"labels/nuclei/{first}"][...]
    else:
        labels = tifffile.imread(path)
    return [int(label) for label in np.unique(labels) if label]


ALL = [
    pytest.param(
        suffix,
        marks=pytest.mark.skipif(
            suffix == ".sd.zarr" and find_spec("spatialdata") is None,
            reason="spatialdata is not installed",
        ),
    )
    for suffix in FORMATS
]
OUTLINED = [each for each in ALL if each.values[0] not in (".csv", ".parquet")]
BARE = (".tif", ".tiff", ".ome.tif", ".ome.tiff", ".png", "_seg.npy")  # ids alone
CLASSED = [each for each in OUTLINED if each.values[0] not in BARE]


@pytest.mark.parametrize("suffix", ALL)
def test_ids_are_the_same_in_every_format(two_nuclei, tile_40x60, tmp_path, suffix):
    path = write_segmentation(two_nuclei, str(tmp_path / "new" / f"a{suffix}"), tile_40x60)
    assert path == tmp_path / "new" / f"a{suffix}"
    assert ids_in(path) == [2, 7]


def test_the_scale_is_the_tiles_unless_given(two_nuclei, tile_40x60, tmp_path):
    for mpp, area in ((None, 24 / 16), (0.5, 24 / 4)):
        path = write_segmentation(two_nuclei, tmp_path / "a.csv", tile_40x60, mpp)
        assert pd.read_csv(path)["area_um2"][0] == area


@pytest.mark.parametrize(
    ("name", "suffix"),
    [
        ("a.tif", ".tif"),
        ("a.b.TIFF", ".tiff"),
        ("a.ome.tif", ".ome.tif"),
        ("a.OME.Zarr", ".ome.zarr"),
        ("ome.tif", ".tif"),
    ],
)
def test_the_longest_suffix_counts(name, suffix):
    assert suffix_of(f"folder.csv/{name}") == suffix


@pytest.mark.parametrize("name", ["a", "a.xyz", "a.zarr", "", ".csv", "csv"])
def test_unknown_suffixes_are_refused(name):
    with pytest.raises(OutputError, match=r"\.ome\.zarr, .*\.csv"):
        suffix_of(name)


def fail_after(calls, fail, work):
    """Work a few times, then fail: in the middle of a file."""
    left = [calls]

    def once_more(*arguments, **options):
        left[0] -= 1
        return fail() if left[0] < 0 else work(*arguments, **options)

    return once_more


@pytest.mark.parametrize("suffix", ALL)
def test_a_failure_keeps_the_old_result(two_nuclei, tile_40x60, tmp_path, suffix, monkeypatch):
    path = write_segmentation(two_nuclei, tmp_path / f"a{suffix}", tile_40x60)

    def fail(*arguments, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tifffile.TiffWriter, "write", fail)
    monkeypatch.setattr(pd.DataFrame, "to_csv", fail)
    monkeypatch.setattr(pd.DataFrame, "to_parquet", fail)
    monkeypatch.setattr(json, "dumps", fail_after(2, fail, json.dumps))
    monkeypatch.setattr(zarr.Group, "create_array", fail)
    monkeypatch.setattr(zipfile.ZipFile, "writestr", fail)
    monkeypatch.setattr(Image.Image, "save", fail)
    monkeypatch.setattr(np, "save", fail)
    monkeypatch.setattr(pydicom.Dataset, "save_as", fail)
    with pytest.raises(OutputError, match="No space left"):
        formats.write_segmentation(two_nuclei, path, tile_40x60)
    monkeypatch.undo()
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]
    assert ids_in(path) == [2, 7]


@pytest.mark.parametrize("suffix", ALL)
def test_a_file_where_a_folder_should_be_is_one_clear_line(two_nuclei, tmp_path, suffix):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError) as caught:
        write_segmentation(two_nuclei, tmp_path / "file" / f"a{suffix}")
    assert "\n" not in str(caught.value)
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("suffix", OUTLINED)
def test_what_is_written_is_read(two_nuclei, tile_40x60, tmp_path, suffix):
    path = write_segmentation(two_nuclei, tmp_path / f"a{suffix}", tile_40x60)
    stored = read_segmentation(path)
    np.testing.assert_array_equal(stored.segmentation.labels, two_nuclei.labels)
    assert stored.mpp == (None if suffix in (".png", "_seg.npy", ".sd.zarr") else 0.25)
    placeless = (".tif", ".tiff", ".png", "_seg.npy")
    assert stored.origin_yx_slide == ((0, 0) if suffix in placeless else (100, 200))


@pytest.mark.parametrize("suffix", CLASSED)
def test_classes_that_no_nucleus_has_come_back_in_their_order(two_nuclei, tmp_path, suffix):
    chosen = ClassPalette.of_names(["unused", "inflammatory", "epithelial", "last"])
    chosen = ClassPalette((*chosen.classes[:3], replace(chosen.classes[3], colour="#123456")))
    nuclei = replace(two_nuclei, classes=chosen)
    path = write_segmentation(nuclei, tmp_path / f"a{suffix}", mpp=0.25)
    assert read_segmentation(path).segmentation.palette == chosen


def test_a_picture_of_another_shape_is_refused(tile_40x60, tmp_path):
    other = Segmentation.from_labels(np.ones((3, 3), int))
    with pytest.raises(OutputError, match="one shape"):
        write_segmentation(other, tmp_path / "a.geojson", tile_40x60)
    assert not list(tmp_path.iterdir())


def test_editable_objects_for_qupath(two_nuclei, tmp_path):
    write_segmentation(two_nuclei, tmp_path / "a.geojson", qupath_objects="annotation")
    text = (tmp_path / "a.geojson").read_text(encoding="utf-8")
    assert text.count('"objectType": "annotation"') == 2
