"""Nuclei of a slide column by column: what tiles found, and what became of it."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from napari_uninuc.core.runs import Runs, runs_of_crops
from napari_uninuc.engine.protocol import FoundNucleus
from napari_uninuc.io.columns import crops_of, mask_bits, table_of_masks

__all__ = ["Nuclei"]

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Nuclei:
    """Some nuclei, px of the level.

    Attributes
    ----------
    id : (n,) int64, unique over the slide, from 1; 0 where none is given yet
    tile : (n,) int64, index of the field that found it
    place : (n,) int64, its place in what that field found
    score, predicted_iou : (n,) float64
    class_id : (n,) int64
    found_yxyx : (n, 4) float64, what the detector had proposed
    runs : their pixels; every nucleus has some
    """

    id: Ints
    tile: Ints
    place: Ints
    score: Floats
    predicted_iou: Floats
    class_id: Ints
    found_yxyx: Floats
    runs: Runs

    def __len__(self) -> int:
        return len(self.id)

    @classmethod
    def none(cls) -> Self:
        """Begin with no nuclei."""
        none = np.zeros(0, np.int64)
        rest = np.zeros((0, 4)), Runs.none()
        return cls(none, none, none, np.zeros(0), np.zeros(0), none, *rest)

    @classmethod
    def joined(cls, parts: Sequence["Nuclei"]) -> Self:
        """Put several after each other."""
        every: list[Nuclei] = [cls.none(), *parts]
        columns = {
            each.name: np.concatenate([getattr(part, each.name) for part in every])
            for each in fields(cls)
            if each.name != "runs"
        }
        return cls(**columns, runs=Runs.joined([part.runs for part in every]))

    @classmethod
    def of_masks(
        cls,
        tile: int,
        masks: npt.NDArray[Any],
        bits: npt.NDArray[np.uint8],
        found_yxyx: npt.NDArray[Any],
    ) -> Self:
        """Make them of what a tile's file holds; a mask without a pixel is left out.

        Parameters
        ----------
        masks : (n,) of `io.columns.MASK`
        bits : what `mask_bits` wrote of them
        found_yxyx : (n, 4)

        Raises
        ------
        SessionError
            More or fewer bits than there are pixels.
        """
        pixels, first = crops_of(masks, bits)
        y, x, height, width = (masks[n].astype(np.int64) for n in ("y", "x", "height", "width"))
        runs = runs_of_crops(pixels, first, np.stack([y, x, y + height, x + width], axis=1))
        here = np.flatnonzero(runs.counts)
        return cls(
            id=np.zeros(len(here), np.int64),
            tile=np.full(len(here), tile, np.int64),
            place=here.astype(np.int64),
            score=masks["score"][here].astype(np.float64),
            predicted_iou=masks["iou"][here].astype(np.float64),
            class_id=masks["class"][here].astype(np.int64),
            found_yxyx=found_yxyx[here].astype(np.float64),
            runs=runs.take(here),
        )

    @classmethod
    def of_found(cls, tile: int, found: Sequence[FoundNucleus]) -> Self:
        """Make them of masks as an annotator gives them."""
        masks = {place: one.mask for place, one in enumerate(found)}
        bits = np.frombuffer(mask_bits(masks.values()), np.uint8)
        boxes = np.array([one.box_yxyx for one in found], np.float64).reshape(-1, 4)
        return cls.of_masks(tile, table_of_masks(masks), bits, boxes)

    def take(self, chosen: npt.NDArray[Any]) -> "Nuclei":
        """Nuclei by their places, in that order; a (n,) bool mask is taken too."""
        columns = {
            each.name: getattr(self, each.name)[chosen]
            for each in fields(self)
            if each.name != "runs"
        }
        return Nuclei(**columns, runs=self.runs.take(chosen))
