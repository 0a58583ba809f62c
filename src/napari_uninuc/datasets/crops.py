"""Training crops: a seeded stream of augmented squares with everything the losses need."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from napari_uninuc.datasets.folder import LabelledTile
from napari_uninuc.datasets.transforms import AS_A_RULE, Augmentation, random_crop


@dataclass(frozen=True, slots=True)
class Crop:
    """One training square.

    Attributes
    ----------
    image : (3, S, S) float32 in [0, 1]
    labels : (S, S) int64, ids 1..n without gaps; 0 background
    boxes_xyxy : (n, 4) float32, pixel corners
    maps : (3, S, S) float32 in [0, 1]: nucleus, normalised distance to the boundary, contact
    exhaustive : every nucleus of the crop is labelled
    classes : (n,) int64, class of each nucleus; -1 where it is not known
    region : part of the body that it shows; empty where the data set does not say
    """

    image: Tensor
    labels: Tensor
    boxes_xyxy: Tensor
    maps: Tensor
    exhaustive: bool
    classes: Tensor
    region: str = ""


@dataclass(frozen=True, slots=True)
class CropSource:
    """The tiles of one data set, their share of the crops, and their common scale.

    ``label_shift_yx`` are image pixels by which the labels are moved to lie on their nuclei,
    ``regions`` the part of the body that each tile shows, or none.
    """

    tiles: Sequence[LabelledTile]
    weight: float
    exhaustive: bool
    mpp: float | None
    label_shift_yx: tuple[float, float] = (0.0, 0.0)
    regions: Sequence[str] = ()


class CropStream:
    """Draws crops at the model's scale times a random zoom.

    Crop ``k`` depends on ``(seed, k)`` only, so a run resumed at crop ``k`` sees what it would
    have seen. Of ``classes`` one or none means that every nucleus is of the one class there is;
    with more, a nucleus whose class is none of them counts as a nucleus of unknown class.
    """

    def __init__(
        self,
        sources: Sequence[CropSource],
        *,
        size: int,
        mpp: float,
        zoom: tuple[float, float],
        seed: int,
        min_area: int = 12,
        classes: Sequence[str] = (),
        augmentation: Augmentation = AS_A_RULE,
    ) -> None:
        self.augmentation = augmentation
        self._class_ids = {name: index for index, name in enumerate(classes)}
        self.sources, self.size, self.mpp, self.zoom = sources, size, mpp, zoom
        self.seed, self.min_area = seed, min_area
        weights = np.array([source.weight for source in sources], dtype=float)
        self._cumulative = np.cumsum(weights / weights.sum())

    def crop(self, index: int) -> Crop:
        """Make crop number ``index``; one redraw when it holds no nucleus."""
        rng = np.random.default_rng((self.seed, index))
        for _ in range(2):
            source = self.sources[int(np.searchsorted(self._cumulative, rng.random()))]
            place = int(rng.integers(len(source.tiles)))
            sample = source.tiles[place]
            factor = 1.0 if source.mpp is None else source.mpp / self.mpp
            zoom = (self.zoom[0] * factor, self.zoom[1] * factor)
            image, labels = random_crop(
                sample.tile.rgb,
                sample.labels,
                self.size,
                rng,
                zoom,
                self.augmentation,
                source.label_shift_yx,
            )
            if labels.any():
                break
        image = self.augmentation.recolour(image, labels, rng)
        classes = None
        if len(self._class_ids) > 1:
            named = sample.classes or {}
            classes = {id_: self._class_ids.get(name, -1) for id_, name in named.items()}
        crop = finish_crop(image, labels, source.exhaustive, self.min_area, classes)
        return replace(crop, region=source.regions[place]) if source.regions else crop


def finish_crop(
    image: Tensor,
    labels: np.ndarray,
    exhaustive: bool,
    min_area: int,
    classes: Mapping[int, int] | None = None,
) -> Crop:
    """Renumber the labels (H, W), drop slivers, and derive boxes and maps; image (3, H, W).

    ``classes`` gives the class of an id, -1 or nothing where it is not known; None is one class.
    """
    areas = np.bincount(labels.ravel())
    keep = areas >= min_area
    keep[0] = False
    kinds = [
        0 if classes is None else classes.get(id_, -1) for id_ in np.flatnonzero(keep).tolist()
    ]
    lookup = np.zeros(len(areas), dtype=np.int64)
    lookup[keep] = np.arange(1, int(keep.sum()) + 1)
    labels = lookup[labels]
    boxes = [(x.start, y.start, x.stop, y.stop) for y, x in ndimage.find_objects(labels)]
    return Crop(
        image,
        torch.from_numpy(labels),
        torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        torch.from_numpy(supervision_maps(labels)),
        exhaustive,
        torch.tensor(kinds, dtype=torch.long),
    )


def supervision_maps(labels: np.ndarray) -> np.ndarray:
    """Nucleus, distance to the own boundary (1 at each nucleus's deepest pixel), contact lines.

    Parameters
    ----------
    labels : (H, W) integers, ids 1..n without gaps

    Returns
    -------
    maps : (3, H, W) float32 in [0, 1]
    """
    nucleus = labels > 0
    lowest = ndimage.minimum_filter(np.where(nucleus, labels, labels.max() + 1), size=3)
    highest = ndimage.maximum_filter(labels, size=3)
    contact = (highest > 0) & (lowest <= labels.max()) & (highest != lowest)
    inner = nucleus & (ndimage.minimum_filter(labels, size=3) == highest)
    depth = ndimage.distance_transform_edt(inner) + 1.0
    deepest = np.ones(labels.max() + 1)
    np.maximum.at(deepest, labels.ravel(), depth.ravel())
    distance = np.where(nucleus, depth / deepest[labels], 0.0)
    return np.stack([nucleus, distance, contact]).astype(np.float32)
