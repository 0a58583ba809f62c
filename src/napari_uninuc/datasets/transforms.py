"""Augmentation: geometry and stain. Images (3, H, W) float32 in [0, 1], labels (H, W) int32.

Colour is varied in stain space (haematoxylin, eosin, DAB; Ruifrok and Johnston 2001), because a
scanner, a laboratory or an antibody changes stains, not red, green and blue. How H&E becomes
immunohistochemistry is in `napari_uninuc.datasets.brown`.
"""

from __future__ import annotations

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor
from torch.nn import functional

from napari_uninuc.datasets.brown import paint_brown
from napari_uninuc.datasets.stains import RGB_FROM_HED, amounts_of, shown


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

    def recolour(self, image: Tensor, labels: np.ndarray, rng: np.random.Generator) -> Tensor:
        """Vary stain, light and focus of (3, H, W) in [0, 1], each where it is wanted."""
        if self.stain:
            image = random_stain(image, labels, rng, self.ihc_share)
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
    label_shift_yx: tuple[float, float] = (0.0, 0.0),
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
    label_shift_yx : image pixels by which labels are moved, to lie on their nuclei

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
    middles = np.arange(size) + 0.5
    rows = np.floor(y0 + middles * (side_y / size) - label_shift_yx[0]).astype(int)
    columns = np.floor(x0 + middles * (side_x / size) - label_shift_yx[1]).astype(int)
    ids = labels[np.ix_(rows.clip(0, height - 1), columns.clip(0, width - 1))]
    turns, flip = int(rng.integers(4)), bool(rng.integers(2))
    if augmentation.turns:
        image, ids = torch.rot90(image, turns, (1, 2)), np.rot90(ids, turns)
    if augmentation.turns and flip:
        image, ids = image.flip(2), np.flip(ids, 1)
    return image.contiguous(), np.ascontiguousarray(ids, dtype=np.int32)


def random_stain(
    image: Tensor,
    labels: np.ndarray,
    rng: np.random.Generator,
    ihc_share: float = AS_A_RULE.ihc_share,
) -> Tensor:
    """Vary stain amounts and vectors; now and then turn H&E into immunohistochemistry.

    Shapes
    ------
    image    (3, H, W) float32 in [0, 1]
    labels   (H, W) instance ids, 0 is background
    returns  as image
    """
    amounts = amounts_of(image)
    gain = torch.from_numpy(np.exp(rng.normal(0, 0.25, 3))).float()
    shift = torch.from_numpy(rng.normal(0, 0.02, 3)).float()
    amounts = amounts * gain[:, None, None] + shift[:, None, None]
    if rng.random() < ihc_share:
        amounts = paint_brown(amounts, labels, rng)
    vectors = RGB_FROM_HED + torch.from_numpy(rng.normal(0, 0.04, (3, 3))).float()
    return shown(amounts, vectors)


def random_light(image: Tensor, rng: np.random.Generator) -> Tensor:
    """Vary gamma, contrast, brightness, colour balance of (3, H, W); now and then drop colour."""
    image = image.clamp(1e-4, 1).pow(float(np.exp(rng.normal(0, 0.15))))
    mean = image.mean()
    image = (image - mean) * float(rng.uniform(0.75, 1.25)) + mean + float(rng.normal(0, 0.05))
    mixing = torch.eye(3) + torch.from_numpy(rng.normal(0, 0.03, (3, 3))).float()
    image = torch.einsum("ij,jhw->ihw", mixing, image)
    if rng.random() < 0.03:
        image = image.mean(dim=0, keepdim=True).expand(3, -1, -1)
    return image.clamp(0, 1)


def random_focus(image: Tensor, rng: np.random.Generator) -> Tensor:
    """Blur, lose resolution of, or add noise to (3, H, W), each now and then."""
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
