"""Maps of a field become nuclei: PathoSAM's watershed, and the points that APG prompts with.

Values are those of micro-sam, whose decoder, watershed (AIS) and prompts (APG) the papers describe
(PathoSAM, sec. 2.2; APG, sec. 3.2); lengths are px of the model's input, as there.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from skimage.segmentation import watershed

from napari_uninuc.core.instances import InstanceMask
from napari_uninuc.errors import PromptError

__all__ = ["DenseMaps", "SeedSettings", "cut_basins", "find_seeds", "points_of", "suppress"]

_watershed: Callable[..., npt.NDArray[np.int32]] = watershed  # untyped
Maps = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class DenseMaps:
    """What a dense head says of a field, px of the model's input.

    Attributes
    ----------
    nucleus : (h, w) float32, probability that a pixel belongs to some nucleus
    boundary : (h, w) float32 in [0, 1]: 0 at the deepest pixel of a nucleus, 1 at its rim
    centre : (h, w) float32 in [0, 1]: 0 at the centre of a nucleus, 1 far from it. PathoSAM's
        decoder paints it too; None where a head does not, and then it rules nothing out
    """

    nucleus: Maps
    boundary: Maps
    centre: Maps | None = None

    @classmethod
    def named(cls, names: Sequence[str], maps: Maps) -> "DenseMaps":
        """Take probabilities (M, h, w) by their names, as in `network.dense_head.MAPS`.

        Raises
        ------
        PromptError
            No nucleus among them, or no distance.
        """
        found = dict(zip(names, maps, strict=True))
        if "nucleus" not in found or not {"distance", "boundary"} & found.keys():
            raise PromptError(
                f"expected maps of nuclei and of distances, got {', '.join(names)}; use another "
                "head, or proposer 'detector'"
            )
        boundary = found["boundary"] if "boundary" in found else 1 - found["distance"]
        return cls(found["nucleus"], boundary, found.get("centre"))

    def averaged(self, other: "DenseMaps") -> "DenseMaps":
        """Mean of these and the same maps of the mirrored field."""

        def mean(one: Maps, two: Maps) -> Maps:
            both: Maps = (one + two[:, ::-1]) / np.float32(2)
            return both

        centre = None
        if self.centre is not None and other.centre is not None:
            centre = mean(self.centre, other.centre)
        return DenseMaps(
            mean(self.nucleus, other.nucleus), mean(self.boundary, other.boundary), centre
        )


@dataclass(frozen=True, slots=True)
class SeedSettings:
    """Where a nucleus begins; thresholds in [0, 1], lengths in px of the model's input.

    Attributes
    ----------
    foreground : probability above which a pixel belongs to some nucleus
    centre, boundary : distances below which a pixel is part of a seed
    smooth_foreground, smooth_distances : standard deviation of blurs before that

    Raises
    ------
    PromptError
        A value out of range.
    """

    foreground: float = 0.5
    centre: float = 0.5
    boundary: float = 0.5
    smooth_foreground: float = 1.0
    smooth_distances: float = 1.6

    def __post_init__(self) -> None:
        for name in ("foreground", "centre", "boundary"):
            if not 0 <= getattr(self, name) <= 1:
                raise PromptError(f"{name} must lie in 0..1, got {getattr(self, name)}; correct it")
        if min(self.smooth_foreground, self.smooth_distances) < 0:
            raise PromptError(
                f"blurs must be 0 or more, got {self.smooth_foreground} and "
                f"{self.smooth_distances}; correct them"
            )


@dataclass(frozen=True, slots=True, eq=False)
class Seeds:
    """Seeds of a field, and what they may grow over.

    Attributes
    ----------
    labels : (h, w) int32, seed 1, 2, ...; 0 elsewhere
    inside : (h, w) bool, foreground
    boundary : (h, w) float32, blurred
    """

    labels: npt.NDArray[np.int32]
    inside: npt.NDArray[np.bool_]
    boundary: Maps


def find_seeds(maps: DenseMaps, settings: SeedSettings) -> Seeds:
    """Connected pieces of what is foreground, near a centre and far from a boundary.

    AIS takes them as seeds of its watershed, APG as its prompts, and there several may lie in one
    nucleus.
    """
    inside = _blurred(maps.nucleus, settings.smooth_foreground) > settings.foreground
    boundary = _blurred(maps.boundary, settings.smooth_distances)
    seeds = inside & (boundary < settings.boundary)
    if maps.centre is not None:
        seeds &= _blurred(maps.centre, settings.smooth_distances) < settings.centre
    labels, _ = ndimage.label(seeds, np.ones((3, 3)))
    return Seeds(labels.astype(np.int32), inside, boundary)


def cut_basins(seeds: Seeds) -> npt.NDArray[np.int32]:
    """Let seeds grow over the foreground, the deepest pixels first: (h, w) int32.

    Foreground that no seed reaches belongs to none.
    """
    grown = _watershed(seeds.boundary, seeds.labels, mask=seeds.inside)
    return grown.astype(np.int32)


def points_of(seeds: Seeds) -> npt.NDArray[np.float64]:
    """The pixel of each seed that is furthest from its rim, (N, 2) y, x; the first of equals."""
    boxes = ndimage.find_objects(seeds.labels)
    points = []
    for index, (rows, columns) in enumerate(boxes, start=1):
        piece = np.pad(seeds.labels[rows, columns] == index, 1)
        depth = ndimage.distance_transform_edt(piece)
        y, x = np.unravel_index(int(depth.argmax()), depth.shape)
        points.append((rows.start + y - 1, columns.start + x - 1))
    return np.array(points, np.float64).reshape(-1, 2)


def suppress(masks: Sequence[InstanceMask], most: float) -> list[InstanceMask]:
    """Leave out masks that overlap a better one by more than an IoU: non-maximum suppression.

    Parameters
    ----------
    masks : tight crops, px of the picture
    most : IoU up to which both are kept, in [0, 1]

    Returns
    -------
    kept : best score first
    """
    ordered = sorted(masks, key=lambda mask: -mask.score)
    corners = np.array([mask.box_yxyx for mask in ordered], np.float64).reshape(-1, 4)
    areas = np.array([mask.area for mask in ordered], np.float64)
    kept: list[int] = []
    for index, mask in enumerate(ordered):
        rivals = np.array(kept, np.int64)
        common = np.minimum(corners[rivals, 2:], corners[index, 2:]) - np.maximum(
            corners[rivals, :2], corners[index, :2]
        )
        shared = common.clip(min=0).prod(axis=1)
        # What two masks share is no more than their boxes do, and no more than the smaller mask.
        best = np.minimum(shared, np.minimum(areas[rivals], areas[index]))
        close = rivals[best / (areas[rivals] + areas[index] - best) > most]
        if all(_iou(mask, ordered[rival]) <= most for rival in close.tolist()):
            kept.append(index)
    return [ordered[index] for index in kept]


def _iou(one: InstanceMask, other: InstanceMask) -> float:
    (y0, x0, y1, x1), (v0, u0, v1, u1) = one.box_yxyx, other.box_yxyx
    top, left, bottom, right = max(y0, v0), max(x0, u0), min(y1, v1), min(x1, u1)
    first = one.mask[top - y0 : bottom - y0, left - x0 : right - x0]
    second = other.mask[top - v0 : bottom - v0, left - u0 : right - u0]
    shared = int((first & second).sum())
    return shared / (one.area + other.area - shared)


def _blurred(values: Maps, sigma: float) -> npt.NDArray[Any]:
    blurred: npt.NDArray[Any] = ndimage.gaussian_filter(values, sigma)
    return blurred
