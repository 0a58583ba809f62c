import json
from contextlib import redirect_stdout
from io import StringIO

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from napari_uninuc.core.classes import ClassPalette, NucleusClass
from napari_uninuc.core.segmentation import Segmentation
from napari_uninuc.errors import LabelsError
from napari_uninuc.io import rle
from napari_uninuc.io.coco import write_coco
from napari_uninuc.io.coco_labels import read_coco
from napari_uninuc.io.rle import crop_of_runs, packed_runs, runs_of, unpacked_runs

MASKS = hnp.arrays(np.bool_, hnp.array_shapes(min_dims=2, max_dims=2, max_side=12))


def opened(path) -> COCO:
    with redirect_stdout(StringIO()):
        return COCO(path)


def refuse(path, words, shape=None):
    with pytest.raises(LabelsError, match=words) as caught:
        read_coco(path, shape)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(str(path))


def stored_as(path, *annotations, **members):
    document = {
        "images": [{"id": 5, "height": 20, "width": 30}],
        "categories": [{"id": 4, "name": "tumour"}],
        "annotations": list(annotations),
    }
    path.write_text(json.dumps(document | members), encoding="utf-8")
    return path


def annotation(segmentation, id_=1, **more):
    return {"id": id_, "image_id": 5, "category_id": 4, "segmentation": segmentation, **more}


@given(MASKS)
def test_runs_are_those_of_pycocotools(whole):
    theirs = coco_mask.encode(np.asfortranarray(whole.astype(np.uint8)))
    counts = runs_of(whole, (0, 0), whole.shape)
    assert packed_runs(counts) == theirs["counts"].decode()
    assert unpacked_runs(packed_runs(counts)) == counts.tolist()
    crop = crop_of_runs(theirs["counts"].decode(), whole.shape)
    picture = np.zeros_like(whole)
    if crop is not None:
        (y, x), mask = crop
        picture[y : y + mask.shape[0], x : x + mask.shape[1]] = mask
    np.testing.assert_array_equal(picture, whole)


@given(MASKS, st.integers(0, 40_000), st.integers(0, 40_000), st.integers(0, 900))
def test_runs_of_a_crop_anywhere(mask, y, x, spare):
    shape = (y + mask.shape[0] + spare, x + mask.shape[1] + spare)
    counts = runs_of(mask, (y, x), shape)
    assert counts.sum() == shape[0] * shape[1]
    assert unpacked_runs(packed_runs(counts)) == counts.tolist()
    crop = crop_of_runs(counts, shape)
    assert (crop is None) == (not mask.any())
    if crop is not None:
        (cy, cx), found = crop
        rows, columns = np.nonzero(found)
        ours = np.argwhere(mask) + np.array([y, x])
        assert sorted(zip(rows + cy, columns + cx, strict=True)) == sorted(map(tuple, ours))


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # theirs
def test_pycocotools_reads_what_we_write(two_nuclei, tile_40x60, tmp_path):
    path = tmp_path / "a.coco.json"
    table = two_nuclei.table.assign(status=["reviewed", ""])
    write_coco(Segmentation(two_nuclei.labels, table, {}), path, 0.25, tile_40x60)
    coco = opened(path)
    assert coco.getAnnIds() == [2, 7]
    (image,) = coco.loadImgs(coco.getImgIds())
    assert (image["height"], image["width"], image["file_name"]) == (40, 60, "noise")
    first, second = coco.loadAnns([2, 7])
    for each in (first, second):
        np.testing.assert_array_equal(coco.annToMask(each), two_nuclei.labels == each["id"])
        assert each["area"] == (two_nuclei.labels == each["id"]).sum()
        assert coco_mask.toBbox(each["segmentation"]).tolist() == each["bbox"]
    assert first["bbox"] == [20, 10, 6, 4]
    assert (first["score"], first["attributes"]) == (0.75, {"status": "reviewed"})
    assert "attributes" not in second
    names = [each["name"] for each in coco.loadCats([first["category_id"], second["category_id"]])]
    assert names == ["epithelial", "inflammatory"]


def test_everything_comes_back(two_nuclei, tile_40x60, tmp_path):
    path = tmp_path / "a.coco.json"
    table = two_nuclei.table.assign(status=["reviewed", "automatic"], score=[np.nan, 0.5])
    palette = ClassPalette(
        (NucleusClass("inflammatory", "#102030"), NucleusClass("epithelial", "#ff0080"))
    )
    write_coco(Segmentation(two_nuclei.labels, table, {}, palette), path, 0.25, tile_40x60)
    stored = read_coco(path)
    np.testing.assert_array_equal(stored.segmentation.labels, two_nuclei.labels)
    pd.testing.assert_frame_equal(
        stored.segmentation.table[table.columns], table, check_dtype=False
    )
    assert stored.segmentation.classes == palette
    assert (stored.mpp, stored.origin_yx_slide) == (0.25, (100, 200))


def test_files_of_other_programs(tmp_path):
    mask = np.zeros((20, 30), np.uint8)
    mask[2:4, 20:22] = 1
    packed = coco_mask.encode(np.asfortranarray(mask))
    path = stored_as(
        tmp_path / "a.json",
        annotation([[1, 2, 5, 2, 5, 6, 1, 6], [8.5, 2.5, 10.5, 2.5, 10.5, 4.5]], 30),
        annotation({"size": [20, 30], "counts": [10 * 20 + 5, 3, 20 * 20 - 8]}, 4, category_id=99),
        annotation({"size": [20, 30], "counts": packed["counts"].decode()}, 12, score=0.5),
        info={},
    )
    stored = read_coco(path)
    table = stored.segmentation.table
    assert table["id"].tolist() == [4, 12, 30]
    assert table["class"].tolist() == ["nucleus", "tumour", "tumour"]
    labels = stored.segmentation.labels
    np.testing.assert_array_equal(labels == 12, mask)
    assert np.argwhere(labels == 4).tolist() == [[5, 10], [6, 10], [7, 10]]
    assert (labels[2:6, 1:5] == 30).all()
    assert (labels == 30).sum() == 16 + 3


def test_lists_in_any_order(two_nuclei, tmp_path):
    path = tmp_path / "a.coco.json"
    write_coco(two_nuclei, path)
    document = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(dict(reversed(document.items()))), encoding="utf-8")
    np.testing.assert_array_equal(read_coco(path).segmentation.labels, two_nuclei.labels)


@pytest.mark.parametrize(
    ("segmentation", "words"),
    [
        ({"size": [20, 30], "counts": [1, 2, 3]}, "add up"),
        ({"size": [20, 30], "counts": [-1, 601]}, "add up"),
        ({"size": [20, 30], "counts": [2**62, 2**62, 2**62, 2**62, 600]}, "add up"),
        ({"size": [20, 30], "counts": [10**30]}, "add up"),
        ({"size": [20, 30], "counts": [0.5, 599.5]}, "add up"),
        ({"size": [20, 30], "counts": []}, "add up"),
        ({"size": [20, 30], "counts": [[600]]}, "add up"),
        ({"size": [20, 30], "counts": [[600], 1]}, "add up"),
        ({"size": [20, 30], "counts": "é"}, "damaged"),
        ({"size": [20, 30], "counts": "o" * 50}, "damaged"),
        ({"size": [20, 30], "counts": "o"}, "cut short"),
        ({"size": [20, 30]}, "add up"),
        ({"size": [30, 20], "counts": [600]}, "masks of 20 x 30"),
        ({}, "masks of 20 x 30"),
        (None, "none"),
        ([[1, 2, 3]], "x, y"),
        ([7], "x, y"),
        ([[1, 2, 3, 4]], "three"),
        ([[1, 2, 3, 4, 5, "x"]], "numbers"),
        ([[0, 0, 5, float("inf"), 5, 5]], "NaN"),
    ],
)
def test_bad_shapes_are_one_line(tmp_path, segmentation, words):
    refuse(stored_as(tmp_path / "a.coco.json", annotation(segmentation)), words)


def test_bad_files_are_one_line(tmp_path):
    path = tmp_path / "a.coco.json"
    square = [[1, 1, 5, 1, 5, 5, 1, 5]]
    for id_ in (0, -4, 2**31, "x", None):
        refuse(stored_as(path, annotation(square, id_)), "ids")
    refuse(stored_as(path, annotation(square, score=3)), "scores")
    refuse(stored_as(path, 7), "annotations")
    refuse(stored_as(path, images=[]), "one picture, got 0")
    refuse(stored_as(path, images=[{"height": 1}, {"height": 2}]), "one picture, got 2")
    refuse(stored_as(path, images=[{"id": 1}]), "--like")
    refuse(stored_as(path, images=[{"height": 10**9, "width": 10**9}]), "true size")
    path.write_text('{"annotations": []}', encoding="utf-8")
    refuse(path, "images, categories")


def test_the_size_given_counts_where_the_file_has_none(tmp_path):
    path = tmp_path / "a.coco.json"
    square = annotation([[1, 1, 5, 1, 5, 5, 1, 5]])
    stored_as(path, square, images=[{}])
    assert read_coco(path, (7, 8)).segmentation.labels.shape == (7, 8)
    refuse(stored_as(path, square), "picture of 7 x 8 px, got those of one of 20 x 30", (7, 8))


def test_runs_and_boxes_are_bounded(monkeypatch):
    monkeypatch.setattr(rle, "MAX_RUNS", 4)
    with pytest.raises(LabelsError, match="add up"):
        crop_of_runs([1, 1, 1, 1, 1], (1, 5))
    with pytest.raises(LabelsError, match="damaged"):
        unpacked_runs("1" * 50)
    monkeypatch.setattr(rle, "MAX_NUCLEUS_PX", 8)
    with pytest.raises(LabelsError, match="3 x 3"):
        crop_of_runs([0, 1, 7, 1], (3, 3))
