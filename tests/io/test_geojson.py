import gzip
import json
import re
from uuid import UUID

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_uninuc.core.classes import ClassPalette, NucleusClass
from napari_uninuc.core.segmentation import Segmentation
from napari_uninuc.core.tile import Tile
from napari_uninuc.errors import LabelsError
from napari_uninuc.io import filling, painting
from napari_uninuc.io.geojson import write_geojson
from napari_uninuc.io.geojson_labels import read_geojson
from napari_uninuc.io.labels import read_labels, read_segmentation

SQUARE = [[[2, 3], [6, 3], [6, 8], [2, 8], [2, 3]]]


def document(path):
    return json.loads(path.read_text(encoding="utf-8"))


def feature(geometry=None, **properties):
    shape = {"type": "Polygon", "coordinates": SQUARE} if geometry is None else geometry
    return {"type": "Feature", "geometry": shape, "properties": properties}


def foreign(path, *features, **members):
    collection = {"type": "FeatureCollection", **members, "features": list(features)}
    path.write_text(json.dumps(collection), encoding="utf-8")
    return path


def refuse(path, words, shape=(20, 20)):
    with pytest.raises(LabelsError, match=words) as caught:
        read_geojson(path, shape)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(str(path))


@pytest.fixture
def reviewed(two_nuclei) -> Segmentation:
    """The two nuclei with status and colours."""
    table = two_nuclei.table.assign(status=["reviewed", "automatic"])
    palette = ClassPalette(
        (NucleusClass("inflammatory", "#102030"), NucleusClass("epithelial", "#ff0080"))
    )
    return Segmentation(two_nuclei.labels, table, {}, palette)


def test_what_qupath_reads(reviewed, tile_40x60, tmp_path):
    """The members of QuPath's own files (PathObject and PathClass adapters, version 0.4 on)."""
    path = tmp_path / "a.geojson"
    write_geojson(reviewed, path, 0.25, tile_40x60)
    collection = document(path)
    assert collection["type"] == "FeatureCollection"
    first, second = collection["features"]
    assert str(UUID(first["id"])) == first["id"] != second["id"]
    assert first["type"] == "Feature"
    # Rows 10 to 13 and columns 20 to 25 of a tile 100 down and 200 right on its slide, [x, y].
    assert first["geometry"] == {
        "type": "Polygon",
        "coordinates": [[[220, 110], [226, 110], [226, 114], [220, 114], [220, 110]]],
    }
    assert first["properties"] == {
        "objectType": "detection",
        "classification": {"name": "epithelial", "color": [255, 0, 128]},
        "measurements": {
            "UniNuc: id": 2,
            "UniNuc: area px^2": 24,
            "UniNuc: area µm^2": 1.5,
            "UniNuc: score": 0.75,
        },
        "metadata": {"UniNuc: id": "2", "UniNuc: status": "reviewed"},
    }
    assert second["properties"]["classification"]["color"] == [16, 32, 48]


def test_editable_objects_are_annotations(two_nuclei, tmp_path):
    write_geojson(two_nuclei, tmp_path / "a.geojson", objects="annotation")
    kinds = {
        each["properties"]["objectType"] for each in document(tmp_path / "a.geojson")["features"]
    }
    assert kinds == {"annotation"}


def test_a_uuid_stands_for_picture_and_id(reviewed, tile_40x60, tmp_path):
    def ids(segmentation, tile, **options):
        write_geojson(segmentation, tmp_path / "a.geojson", None, tile, **options)
        found = document(tmp_path / "a.geojson")["features"]
        return {
            each["metadata"]["UniNuc: id"]: each_id
            for each, each_id in ((one["properties"], one["id"]) for one in found)
        }

    moved = np.roll(reviewed.labels, 1, axis=1)
    other = Tile.from_array(255 - tile_40x60.rgb, origin_yx_slide=(100, 200))
    before = ids(reviewed, tile_40x60)
    assert ids(Segmentation.from_labels(moved), tile_40x60) == before, "edited, same picture"
    assert ids(reviewed, tile_40x60, objects="annotation") == before
    assert not set(ids(reviewed, other).values()) & set(before.values())
    assert ids(reviewed, None) == ids(reviewed, None)
    assert ids(reviewed, None) != ids(Segmentation.from_labels(moved), None)


def test_everything_comes_back(reviewed, tile_40x60, tmp_path):
    for name in ("a.geojson", "a.GeoJSON.gz"):
        write_geojson(reviewed, tmp_path / name, 0.25, tile_40x60)
        stored = read_segmentation(tmp_path / name)
        np.testing.assert_array_equal(stored.segmentation.labels, reviewed.labels)
        pd.testing.assert_frame_equal(
            stored.segmentation.table[reviewed.table.columns], reviewed.table, check_dtype=False
        )
        assert stored.segmentation.classes == reviewed.classes
        assert (stored.mpp, stored.origin_yx_slide) == (0.25, (100, 200))
        np.testing.assert_array_equal(read_labels(tmp_path / name), reviewed.labels)
    assert (tmp_path / "a.GeoJSON.gz").read_bytes()[:2] == b"\x1f\x8b"


def test_the_same_nuclei_are_the_same_bytes(reviewed, tmp_path):
    for name in ("a.geojson.gz", "b.geojson.gz"):
        write_geojson(reviewed, tmp_path / name)
    assert (tmp_path / "a.geojson.gz").read_bytes() == (tmp_path / "b.geojson.gz").read_bytes()


@settings(max_examples=40)
@given(
    labels=hnp.arrays(
        np.int32,
        hnp.array_shapes(min_dims=2, max_dims=2, max_side=11),
        elements=st.sampled_from([0, 0, 1, 5, 70_000, 2**31 - 1]),
    ),
    origin=st.tuples(st.integers(0, 300_000), st.integers(0, 300_000)),
)
def test_pixels_survive_at_any_place_on_a_slide(labels, origin, tmp_path_factory):
    """Diagonal touch, holes, several pieces, borders, odd sizes."""
    path = tmp_path_factory.getbasetemp() / "property.geojson"
    write_geojson(Segmentation.from_labels(labels), path, origin_yx_slide=origin)
    stored = read_geojson(path)
    np.testing.assert_array_equal(stored.segmentation.labels, labels)
    assert stored.origin_yx_slide == origin
    # The same shapes in the frame of the slide, whatever the file says of origin and size.
    bare = document(path)
    del bare["uninuc"]
    path.write_text(json.dumps(bare), encoding="utf-8")
    again = read_geojson(path, labels.shape, origin).segmentation
    np.testing.assert_array_equal(again.labels, labels)


def test_polygons_off_the_pixel_corners_are_filled_by_centres(tmp_path):
    ring = [[2.4, 3.6], [6.6, 3.6], [6.6, 7.4], [2.4, 7.4], [2.4, 3.6]]
    path = foreign(tmp_path / "a.geojson", feature({"type": "Polygon", "coordinates": [ring]}))
    labels = read_geojson(path, (20, 20)).segmentation.labels
    rows, columns = np.nonzero(labels)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (4, 6, 2, 6)
    assert (labels > 0).sum() == 15


def test_features_of_other_programs(tmp_path):
    far = [[[12, 12], [15, 12], [15, 15], [12, 15], [12, 12]]]
    pieces = {"type": "MultiPolygon", "coordinates": [SQUARE, far]}
    cell = feature({"type": "Polygon", "coordinates": [[[0, 0], [19, 0], [19, 19], [0, 0]]]})
    cell["nucleusGeometry"] = {
        "type": "Polygon",
        "coordinates": [[[16, 2], [18, 2], [18, 4], [16, 4]]],
    }
    path = foreign(
        tmp_path / "a.geojson",
        feature(pieces, classification={"names": ["Tumor", "Positive"], "color": [1, 2, 3]}),
        {**cell, "properties": {"classification": {"name": "Immune", "colorRGB": -65536}}},
        feature(
            {"type": "Polygon", "coordinates": [[[0, 17], [3, 17], [3, 20], [0, 20]]]},
            classification="Stroma",
            measurements=[{"name": "Area", "value": "NaN"}],
        ),
        feature({"type": "Polygon", "coordinates": [[[90, 90], [95, 90], [95, 95]]]}),
        {
            "type": "Feature",
            "geometry": {"type": "Polygon", "coordinates": [[[8, 0], [9, 0], [9, 1], [8, 1]]]},
            "properties": None,
        },
        crs={"type": "name"},
    )
    stored = read_geojson(path, (20, 20))
    table = stored.segmentation.table
    assert table["id"].tolist() == [1, 2, 3, 4], "the one outside the picture has no row"
    assert table["class"].tolist() == ["Tumor: Positive", "Immune", "Stroma", "nucleus"]
    assert table["score"].isna().all()
    assert np.bincount(stored.segmentation.labels.ravel())[1:].tolist() == [29, 4, 9, 1]
    colours = {each.name: each.colour for each in stored.segmentation.classes.classes}
    assert colours["Tumor: Positive"] == "#010203"
    assert colours["Immune"] == "#ff0000"


def test_a_list_and_a_single_feature(tmp_path):
    for content in ([feature()], feature()):
        (tmp_path / "a.geojson").write_text(json.dumps(content), encoding="utf-8")
        assert (read_geojson(tmp_path / "a.geojson", (20, 20)).segmentation.labels == 1).sum() == 20


def test_an_id_that_is_taken_or_missing_gets_a_free_one(tmp_path):
    squares = [
        feature(
            {"type": "Polygon", "coordinates": [[[x, 0], [x + 2, 0], [x + 2, 2], [x, 2]]]}, **known
        )
        for x, known in enumerate(
            [
                {"measurements": {"UniNuc: id": 9}},
                {},
                {"metadata": {"UniNuc: id": "9"}},
                {"metadata": {"UniNuc: id": "3"}, "measurements": {"UniNuc: id": 8}},
            ]
        )
    ]
    for x, each in enumerate(squares):
        each["geometry"]["coordinates"] = [[[3 * x, 0], [3 * x + 2, 0], [3 * x + 2, 2], [3 * x, 2]]]
    labels = read_geojson(foreign(tmp_path / "a.geojson", *squares), (4, 20)).segmentation.labels
    assert labels[0, [0, 3, 6, 9]].tolist() == [9, 10, 11, 3]


def test_of_overlapping_shapes_the_later_one_wins(tmp_path):
    inner = {"type": "Polygon", "coordinates": [[[3, 4], [5, 4], [5, 6], [3, 6]]]}
    stored = read_geojson(foreign(tmp_path / "a.geojson", feature(), feature(inner)), (20, 20))
    assert np.bincount(stored.segmentation.labels.ravel())[1:].tolist() == [16, 4]
    names = {"objectType": "detection"}
    covered = foreign(tmp_path / "a.geojson", feature(inner, **names), feature(**names))
    assert read_geojson(covered, (20, 20)).segmentation.table["id"].tolist() == [2]


def test_an_empty_collection_is_no_nuclei(two_nuclei, tmp_path):
    stored = read_geojson(foreign(tmp_path / "a.geojson"), (20, 30))
    assert stored.segmentation.labels.shape == (20, 30)
    write_geojson(
        two_nuclei.only(class_name="epithelial").only(class_name="epithelial"),
        tmp_path / "b.geojson",
    )
    assert read_geojson(tmp_path / "b.geojson").segmentation.table["id"].tolist() == [2]
    nothing = Segmentation.from_labels(np.zeros((7, 5), np.int32))
    write_geojson(nothing, tmp_path / "c.geojson")
    assert read_geojson(tmp_path / "c.geojson").segmentation.labels.shape == (7, 5)


def test_files_without_a_size_ask_for_it(tmp_path):
    refuse(foreign(tmp_path / "a.geojson", feature()), "--like", None)


def test_a_picture_of_another_size_than_the_files_is_refused(two_nuclei, tmp_path):
    write_geojson(two_nuclei, tmp_path / "a.geojson")
    refuse(tmp_path / "a.geojson", "picture of 20 x 20 px, got those of one of 40 x 60")
    assert read_geojson(tmp_path / "a.geojson", (40, 60)).segmentation.labels.any()


def test_a_picture_that_holds_none_of_the_shapes_is_refused(tmp_path):
    refuse(foreign(tmp_path / "a.geojson", feature()), "none of them in it", (2, 2))


SHAPELESS = [
    ({"type": "GeometryCollection", "geometries": []}, "GeometryCollection"),
    ({"type": "GeometryCollection", "geometries": 7}, "GeometryCollection"),
    ({"type": "Point", "coordinates": [1, 2]}, "Point"),
    ({"type": "MultiPoint", "coordinates": [[1, 2], [3, 4]]}, "MultiPoint"),
    ({"type": "LineString", "coordinates": [[1, 2], [13, 14]]}, "LineString"),
    ({"type": "Polygon"}, "Polygon without area"),
    ({"type": "Polygon", "coordinates": []}, "Polygon without area"),
    ({"type": "Polygon", "coordinates": [[[1, 2]]]}, "Polygon without area"),
    ({"type": "MultiPolygon", "coordinates": [7]}, "MultiPolygon without area"),
    ([], "object without shape"),
    (None, "object without shape"),
]


@pytest.mark.parametrize(("geometry", "words"), SHAPELESS)
def test_what_encloses_no_area_is_passed_over_and_told(tmp_path, geometry, words):
    odd = feature(objectType="annotation")
    odd["geometry"] = geometry
    refuse(foreign(tmp_path / "a.geojson", odd), f"got {words}")
    for order in ((odd, feature(), odd), (feature(), odd, odd)):
        stored = read_geojson(foreign(tmp_path / "a.geojson", *order), (20, 20))
        assert stored.segmentation.table["id"].tolist() == [1]
        assert (stored.segmentation.labels == 1).sum() == 20
        assert stored.notice == f"left out what is no nucleus: {words} (2)"


@pytest.mark.parametrize(
    ("geometry", "words"),
    [
        ({"type": "Polygon", "coordinates": [[[0, 0], [1, float("nan")], [2, 2]]]}, "NaN"),
        ({"type": "Polygon", "coordinates": [[[0, 0], [1, 1e300], [2, 2]]]}, "larger"),
        ({"type": "Polygon", "coordinates": [[[0, 0], ["a", 1], [2, 2]]]}, "numbers"),
    ],
)
def test_coordinates_that_are_none_are_refused(tmp_path, geometry, words):
    for more in ({}, {"isEllipse": True}):
        refuse(foreign(tmp_path / "a.geojson", feature(geometry | more)), words)


@pytest.mark.parametrize("id_", [0, -1, 2**31, 1.5, "a", float("nan"), True, [], "9" * 5000])
def test_an_id_that_is_none_gets_a_free_one_and_it_is_told(tmp_path, id_):
    path = foreign(tmp_path / "a.geojson", feature(metadata={"UniNuc: id": id_}))
    stored = read_geojson(path, (20, 20))
    assert stored.segmentation.table["id"].tolist() == [1]
    assert "new ids for 1 object " in stored.notice


def test_the_highest_id_leaves_room_below(tmp_path):
    path = foreign(
        tmp_path / "a.geojson",
        feature(square(0), metadata={"UniNuc: id": 2**31 - 1}),
        feature(square(4), metadata={"UniNuc: id": 1}),
        feature(square(8)),
    )
    labels = read_geojson(path, (20, 20)).segmentation.labels
    assert labels[0, [0, 4, 8]].tolist() == [2**31 - 1, 1, 2]


# -- which objects of QuPath are nuclei -------------------------------------------------------


def square(x, y=0, side=2):
    corners = [[x, y], [x + side, y], [x + side, y + side], [x, y + side], [x, y]]
    return {"type": "Polygon", "coordinates": [corners]}


def areas(stored):
    return np.bincount(stored.segmentation.labels.ravel())[1:].tolist()


NUCLEI = [feature(square(x, 4), objectType="detection") for x in (3, 8, 13)]
CELL = feature(square(3, 10, 6), objectType="cell") | {"nucleusGeometry": square(5, 12)}


@pytest.mark.parametrize("place", [0, 1, 2, 3])
@pytest.mark.parametrize(
    ("around", "words"),
    [
        ({"objectType": "annotation", "isLocked": True}, "left out 1 annotation beside"),
        ({"object_type": "annotation"}, "left out 1 annotation beside"),
        ({}, "left out 1 annotation beside"),
        ({"objectType": "tile"}, r"tile \(1\)"),
        ({"objectType": "tmaCore", "isMissing": False}, r"TMA core \(1\)"),
        ({"objectType": "TMA_core"}, r"TMA core \(1\)"),
        ({"objectType": "Tile"}, r"tile \(1\)"),
        ({"objectType": "root"}, r"root object \(1\)"),
    ],
)
def test_what_lies_around_detections_is_no_nucleus(tmp_path, place, around, words):
    region = feature(square(1, 1, 18), classification={"name": "Region*"}, **around)
    features = [*NUCLEI[:place], region, *NUCLEI[place:]]
    stored = read_geojson(foreign(tmp_path / "a.geojson", *features), (20, 20))
    assert areas(stored) == [4, 4, 4]
    assert re.search(words, stored.notice)
    assert [each.name for each in stored.segmentation.classes.classes] == ["nucleus"]


def test_kinds_as_qupath_02_wrote_them(tmp_path):
    old = [
        {**feature(square(3, 4)), "id": "PathDetectionObject"},
        {**CELL, "properties": {}, "id": "PathCellObject"},
        {**feature(square(1, 1, 18)), "id": "PathAnnotationObject"},
        {**feature(square(0, 0, 20)), "id": "PathTileObject"},
    ]
    stored = read_geojson(foreign(tmp_path / "a.geojson", *old), (20, 20))
    assert areas(stored) == [4, 4]


@pytest.mark.parametrize("name", ["childObjects", "children"])
@pytest.mark.parametrize("beneath_properties", [True, False])
def test_a_hierarchy_is_gone_through(tmp_path, name, beneath_properties):
    """As QuPath writes objects with those beneath them."""

    def around(side, inner):
        region = feature(square(0, 0, side), objectType="annotation")
        owner = region["properties"] if beneath_properties else region
        owner[name] = inner
        return region

    path = foreign(tmp_path / "a.geojson", around(20, [around(19, NUCLEI[:2]), NUCLEI[2]]))
    stored = read_geojson(path, (20, 20))
    assert areas(stored) == [4, 4, 4]
    assert stored.notice.startswith("left out 2 annotations beside detections")
    refuse(foreign(path, around(20, [NUCLEI[0], "a"])), "something else in the list")


def test_a_hole_of_two_points_is_none(tmp_path):
    rings = [*SQUARE, [[3, 4], [5, 6]]]
    path = foreign(tmp_path / "a.geojson", feature({"type": "Polygon", "coordinates": rings}))
    assert areas(read_geojson(path, (20, 20))) == [20]


def test_a_cell_without_nucleus_is_its_outline(tmp_path):
    bare = {**feature(square(10, 10, 3), objectType="cell"), "nucleusGeometry": None}
    stored = read_geojson(foreign(tmp_path / "a.geojson", CELL, bare), (20, 20))
    assert areas(stored) == [4, 9]


def test_a_file_of_tiles_alone_is_refused(tmp_path):
    refuse(foreign(tmp_path / "a.geojson", feature(objectType="tile")), r"got tile \(1\)")


@pytest.mark.parametrize("place", [0, 1, 2, 3])
def test_annotations_alone_are_nuclei_but_for_those_around_others(tmp_path, place):
    nuclei = [feature(each["geometry"], objectType="annotation") for each in NUCLEI]
    region = feature(square(1, 1, 18), objectType="annotation")
    stored = read_geojson(foreign(tmp_path / "a.geojson", *nuclei), (20, 20))
    assert (areas(stored), stored.notice) == ([4, 4, 4], "")
    features = [*nuclei[:place], region, *nuclei[place:]]
    stored = read_geojson(foreign(tmp_path / "a.geojson", *features), (20, 20))
    assert areas(stored) == [4, 4, 4]
    assert stored.notice == "left out 1 annotation that other annotations lie in"
    # A region in a region, from the outside in.
    inner = feature(square(2, 2, 16), objectType="annotation")
    stored = read_geojson(foreign(tmp_path / "a.geojson", region, inner, *nuclei), (20, 20))
    assert areas(stored) == [4, 4, 4]
    assert "2 annotations" in stored.notice


def test_of_two_annotations_one_in_the_other_nothing_is_lost(tmp_path):
    for order in (1, -1):
        pair = [feature(square(4, 4, 6)), feature(square(5, 5))][::order]
        stored = read_geojson(foreign(tmp_path / "a.geojson", *pair), (20, 20))
        assert sorted(areas(stored)) == [4, 32]
    twice = read_geojson(foreign(tmp_path / "a.geojson", feature(), feature()), (20, 20))
    assert twice.segmentation.table["id"].tolist() == [2], "the later one"


def test_annotations_of_ours_are_nuclei_beside_detections(two_nuclei, tmp_path):
    write_geojson(two_nuclei, tmp_path / "a.geojson", objects="annotation")
    ours = document(tmp_path / "a.geojson")["features"]
    region = feature(square(0, 0, 39), objectType="annotation")
    drawn = feature(square(50, 30, 3), objectType="annotation")
    stored = read_geojson(foreign(tmp_path / "b.geojson", region, *ours, drawn), (40, 60))
    assert stored.segmentation.table["id"].tolist() == [2, 7, 8], "drawn beside, without an id"
    found = feature(square(40, 3), objectType="detection")
    path = foreign(tmp_path / "b.geojson", region, *ours, found, drawn)
    stored = read_geojson(path, (40, 60))
    assert stored.segmentation.table["id"].tolist() == [2, 7, 8]
    np.testing.assert_array_equal(stored.segmentation.labels == 2, two_nuclei.labels == 2)
    assert stored.segmentation.labels[3, 40] == 8
    assert "left out 2 annotations" in stored.notice


def test_an_annotation_of_a_whole_slide_is_no_reason_to_refuse(tmp_path, monkeypatch):
    monkeypatch.setattr(filling, "MAX_NUCLEUS_PX", 300)
    region = feature(square(0, 0, 20), objectType="annotation")
    for features in ([region, *NUCLEI], [*NUCLEI, region]):
        stored = read_geojson(foreign(tmp_path / "a.geojson", *features), (20, 20))
        assert areas(stored) == [4, 4, 4]
        assert "left out 1 annotation" in stored.notice
    refuse(foreign(tmp_path / "a.geojson", region), "as large as nuclei")
    huge = feature(square(0, 0, 20), objectType="detection")
    refuse(foreign(tmp_path / "a.geojson", huge), "boxes of at most 300")


def test_parts_with_area_of_a_collection_are_the_nucleus(tmp_path):
    line = {"type": "LineString", "coordinates": [[0, 0], [19, 19]]}
    pieces = {"type": "GeometryCollection", "geometries": [line, square(1), square(6)]}
    nested = {"type": "GeometryCollection", "geometries": [pieces]}
    for each in (pieces, nested):
        stored = read_geojson(foreign(tmp_path / "a.geojson", feature(each)), (20, 20))
        assert areas(stored) == [8]


def test_an_ellipse_is_that_of_its_box(tmp_path):
    """QuPath reads the box alone; polygons with few corners stand for the same ellipse."""
    box = {**square(2, 2, 40), "isEllipse": True}
    rows, columns = np.indices((50, 50)) + 0.5 - 22
    stored = read_geojson(foreign(tmp_path / "a.geojson", feature(box)), (50, 50))
    assert ((stored.segmentation.labels > 0) != (np.hypot(rows, columns) < 20)).sum() < 8


def test_one_plane_of_a_stack_is_read(tmp_path):
    planes = [
        feature(square(3 * z) | {"plane": {"c": -1, "z": z, "t": 0}}, objectType="detection")
        for z in (2, 2, 3)
    ]
    stored = read_geojson(foreign(tmp_path / "a.geojson", *planes), (20, 20))
    assert stored.segmentation.table["id"].tolist() == [2]
    assert "object on another plane (1)" in stored.notice


@pytest.mark.parametrize("score", [-0.5, 2, "high", [1]])
def test_scores_out_of_range_are_refused(tmp_path, score):
    refuse(
        foreign(tmp_path / "a.geojson", feature(measurements={"UniNuc: score": score})), "scores"
    )


def test_files_of_something_else_are_refused(tmp_path):
    path = tmp_path / "a.geojson"
    for text, words in [
        ("{}", "GeoJSON features"),
        ('{"type": "Topology", "objects": {}}', "Topology"),
        ("[7]", "something else"),
        ('{"type": "FeatureCollection", "features": [{"type": "Thing"}]}', "something else"),
        ("", "empty"),
    ]:
        path.write_text(text, encoding="utf-8")
        refuse(path, words)
    refuse(tmp_path / "none.geojson", "nothing there")


def test_absurd_sizes_and_numbers_are_refused(tmp_path, monkeypatch):
    for shape in ([10**9, 10**9], [0, 5], [-1, 5]):
        path = foreign(
            tmp_path / "a.geojson",
            feature(),
        )
        text = json.dumps(
            {"type": "FeatureCollection", "uninuc": {"shape": shape}, "features": [feature()]}
        )
        path.write_text(text, encoding="utf-8")
        refuse(path, "true size|--like", None)
    monkeypatch.setattr(painting, "MAX_NUCLEI", 3)
    refuse(foreign(tmp_path / "a.geojson", *[feature()] * 4), "at most 3 nuclei")
    monkeypatch.undo()
    monkeypatch.setattr(painting, "_SPARE_PX", 0)
    monkeypatch.setattr(painting, "_MAX_COVER", 1)
    refuse(foreign(tmp_path / "a.geojson", *[feature()] * 21), "cover the picture")


def test_packed_files_are_read_by_anybody(two_nuclei, tmp_path):
    write_geojson(two_nuclei, tmp_path / "a.geojson.gz")
    with gzip.open(tmp_path / "a.geojson.gz", "rt", encoding="utf-8") as file:
        assert len(json.load(file)["features"]) == 2
