"""Answers of one field a batch at a time, so that memory may run out between two of them."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from napari_uninuc.core.geometry import Field
from napari_uninuc.core.tile import Tile
from napari_uninuc.engine.requests import DecodedMasks, PromptBatch
from napari_uninuc.engine.torch_engine import TorchEngine

__all__ = ["FieldAnswers"]

Answers = tuple[npt.NDArray[np.int64], DecodedMasks]
"""Positions in the prompts, and their masks."""


class FieldAnswers:
    """Answers to a person's prompts of one field; what failed is asked for again.

    Parameters
    ----------
    tile, field : where the prompts lie
    prompts : px of the picture, of exact boxes
    candidates : SAM's three candidates instead of the single mask
    """

    def __init__(
        self, tile: Tile, field: Field, prompts: PromptBatch, *, candidates: bool = False
    ) -> None:
        self._tile, self._field, self._prompts = tile, field, prompts
        self._candidates = candidates
        self._left = self._asked = np.arange(len(prompts))
        self._running: Iterator[Answers] | None = None

    def step(self, engine: TorchEngine) -> Answers | None:
        """Give the next batch, None after the last; after an error it begins with what is left."""
        if self._running is None:
            embedding = engine.embed(self._tile, self._field)
            self._asked = self._left
            self._running = engine.decode(
                embedding,
                self._prompts.take(self._asked),
                candidates=self._candidates,
                by_hand=True,
                tight=True,
            )
        running, self._running = self._running, None
        answers = next(running, None)
        self._running = running
        if answers is None:
            return None
        rows = self._asked[answers[0]]
        self._left = self._left[~np.isin(self._left, rows)]
        return rows, answers[1]
