"""Augmentation: geometry and stain. Images (3, H, W) float32 in [0, 1], labels (H, W) int32.

Colour is varied in stain space (haematoxylin, eosin, DAB; Ruifrok and Johnston 2001), because a
scanner, a laboratory or an antibody changes stains, not red, green and blue.
"""

from __future__ import annotations

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field
from skimage.color import rgb_from_hed
from torch import Tensor
from torch.nn import functional

_RGB_FROM_HED = torch.tensor(rgb_from_hed, dtype=torch.float32)  # rows: H, E, D
_HED_FROM_RGB = torch.linalg.inv(_RGB_FROM_HED)
_HAEMATOXYLIN, _EOSIN, _DAB = _RGB_FROM_HED


class Augmentation(BaseModel):
    """How training crops are varied, as a table of a recipe; where they are cut is not in it.

    Attributes
    ----------
    turns : mirrored and turned by quarter turns, at random
    stretch : natural logarithm of how much a crop is stretched along one axis at most
    stain : amounts and colours of the stains vary, see `random_stain`
    ihc_share : with ``stain``, how often H&E is painted as immunohistochemistry
    light : gamma, contrast, brightness and colour balance vary, see `random_light`
    focus : blur, lost resolution and noise now and then, see `random_focus`
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    turns: bool = True
    stretch: float = Field(0.1, ge=0, le=0.5)
    stain: bool = True
    ihc_share: float = Field(0.25, ge=0, le=1)
    light: bool = True
    focus: bool = True

    def recolour(self, image: Tensor, rng: np.random.Generator) -> Tensor:
        """Vary stain, light and focus of (3, H, W) in [0, 1], each where it is wanted."""
        if self.stain:
            image = random_stain(image, rng, self.ihc_share)
        if self.light:
            image = random_light(image, rng)
        return random_focus(image, rng) if self.focus else image


AS_A_RULE = Augmentation()


def random_crop(
    rgb: np.ndarray,
    labels: np.ndarray,
    size: int,
    rng: np.random.Generator,
    scale_range: tuple[float, float],
    augmentation: Augmentation = AS_A_RULE,
) -> tuple[Tensor, np.ndarray]:
    """Cut a random square, resize it to ``size``, flip and turn it by quarter turns.

    Parameters
    ----------
    rgb : (H, W, 3) uint8
    labels : (H, W) int32
    scale_range : output pixels per input pixel, drawn from a triangle in the logarithm; two
        equal ones are always taken
        Raised where the image is too small for it; shorter sides are padded by reflection.
    augmentation : says whether it is turned, and how far stretched

    Returns
    -------
    image : (3, size, size) float32 in [0, 1]
    labels : (size, size) int32, nearest neighbour
    """
    height, width = labels.shape
    low, high = np.log(scale_range)
    scale = float(np.exp(rng.triangular(low, (low + high) / 2, high) if low < high else low))
    aspect = float(np.exp(rng.uniform(-augmentation.stretch, augmentation.stretch)))
    side_y = min(round(size / scale * aspect), height)
    side_x = min(round(size / scale / aspect), width)
    if scale >= scale_range[0] and min(side_y, side_x) < 0.7 * size / scale:
        side_y = side_x = min(side_y, side_x)
    y0 = int(rng.integers(0, height - side_y + 1))
    x0 = int(rng.integers(0, width - side_x + 1))
    crop = torch.from_numpy(rgb[y0 : y0 + side_y, x0 : x0 + side_x].copy())
    image = crop.permute(2, 0, 1)[None].float() / 255
    shrinks = size < min(side_y, side_x)
    image = functional.interpolate(
        image, size=(size, size), mode="bilinear", align_corners=False, antialias=shrinks
    )[0]
    ids = torch.from_numpy(labels[y0 : y0 + side_y, x0 : x0 + side_x].astype(np.float64))
    ids = functional.interpolate(ids[None, None], size=(size, size), mode="nearest-exact")[0]
    turns, flip = int(rng.integers(4)), bool(rng.integers(2))
    if augmentation.turns:
        image, ids = (torch.rot90(x, turns, (1, 2)) for x in (image, ids))
    if augmentation.turns and flip:
        image, ids = image.flip(2), ids.flip(2)
    return image.contiguous(), ids[0].numpy().astype(np.int32)


def random_stain(
    image: Tensor, rng: np.random.Generator, ihc_share: float = AS_A_RULE.ihc_share
) -> Tensor:
    """Vary stain amounts and vectors; now and then turn H&E into immunohistochemistry.

    Immunohistochemistry is imitated by painting the haematoxylin amounts with DAB brown (positive
    nuclei), or by keeping them blue and painting the eosin amounts brown (membranes, cytoplasm).
    """
    density = -torch.log(image.clamp(min=1 / 255)) / np.log(10.0)  # (3, H, W)
    amounts = torch.einsum("sr,rhw->shw", _HED_FROM_RGB.T, density)
    gain = torch.from_numpy(np.exp(rng.normal(0, 0.25, 3))).float()
    shift = torch.from_numpy(rng.normal(0, 0.02, 3)).float()
    amounts = amounts * gain[:, None, None] + shift[:, None, None]
    vectors = _RGB_FROM_HED
    if rng.random() < ihc_share:
        vectors = _ihc_vectors(rng)
    vectors = vectors + torch.from_numpy(rng.normal(0, 0.04, (3, 3))).float()
    density = torch.einsum("sr,shw->rhw", vectors, amounts)
    return torch.pow(10.0, -density).clamp(0, 1)


def _ihc_vectors(rng: np.random.Generator) -> Tensor:
    mix = float(rng.uniform(0.6, 1.0))
    pale = float(rng.uniform(0.1, 0.7))
    if rng.random() < 0.6:  # positive nuclei: haematoxylin amounts turn brown
        nuclei = mix * _DAB + (1 - mix) * _HAEMATOXYLIN
        rest = pale * (_HAEMATOXYLIN if rng.random() < 0.5 else _DAB)
        return torch.stack([nuclei, rest, 0.3 * _DAB])
    blue, brown = float(rng.uniform(0.4, 1.0)), float(rng.uniform(0.2, 1.5))
    return torch.stack([blue * _HAEMATOXYLIN, brown * _DAB, 0.3 * _DAB])


def random_light(image: Tensor, rng: np.random.Generator) -> Tensor:
    """Vary gamma, contrast, brightness and colour balance; now and then drop colour."""
    image = image.clamp(1e-4, 1).pow(float(np.exp(rng.normal(0, 0.15))))
    mean = image.mean()
    image = (image - mean) * float(rng.uniform(0.75, 1.25)) + mean + float(rng.normal(0, 0.05))
    mixing = torch.eye(3) + torch.from_numpy(rng.normal(0, 0.03, (3, 3))).float()
    image = torch.einsum("ij,jhw->ihw", mixing, image)
    if rng.random() < 0.03:
        image = image.mean(dim=0, keepdim=True).expand(3, -1, -1)
    return image.clamp(0, 1)


def random_focus(image: Tensor, rng: np.random.Generator) -> Tensor:
    """Blur, lose resolution, or add noise, each now and then."""
    if rng.random() < 0.2:
        image = gaussian_blur(image, float(rng.uniform(0.4, 1.4)))
    if rng.random() < 0.1:
        size = image.shape[-2:]
        small = functional.interpolate(
            image[None], scale_factor=float(rng.uniform(0.5, 0.9)), mode="bilinear", antialias=True
        )
        image = functional.interpolate(small, size=size, mode="bilinear")[0]
    if rng.random() < 0.25:
        noise = rng.standard_normal(tuple(image.shape), dtype=np.float32)
        image = image + torch.from_numpy(noise) * float(rng.uniform(0.005, 0.04))
    return image.clamp(0, 1)


def gaussian_blur(image: Tensor, sigma: float) -> Tensor:
    """Separable Gaussian blur of (C, H, W), reflected at the border."""
    radius = max(1, round(3 * sigma))
    x = torch.arange(-radius, radius + 1, dtype=torch.float32)
    kernel = torch.exp(-(x**2) / (2 * sigma**2))
    kernel = (kernel / kernel.sum()).view(1, 1, -1)
    out = image.unsqueeze(1)  # channels as a batch
    out = functional.conv2d(
        functional.pad(out, (radius, radius, 0, 0), mode="reflect"), kernel[:, :, None]
    )
    out = functional.conv2d(
        functional.pad(out, (0, 0, radius, radius), mode="reflect"), kernel[..., None]
    )
    return out.squeeze(1)
