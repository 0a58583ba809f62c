import gzip
import json

import numpy as np
import pytest
import tifffile
import zarr
from PIL import Image

from napari_uninuc.core.segmentation import Segmentation
from napari_uninuc.errors import LabelsError
from napari_uninuc.io import ome_zarr_labels
from napari_uninuc.io.coco import write_coco
from napari_uninuc.io.geojson import write_geojson
from napari_uninuc.io.labels import read_labels, read_segmentation
from napari_uninuc.io.ome_zarr import write_ome_zarr
from napari_uninuc.io.table import write_csv

LABELS = np.random.default_rng(2).integers(0, 300, (20, 30))


def refuse(path, words):
    with pytest.raises(LabelsError, match=words) as caught:
        read_labels(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


def test_ids_survive_in_every_format(tmp_path):
    Image.fromarray(LABELS.astype(np.uint16)).save(tmp_path / "a.png")
    tifffile.imwrite(tmp_path / "a.tif", LABELS.astype(np.uint32))
    tifffile.imwrite(tmp_path / "a.ome.tif", LABELS.astype(np.int32))
    for name in ("a.png", "a.tif", "a.ome.tif"):
        labels = read_labels(tmp_path / name)
        assert labels.dtype == np.int32
        np.testing.assert_array_equal(labels, LABELS)


def test_the_indices_of_a_palette_are_the_ids(tmp_path):
    indices = (LABELS % 7).astype(np.uint8)
    picture = Image.fromarray(indices)
    picture.putpalette([255 - value for value in range(21)])
    assert picture.mode == "P"
    picture.save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_labels(tmp_path / "a.png"), indices)


def test_a_mask_is_one_object(tmp_path):
    Image.fromarray(LABELS > 150).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_labels(tmp_path / "a.png"), LABELS > 150)


def test_more_than_65535_ids_survive(tmp_path):
    many = np.arange(70_000, dtype=np.uint32).reshape(200, 350)
    tifffile.imwrite(tmp_path / "a.tif", many)
    np.testing.assert_array_equal(read_labels(tmp_path / "a.tif"), many)


def test_what_is_not_a_label_image_is_refused(tmp_path):
    Image.new("RGB", (4, 4)).save(tmp_path / "rgb.png")
    refuse(tmp_path / "rgb.png", "one channel")
    tifffile.imwrite(tmp_path / "complex.tif", LABELS.astype(np.complex64))
    refuse(tmp_path / "complex.tif", "integers")
    tifffile.imwrite(tmp_path / "negative.tif", (LABELS - 5).astype(np.int16))
    refuse(tmp_path / "negative.tif", "relabel")
    tifffile.imwrite(tmp_path / "large.tif", np.full((2, 2), 2**31, dtype=np.uint32))
    refuse(tmp_path / "large.tif", "relabel")
    refuse(tmp_path / "none.png", "nothing there")
    (tmp_path / "text.png").write_text("text")
    refuse(tmp_path / "text.png", "readable")


@pytest.mark.parametrize("write", ["tiff", "zarr"])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_floats_are_ids_as_far_as_they_are_exact(tmp_path, dtype, write):
    """ImageJ has no integers of 32 bits: what had more than 65,535 labels comes back as floats."""
    exact = {np.float16: 2048, np.float32: 2**24, np.float64: 2**31 - 1}[dtype]
    path = tmp_path / "a.tif"

    def save(pixels):
        if write == "zarr":
            write_ome_zarr(Segmentation.from_labels(LABELS), path)
            group = zarr.open_group(str(path), mode="a")
            group.create_array("0", data=pixels, overwrite=True)
        else:
            tifffile.imwrite(path, pixels)

    whole = LABELS.astype(dtype)
    whole[3, 4] = exact
    save(whole)
    labels = read_labels(path)
    assert labels.dtype == np.int32
    np.testing.assert_array_equal(labels, whole)
    for value, words in (
        (exact + 2048.0, f"0..{exact}"),
        (-1, "relabel"),
        (0.5, "whole numbers, got fractions"),
        (np.nan, "whole numbers"),
        (np.inf, "whole numbers"),
    ):
        wrong = whole.copy()
        wrong[19, 29] = value
        save(wrong)
        refuse(path, words)


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize("with_picture", [False, True])
def test_our_ome_zarr_comes_back_whole(two_nuclei, tile_40x60, tmp_path, version, with_picture):
    path = tmp_path / "a.ome.zarr"
    tile = tile_40x60 if with_picture else None
    write_ome_zarr(two_nuclei, path, 0.25, tile, version)
    np.testing.assert_array_equal(read_labels(path), two_nuclei.labels)
    stored = read_segmentation(path)
    assert stored.mpp == 0.25
    assert stored.segmentation.table.equals(two_nuclei.table)
    if with_picture:
        nested = path / "labels" / "nuclei"
        np.testing.assert_array_equal(read_labels(nested), two_nuclei.labels)


def test_a_zarr_without_scale_or_properties(tmp_path):
    write_ome_zarr(Segmentation.from_labels(LABELS), tmp_path / "a.ome.zarr")
    group = zarr.open_group(str(tmp_path / "a.ome.zarr"), mode="a")
    group.attrs["image-label"] = {"version": "0.4"}
    stored = read_segmentation(tmp_path / "a.ome.zarr")
    assert stored.mpp is None
    assert set(stored.segmentation.table["class"]) == {"nucleus"}
    assert stored.segmentation.table["score"].isna().all()


def test_planes_of_one_are_a_plane(tmp_path):
    path = tmp_path / "a.ome.zarr"
    write_ome_zarr(Segmentation.from_labels(LABELS), path)
    group = zarr.open_group(str(path), mode="a")
    group.create_array("0", data=LABELS[None, None].astype(np.uint16), overwrite=True)
    np.testing.assert_array_equal(read_labels(path), LABELS)
    group.create_array("0", data=np.stack([LABELS, LABELS]).astype(np.uint16), overwrite=True)
    refuse(path, "one plane")


def test_zarrs_without_one_label_image_are_refused(two_nuclei, tile_40x60, tmp_path):
    path = tmp_path / "a.ome.zarr"
    write_ome_zarr(two_nuclei, path, None, tile_40x60)
    labels = zarr.open_group(str(path / "labels"), mode="a")
    labels.attrs["labels"] = ["nuclei", "cells"]
    refuse(path, "labels/nuclei, labels/cells")
    labels.attrs["labels"] = []
    refuse(path, "got none")
    labels.attrs["labels"] = ["gone"]
    refuse(path, "readable OME-Zarr")
    zarr.open_group(str(tmp_path / "bare.zarr"), mode="w", zarr_format=2)
    refuse(tmp_path / "bare.zarr", "got none")
    (tmp_path / "folder").mkdir()
    refuse(tmp_path / "folder", "got a folder")
    damaged = tmp_path / "damaged.ome.zarr"
    write_ome_zarr(two_nuclei, damaged)
    (damaged / ".zattrs").write_text("{no")
    refuse(damaged, "readable OME-Zarr")


@pytest.mark.parametrize(
    "metadata", [[], {"image-label": {}}, {"image-label": 3, "multiscales": 2}]
)
def test_foreign_metadata_is_one_line(tmp_path, metadata):
    path = tmp_path / "a.zarr"
    zarr.open_group(str(path), mode="w", zarr_format=2)
    (path / ".zattrs").write_text(json.dumps(metadata))
    refuse(path, "OME-Zarr|label image")


@pytest.mark.parametrize("name", ["../other", "/etc", "a/../../b", "", ".", "C:\\x", "a//b"])
def test_names_that_lead_out_of_the_folder_are_refused(two_nuclei, tile_40x60, tmp_path, name):
    path = tmp_path / "a.ome.zarr"
    write_ome_zarr(two_nuclei, path, None, tile_40x60)
    write_ome_zarr(two_nuclei, tmp_path / "other")
    group = zarr.open_group(str(path / "labels"), mode="a")
    group.attrs["labels"] = [name]
    refuse(path, "inside the folder")
    group.attrs["labels"] = ["nuclei"]
    inner = zarr.open_group(str(path / "labels" / "nuclei"), mode="a")
    scales = inner.attrs["multiscales"]
    scales[0]["datasets"][0]["path"] = name
    inner.attrs["multiscales"] = scales
    refuse(path, "inside the folder")


def test_absurd_zarr_metadata_is_refused_before_it_is_read(
    two_nuclei, tile_40x60, tmp_path, monkeypatch
):
    path = tmp_path / "a.ome.zarr"
    write_ome_zarr(two_nuclei, path, None, tile_40x60)
    longest = max(text.stat().st_size for text in path.rglob(".zattrs"))
    monkeypatch.setattr(ome_zarr_labels, "MAX_ATTRIBUTES_BYTES", longest)
    assert read_labels(path).any()
    monkeypatch.setattr(ome_zarr_labels, "MAX_ATTRIBUTES_BYTES", longest - 1)
    with pytest.raises(LabelsError, match="metadata of at most"):
        read_labels(path)


def test_absurd_zarr_arrays_are_refused_before_they_are_read(two_nuclei, tmp_path):
    path = tmp_path / "a.ome.zarr"
    write_ome_zarr(two_nuclei, path)
    array = path / "0" / ".zarray"
    sound = json.loads(array.read_text())
    array.write_text(json.dumps({**sound, "shape": [10**9, 10**9]}))
    refuse(path, "at most 30000 px a side")
    array.write_text(json.dumps({**sound, "chunks": [10**6, 10**6]}))
    refuse(path, "chunks")
    array.write_text(json.dumps({**sound, "dtype": "|O"}))
    refuse(path, "OME-Zarr|integers")


@pytest.mark.parametrize(
    "transforms",
    [
        [{"type": "scale", "scale": [0, 0]}, {"type": "translation", "translation": [1, 1]}],
        [{"type": "scale", "scale": ["a", 1]}, {"type": "translation", "translation": [1, 1]}],
        [{"type": "scale", "scale": [1]}, {"type": "translation", "translation": [1, 1]}],
        [{}],
        7,
    ],
)
def test_absurd_scales_are_one_line(two_nuclei, tmp_path, transforms):
    path = tmp_path / "a.ome.zarr"
    write_ome_zarr(two_nuclei, path)
    group = zarr.open_group(str(path), mode="a")
    scales = group.attrs["multiscales"]
    scales[0]["datasets"][0]["coordinateTransformations"] = transforms
    group.attrs["multiscales"] = scales
    refuse(path, "OME-Zarr")


def test_scores_of_a_zarr_are_checked(two_nuclei, tmp_path):
    path = tmp_path / "a.ome.zarr"
    write_ome_zarr(two_nuclei, path)
    group = zarr.open_group(str(path), mode="a")
    group.attrs["image-label"] = {"properties": [{"label-value": 2, "score": "high"}]}
    with pytest.raises(LabelsError, match="scores must be numbers"):
        read_segmentation(path)


@pytest.mark.parametrize("name", ["a.csv", "a.parquet", "A.CSV"])
def test_tables_hold_no_outlines(two_nuclei, tmp_path, name):
    write_csv(two_nuclei, tmp_path / name)
    refuse(tmp_path / name, "a table, which holds none")


def test_a_shape_that_is_not_the_pictures_is_refused(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", LABELS.astype(np.uint16))
    with pytest.raises(LabelsError, match="30 x 20 px like the picture, got 20 x 30"):
        read_segmentation(tmp_path / "a.tif", (30, 20))
    assert read_segmentation(tmp_path / "a.tif", (20, 30)).segmentation.labels.shape == (20, 30)


def test_json_is_told_apart_by_what_is_in_it(two_nuclei, tmp_path):
    write_geojson(two_nuclei, tmp_path / "a.geojson")
    write_coco(two_nuclei, tmp_path / "a.coco.json")
    (tmp_path / "a.geojson").rename(tmp_path / "shapes.json")
    (tmp_path / "a.coco.json").rename(tmp_path / "boxes.json")
    (tmp_path / "boxes.json.gz").write_bytes(gzip.compress((tmp_path / "boxes.json").read_bytes()))
    for name in ("shapes.json", "boxes.json", "boxes.json.gz"):
        np.testing.assert_array_equal(read_labels(tmp_path / name), two_nuclei.labels)
