"""Whatever stands in a file: nuclei, or one clear line."""

import copy
import gzip
import json
import math
import tracemalloc

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_uninuc.core.segmentation import Segmentation
from napari_uninuc.errors import LabelsError
from napari_uninuc.io.formats import write_segmentation
from napari_uninuc.io.labels import read_segmentation

JUNK = [
    *(None, True, 0, -1, 1.5, 1e308, 10**30, 2**31, -(2**63), math.nan, math.inf),
    *("", "x", "NaN", "9" * 30, "\ud800", "../x"),
    *([], [[]], [[[]]], {}, {"a": 1}, [1, 2], [None], [[1, 2], [3, 4], [5, 6]], ["a", "b"]),
]


def nuclei() -> Segmentation:
    labels = np.zeros((20, 30), np.int32)
    labels[2:6, 3:8] = 4
    labels[10:12, 10:14] = 9
    labels[11, 11] = 0
    table = Segmentation.from_labels(labels).table
    return Segmentation(labels, table.assign(status=["reviewed", "edited"], score=[0.5, 0.6]), {})


def places(value, so_far=()):
    """Every way to a value inside a document."""
    yield so_far
    inner = value.items() if isinstance(value, dict) else []
    inner = enumerate(value) if isinstance(value, list) else inner
    for key, each in inner:
        yield from places(each, (*so_far, key))


def spoilt(document, place, junk):
    changed = copy.deepcopy(document)
    inner = changed
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = junk
    return changed


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.geojson", ""),
        ("a.coco.json", ""),
        ("a.ome.zarr", ".zattrs"),
        ("a.ome.zarr", "0/.zarray"),
    ],
)
@settings(max_examples=60)
@given(data=st.data())
def test_a_wrong_value_anywhere_is_one_clear_line(name, text, data, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / f"hostile-{text.replace('/', '')}-{name}"
    write_segmentation(nuclei(), path, mpp=0.25)
    file = path / text if text else path
    document = json.loads(file.read_text(encoding="utf-8"))
    place = data.draw(st.sampled_from([each for each in places(document) if each]))
    junk = data.draw(st.sampled_from(JUNK))
    if place == ("filters",) and junk == []:
        return  # zarr warns of it, and reads on
    file.write_text(json.dumps(spoilt(document, place, junk)), encoding="utf-8")
    try:
        read = read_segmentation(path)
        said = write_segmentation(read.segmentation, path, mpp=read.mpp).name
    except LabelsError as problem:
        said = str(problem)
    assert "\n" not in said
    assert len(said) < 600


def ring(x, y, side):
    return [[x, y], [x + side, y], [x + side, y + side], [x, y + side], [x, y]]


def polygon(x, y, side):
    return {"type": "Polygon", "coordinates": [ring(x, y, side)]}


def of_qupath():
    """Region, cell and collection, with whatever members QuPath has written."""
    plane = {"isEllipse": True, "plane": {"c": -1, "z": 1, "t": 0}}
    pieces = [polygon(9, 2, 3), {"type": "Point", "coordinates": [1, 2]}]
    return [
        {
            "type": "Feature",
            "geometry": polygon(1, 1, 18) | plane,
            "properties": {
                "objectType": "annotation",
                "classification": {"names": ["a", "b"], "color": [1, 2, 3]},
            },
        },
        {
            "type": "Feature",
            "id": "PathCellObject",
            "geometry": polygon(2, 2, 4),
            "nucleusGeometry": polygon(3, 3, 2),
            "properties": {"measurements": [{"name": "UniNuc: id", "value": 3}]},
        },
        {
            "type": "Feature",
            "geometry": {"type": "GeometryCollection", "geometries": pieces},
            "properties": {"metadata": {"UniNuc: id": "7", "UniNuc: status": "x"}},
        },
    ]


def of_a_set():
    """Two pictures; crowd, run lengths and a flat polygon."""
    sides = {"width": 20, "height": 20}
    flat = [1, 1, 5, 1, 5, 5, 1, 5]
    return {
        "images": [
            {"id": 1, "file_name": "a/t.png", "extra": {"name": "x"}, **sides},
            {"id": "2", "file_name": "u.png", **sides},
        ],
        "categories": [{"id": 1, "name": "k", "color": "#112233"}],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 1, "iscrowd": 1, "segmentation": [flat]},
            {
                "id": 2,
                "image_id": 1,
                "category_id": "1",
                "segmentation": {"size": [20, 20], "counts": [100, 4, 296]},
            },
            {"id": 3, "image_id": 2, "category_id": 1, "segmentation": flat},
        ],
    }


def of_ngff():
    """A level and a pyramid that are both placed."""
    steps = {"type": "scale", "scale": [1, 2, 2]}
    place = {"type": "translation", "translation": [0, 1, 1]}
    whole = {"type": "sequence", "transformations": [steps, place], "output": {"name": "g"}}
    axes = [{"name": "c"}, {"name": "y", "unit": "nm"}, {"name": "x", "unit": "nm"}]
    level = {"path": "a", "coordinateTransformations": [steps, place]}
    one = {"axes": axes, "datasets": [level], "coordinateTransformations": [whole]}
    return {"multiscales": [one]}


@pytest.mark.parametrize(
    ("name", "made"),
    [("q.geojson", of_qupath), ("set.json", of_a_set), ("n.zarr/.zattrs", of_ngff)],
)
@settings(max_examples=80)
@given(data=st.data())
def test_a_wrong_value_anywhere_in_files_of_others_is_one_clear_line(
    name, made, data, tmp_path_factory
):
    path = tmp_path_factory.getbasetemp() / name
    if path.name == ".zattrs":
        group = zarr.open_group(str(path.parent), mode="w", zarr_format=2)
        group.create_array("a", data=np.eye(20, dtype=np.int32)[None])
    document = made()
    for _ in range(data.draw(st.integers(1, 2))):
        place = data.draw(st.sampled_from([each for each in places(document) if each]))
        document = spoilt(document, place, data.draw(st.sampled_from(JUNK)))
    path.write_text(json.dumps(document), encoding="utf-8")
    source = path.parent if path.name == ".zattrs" else path
    try:
        said = read_segmentation(source, (20, 20), picture="b/t.png").notice
    except LabelsError as problem:
        said = str(problem)
    assert "\n" not in said
    assert len(said) < 600


@pytest.mark.parametrize("name", ["a.geojson", "a.coco.json", "a.json", "a.geojson.gz"])
@pytest.mark.parametrize(
    "text",
    [
        b"[" * 200_000,
        b'{"a":' * 200_000,
        b'{"type": "FeatureCollection", "features": [' + b"[" * 200_000,
        b'{"annotations": [{"id": ' + b"9" * 100_000 + b"}]}",
        b"\x00" * 1000,
        b"\xff\xfe{\x00}\x00",
    ],
)
def test_absurd_text_is_one_clear_line(tmp_path, name, text):
    path = tmp_path / name
    path.write_bytes(gzip.compress(text) if name.endswith(".gz") else text)
    with pytest.raises(LabelsError) as caught:
        read_segmentation(path, (10, 10))
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(str(path))


def test_a_packed_file_of_nothing_takes_little_memory(tmp_path):
    path = tmp_path / "a.geojson.gz"
    path.write_bytes(gzip.compress(b" " * 50_000_000 + b"[", 1))
    tracemalloc.start()
    try:
        with pytest.raises(LabelsError):
            read_segmentation(path, (10, 10))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 20_000_000


def test_one_endless_outline_takes_little_memory(tmp_path):
    """Zigzags over the whole height of a picture of 30,000 px: each point costs 30,000 rows."""
    ring = [[x % 1000, 0 if x % 2 else 30_000] for x in range(2_000)]
    feature = {"type": "Feature", "geometry": {"type": "Polygon", "coordinates": [ring]}}
    path = tmp_path / "a.geojson"
    path.write_text(json.dumps([feature]), encoding="utf-8")
    tracemalloc.start()
    try:
        with pytest.raises(LabelsError, match="cross at most"):
            read_segmentation(path, (30_000, 1000))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 150_000_000  # the label image itself is 120 MB
