from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile
from napari.layers import Labels
from npe2 import PluginManager, PluginManifest

import napari_uninuc
from napari_uninuc.errors import LabelsError
from napari_uninuc.gui.contributions import open_sample, write_labels_layer
from napari_uninuc.io.formats import FORMATS


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


def test_ids_of_a_layer_survive(layer, two_nuclei, tmp_path):
    write(layer, tmp_path / "a.tif")
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "a.tif"), two_nuclei.labels)


def test_stacks_are_refused(tmp_path):
    with pytest.raises(LabelsError, match="one channel"):
        write(Labels(np.zeros((3, 4, 5), dtype=int)), tmp_path / "a.tif")
    assert not list(tmp_path.iterdir())
