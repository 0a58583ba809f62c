"""Nuclei outlined from the dense maps, without boxes: by watershed, or by clicks set by the maps.

`AisOutliner` is the automatic instance segmentation of PathoSAM (sec. 2.2), `PointOutliner` the
automatic prompt generation of APG (sec. 3.2).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from napari_uninuc.core.instances import InstanceMask
from napari_uninuc.engine.dense import (
    DenseMaps,
    SeedSettings,
    cut_basins,
    find_seeds,
    points_of,
    suppress,
)
from napari_uninuc.engine.frame import Frame
from napari_uninuc.engine.postprocess import cut_to_tile, instances_of
from napari_uninuc.engine.protocol import FoundNucleus
from napari_uninuc.engine.requests import DecodedMasks, PromptBatch
from napari_uninuc.errors import PromptError

__all__ = [
    "AisOutliner",
    "Outliner",
    "PointOutliner",
    "PointSettings",
    "SeenField",
    "grid_points",
    "map_points",
]

_POINTS_AT_ONCE = 512
"""Between two steps at which one can stop."""


class SeenField(Protocol):
    """A field that was encoded, with its mirror where that is looked at too."""

    @property
    def shape(self) -> tuple[int, int]:
        """Of the tile, px."""
        ...

    @property
    def frame(self) -> Frame:
        """Where the field lies."""
        ...

    def maps(self) -> DenseMaps:
        """What the dense head says, px of the input without padding; PromptError without one."""
        ...

    def decode(self, prompts: PromptBatch) -> Iterator[tuple[npt.NDArray[Any], DecodedMasks]]:
        """Answer prompts, px of the tile, with their positions."""
        ...


class Outliner(Protocol):
    """Finds nuclei with their outlines, where a `Proposer` finds boxes."""

    def outline(self, seen: SeenField) -> Iterator[list[FoundNucleus]]:
        """Nuclei of a field in some portions, unthresholded; of no portion may be the field's."""
        ...


class AisOutliner:
    """Basins of a watershed are the nuclei; no mask is decoded.

    Their score, and the IoU expected of them, is the mean probability of their pixels to belong
    to some nucleus: it is above the threshold of the foreground and ranks them only roughly.

    Parameters
    ----------
    settings : where a nucleus begins
    """

    def __init__(self, settings: SeedSettings | None = None) -> None:
        self.settings = SeedSettings() if settings is None else settings

    def outline(self, seen: SeenField) -> Iterator[list[FoundNucleus]]:
        """All basins, in the order of their seeds."""
        maps = seen.maps()
        labels = cut_basins(find_seeds(maps, self.settings))
        rows, columns = _input_pixels(seen.frame)
        at_picture = labels[np.ix_(rows, columns)]
        likely = maps.nucleus[np.ix_(rows, columns)]
        top, left = seen.frame.origin_yx
        found = []
        for id_, place in enumerate(ndimage.find_objects(at_picture), start=1):
            if place is None:  # smaller than a pixel of the picture
                continue
            mask = at_picture[place] == id_
            score = float(likely[place][mask].mean())
            origin = (place[0].start + top, place[1].start + left)
            nucleus = InstanceMask(origin, mask, score, 0, score)
            found.append(FoundNucleus(nucleus, nucleus.box_yxyx))
        yield found


def _input_pixels(frame: Frame) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The input pixel under the centre of each row and each column of the field."""
    axes = [
        np.floor((np.arange(count) + 0.5) * scale).clip(0, most - 1).astype(np.int64)
        for count, scale, most in zip(
            frame.shape_hw, frame.scale_yx.tolist(), frame.content_hw, strict=True
        )
    ]
    return axes[0], axes[1]


@dataclass(frozen=True, slots=True)
class PointSettings:
    """Which answers to points become nuclei.

    Attributes
    ----------
    offset : logits by which the threshold is moved up and down for the stability
    most_overlap : IoU above which the worse of two answers goes, in [0, 1]
    least_area : input px; answers that are not larger go

    Raises
    ------
    PromptError
        An overlap outside [0, 1].
    """

    offset: float = 1.0
    most_overlap: float = 0.9
    least_area: float = 25.0

    def __post_init__(self) -> None:
        if not 0 <= self.most_overlap <= 1:
            raise PromptError(f"overlap must lie in 0..1, got {self.most_overlap}; correct it")


class PointOutliner:
    """Clicks set without a person; answers are ranked by predicted IoU times stability.

    Parameters
    ----------
    points : input px of a field, (N, 2) y, x; made from what was seen. None takes `map_points`
    settings : which answers become nuclei
    """

    def __init__(
        self,
        points: Callable[[SeenField], npt.NDArray[np.float64]] | None = None,
        settings: PointSettings | None = None,
    ) -> None:
        self.points = map_points() if points is None else points
        self.settings = PointSettings() if settings is None else settings

    def outline(self, seen: SeenField) -> Iterator[list[FoundNucleus]]:
        """What is left of all answers, in the last portion, best score first."""
        places = _to_picture(self.points(seen), seen.frame)
        answered: list[InstanceMask] = []
        for start in range(0, len(places), _POINTS_AT_ONCE):
            some = places[start : start + _POINTS_AT_ONCE, None].astype(np.float32)
            prompts = PromptBatch(some, np.ones(some.shape[:2], np.int64))
            for _, answers in seen.decode(prompts):
                answered += self._judged(answers, seen)
            yield []
        kept = suppress(answered, self.settings.most_overlap)
        yield [FoundNucleus(mask, mask.box_yxyx) for mask in kept]

    def _judged(self, answers: DecodedMasks, seen: SeenField) -> list[InstanceMask]:
        """The answers that are large enough, as masks inside the tile."""
        stable = stability(answers.logits[:, 0], self.settings.offset)
        scores = (answers.ious[:, 0].clip(0, 1) * stable).astype(np.float32)
        good = np.flatnonzero((answers.logits[:, 0] > 0).any(axis=(1, 2)))
        masks = instances_of(answers.take(good), scores[good], np.zeros(len(good), np.int64))
        least = self.settings.least_area / float(seen.frame.scale_yx.prod())
        cut = [cut_to_tile(mask, seen.shape) for mask in masks]
        return [mask for mask in cut if mask.area > least]


def map_points(
    settings: SeedSettings | None = None,
) -> Callable[[SeenField], npt.NDArray[np.float64]]:
    """Points of the maps' seeds, one each; several may lie in one nucleus."""
    chosen = SeedSettings() if settings is None else settings
    return lambda seen: points_of(find_seeds(seen.maps(), chosen))


def grid_points(step: int) -> Callable[[SeenField], npt.NDArray[np.float64]]:
    """Points every ``step`` input px, as SAM's automatic mask generation has them."""

    def points(seen: SeenField) -> npt.NDArray[np.float64]:
        height, width = seen.frame.content_hw
        rows, columns = (np.arange(step / 2, side, step) - 0.5 for side in (height, width))
        grid = np.stack(np.meshgrid(rows, columns, indexing="ij"), axis=-1)
        placed: npt.NDArray[np.float64] = grid.reshape(-1, 2)
        return placed

    return points


def stability(logits: npt.NDArray[np.float32], offset: float) -> npt.NDArray[np.float64]:
    """How little a mask changes with its threshold, (N,) in [0, 1], of logits (N, h, w).

    Its area with the threshold moved up, over that with the threshold moved down (SAM); 0 where
    nothing is inside.
    """
    small = (logits > offset).sum(axis=(1, 2))
    large = (logits > -offset).sum(axis=(1, 2))
    share: npt.NDArray[np.float64] = small / np.maximum(large, 1)
    return share


def _to_picture(points_yx: npt.NDArray[np.float64], frame: Frame) -> npt.NDArray[np.float64]:
    """Pixel positions of the input -> of the picture."""
    corners = frame.boxes_to_picture(np.tile(points_yx + 0.5, 2))
    places: npt.NDArray[np.float64] = corners[:, :2] - 0.5
    return places
