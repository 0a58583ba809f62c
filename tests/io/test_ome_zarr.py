import json

import numpy as np
import pytest
import zarr
from napari_ome_zarr import napari_get_reader
from ome_zarr_models.v04.image import ImageAttrs as Image04
from ome_zarr_models.v04.image_label import ImageLabelAttrs as ImageLabel04
from ome_zarr_models.v04.labels import LabelsAttrs as Labels04
from ome_zarr_models.v05.image import ImageAttrs as Image05
from ome_zarr_models.v05.image_label import ImageLabelAttrs as ImageLabel05
from ome_zarr_models.v05.labels import LabelsAttrs as Labels05

from napari_uninuc.core.classes import ClassPalette, NucleusClass
from napari_uninuc.core.segmentation import Segmentation
from napari_uninuc.core.tile import Tile
from napari_uninuc.errors import OutputError
from napari_uninuc.io.labels import read_segmentation
from napari_uninuc.io.ome_zarr import write_ome_zarr

MODELS = {"0.4": (Image04, Labels04, ImageLabel04), "0.5": (Image05, Labels05, ImageLabel05)}
VERSIONS = pytest.mark.parametrize("version", ["0.4", "0.5"])


def attributes_of(path, version):
    """The NGFF metadata of a group, and a check that its zarr format is the version's."""
    group = zarr.open_group(path, mode="r", zarr_format=2 if version == "0.4" else 3)
    attributes = group.attrs.asdict()
    return attributes if version == "0.4" else attributes["ome"]


@pytest.fixture
def large() -> tuple[Segmentation, Tile]:
    """An odd-sided picture that needs three levels, with one nucleus."""
    labels = np.zeros((701, 530), dtype=np.int32)
    labels[100:140, 200:260] = 70_000
    pixels = np.random.default_rng(3).integers(0, 256, (701, 530, 3), dtype=np.uint8)
    return Segmentation.from_labels(labels), Tile.from_array(pixels, mpp=0.5)


@VERSIONS
def test_the_tree_is_valid_ngff(two_nuclei, tile_40x60, tmp_path, version):
    path = tmp_path / "a.ome.zarr"
    write_ome_zarr(two_nuclei, path, 0.25, tile_40x60, version)
    groups = (path, path / "labels", path / "labels" / "nuclei")
    for model, group in zip(MODELS[version], groups, strict=True):
        model.model_validate(attributes_of(group, version))


@VERSIONS
def test_labels_alone_are_valid_ngff(two_nuclei, tmp_path, version):
    path = tmp_path / "a.ome.zarr"
    write_ome_zarr(two_nuclei, path, 0.25, None, version)
    MODELS[version][2].model_validate(attributes_of(path, version))


@VERSIONS
def test_napari_ome_zarr_opens_labels_alone_as_labels(two_nuclei, tmp_path, version):
    path = tmp_path / "a.ome.zarr"
    write_ome_zarr(two_nuclei, path, 0.25, None, version)
    ((labels, meta, kind),) = napari_get_reader(str(path))(str(path))
    assert kind == "labels"
    labels = labels[0] if isinstance(labels, list) else labels
    np.testing.assert_array_equal(np.squeeze(np.asarray(labels)), two_nuclei.labels)
    assert list(meta["scale"])[-2:] == [0.25, 0.25]


@VERSIONS
def test_napari_ome_zarr_reads_picture_and_labels(two_nuclei, tile_40x60, tmp_path, version):
    path = tmp_path / "a.ome.zarr"
    write_ome_zarr(two_nuclei, path, 0.25, tile_40x60, version)
    layers = napari_get_reader(str(path))(str(path))
    kinds = {kind: (data, meta) for data, meta, kind in layers}
    assert set(kinds) == {"image", "labels"}
    pixels, meta = kinds["image"]
    pixels = pixels[0] if isinstance(pixels, list) else pixels
    np.testing.assert_array_equal(np.moveaxis(np.asarray(pixels), 0, -1), tile_40x60.rgb)
    labels, meta = kinds["labels"]
    labels = labels[0] if isinstance(labels, list) else labels
    np.testing.assert_array_equal(np.squeeze(np.asarray(labels)), two_nuclei.labels)
    assert list(meta["scale"])[-2:] == [0.25, 0.25]


def test_the_metadata_of_a_small_result(two_nuclei, tile_40x60, tmp_path):
    path = tmp_path / "a.ome.zarr"
    write_ome_zarr(two_nuclei, path, 0.25, tile_40x60)
    assert json.loads((path / "labels" / ".zattrs").read_text()) == {"labels": ["nuclei"]}
    attributes = json.loads((path / "labels" / "nuclei" / ".zattrs").read_text())
    assert attributes["image-label"] == {
        "version": "0.4",
        "colors": [
            {"label-value": 2, "rgba": [255, 255, 0, 255]},
            {"label-value": 7, "rgba": [0, 153, 255, 255]},
        ],
        "properties": [
            {"label-value": 2, "class": "epithelial", "score": 0.75},
            {"label-value": 7, "class": "inflammatory", "score": 0.5},
        ],
        "source": {"image": "../../"},
    }
    (scales,) = attributes["multiscales"]
    assert scales["axes"] == [
        {"name": axis, "type": "space", "unit": "micrometer"} for axis in "yx"
    ]
    (level,) = scales["datasets"]
    assert level["coordinateTransformations"] == [
        {"type": "scale", "scale": [0.25, 0.25]},
        {"type": "translation", "translation": [25.0, 50.0]},
    ]


@VERSIONS
def test_both_pyramids_have_the_same_levels(large, tmp_path, version):
    segmentation, tile = large
    path = tmp_path / "a.ome.zarr"
    write_ome_zarr(segmentation, path, tile.mpp, tile, version)
    root = zarr.open_group(path, mode="r")
    image_shapes = [root[str(level)].shape[1:] for level in range(3)]
    label_shapes = [root[f"labels/nuclei/{level}"].shape for level in range(3)]
    assert image_shapes == label_shapes == [(701, 530), (351, 265), (176, 133)]
    assert root["labels/nuclei/0"].dtype == np.int32
    for level in range(3):
        stored = root[f"labels/nuclei/{level}"][...]
        assert np.unique(stored).tolist() == [0, 70_000], "no id is made up by averaging"
    np.testing.assert_array_equal(root["labels/nuclei/0"][...], segmentation.labels)
    np.testing.assert_array_equal(np.moveaxis(root["0"][...], 0, -1), tile.rgb)
    block = tile.rgb[10:12, 20:22].astype(float).mean(axis=(0, 1))
    np.testing.assert_allclose(root["1"][:, 5, 10], block, atol=0.5)


@VERSIONS
def test_colours_and_properties_reach_napari_by_another_reader(
    two_nuclei, tile_40x60, tmp_path, version
):
    path = tmp_path / "a.ome.zarr"
    table = two_nuclei.table.assign(status=["reviewed", "automatic"])
    palette = ClassPalette(
        (NucleusClass("inflammatory", "#102030"), NucleusClass("epithelial", "#ff0080"))
    )
    coloured = Segmentation(two_nuclei.labels, table, {}, palette)
    write_ome_zarr(coloured, path, 0.25, tile_40x60, version, (7, -9))
    ImageLabel = MODELS[version][2]
    said = ImageLabel.model_validate(attributes_of(path / "labels" / "nuclei", version))
    assert [each.rgba for each in said.image_label.colors] == [
        (255, 0, 128, 255),
        (16, 32, 48, 255),
    ]
    (labels,) = [each for each in napari_get_reader(str(path))(str(path)) if each[2] == "labels"]
    properties = labels[1]["properties"] if "properties" in labels[1] else labels[1]["features"]
    assert list(properties["status"])[-2:] == ["reviewed", "automatic"]
    assert list(properties["class"])[-2:] == ["epithelial", "inflammatory"]
    stored = read_segmentation(path)
    assert stored.segmentation.table.equals(table)
    assert stored.origin_yx_slide == (7, -9)
    assert {each.name: each.colour for each in stored.segmentation.classes.classes} == {
        "inflammatory": "#102030",
        "epithelial": "#ff0080",
    }


@VERSIONS
def test_picture_and_labels_lie_on_each_other_at_every_level(large, tmp_path, version):
    path = tmp_path / "a.ome.zarr"
    write_ome_zarr(large[0], path, 0.5, large[1], version, (30, 40))
    image = attributes_of(path, version)["multiscales"][0]["datasets"]
    labels = attributes_of(path / "labels" / "nuclei", version)["multiscales"][0]["datasets"]
    assert len(image) == len(labels) == 3
    for one, other in zip(image, labels, strict=True):
        for ours, theirs in zip(
            one["coordinateTransformations"], other["coordinateTransformations"], strict=True
        ):
            assert ours[ours["type"]][1:] == theirs[theirs["type"]]


def test_an_empty_result_has_no_property_list(tmp_path):
    empty = Segmentation.from_labels(np.zeros((8, 9), dtype=np.int32))
    write_ome_zarr(empty, tmp_path / "a.ome.zarr")
    attributes = json.loads((tmp_path / "a.ome.zarr" / ".zattrs").read_text())
    assert attributes["image-label"] == {"version": "0.4"}
    assert "unit" not in attributes["multiscales"][0]["axes"][0]
    MODELS["0.4"][2].model_validate(attributes)


def test_writing_again_replaces_everything(large, two_nuclei, tile_40x60, tmp_path):
    path = tmp_path / "a.ome.zarr"
    write_ome_zarr(large[0], path, None, large[1])
    write_ome_zarr(two_nuclei, path, None, tile_40x60)
    assert json.loads((path / "labels" / ".zattrs").read_text()) == {"labels": ["nuclei"]}
    assert not (path / "1").exists()
    np.testing.assert_array_equal(
        zarr.open_group(path, mode="r")["labels/nuclei/0"][...], two_nuclei.labels
    )
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.ome.zarr"]


def test_a_picture_of_another_shape_is_refused(two_nuclei, large, tmp_path):
    with pytest.raises(OutputError, match="one shape"):
        write_ome_zarr(two_nuclei, tmp_path / "a.ome.zarr", None, large[1])
    assert not list(tmp_path.iterdir())
