import json

import numpy as np
import pandas as pd
import pytest
import tifffile
from PIL import Image

from napari_uninuc.core.segmentation import Segmentation
from napari_uninuc.io.formats import write_segmentation
from napari_uninuc.io.labels import read_segmentation


@pytest.fixture
def labels(tmp_path):
    """Ids 3 and 300, areas 4 and 6 px, as 16-bit PNG."""
    pixels = np.zeros((20, 30), np.uint16)
    pixels[2:4, 5:7] = 3
    pixels[10:12, 20:23] = 300
    Image.fromarray(pixels).save(tmp_path / "labels.png")
    return tmp_path / "labels.png"


def test_png_becomes_csv_with_its_ids(uninuc, labels, tmp_path):
    target = tmp_path / "out" / "nuclei.csv"
    status, out, err = uninuc("convert", labels, "--output", target, "--mpp", "0.5")
    assert (status, err) == (0, "")
    assert out == f"{labels} -> {target}: 2 nuclei\n"
    table = pd.read_csv(target)
    assert list(table["id"]) == [3, 300]
    assert list(table["area_px"]) == [4, 6]
    assert list(table["area_um2"]) == [1.0, 1.5]


def test_scale_of_a_tiff_goes_along_unless_given(uninuc, labels, tmp_path):
    first, second, third = (tmp_path / name for name in ("a.tif", "b.ome.tif", "c.csv"))
    assert uninuc("convert", labels, "--output", first, "--mpp", "0.5")[0] == 0
    assert uninuc("convert", first, "--output", second)[0] == 0
    with tifffile.TiffFile(second) as tif:
        assert 'PhysicalSizeX="0.5"' in tif.ome_metadata
        np.testing.assert_array_equal(tif.asarray(), np.asarray(Image.open(labels)))
    assert uninuc("convert", second, "--output", third, "--mpp", "0.25")[0] == 0
    assert list(pd.read_csv(third)["area_um2"]) == [0.25, 0.375]


def test_an_ome_zarr_keeps_ids_classes_scores_and_scale(uninuc, two_nuclei, tmp_path):
    source, target, again = tmp_path / "a.ome.zarr", tmp_path / "a.csv", tmp_path / "b.ome.zarr"
    write_segmentation(two_nuclei, source, mpp=0.5)
    assert uninuc("convert", source, "--output", again)[0] == 0
    status, out, err = uninuc("convert", again, "--output", target)
    assert (status, err) == (0, "")
    assert out == f"{again} -> {target}: 2 nuclei\n"
    table = pd.read_csv(target)
    assert list(table["id"]) == [2, 7]
    assert list(table["class"]) == ["epithelial", "inflammatory"]
    assert list(table["score"]) == [0.75, 0.5]
    assert list(table["area_um2"]) == [6.0, 2.0]


def test_bad_labels_are_one_line(refused, picture, bad_pictures, tmp_path):
    before = sorted(tmp_path.rglob("*"))
    for source in (picture, *bad_pictures.values()):
        line = refused("convert", source, "--output", tmp_path / "new" / "a.tif")
        assert line.startswith(f"{source}: ")
    assert sorted(tmp_path.rglob("*")) == before


def test_labels_are_not_written_over_themselves(refused, labels, tmp_path):
    tiff = tmp_path / "labels.tif"
    tifffile.imwrite(tiff, np.ones((4, 4), np.uint16))
    before = tiff.read_bytes()
    assert "would replace" in refused("convert", tiff, "--output", tiff)
    assert tiff.read_bytes() == before


def test_the_picture_is_not_written_over(refused, labels, tmp_path):
    picture = tmp_path / "picture.tif"
    tifffile.imwrite(picture, np.zeros((20, 30, 3), np.uint8), photometric="rgb")
    before = picture.read_bytes()
    said = refused("convert", labels, "--output", picture, "--like", picture)
    assert "would replace" in said
    assert picture.read_bytes() == before


@pytest.mark.parametrize("suffix", [".geojson", ".geojson.gz", ".coco.json", ".ome.zarr"])
def test_there_and_back_again(uninuc, two_nuclei, tmp_path, suffix):
    source, middle, target = (
        tmp_path / f"{name}" for name in ("a.ome.zarr", f"b{suffix}", "c.csv")
    )
    reviewed = two_nuclei.table.assign(status=["reviewed", "automatic"])
    write_segmentation(
        Segmentation(two_nuclei.labels, reviewed, {}), source, mpp=0.5, origin_yx_slide=(7, 9)
    )
    assert uninuc("convert", source, "--output", middle)[0] == 0
    stored = read_segmentation(middle)
    np.testing.assert_array_equal(stored.segmentation.labels, two_nuclei.labels)
    assert (stored.mpp, stored.origin_yx_slide) == (0.5, (7, 9))
    assert uninuc("convert", middle, "--output", target)[0] == 0
    table = pd.read_csv(target)
    assert list(table["id"]) == [2, 7]
    assert list(table["status"]) == ["reviewed", "automatic"]
    assert list(table["score"]) == [0.75, 0.5]


def test_a_part_is_converted(uninuc, refused, two_nuclei, tmp_path):
    source, target = tmp_path / "a.geojson", tmp_path / "b.csv"
    reviewed = two_nuclei.table.assign(status=["reviewed", "automatic"])
    write_segmentation(Segmentation(two_nuclei.labels, reviewed, {}), source)
    for options, ids in (
        (["--only-reviewed"], [2]),
        (["--only-class", "inflammatory"], [7]),
        (["--only-reviewed", "--only-class", "inflammatory"], []),
    ):
        status, out, _ = uninuc("convert", source, "--output", target, *options)
        assert (status, out) == (0, f"{source} -> {target}: {len(ids)} nuclei\n")
        assert list(pd.read_csv(target)["id"]) == ids
    line = refused("convert", source, "--output", target, "--only-class", "stroma")
    assert "epithelial, inflammatory" in line


def test_shapes_of_another_program_need_the_picture(uninuc, refused, two_nuclei, tmp_path):
    source, target, picture = (tmp_path / name for name in ("a.geojson", "b.csv", "tile.png"))
    write_segmentation(two_nuclei, source)
    document = json.loads(source.read_text(encoding="utf-8"))
    del document["uninuc"]
    source.write_text(json.dumps(document), encoding="utf-8")
    assert "--like" in refused("convert", source, "--output", target)
    Image.fromarray(np.full((40, 60, 3), 200, np.uint8)).save(picture)
    assert uninuc("convert", source, "--output", target, "--like", picture)[0] == 0
    table = pd.read_csv(target)
    assert list(table["id"]) == [2, 7]
    assert list(table["mean_red"]) == [200, 200]
    Image.fromarray(np.full((5, 5, 3), 200, np.uint8)).save(picture)
    line = refused("convert", source, "--output", target, "--like", picture)
    assert "none of them in it" in line


def test_the_picture_named_is_taken_out_of_a_file_about_many(uninuc, refused, two_nuclei, tmp_path):
    one, two = tmp_path / "tile.coco.json", tmp_path / "set.json"
    write_segmentation(two_nuclei, one)
    known = json.loads(one.read_text(encoding="utf-8"))
    here = {**known["images"][0], "file_name": "images/tile.png"}
    other = {**here, "id": 2, "file_name": "images/other.png"}
    strange = {**known["annotations"][0], "id": 3, "image_id": 2}
    known |= {"images": [other, here], "annotations": [strange, *known["annotations"]]}
    two.write_text(json.dumps(known), encoding="utf-8")
    Image.fromarray(np.zeros((40, 60, 3), np.uint8)).save(tmp_path / "tile.png")
    words = ("convert", two, "--output", tmp_path / "a.csv")
    assert "got 2 (images/other.png, images/tile.png)" in refused(*words)
    status, _, err = uninuc(*words, "--like", tmp_path / "tile.png")
    assert (status, err) == (0, "")
    assert list(pd.read_csv(tmp_path / "a.csv")["id"]) == [2, 7]


def test_what_was_left_out_is_told_in_one_line(uninuc, two_nuclei, tmp_path):
    source, target = tmp_path / "a.geojson", tmp_path / "a.csv"
    write_segmentation(two_nuclei, source)
    collection = json.loads(source.read_text(encoding="utf-8"))
    ring = [[0, 0], [59, 0], [59, 39], [0, 39], [0, 0]]
    for geometry in (
        {"type": "Polygon", "coordinates": [ring]},
        {"type": "Point", "coordinates": [3, 4]},
        None,
    ):
        region = {"type": "Feature", "geometry": geometry, "properties": {}}
        collection["features"].append(region)
    source.write_text(json.dumps(collection), encoding="utf-8")
    status, out, err = uninuc("convert", source, "--output", target)
    assert (status, out) == (0, f"{source} -> {target}: 2 nuclei\n")
    assert err.startswith(f"uninuc: warning: {source}: left out 1 annotation beside detections")
    assert err.endswith("what is no nucleus: Point (1), object without shape (1)\n")
    assert err.count("\n") == 1
    assert list(pd.read_csv(target)["area_px"]) == [24, 8]


def test_the_place_of_a_tile_can_be_told(uninuc, two_nuclei, tmp_path):
    source, target, picture = (tmp_path / name for name in ("a.geojson", "b.tif", "tile.png"))
    write_segmentation(two_nuclei, source, origin_yx_slide=(1000, 2000))
    document = json.loads(source.read_text(encoding="utf-8"))
    del document["uninuc"]
    source.write_text(json.dumps(document), encoding="utf-8")
    Image.fromarray(np.full((40, 60, 3), 200, np.uint8)).save(picture)
    place = ("--origin", "1000", "2000")
    assert uninuc("convert", source, "--output", target, "--like", picture, *place)[0] == 0
    np.testing.assert_array_equal(tifffile.imread(target), two_nuclei.labels)


def test_editable_objects_for_qupath(uninuc, labels, tmp_path):
    target = tmp_path / "a.geojson"
    options = ("--qupath-objects", "annotation")
    assert uninuc("convert", labels, "--output", target, *options)[0] == 0
    kinds = {
        each["properties"]["objectType"]
        for each in json.loads(target.read_text(encoding="utf-8"))["features"]
    }
    assert kinds == {"annotation"}


def test_tables_are_not_read(uninuc, refused, labels, tmp_path):
    table = tmp_path / "a.csv"
    assert uninuc("convert", labels, "--output", table)[0] == 0
    assert "a table" in refused("convert", table, "--output", tmp_path / "b.tif")
