import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile
from napari.layers import Labels, Layer
from npe2 import PluginManager, PluginManifest

import napari_uninuc
from napari_uninuc.core.classes import ClassPalette, NucleusClass
from napari_uninuc.core.segmentation import Segmentation
from napari_uninuc.errors import LabelsError
from napari_uninuc.gui import contributions
from napari_uninuc.gui.contributions import (
    open_sample,
    read_nuclei_file,
    read_slide_file,
    write_labels_layer,
)
from napari_uninuc.io.formats import FORMATS, write_segmentation
from napari_uninuc.io.labels import read_segmentation


@pytest.fixture
def manifest() -> PluginManifest:
    return PluginManifest.from_file(Path(napari_uninuc.__file__).with_name("napari.yaml"))


@pytest.fixture
def layer(two_nuclei) -> Labels:
    features = two_nuclei.table[["id", "class", "score"]]
    return Labels(two_nuclei.labels, scale=(0.25, 0.25), units=("um", "um"), features=features)


def write(layer: Labels, path: Path) -> list[str]:
    data, meta, _ = layer.as_layer_data_tuple()
    return write_labels_layer(str(path), data, meta)


def test_every_command_of_the_manifest_can_be_called(manifest):
    manifest.validate_imports()
    assert manifest.name == "napari-uninuc"


def test_the_sample_is_one_rgb_picture(manifest):
    ((pixels, meta, kind),) = open_sample()
    assert (pixels.shape, pixels.dtype, kind) == ((512, 512, 3), np.uint8, "image")
    assert meta["rgb"] is True
    (sample,) = manifest.contributions.sample_data
    assert sample.display_name == "Immunohistochemistry tile"


@pytest.mark.parametrize("suffix", FORMATS)
def test_npe2_finds_our_writer_for_every_format(manifest, suffix):
    manager = PluginManager()
    manager.register(manifest)
    writer, path = manager.get_writer(f"folder/nuclei{suffix}", ["labels"], "napari-uninuc")
    assert writer.command == "napari-uninuc.write_labels_layer"
    assert path == f"folder/nuclei{suffix}"


def test_a_layer_keeps_scale_class_and_score(layer, tmp_path):
    assert write(layer, tmp_path / "a.csv") == [str(tmp_path / "a.csv")]
    table = pd.read_csv(tmp_path / "a.csv")
    assert table["class"].tolist() == ["epithelial", "inflammatory"]
    assert table["score"].tolist() == [0.75, 0.5]
    assert table["area_um2"][0] == 24 / 16


def test_a_plain_layer_has_no_scale_and_unknown_scores(two_nuclei, tmp_path):
    write(Labels(two_nuclei.labels), tmp_path / "a.csv")
    table = pd.read_csv(tmp_path / "a.csv")
    assert table["id"].tolist() == [2, 7]
    assert table[["score", "area_um2"]].isna().all(axis=None)


def test_where_a_layer_says_no_class_there_is_none(two_nuclei, tmp_path):
    said = {"features": pd.DataFrame({"index": [2, 7], "class": ["", None]})}
    (path,) = write_labels_layer(str(tmp_path / "a.geojson"), two_nuclei.labels, said)
    assert read_segmentation(path).segmentation.table["class"].tolist() == ["nucleus"] * 2


def test_ids_of_a_layer_survive(layer, two_nuclei, tmp_path):
    write(layer, tmp_path / "a.tif")
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "a.tif"), two_nuclei.labels)


def test_stacks_are_refused(tmp_path):
    with pytest.raises(LabelsError, match="one channel"):
        write(Labels(np.zeros((3, 4, 5), dtype=int)), tmp_path / "a.tif")
    assert not list(tmp_path.iterdir())


# -- what a layer says goes into the file ---------------------------------------------------


def test_status_and_place_go_along(two_nuclei, tmp_path):
    features = two_nuclei.table[["id", "class", "score"]].assign(status=["reviewed", "automatic"])
    layer = Labels(
        two_nuclei.labels,
        scale=(0.25, 0.25),
        translate=(25.0, 50.05),
        units=("um", "um"),
        features=features,
    )
    for name in ("a.geojson", "a.coco.json", "a.ome.zarr"):
        write(layer, tmp_path / name)
        stored = read_segmentation(tmp_path / name)
        assert stored.origin_yx_slide == (100, 200)
        assert stored.mpp == 0.25
        assert stored.segmentation.table["status"].tolist() == ["reviewed", "automatic"]
        np.testing.assert_array_equal(stored.segmentation.labels, two_nuclei.labels)


def test_without_a_column_of_ids_row_i_is_nucleus_i(two_nuclei, tmp_path):
    names = pd.DataFrame({"class": [f"class {k}" for k in range(9)]})
    write(Labels(two_nuclei.labels, features=names), tmp_path / "a.csv")
    assert pd.read_csv(tmp_path / "a.csv")["class"].tolist() == ["class 2", "class 7"]


def classes_in(path):
    stored = read_segmentation(path).segmentation.classes.classes
    return {each.name: each.colour for each in stored}


def test_colours_of_a_layer_are_those_of_its_classes_where_they_can_be(two_nuclei, tmp_path):
    features = two_nuclei.table[["id", "class"]]
    colours = {0: "transparent", 2: "#ff0080", 7: "#102030", None: "white"}
    write(Labels(two_nuclei.labels, features=features, colormap=colours), tmp_path / "a.geojson")
    assert classes_in(tmp_path / "a.geojson") == {
        "epithelial": "#ff0080",
        "inflammatory": "#102030",
    }
    one_class = features.assign(**{"class": "nucleus"})
    write(Labels(two_nuclei.labels, features=one_class, colormap=colours), tmp_path / "b.geojson")
    assert classes_in(tmp_path / "b.geojson") == {"nucleus": "#ffff00"}, "two colours, one class"


# -- files into layers ----------------------------------------------------------------------


def opened(path):
    reader = read_nuclei_file(str(path))
    assert reader is not None
    return [Layer.create(*each) for each in reader(str(path))]


@pytest.mark.parametrize("name", ["a.geojson", "a.geojson.gz", "a.coco.json", "a.ome.zarr"])
def test_what_we_write_opens_as_it_was(two_nuclei, tile_40x60, tmp_path, name):
    table = two_nuclei.table.assign(status=["reviewed", "automatic"])
    palette = ClassPalette(
        (NucleusClass("inflammatory", "#102030"), NucleusClass("epithelial", "#ff0080"))
    )
    tile = tile_40x60 if name == "a.ome.zarr" else None
    write_segmentation(
        Segmentation(two_nuclei.labels, table, {}, palette),
        tmp_path / name,
        tile,
        0.25,
        origin_yx_slide=(100, 200),
    )
    *pictures, layer = opened(tmp_path / name)
    assert isinstance(layer, Labels)
    np.testing.assert_array_equal(layer.data, two_nuclei.labels)
    assert layer.scale.tolist() == [0.25, 0.25]
    assert layer.translate.tolist() == [25, 50]
    assert [str(unit) for unit in layer.units] == ["micrometer"] * 2
    assert layer.features["index"].tolist() == [2, 7]
    assert layer.features["class"].tolist() == ["epithelial", "inflammatory"]
    assert layer.features["status"].tolist() == ["reviewed", "automatic"]
    np.testing.assert_allclose(layer.get_color(2), [1, 0, 128 / 255, 1], atol=1e-6)
    assert len(pictures) == (tile is not None)
    for picture in pictures:
        np.testing.assert_array_equal(picture.data, tile.rgb)
        assert picture.rgb
        assert picture.translate.tolist() == [25, 50]
    write(layer, tmp_path / "again.geojson")
    assert classes_in(tmp_path / "again.geojson") == {
        "inflammatory": "#102030",
        "epithelial": "#ff0080",
    }


def test_an_ome_tiff_of_ours_opens_as_labels(two_nuclei, tmp_path):
    path = write_segmentation(two_nuclei, tmp_path / "a.ome.tif", mpp=0.25, origin_yx_slide=(8, 4))
    (layer,) = opened(path)
    assert isinstance(layer, Labels)
    assert layer.translate.tolist() == [2, 1]
    assert layer.features["index"].tolist() == [2, 7]


def test_files_of_others_are_left_to_others(two_nuclei, tile_40x60, tmp_path):
    tifffile.imwrite(tmp_path / "a.ome.tif", two_nuclei.labels, metadata={"axes": "YX"})
    write_segmentation(two_nuclei, tmp_path / "a.tif")
    write_segmentation(two_nuclei, tmp_path / "a.csv")
    write_segmentation(two_nuclei, tmp_path / "b.ome.zarr")
    attributes = tmp_path / "b.ome.zarr" / ".zattrs"
    attributes.write_text(attributes.read_text().replace('"nuclei"', '"cells"'))
    (tmp_path / "folder.zarr").mkdir()
    (tmp_path / "damaged.zarr").mkdir()
    (tmp_path / "damaged.zarr" / ".zgroup").write_text("{no")
    for name in ("a.ome.tif", "a.tif", "a.csv", "b.ome.zarr", "folder.zarr", "damaged.zarr", "no"):
        assert read_nuclei_file(str(tmp_path / name)) is None
    assert read_nuclei_file([str(tmp_path / "a.geojson")]) is None


def test_npe2_finds_our_reader(manifest):
    manager = PluginManager()
    manager.register(manifest)
    nuclei, slides = "napari-uninuc.read_nuclei_file", "napari-uninuc.read_slide_file"
    for name, wanted in (
        ("a.geojson", {nuclei}),
        ("a.geojson.gz", {nuclei}),
        ("a.coco.json", {nuclei}),
        ("a.ome.tif", {nuclei, slides}),
        ("a.ome.zarr", {nuclei, slides}),
        ("a.tif", {slides}),
        ("a.svs", {slides}),
        ("a.png", set()),
    ):
        assert {each.command for each in manager.iter_compatible_readers(name)} == wanted


def test_nuclei_with_their_picture_are_no_slide(tmp_path, two_nuclei, tile_40x60):
    path = str(write_segmentation(two_nuclei, tmp_path / "a.ome.zarr", tile_40x60))
    assert read_nuclei_file(path) is not None
    assert read_slide_file(path) is None


def test_what_a_file_holds_beside_nuclei_is_told(two_nuclei, tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr(contributions, "warn", said.append)
    path = tmp_path / "a.geojson"
    write_segmentation(two_nuclei, path)
    read_nuclei_file(str(path))(str(path))
    assert said == []
    collection = json.loads(path.read_text(encoding="utf-8"))
    point = {"type": "Feature", "geometry": {"type": "Point", "coordinates": [1, 2]}}
    collection["features"].append(point)
    path.write_text(json.dumps(collection), encoding="utf-8")
    read_nuclei_file(str(path))(str(path))
    assert said == ["a.geojson: left out what is no nucleus: Point (1)"]


# -- as napari itself reaches them ----------------------------------------------------------


def test_the_sample_opens_from_the_menu_and_can_be_corrected(room):
    room.viewer.open_sample("napari-uninuc", "immunohistochemistry")
    room.until(lambda: room.bench.desk is not None)
    room.idle()
    assert room.session.tile.shape == (512, 512)


def test_nuclei_are_saved_and_opened_by_napari(room, tmp_path):
    room.open()
    room.outline()
    nuclei = room.bench.desk.bridge.nuclei
    drawn = np.asarray(nuclei.data).copy()
    path = str(tmp_path / "nuclei.ome.tif")
    assert nuclei.save(path, plugin="napari-uninuc") == [path]
    (opened,) = room.viewer.open(path, plugin="napari-uninuc")
    np.testing.assert_array_equal(opened.data, drawn)


def test_every_menu_entry_opens_the_panel(make_napari_viewer, manifest):
    from napari._app_model import get_app_model

    make_napari_viewer()
    for menu, entries in manifest.contributions.menus.items():
        commands = {
            each.command.id
            for each in get_app_model().menus.get_menu(menu)
            if hasattr(each, "command")
        }
        assert {each.command for each in entries} <= commands


def test_the_panel_opens_through_the_proxy_that_napari_hands_out(room):
    """Of a proxy's window Qt makes no parent, and its layers are not those of events."""
    assert room.widget.window() is room.canvas.window
    layer = room.open()
    assert room.bench.picture is layer
    _, again = room.viewer.window.add_plugin_dock_widget("napari-uninuc")
    assert again is room.widget
