"""File > Open of outlines that others wrote, as the dialog does it, beside pictures."""

import gzip
import json

import numpy as np
import pytest
from napari.layers import Labels
from npe2 import PluginManager
from outline_layouts import BLOCK, SHAPE, write_files
from skimage.draw import disk

from napari_uninuc.core.classes import ClassPalette
from napari_uninuc.core.segmentation import Segmentation
from napari_uninuc.errors import LabelsError
from napari_uninuc.gui import contributions
from napari_uninuc.gui.contributions import read_nuclei_file
from napari_uninuc.gui.frames import frame_of_outlines
from napari_uninuc.gui.layers.colours import NucleusColormap, class_colormap
from napari_uninuc.io.formats import FORMATS, write_segmentation
from napari_uninuc.io.json_kind import kind_of_json
from napari_uninuc.io.outline_formats import OUTLINE_FORMATS

PLACES_XY = ((50, 50), (100, 50), (150, 100))
SIDE = 20


def ring(x, y):
    return [[x, y], [x + SIDE, y], [x + SIDE, y + SIDE], [x, y + SIDE], [x, y]]


def qupath(*places_xy):
    """What QuPath exports: no word about the picture."""
    features = [
        {
            "type": "Feature",
            "id": f"00000000-0000-0000-0000-{k:012}",
            "geometry": {"type": "Polygon", "coordinates": [ring(*place)]},
            "properties": {"objectType": "detection", "classification": {"name": "Tumor"}},
        }
        for k, place in enumerate(places_xy)
    ]
    return json.dumps({"type": "FeatureCollection", "features": features})


def coco(*places_xy, size=None):
    """As annotation programs write it; some leave out the size."""
    picture = {"id": 1, "file_name": "tile.png", "license": 1}
    if size is not None:
        picture |= {"height": size[0], "width": size[1]}
    annotations = [
        {
            "id": k,
            "image_id": 1,
            "category_id": 1,
            "bbox": [*place, SIDE, SIDE],
            "segmentation": [[c for corner in ring(*place) for c in corner]],
        }
        for k, place in enumerate(places_xy, start=1)
    ]
    listed = {"info": {"version": "1.0"}, "licenses": [{"id": 1}], "images": [picture]}
    return json.dumps(
        {**listed, "categories": [{"id": 1, "name": "Tumor"}], "annotations": annotations}
    )


@pytest.fixture
def heard(monkeypatch):
    said = []
    monkeypatch.setattr(contributions, "tell", said.append)
    return said


@pytest.fixture
def opened(canvas, our_manifest):
    """Open a file as napari's dialog and a drop on the window do; the layer that came."""

    def open_file(path, plugin=None):
        before = list(canvas.viewer.layers)
        canvas.viewer.window._qt_viewer._qt_open([str(path)], stack=False, plugin=plugin)
        (layer,) = [each for each in canvas.viewer.layers if each not in before]
        assert isinstance(layer, Labels)
        return layer

    return open_file


@pytest.fixture
def our_manifest():
    """The manifest that is installed must be the one of this source."""
    manifest = PluginManager.instance().get_manifest("napari-uninuc")
    patterns = {p for each in manifest.contributions.readers for p in each.filename_patterns}
    assert "*.json" in patterns
    return manifest


def world_boxes(layer):
    """Corners of every nucleus in the world, rounded: y0, x0, y1, x1."""
    found = set()
    for id_ in np.unique(layer.data)[1:]:
        rows, columns = np.nonzero(np.asarray(layer.data) == id_)
        low = layer.data_to_world((rows.min() - 0.5, columns.min() - 0.5))
        high = layer.data_to_world((rows.max() + 0.5, columns.max() + 0.5))
        found.add(tuple(np.round([*low[-2:], *high[-2:]], 6).tolist()))
    return found


def expected_boxes(scale=1.0, offset=(0.0, 0.0), places_xy=PLACES_XY):
    """Px (y, x) covers y to y + 1 in the file, and y - 0.5 to y + 0.5 in napari."""
    return {
        tuple(
            float(np.round((value - 0.5) * scale + offset[k % 2], 6))
            for k, value in enumerate((y, x, y + SIDE, x + SIDE))
        )
        for x, y in places_xy
    }


FILES = {
    "q.geojson": qupath,
    "q.geojson.gz": qupath,
    "q.json": qupath,
    "_annotations.coco.json": coco,
    "instances_default.json": coco,
    "annotations.json": coco,
}


def write(tmp_path, name, text):
    path = tmp_path / name
    path.write_bytes(gzip.compress(text.encode()) if name.endswith("gz") else text.encode())
    return path


@pytest.mark.parametrize("name", FILES)
def test_they_lie_on_the_picture_shown_and_it_is_said(canvas, opened, heard, tmp_path, name):
    canvas.viewer.add_image(
        np.zeros((200, 300, 3), np.uint8), name="tile", scale=(0.5, 0.5), translate=(10, -20)
    )
    layer = opened(write(tmp_path, name, FILES[name](*PLACES_XY)))
    assert layer.data.shape == (200, 300)
    assert world_boxes(layer) == expected_boxes(0.5, (10, -20))
    assert heard == [f"{name}: 3 nuclei, on tile."]
    assert layer.features["class"].tolist() == ["Tumor"] * 3


@pytest.mark.parametrize("name", FILES)
def test_without_a_picture_they_are_as_large_as_their_outlines(opened, heard, tmp_path, name):
    layer = opened(write(tmp_path, name, FILES[name](*PLACES_XY)))
    assert world_boxes(layer) == expected_boxes()
    assert layer.data.shape == (120, 170)
    assert "as large as the outlines" in heard[0]


def test_of_several_pictures_it_is_the_one_they_fit_on_from_the_top(
    canvas, opened, heard, tmp_path
):
    canvas.viewer.add_image(np.zeros((200, 300, 3), np.uint8), name="below", translate=(0, 500))
    canvas.viewer.add_image(np.zeros((90, 90, 3), np.uint8), name="too small")
    hidden = canvas.viewer.add_image(np.zeros((400, 400, 3), np.uint8), name="hidden")
    hidden.visible = False
    layer = opened(write(tmp_path, "q.geojson", qupath(*PLACES_XY)))
    assert layer.data.shape == (200, 300)
    assert world_boxes(layer) == expected_boxes(1.0, (0, 500))
    assert heard == ["q.geojson: 3 nuclei, on below."]


def test_on_a_picture_they_do_not_fit_on_they_are_placed_as_it_is(canvas, opened, heard, tmp_path):
    canvas.viewer.add_image(np.zeros((60, 60, 3), np.uint8), scale=(2, 2), name="other")
    layer = opened(write(tmp_path, "q.geojson", qupath(*PLACES_XY)))
    assert world_boxes(layer) == expected_boxes(2.0)
    assert "no picture is shown that holds them all" in heard[0]


def test_far_from_the_first_pixel_only_what_is_around_them_is_made(opened, heard, tmp_path):
    places = ((90_000, 70_000), (90_100, 70_050))
    layer = opened(write(tmp_path, "q.geojson", qupath(*places)))
    assert layer.data.shape == (70, 120)
    assert world_boxes(layer) == expected_boxes(places_xy=places)


def test_outlines_of_a_whole_slide_are_refused_in_words(tmp_path):
    path = write(tmp_path, "q.geojson", qupath((10, 10), (90_000, 70_000)))
    with pytest.raises(LabelsError, match="open that region first"):
        frame_of_outlines(path, "geojson")


def test_the_picture_worked_at_comes_first_and_they_can_be_taken_over(
    room, heard, tmp_path, our_manifest
):
    room.open((200, 300), n_nuclei=2, scale=(0.25, 0.25))
    before = list(room.viewer.layers)
    path = write(tmp_path, "q.geojson", qupath(*PLACES_XY))
    room.viewer.window._qt_viewer._qt_open([str(path)], stack=False)
    (layer,) = [each for each in room.viewer.layers if each not in before]
    assert heard == ["q.geojson: 3 nuclei, on tissue 0."]
    assert world_boxes(layer) == expected_boxes(0.25)
    room.bench.import_labels(layer)
    assert len(room.session.labels) == 3
    assert room.session.labels.at((60, 60))


def test_coco_that_states_its_size_lies_on_the_picture_of_that_size(
    canvas, opened, heard, tmp_path
):
    canvas.viewer.add_image(np.zeros((200, 300, 3), np.uint8), name="tile", scale=(0.5, 0.5))
    layer = opened(write(tmp_path, "annotations.json", coco(*PLACES_XY, size=(200, 300))))
    assert world_boxes(layer) == expected_boxes(0.5)
    assert heard == ["annotations.json: 3 nuclei, on tile."]
    smaller = opened(write(tmp_path, "b.json", coco(*PLACES_XY, size=(180, 280))))
    assert smaller.data.shape == (180, 280)
    assert world_boxes(smaller) == expected_boxes()


def test_our_labels_without_a_scale_lie_on_the_picture_of_their_size(canvas, opened, tmp_path):
    labels = np.zeros((200, 300), np.int32)
    for k, (x, y) in enumerate(PLACES_XY, start=1):
        labels[y : y + SIDE, x : x + SIDE] = k
    path = tmp_path / "a.ome.tif"
    write_segmentation(Segmentation.from_labels(labels), path)
    moved = {"scale": (0.5, 0.5), "translate": (7.0, 9.0)}
    canvas.viewer.add_image(np.zeros((200, 300, 3), np.uint8), name="tile", **moved)
    layer = opened(path, "napari-uninuc")  # which a person is asked for: napari reads .tif too
    assert world_boxes(layer) == expected_boxes(0.5, (7.0, 9.0))


def test_of_a_file_about_several_pictures_the_one_shown_is_meant(canvas, opened, heard, tmp_path):
    both = json.loads(coco(*PLACES_XY, size=(200, 300)))
    both["images"].append({"id": 2, "file_name": "other.png", "height": 50, "width": 60})
    both["annotations"].append({**both["annotations"][0], "id": 9, "image_id": 2})
    canvas.viewer.add_image(np.zeros((200, 300, 3), np.uint8), name="tile")
    layer = opened(write(tmp_path, "annotations.json", json.dumps(both)))
    assert world_boxes(layer) == expected_boxes()
    assert layer.data.shape == (200, 300)


ELSEWHERE = (".tif", ".tiff", ".png", ".sd.zarr", ".csv", ".parquet")
"""Napari's own to open, wants other packages than napari does, and tables."""


def test_every_format_lands_on_the_picture_that_is_open(canvas, opened, tmp_path):
    """Files of others, and all of ours that a drop opens: 0 px off."""
    placed = {"scale": (0.25, 0.25), "units": ("micrometer", "micrometer")}
    canvas.viewer.add_image(np.zeros((*SHAPE, 3), np.uint8), rgb=True, **placed)
    files = dict.fromkeys(write_files(tmp_path).values())
    nuclei = Segmentation.from_labels(np.where(BLOCK > 0, 70_000, 0).astype(np.int32), "tumour")
    for suffix in FORMATS:
        if suffix not in ELSEWHERE:
            files[write_segmentation(nuclei, tmp_path / f"our{suffix}", mpp=0.25)] = suffix
    assert len(files) == len(FORMATS) - len(ELSEWHERE) + len(OUTLINE_FORMATS) - 2  # DICOM's: ours
    for path, suffix in files.items():
        layer = opened(path, "napari-uninuc")
        (id_,) = np.unique(layer.data[BLOCK > 0])
        assert id_ == 70_000 or (suffix is None and id_ in (1, 7)), path
        np.testing.assert_array_equal(layer.data == id_, BLOCK > 0, err_msg=str(path))
        corners = [layer.data_to_world(place) for place in ((-0.5, -0.5), (23.5, 29.5))]
        expected = [(-0.125, -0.125), (5.875, 7.375)]
        np.testing.assert_allclose(corners, expected, err_msg=str(path))
        if suffix in (None, "_seg.npy"):
            continue
        if suffix not in (".ome.tif", ".ome.tiff"):
            assert layer.features["class"].tolist() == ["tumour"], path
        assert str(layer.units[0]) == "micrometer", path


# -- what is none of ours -------------------------------------------------------------------

OTHERS = {
    "settings": '{"images": ["a.png"], "type": "FeatureCollection"}',
    "list": "[1, 2, 3]",
    "labelme": '{"version": "5", "shapes": [{"points": []}], "imagePath": "a.png"}',
    "deep": '{"a": {"images": [{"file_name": 1}], "annotations": [], "categories": []}}',
    "in a text": '{"a": "\\"images\\": [], \\"annotations\\": {\\"categories\\": 1"}',
    "empty": "",
    "no JSON": "images annotations categories {[",
}


@pytest.mark.parametrize("text", OTHERS.values(), ids=OTHERS)
def test_other_json_is_left_to_others(tmp_path, text):
    assert read_nuclei_file(str(write(tmp_path, "a.json", text))) is None


def test_it_is_decided_without_reading_the_file(tmp_path):
    path = tmp_path / "a.json"
    with path.open("wb") as file:
        file.write(b'{"measurements": [')
        file.truncate(8 * 2**30)  # takes no room on disk
    assert kind_of_json(path) is None
    assert kind_of_json(tmp_path / "none.json") is None
    assert read_nuclei_file(str(tmp_path)) is None


def test_gzipped_and_listed_features_are_known(tmp_path):
    features = json.dumps(json.loads(qupath(*PLACES_XY))["features"])
    assert kind_of_json(write(tmp_path, "a.json", features)) == "geojson"
    assert kind_of_json(write(tmp_path, "a.json.gz", coco(*PLACES_XY))) == "coco"
    assert kind_of_json(write(tmp_path, "b.json.gz", "{}"[:1])) is None


# -- colours of large ids -------------------------------------------------------------------


@pytest.mark.parametrize("highest", [70_000, 5_000_000, 2_000_000_000])
def test_ids_of_any_size_have_colours_without_numba(highest):
    ids = np.array([3, highest - 1, highest])
    palette = ClassPalette.of_names(("a", "b"))
    made = class_colormap(palette, ids, np.array([0, 1, 0]))
    assert isinstance(made, NucleusColormap)
    labels = np.zeros((30, 30), np.int32)
    for id_, centre in zip(ids, ((5, 5), (5, 20), (20, 10)), strict=True):
        labels[disk(centre, 4)] = id_
    layer = Labels(labels, colormap=made)
    first, second, third = (layer.get_color(id_) for id_ in ids.tolist())
    np.testing.assert_array_equal(first, third)
    assert not np.array_equal(first, second)
    drawn = made._data_to_texture(labels)
    assert len({drawn[5, 5], drawn[5, 20], drawn[0, 0]}) == 3
    assert drawn[5, 5] == drawn[20, 10]
    assert made._slots.nbytes <= 2**23
    assert made.set_slot(highest, 2)
    assert not made.set_slot(highest, 2)
    assert made.slot_of(highest) == 2
    assert made.slot_of(highest - 2) == 1, "an id without a class"
