"""Where automatic prompts come from: the detector, peaks of the dense maps, points written down.

A proposer turns a field's embedding into boxes with scores (`engine.protocol.Proposer`). Whichever
it is, the boxes go through the same mask decoder as a person's. `engine.outliners` come with
outlines of their own.
"""

from dataclasses import replace
from typing import cast

import numpy as np
import torch

from napari_uninuc.core.detections import Detections
from napari_uninuc.engine.embedding import TileEmbedding
from napari_uninuc.engine.next_points import NextPointProposer
from napari_uninuc.engine.outliners import (
    AisOutliner,
    PointOutliner,
    PointSettings,
    grid_points,
)
from napari_uninuc.engine.peaks import PeakSettings, find_basins
from napari_uninuc.engine.protocol import Proposer
from napari_uninuc.engine.torch_engine import TorchEngine
from napari_uninuc.errors import PromptError
from napari_uninuc.network.card import PROPOSERS, ModelCard, ProposerName

__all__ = ["PeakProposer", "ScaledProposer", "proposers_of", "threshold_of", "with_proposer"]

_THRESHOLDS = {"ais": 0.0, "apg": 0.0, "grid": 0.2, "next-point": 0.25}
"""Of scores that mean something else than the detector's. The papers of outliners print none, so
that none is applied; those of points and of a grid are the best on validation tiles."""

_GRID_PX = 32
_GRID = PointSettings(most_overlap=0.7)
"""SAM's automatic mask generation: 32 x 32 points on 1024 px. Its limits, 0.88 of predicted IoU and
0.95 of stability, leave nothing of our masks; a threshold of the product stands for them."""

_TRUST = 0.6
"""Peaks beside the detector: a box of theirs is taken where the detector has nothing like it."""


class PeakProposer:
    """Boxes of the basins around the peaks of the dense maps, see `engine.peaks`.

    Boxes did better than clicks at the peaks: mSA 0.327 and 0.305 on validation tiles.

    Parameters
    ----------
    settings : lengths are in cells of the maps, whatever the model

    Raises
    ------
    PromptError
        When asked: a model without dense maps.
    """

    def __init__(self, settings: PeakSettings | None = None) -> None:
        self.settings = PeakSettings() if settings is None else settings

    def propose(self, embedding: TileEmbedding) -> Detections:
        """All basins, in px of the tile, best score first; class 0."""
        logits = embedding.embedding.auxiliary
        if logits is None:
            raise PromptError(
                "this model has no dense maps to find peaks in, got proposer 'peaks' or 'both'; "
                "use 'detector'"
            )
        maps = torch.sigmoid(logits[0].float()).cpu().numpy()
        basins = find_basins(maps, self.settings)
        cell = np.divide(embedding.frame.input_hw, maps.shape[1:], dtype=np.float64)
        boxes = embedding.frame.boxes_to_picture(basins.boxes_yxyx * np.tile(cell, 2))
        classes = np.zeros(len(basins), np.int64)
        return Detections(boxes.astype(np.float32), basins.scores, classes)


class ScaledProposer:
    """Another proposer's boxes, with scores times a factor in [0, 1]."""

    def __init__(self, proposer: Proposer, factor: float) -> None:
        self.proposer, self.factor = proposer, factor

    def propose(self, embedding: TileEmbedding) -> Detections:
        """All its boxes, in px of the tile."""
        found = self.proposer.propose(embedding)
        scores = found.scores * np.float32(self.factor)
        return Detections(found.boxes_yxyx, scores, found.class_ids)


def proposers_of(
    engine: TorchEngine, name: str
) -> tuple[Proposer | AisOutliner | PointOutliner, ...]:
    """The proposers behind a name; what several find is found once by whoever asks them.

    Parameters
    ----------
    name : one of `PROPOSERS`

    Raises
    ------
    PromptError
        No such name.
    CheckpointError
        No decoder of next points beside the weights.
    """
    if name == "detector":
        return (engine,)
    if name == "peaks":
        return (PeakProposer(),)
    if name == "both":
        return engine, ScaledProposer(PeakProposer(), _TRUST)
    if name == "ais":
        return (AisOutliner(),)
    if name == "apg":
        return (PointOutliner(),)
    if name == "grid":
        return (PointOutliner(grid_points(_GRID_PX), _GRID),)
    if name == "next-point":
        return (NextPointProposer(engine),)
    if name == "detector+next-point":
        return engine, NextPointProposer(engine)
    raise _no_such(name)


def threshold_of(card: ModelCard, proposer: str | None, asked: float | None) -> float:
    """The score threshold that was asked for, else what goes with the proposer.

    The card's was chosen for the scores of its own proposer.
    """
    if asked is not None:
        return asked
    chosen = card.proposer if proposer is None else proposer
    known = card.score_threshold
    return known if chosen == card.proposer else _THRESHOLDS.get(chosen, known)


def with_proposer(card: ModelCard, name: str) -> ModelCard:
    """The card of a model that finds nuclei in another way unless it is told otherwise.

    Parameters
    ----------
    name : one of `PROPOSERS`; its threshold becomes the card's

    Raises
    ------
    PromptError
        No such name.
    """
    if name not in PROPOSERS:
        raise _no_such(name)
    threshold = threshold_of(card, name, None)
    return replace(card, proposer=cast("ProposerName", name), score_threshold=threshold)


def _no_such(name: str) -> PromptError:
    return PromptError(f"proposer must be one of {', '.join(PROPOSERS)}, got {name!r}; correct it")
