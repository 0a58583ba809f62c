"""The U-Net and a watershed, behind the face that automatic evaluation asks for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from unet_network import STRIDE, UNet
from unet_training import normalised
from validation_tiles import MPP

from napari_uninuc.core.segmentation import Segmentation
from napari_uninuc.datasets.folder import LabelledTile
from napari_uninuc.engine.peaks import PeakSettings, find_basins
from napari_uninuc.evaluation.metrics import mean_segmentation_accuracy

__all__ = ["UNetWatershed", "WatershedSettings", "choose_settings"]


@dataclass(frozen=True, slots=True)
class WatershedSettings:
    """How maps become labels; lengths in px of 0.25 um, area in px."""

    peaks: PeakSettings
    min_area: int


class UNetWatershed:
    """Maps averaged over up to eight views of a square, then `find_basins` at full resolution."""

    def __init__(self, model: UNet, settings: WatershedSettings, views: int = 8) -> None:
        self.model, self.settings, self.views = model, settings, views
        self.maps = np.zeros((3, 1, 1), np.float32)

    def set_image(self, rgb: np.ndarray, mpp: float | None = None) -> None:
        """Map an (H, W, 3) uint8 image; without `mpp` it has 0.25 micrometres a pixel."""
        self.maps = maps_of(self.model, rgb, self.views, mpp)

    def segment(self) -> Segmentation:
        """Cut the maps of the image set."""
        return Segmentation.from_labels(labels_of(self.maps, self.settings))


def choose_settings(
    model: UNet, judged: Sequence[LabelledTile], views: int
) -> tuple[WatershedSettings, float]:
    """Best of 96 settings for some labelled tiles, and their mean mSA with it."""
    maps = [maps_of(model, one.tile.rgb, views, one.tile.mpp) for one in judged]
    tried = [
        WatershedSettings(PeakSettings(foreground, sigma, spacing, height), area)
        for foreground, sigma, spacing, height, area in product(
            (0.4, 0.45, 0.5, 0.55), (1.0, 2.0), (4, 6), (0.2, 0.3, 0.4), (16, 40)
        )
    ]

    def score(settings: WatershedSettings) -> float:
        scores = [
            mean_segmentation_accuracy(one.labels, labels_of(found, settings))
            for one, found in zip(judged, maps, strict=True)
        ]
        return float(np.mean(scores))

    scores = [score(settings) for settings in tried]
    best = int(np.argmax(scores))
    return tried[best], scores[best]


@torch.inference_mode()
def maps_of(model: UNet, rgb: np.ndarray, views: int, mpp: float | None = None) -> np.ndarray:
    """Probabilities (3, H, W) float32: nucleus, distance, contact; seen at 0.25 um a px."""
    image = torch.from_numpy(np.ascontiguousarray(rgb.transpose(2, 0, 1)))[None] / 255
    if mpp is None or mpp == MPP:
        return _maps_of(model, image, views)[0].numpy()
    seen = functional.interpolate(image, scale_factor=mpp / MPP, mode="bilinear", antialias=True)
    maps = functional.interpolate(_maps_of(model, seen, views), rgb.shape[:2], mode="bilinear")
    return maps[0].numpy()


def _maps_of(model: UNet, image: Tensor, views: int) -> Tensor:
    height, width = image.shape[2:]
    pad = (0, -width % STRIDE, 0, -height % STRIDE)
    image = functional.pad(image, pad, mode="reflect")
    total = sum(_seen(model, image, view) for view in range(views)) / views
    return total[:, :, :height, :width]


def _seen(model: UNet, image: Tensor, view: int) -> Tensor:
    """Maps of the image, turned by ``view % 4`` quarters and mirrored from 4 on, turned back."""
    seen = torch.rot90(image, view % 4, (2, 3))
    seen = seen.flip(3) if view >= 4 else seen
    with torch.autocast("cpu", torch.bfloat16):
        maps = torch.sigmoid(model(normalised(seen)).float())
    maps = maps.flip(3) if view >= 4 else maps
    return torch.rot90(maps, -(view % 4), (2, 3))


def labels_of(maps: np.ndarray, settings: WatershedSettings) -> np.ndarray:
    """Labels (H, W) int32 of the basins that are large enough."""
    labels = find_basins(maps, settings.peaks).labels
    small = np.bincount(labels.ravel()) < settings.min_area
    return np.where(small[labels], 0, labels).astype(np.int32)
