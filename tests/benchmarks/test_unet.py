"""The baseline that the automatic path is compared with must be taught and read fairly."""

import numpy as np
import pytest
import torch
import unet_training
from running import one_thread, recipe_of, write_discs
from unet_network import UNet
from unet_segmenter import (
    UNetWatershed,
    WatershedSettings,
    choose_settings,
    labels_of,
    maps_of,
)

from napari_uninuc.datasets.folder import read_folder
from napari_uninuc.engine.peaks import PeakSettings
from napari_uninuc.evaluation.metrics import mean_segmentation_accuracy


@pytest.fixture
def nuclei(tmp_path):
    (tmp_path / "nuclei").mkdir()
    with one_thread():
        yield write_discs(tmp_path / "nuclei")


@pytest.mark.parametrize("views", range(1, 9))
def test_every_view_is_turned_back(views):
    rgb = np.random.default_rng(0).integers(0, 256, (70, 100, 3), np.uint8)
    maps = maps_of(torch.nn.Identity(), rgb, views)
    expected = torch.sigmoid((torch.from_numpy(rgb) / 255 - 0.5) / 0.25).permute(2, 0, 1)
    np.testing.assert_allclose(maps, expected, atol=1e-6)


def test_training_goes_on_where_it_was_stopped(nuclei, tmp_path, monkeypatch):
    monkeypatch.setattr(unet_training, "_SAVE_EVERY", 2)
    whole = unet_training.teach(recipe_of(nuclei, tmp_path / "whole"))
    update, done = unet_training._update, []

    def stopping(*arguments):
        if len(done) == 3:
            raise KeyboardInterrupt
        done.append(1)
        return update(*arguments)

    monkeypatch.setattr(unet_training, "_update", stopping)
    with pytest.raises(KeyboardInterrupt):
        unet_training.teach(recipe_of(nuclei, tmp_path / "parts"))
    monkeypatch.setattr(unet_training, "_update", update)
    resumed = unet_training.teach(recipe_of(nuclei, tmp_path / "parts"))
    untaught = UNet().state_dict()
    for name, value in whole.state_dict().items():
        assert torch.equal(resumed.state_dict()[name], value), name
    assert any(not torch.equal(untaught[k], v) for k, v in whole.state_dict().items())


def test_settings_are_the_best_for_the_tiles_they_are_chosen_on(nuclei):
    (labelled, *_rest) = [image.read(0.25) for image in read_folder(nuclei)]

    class Drawn(torch.nn.Module):
        """Knows where the nuclei are, which are dark."""

        def forward(self, images):
            dark = 20 * (0.5 - images.mean(1, keepdim=True))
            return torch.cat([dark, dark, -dark], 1)

    settings, msa = choose_settings(Drawn(), [labelled], views=1)
    predictor = UNetWatershed(Drawn(), settings, views=1)
    predictor.set_image(labelled.tile.rgb)
    found = predictor.segment()
    assert msa == mean_segmentation_accuracy(labelled.labels, found.labels) > 0.9
    assert len(found.table) == len(np.unique(labelled.labels)) - 1


def test_small_basins_are_left_out():
    maps = np.zeros((3, 32, 32), np.float32)
    maps[:2, 4:7, 4:7] = maps[:2, 16:28, 16:28] = 0.9
    peaks = PeakSettings(0.5, 1.0, 4, 0.2)
    assert labels_of(maps, WatershedSettings(peaks, 4)).max() == 2
    assert len(np.unique(labels_of(maps, WatershedSettings(peaks, 40)))) == 2
