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
from napari_uninuc.io.coco_labels import is_coco, read_coco
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


def test_what_cvat_and_label_studio_write(tmp_path):
    """As datumaro 1.13 (which is CVAT's exporter) and label-studio-sdk 2.1 wrote them."""
    cvat = {
        "licenses": [{"name": "", "id": 0, "url": ""}],
        "info": {"contributor": "", "date_created": "", "version": "", "year": ""},
        "categories": [
            {"id": 1, "name": "tumour", "supercategory": ""},
            {"id": 2, "name": "stroma", "supercategory": ""},
        ],
        "images": [
            {"id": 1, "width": 30, "height": 24, "file_name": "a.jpg", "license": 0}
            | {"flickr_url": "", "coco_url": "", "date_captured": 0}
        ],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 1, "area": 60.0, "iscrowd": 0}
            | {"segmentation": [[5.0, 3.0, 15.0, 3.0, 15.0, 9.0, 5.0, 9.0]]}
            | {"bbox": [5.0, 3.0, 10.0, 6.0], "attributes": {"occluded": False}},
            {"id": 2, "image_id": 1, "category_id": 2, "area": 12.0, "iscrowd": 1}
            | {"segmentation": {"counts": [492, 3, 21, 3, 21, 3, 21, 3, 153], "size": [24, 30]}}
            | {"bbox": [20.0, 12.0, 4.0, 3.0], "attributes": {"occluded": False}},
        ],
    }
    studio = {
        "images": [
            {"width": 30, "height": 24, "id": 0, "file_name": "/data/upload/1/0f3a1b2c-a.png"}
        ],
        "categories": [{"id": 0, "name": "stroma"}, {"id": 1, "name": "tumour"}],
        "annotations": [
            {"id": 0, "image_id": 0, "category_id": 1, "ignore": 0, "iscrowd": 0, "area": 60.0}
            | {"segmentation": [[5.000000000000001, 3.0, 15.0, 3.0, 15.0, 9.0, 5.0, 9.0]]}
            | {"bbox": [5.000000000000001, 3.0, 10.0, 6.0]},
            {"id": 1, "image_id": 0, "category_id": 0, "ignore": 0, "iscrowd": 0, "area": 7.2}
            | {"segmentation": [], "bbox": [15.0, 12.0, 3.0, 2.4]},
        ],
        "info": {"year": 2026, "version": "1.0", "contributor": "Label Studio", "url": ""},
    }
    block = np.zeros((24, 30), bool)
    block[3:9, 5:15] = True
    painted = np.zeros((24, 30), bool)
    painted[12:15, 20:24] = True
    for name, said in (("cvat", cvat), ("studio", studio)):
        (tmp_path / f"{name}.json").write_text(json.dumps(said))
    stored = read_coco(tmp_path / "cvat.json")
    np.testing.assert_array_equal(stored.segmentation.labels == 1, block)
    np.testing.assert_array_equal(stored.segmentation.labels == 2, painted)
    assert stored.segmentation.table["class"].tolist() == ["tumour", "stroma"]
    stored = read_coco(tmp_path / "studio.json", picture="a.png")
    np.testing.assert_array_equal(stored.segmentation.labels > 0, block)
    assert stored.segmentation.table["class"].tolist() == ["tumour"]
    assert "box alone" in stored.notice


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
        (None, "box alone"),
        ([], "box alone"),
        (7, "polygons or run lengths"),
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
    refuse(stored_as(path, annotation(square, score=3)), "scores")
    refuse(stored_as(path, 7), "annotations")
    refuse(stored_as(path, images=[]), "--like")
    refuse(stored_as(path, images=[{"id": 1}]), "--like")
    refuse(stored_as(path, images=[{"height": 10**9, "width": 10**9}]), "true size")
    for text in ('{"annotations": []}', '{"info": {}}', "[]"):
        path.write_text(text, encoding="utf-8")
        refuse(path, "images, annotations, categories")


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


# -- files as other programs write them --------------------------------------------------------


def box(x, y=2, side=4):
    return [[x, y, x + side, y, x + side, y + side, x, y + side]]


def rows(stored):
    table = stored.segmentation.table
    return list(zip(table["id"].tolist(), table["class"], table["x0"].tolist(), strict=True))


@pytest.mark.parametrize("id_", [0, -4, 2**31, 2**40, "x", 1.5, True, [], "9" * 5000])
def test_an_id_that_is_none_gets_a_free_one_and_it_is_told(tmp_path, id_):
    path = stored_as(tmp_path / "a.json", annotation(box(2), id_), annotation(box(10), 7))
    stored = read_coco(path)
    assert rows(stored) == [(7, "tumour", 10), (8, "tumour", 2)]
    assert stored.notice.startswith("new ids for 1 annotation ")


def test_ids_are_kept_where_they_can_be(tmp_path):
    named = [annotation(box(2), "12"), annotation(box(8), 13.0), annotation(box(14), 2**31 - 1)]
    bare = annotation(box(20))
    del bare["id"]
    stored = read_coco(stored_as(tmp_path / "a.json", *named, bare))
    assert [row[0] for row in rows(stored)] == [1, 12, 13, 2**31 - 1]
    assert stored.notice == "", "it had none that could be lost"
    twice = stored_as(tmp_path / "a.json", annotation(box(2), 70_000), annotation(box(8), 70_000))
    assert [row[0] for row in rows(read_coco(twice))] == [70_000, 70_001]
    assert "1 annotation" in read_coco(twice).notice


@pytest.mark.parametrize(
    ("listed", "used"), [("4", 4), (4, "4"), ("4", "4"), (4.0, 4), (0, 0), ("0", 0.0)]
)
def test_classes_are_found_whatever_their_ids_are_written_as(tmp_path, listed, used):
    classes = [{"id": 9, "name": "other"}, {"id": listed, "name": "tumour"}]
    path = stored_as(
        tmp_path / "a.json", annotation(box(2), 1, category_id=used), categories=classes
    )
    assert rows(read_coco(path)) == [(1, "tumour", 2)]
    assert read_coco(path).notice == ""


def test_a_class_that_is_not_listed_is_told(tmp_path):
    path = stored_as(
        tmp_path / "a.json",
        annotation(box(2), 1, category_id=77),
        annotation(box(8), 2, category_id="stroma"),
        annotation(box(14), 3, category_id=None),
    )
    stored = read_coco(path)
    assert [row[1] for row in rows(stored)] == ["nucleus", "stroma", "nucleus"]
    assert stored.notice == "class 'nucleus' for 1 annotation whose category is not listed"


PICTURES = [
    {"id": 1, "file_name": "train/tile.png", "width": 30, "height": 20},
    {"id": "2", "file_name": "val\\tile.png", "width": 30, "height": 20},
    {"id": 3, "file_name": "tile2_png.rf.1a2b3c.jpg", "width": 30, "height": 20},
    {"id": 4, "file_name": "upload/1a2b3c4d-tile4.png", "width": 30, "height": 20},
    {"id": 5, "file_name": "x.jpg", "extra": {"name": "tile5.png"}, "width": 30, "height": 20},
    {"id": 6, "file_name": "tile%206.tif", "width": 40, "height": 20},
]


@pytest.mark.parametrize(
    ("named", "id_"),
    [
        ("/home/me/train/tile.png", 1),
        ("C:\\me\\val\\tile.png", 2),
        ("Val/Tile.PNG", 2),
        ("tile2.png", 3),
        ("tile4.png", 4),
        ("tile4.tif", 4),
        ("tile5.png", 5),
    ],
)
def test_of_several_pictures_the_one_that_is_named_is_read(tmp_path, named, id_):
    each = [annotation(box(k), k, image_id=k) for k in range(1, 7)]
    path = stored_as(tmp_path / "a.json", *each, images=PICTURES)
    for wanted in (None, (20, 30)):
        stored = read_coco(path, wanted, named)
        assert rows(stored) == [(id_, "tumour", id_)]
        assert stored.notice == ""


def test_a_picture_that_is_not_told_apart_is_refused(tmp_path):
    path = stored_as(tmp_path / "a.json", annotation(box(2), image_id=1), images=PICTURES)
    refuse(path, r"got 6 \(train/tile.png, val.*, \.\.\.\); name the picture")
    for named, words in (
        ("other.png", "named 'other.png', got 0"),
        ("tile.png", "named 'tile.png', got 2"),
    ):
        with pytest.raises(LabelsError, match=words):
            read_coco(path, None, named)
    # The size tells them apart; an empty picture is one without nuclei.
    sized = [PICTURES[0], {**PICTURES[1], "width": 50}]
    stored_as(path, annotation(box(2), image_id=1), images=sized)
    assert rows(read_coco(path, (20, 30), "tile.png")) == [(1, "tumour", 2)]
    assert rows(read_coco(path, (20, 50), "tile.png")) == []


def test_annotations_of_another_picture_are_not_painted_in(tmp_path):
    strange = annotation(box(10), 2, image_id=6)
    path = stored_as(tmp_path / "a.json", annotation(box(2)), strange)
    stored = read_coco(path)
    assert rows(stored) == [(1, "tumour", 2)]
    assert stored.notice == "left out 1 annotation of pictures that are not listed"
    refuse(stored_as(tmp_path / "a.json", strange), "of the picture 5, got 1 of others")
    for id_ in ("5", 5.0, None):
        same = stored_as(tmp_path / "a.json", annotation(box(2), image_id=id_))
        assert rows(read_coco(same)) == [(1, "tumour", 2)]


def test_results_and_files_without_a_list_of_pictures_need_their_size(tmp_path):
    path = tmp_path / "a.coco.json"
    alone = [annotation(box(2), image_id="tile.png"), annotation(box(9), 2, image_id="tile.png")]
    for document in (alone, {"annotations": alone}):
        path.write_text(json.dumps(document), encoding="utf-8")
        assert len(rows(read_coco(path, (20, 30)))) == 2
        refuse(path, "--like")
    path.write_text(json.dumps([*alone, annotation(box(4), image_id="b")]), encoding="utf-8")
    refuse(path, "several that the file does not list", (20, 30))
    path = path.rename(tmp_path / "results.json")
    assert is_coco(path)


def test_boxes_alone_are_no_outlines_and_are_counted(tmp_path):
    bare = annotation([], 2, bbox=[9, 2, 4, 4])
    gone = annotation(None, 3, bbox=[9, 9, 4, 4])
    line = annotation([[1, 1, 5, 5]], 4)
    stored = read_coco(stored_as(tmp_path / "a.json", bare, annotation(box(2)), gone, line))
    assert rows(stored) == [(1, "tumour", 2)]
    assert stored.notice == ("left out annotations with box alone (2), fewer than three points (1)")
    refuse(stored_as(tmp_path / "a.json", bare, gone), r"box alone \(2\)")


def test_parts_of_one_nucleus_and_flat_lists(tmp_path):
    path = stored_as(
        tmp_path / "a.json",
        annotation([*box(2), [0, 0, 1, 1], *box(10)], 3),
        annotation(box(20)[0], 4),
    )
    labels = read_coco(path).segmentation.labels
    assert np.bincount(labels.ravel(), minlength=5)[1:].tolist() == [0, 0, 32, 16]


@pytest.mark.parametrize("first", [True, False])
def test_a_crowd_is_a_nucleus_unless_others_lie_in_it(tmp_path, first):
    """CVAT marks every painted mask as a crowd; elsewhere a crowd is an area full of objects."""
    whole = np.ones((20, 30), np.uint8)
    packed = coco_mask.encode(np.asfortranarray(whole))["counts"].decode()
    crowd = annotation({"size": [20, 30], "counts": packed}, 9, iscrowd=1)
    nuclei = [annotation(box(2), 1), annotation(box(10), 2, iscrowd=1)]
    each = [crowd, *nuclei] if first else [*nuclei, crowd]
    stored = read_coco(stored_as(tmp_path / "a.json", *each))
    assert [row[0] for row in rows(stored)] == [1, 2]
    assert stored.notice == "left out 1 crowd that other outlines lie in"


def test_sizes_as_text_are_sizes(tmp_path):
    image = {"id": 5, "height": "20", "width": 30.0}
    path = stored_as(tmp_path / "a.json", annotation(box(2)), images=[image])
    assert read_coco(path).segmentation.labels.shape == (20, 30)
