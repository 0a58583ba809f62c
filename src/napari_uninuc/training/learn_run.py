"""From corrected pictures to a learnt state, or to the finding that it would be no better."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import torch

from napari_uninuc import __version__
from napari_uninuc.core.examples import ENOUGH_NUCLEI, Corrections, Kind
from napari_uninuc.engine.appearance import Appearance
from napari_uninuc.engine.in_state import stored
from napari_uninuc.engine.states import differing, in_state
from napari_uninuc.engine.torch_engine import TorchEngine
from napari_uninuc.errors import CheckpointError, SessionError
from napari_uninuc.network.adapter import Adapter
from napari_uninuc.network.adapter_card import AdapterCard, Proof
from napari_uninuc.training.learning import Teaching, teach
from napari_uninuc.training.lessons import Lesson, lessons_of
from napari_uninuc.training.proof import PARTS, Judged, judge, parts_by_place, proof_of

__all__ = ["Learnt", "Told", "learn", "standings"]

_ENCODING, _JUDGING = 40, 10
"""How long it takes to prepare and to judge a picture, in steps of teaching, about."""
Told = Callable[[int, int, str], object]
"""Called with (steps done, steps in all, what is being done); may raise to stop."""


@dataclass(frozen=True, slots=True)
class Learnt:
    """What has come of it.

    Attributes
    ----------
    adapter : the state; None where it is not better by more than chance
    proof : what was measured
    """

    adapter: Adapter | None
    proof: Proof


def learn(
    engine: TorchEngine,
    pictures: Sequence[Corrections],
    name: str,
    told: Told = lambda done, total, what: None,
    teaching: Teaching | None = None,
) -> Learnt:
    """Teach the corrections of some pictures, prove it, and make a state of it.

    Parameters
    ----------
    engine : in the weights as they are; it is so again in the end
    pictures : with what was corrected on each
    name : of the state

    Raises
    ------
    SessionError
        Too few corrections.
    CheckpointError
        A model that does not answer from windows, or one in a learnt state: each begins from the
        weights as they are. Or what was learnt is not finite.
    """
    if engine.card.learnt:
        raise CheckpointError(
            f"expected a model in the weights as they are, got it in the state "
            f"{engine.card.learnt}; learn from all the sessions at once instead"
        )
    if engine.card.decoding == "whole":
        raise CheckpointError(
            f"expected a model that answers from windows, got {engine.card.id}, which looks at a "
            "whole field for each prompt; learn with uninuc-n"
        )
    how = Teaching() if teaching is None else teaching
    pictures = [each for each in pictures if each.examples]
    count = sum(each.is_nucleus for picture in pictures for each in picture.examples)
    if count < ENOUGH_NUCLEI:
        raise SessionError(
            f"expected at least {ENOUGH_NUCLEI} nuclei that were reviewed, corrected or added, got "
            f"{count}; correct {ENOUGH_NUCLEI - count} more"
        )
    work = _Work(engine, pictures, how, told)
    proof = work.proved()
    if not proof.is_better:
        return Learnt(None, proof)
    difference, looks = work.taught(None), stored(Appearance.joined(work.looks))
    work.step("done")
    return Learnt(Adapter.of(_card(engine, pictures, name, proof), difference, looks), proof)


class _Work:
    """The lessons of some pictures, and the steps that were made of all there are."""

    def __init__(
        self, engine: TorchEngine, pictures: Sequence[Corrections], how: Teaching, told: Told
    ) -> None:
        self.engine, self.pictures, self.how, self._told = engine, pictures, how, told
        self.parts = parts_by_place(pictures)
        each = _ENCODING + (1 + PARTS) * _JUDGING
        self._total = each * len(pictures) + (PARTS + 1) * how.steps + 1
        self._done = 0
        told(0, self._total, "preparing")
        self.threshold = engine.card.score_threshold
        self.lessons: list[list[Lesson]] = []
        self.before: list[list[Judged]] = []
        self.looks: list[Appearance] = []
        for picture in pictures:
            self.lessons.append(list(lessons_of(engine, picture)))
            self.looks += [each.looks for each in self.lessons[-1]]
            self.step("preparing", _ENCODING)
            everything = self.parts[len(self.before)] >= 0
            self.before.append(judge(engine, picture, everything, self.threshold))
            self.step("preparing", _JUDGING)

    def step(self, what: str, count: int = 1) -> None:
        """Take note that work went on, and tell."""
        self._done += count
        self._told(self._done, self._total, what)

    def taught(self, aside: int | None) -> dict[str, torch.Tensor]:
        """Teach all but one part; None teaches all."""
        views, chosen = [], []
        for lessons, part in zip(self.lessons, self.parts, strict=True):
            for lesson in lessons:
                own = torch.from_numpy(part).to(lesson.which.device)
                views.append(lesson)
                chosen.append(own >= 0 if aside is None else own != aside)
        what = "learning" if aside is None else f"proving, part {aside + 1} of {PARTS}"
        model, shift = self.engine.model, self.engine.card.logit_shift
        return teach(model, views, chosen, self.how, lambda _: self.step(what), shift)

    def proved(self) -> Proof:
        """Judge each part by a state that was taught on all others.

        It ends before the last part where what was judged is worse by more than chance.
        """
        before, after = list[Judged](), list[Judged]()
        for aside in range(PARTS):
            difference = self.taught(aside)
            with differing(self.engine, difference):
                for k, picture in enumerate(self.pictures):
                    own = self.parts[k] == aside
                    after += judge(self.engine, picture, own, self.threshold)
                    before += [each for each, yes in zip(self.before[k], own, strict=True) if yes]
                    self.step(f"proving, part {aside + 1} of {PARTS}", _JUDGING)
            if proof_of(before, after).is_worse:
                break
        return proof_of(before, after)


def standings(
    engine: TorchEngine,
    pictures: Sequence[Corrections],
    adapters: Sequence[Adapter],
    told: Told = lambda done, total, what: None,
) -> list[Proof]:
    """Judge learnt states on the same corrections, each against the model as it came.

    Parameters
    ----------
    engine : in the weights as they are
    pictures : that none of the states was taught on, or the figures flatter it
    adapters : of these weights

    Raises
    ------
    CheckpointError
        A state of other weights.
    SessionError
        Nothing was corrected on the pictures.
    """
    chosen = [np.ones(len(each.examples), np.bool_) for each in pictures]
    if not any(len(each) for each in chosen):
        raise SessionError("expected sessions with corrections, got none; correct some nuclei")
    for adapter in adapters:
        adapter.require(engine.card)
    total = len(pictures) * (1 + len(adapters))
    done = 0

    def judged(threshold: float) -> list[Judged]:
        nonlocal done
        found = list[Judged]()
        for picture, every in zip(pictures, chosen, strict=True):
            found += judge(engine, picture, every, threshold)
            done += 1
            told(done, total, "comparing")
        return found

    before, proofs = judged(engine.card.score_threshold), []
    for adapter in adapters:
        with in_state(engine, adapter):
            proofs.append(proof_of(before, judged(adapter.card.score_threshold)))
    return proofs


def _card(
    engine: TorchEngine, pictures: Sequence[Corrections], name: str, proof: Proof
) -> AdapterCard:
    card = engine.card
    counts = {kind: sum(each.counts()[kind] for each in pictures) for kind in Kind}
    return AdapterCard(
        name=name,
        model=card.id,
        weights_sha256=card.sha256,
        sessions=tuple(dict.fromkeys(each.source or each.tile.name or "?" for each in pictures)),
        accepted=counts[Kind.ACCEPTED],
        redrawn=counts[Kind.REDRAWN],
        added=counts[Kind.ADDED],
        deleted=counts[Kind.DELETED],
        proof=proof,
        score_threshold=card.score_threshold,
        licence=card.licence,
        commercial_use=card.commercial_use,
        attribution=card.attribution,
        made=datetime.now(UTC),
        made_by=f"napari-uninuc {__version__}",
    )
