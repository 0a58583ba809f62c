"""One picture that was set: encoded, asked and outlined field by field, where memory allows."""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import TypeVar

import numpy as np
from torch import Tensor

from napari_uninuc.core.segmentation import Segmentation
from napari_uninuc.core.tile import Tile
from napari_uninuc.engine.answering import Answers, FieldAnswers
from napari_uninuc.engine.automatic import find_in_field
from napari_uninuc.engine.full_device import where_it_fits
from napari_uninuc.engine.owners import owners_of
from napari_uninuc.engine.postprocess import without_crumbs
from napari_uninuc.engine.proposers import threshold_of
from napari_uninuc.engine.protocol import FoundNucleus
from napari_uninuc.engine.requests import PromptBatch
from napari_uninuc.engine.settling import settled
from napari_uninuc.engine.torch_engine import TorchEngine

__all__ = ["Notice", "Progress", "SetPicture"]

Progress = Callable[[int, int], None]
"""Called with (fields done, fields in all)."""
Notice = Callable[[str], object]
"""Called with one line that a user should read."""

_Result = TypeVar("_Result")


class SetPicture:
    """A picture, and the fields it is looked at in.

    Parameters
    ----------
    engine : goes to the CPU where its device runs out of memory
    tile : the picture
    tell : told of that

    Raises
    ------
    ImageError
        Pixels far too coarse for the model. Every method raises DeviceError where memory is out
        on the CPU too.
    """

    def __init__(self, engine: TorchEngine, tile: Tile, tell: Notice) -> None:
        self.tile = tile
        self.fields = tuple(engine.fields(tile))
        self._engine, self._tell = engine, tell

    def encode(self) -> float:
        """Encode a picture of one field now; seconds it took, 0.0 where it is left for later."""
        if len(self.fields) > 1:
            return 0.0
        return self._where_it_fits(lambda engine: engine.embed(self.tile, self.fields[0]).seconds)

    def coarse(self) -> Tensor:
        """The coarsest features of the first field that prompts attend to, (1, C, h, w)."""
        return self._where_it_fits(
            lambda engine: engine.embed(self.tile, self.fields[0]).embedding.maps.coarse
        )

    def logit_grid(self, prompts: PromptBatch) -> tuple[int, int]:
        """Cells (H, W) of the logit grid of the field that answers the first prompt."""
        field = self.fields[owners_of(list(self.fields), prompts)[0]]
        return self._where_it_fits(lambda engine: engine.logit_grid(engine.embed(self.tile, field)))

    def answers(self, prompts: PromptBatch, candidates: bool) -> Iterator[Answers]:
        """Answer a person's prompts; see `Predictor.answer`."""
        owners = owners_of(list(self.fields), prompts)
        for owner in np.unique(owners):
            inside = np.flatnonzero(owners == owner)
            asked = prompts.take(inside)
            answers = FieldAnswers(self.tile, self.fields[owner], asked, candidates=candidates)
            while (step := self._where_it_fits(answers.step)) is not None:
                index, masks = step
                # SAM 2's own weights give SAM 2's own masks.
                if self._engine.card.mpp is not None:
                    masks = without_crumbs(masks, asked.take(index))
                yield inside[index], masks

    def outlined(
        self,
        score_threshold: float | None,
        min_area_um2: float | None,
        progress: Progress | None,
        timings: dict[str, float],
        *,
        proposer: str | None,
        flips: bool | None,
    ) -> Segmentation:
        """Outline every nucleus; see `Predictor.segment`.

        Parameters
        ----------
        timings : seconds of "encode", "detect" and "masks" so far; added to
        """
        card = self._engine.card
        find = partial(
            find_in_field,
            tile=self.tile,
            score_threshold=threshold_of(card, proposer, score_threshold),
            timings=timings,
            proposer=proposer,
            flips=flips,
        )
        found: list[FoundNucleus] = []
        for done, field in enumerate(self.fields, start=1):
            found += self._where_it_fits(partial(find, field=field))
            if progress is not None:
                progress(done, len(self.fields))
        began = time.perf_counter()
        result = settled(
            found,
            self.tile,
            self._engine.config.classes,
            card.mpp,
            timings,
            min_area_um2=min_area_um2,
        )
        timings["masks"] += time.perf_counter() - began
        return replace(result, timings=dict(timings))

    def _where_it_fits(self, work: Callable[[TorchEngine], _Result]) -> _Result:
        return where_it_fits(self._engine, work, self._tell)
