"""How large a pixel is: stated in the address, or guessed from the nuclei in the picture."""

from collections import OrderedDict
from dataclasses import dataclass, replace
from threading import Lock

import numpy as np

from napari_uninuc.core.tile import Tile
from napari_uninuc.engine.protocol import Annotator

__all__ = ["Scale", "Scales"]

CANDIDATES_MPP = (0.25, 0.5, 1.0, 0.125)
"""A 40x scan at full zoom, at a half, a quarter, and doubled."""
TYPICAL_UM = 7.5
"""Diameter of a nucleus as they usually are."""
_SPREAD = 0.35
"""Of the logarithm of a picture's median diameter."""
_SIDE_INPUT_PX = 256
_SURE, _DOUBTFUL = 0.15, 0.03
"""Worth above which no other scale is tried, and below which none is better than the model's own.
Of 50 crops of validation tissue at four zooms 36 are guessed right, all 16 of MoNuSeg among them;
wrong are those whose nuclei are few, large or pale (heart, cardia, a lung, a tonsil)."""
_REMEMBERED = 256


@dataclass(frozen=True, slots=True)
class Scale:
    """Micrometres per px, and whether somebody said so; as text for people.

    Attributes
    ----------
    mpp : to look at the picture with; None takes the model's
    guessed : nobody stated it
    """

    mpp: float | None
    guessed: bool

    @property
    def stated(self) -> float | None:
        """What may be calculated with: None where it was guessed."""
        return None if self.guessed else self.mpp

    def __str__(self) -> str:
        if self.mpp is None:
            return "not known"
        return f"{self.mpp:g} µm (guessed)" if self.guessed else f"{self.mpp:g} µm"


class Scales:
    """Guesses the scale of a picture once; in the engine's thread."""

    def __init__(self, engine: Annotator) -> None:
        self._engine = engine
        self._known: OrderedDict[str, Scale] = OrderedDict()
        self._lock = Lock()

    def known(self, tile: Tile) -> Scale | None:
        """Tell what was guessed before, None where nothing was."""
        with self._lock:
            return self._known.get(tile.digest)

    def guess(self, tile: Tile) -> Scale:
        """Look at the middle of a picture at several scales, and take the likeliest.

        At the right one many nuclei are found, surely, and they are as large as nuclei are.
        """
        known = self.known(tile)
        if known is not None:
            return known
        model_mpp = self._engine.card.mpp
        scale = Scale(None, True)
        if model_mpp is not None:
            worth: dict[float, float] = {}
            for mpp in CANDIDATES_MPP:
                worth[mpp] = self._worth(tile, mpp, model_mpp)
                if worth[mpp] > _SURE:
                    break
            best = max(worth, key=lambda mpp: worth[mpp])
            scale = Scale(best if worth[best] > _DOUBTFUL else model_mpp, True)
        with self._lock:
            self._known[tile.digest] = scale
            while len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)
        return scale

    def _worth(self, tile: Tile, mpp: float, model_mpp: float) -> float:
        """Sum of scores for each px looked at, times how usual the size of those nuclei is."""
        part = _middle(tile, max(32, round(_SIDE_INPUT_PX * model_mpp / mpp)))
        seen = replace(part, mpp=mpp)
        threshold = self._engine.card.score_threshold
        fields = self._engine.fields(seen)
        found = [
            one.mask
            for field in fields
            for one in self._engine.segment_field(seen, field, threshold)
        ]
        if not found:
            return 0.0
        diameter_um = 2 * mpp * float(np.median([np.sqrt(mask.area / np.pi) for mask in found]))
        usual = np.exp(-(np.log(diameter_um / TYPICAL_UM) ** 2) / (2 * _SPREAD**2))
        covered_um2 = sum(mask.score * mask.area for mask in found) * mpp**2
        looked_at_um2 = seen.shape[0] * seen.shape[1] * mpp**2
        return float(usual * covered_um2 / looked_at_um2)


def _middle(tile: Tile, side: int) -> Tile:
    height, width = tile.shape
    y, x = max(0, (height - side) // 2), max(0, (width - side) // 2)
    return Tile.from_array(tile.rgb[y : y + side, x : x + side])
