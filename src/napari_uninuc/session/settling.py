"""What two readers disagree about, settled one by one in a session of its own."""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Self

import numpy as np
import numpy.typing as npt

from napari_uninuc.agreement.comparison import Comparison, compare
from napari_uninuc.agreement.disagreements import Disagreement, classes_of
from napari_uninuc.agreement.kinds import Kind
from napari_uninuc.agreement.reading import Reading, reading_of
from napari_uninuc.core.classes import ClassPalette
from napari_uninuc.core.edits import Edit
from napari_uninuc.core.extents import count_ids, join_boxes, slices
from napari_uninuc.core.instances import InstanceMask
from napari_uninuc.core.labels import LabelMap
from napari_uninuc.core.nuclei import Nucleus, Status
from napari_uninuc.core.outline import tight_crop
from napari_uninuc.core.review import ReviewQueue
from napari_uninuc.core.segmentation import Segmentation
from napari_uninuc.core.tile import Tile
from napari_uninuc.core.verbs.working_crop import WorkingCrop
from napari_uninuc.errors import LabelsError
from napari_uninuc.io.stated import DEFAULT_CLASS
from napari_uninuc.journal.records import ComparisonBegun, now
from napari_uninuc.journal.snapshot import SessionState
from napari_uninuc.session.annotation import AnnotationSession

__all__ = ["Choice", "Dispute", "Settling"]

_UNKNOWN = math.nan


class Choice(StrEnum):
    """How a disagreement is settled."""

    A = "a"
    B = "b"
    ANEW = "anew"


_VERBS = {Choice.A: "settle for A", Choice.B: "settle for B", Choice.ANEW: "settle anew"}
"""As the journal has it; see `journal.records.ComparisonBegun` for who A and B are."""


@dataclass(frozen=True, slots=True)
class Dispute:
    """A disagreement, and the nuclei of the session that stand for it.

    Attributes
    ----------
    found : what it is about
    ids : of either side in the session, in the order of `found.a_ids` and `found.b_ids`
    first : the side that is shown first; the second is the other one
    """

    found: Disagreement
    ids: dict[Choice, tuple[int, ...]]
    first: Choice

    @property
    def second(self) -> Choice:
        """The side that is shown second."""
        return Choice.B if self.first is Choice.A else Choice.A

    @property
    def all_ids(self) -> frozenset[int]:
        """Ids of both sides."""
        return frozenset(self.ids[Choice.A] + self.ids[Choice.B])


class Settling:
    """A session that begins with what two readers agree on, and the disputes about the rest.

    What both have, with A's outline, is reviewed; what is disputed waits, and the review leads
    through it, the most serious first. Each decision is one edit, so it can be undone, and the
    session's journal keeps it. A dispute is settled when none of its nuclei waits any more.

    Parameters
    ----------
    tile : the picture
    comparison : of two readings of all of it
    blinded : which side is shown first, and whose outline a disputed nucleus has until it is
        settled, are drawn by lot for each dispute
    lots : draws them

    Attributes
    ----------
    session : where it is settled
    disputes : the most serious first
    names : of the readers A and B
    blinded : as above

    Raises
    ------
    LabelsError
        A comparison of another part than the picture, or ids out of range.
    """

    def __init__(
        self,
        tile: Tile,
        comparison: Comparison,
        *,
        blinded: bool = False,
        lots: random.Random | None = None,
    ) -> None:
        if comparison.a.shape != tile.shape:
            raise LabelsError(
                f"expected a comparison of a picture of {tile.shape} px, got one of "
                f"{comparison.a.shape} px; compare readings of this picture"
            )
        drawn, count = lots or random.Random(), len(comparison.disagreements)
        firsts = drawn.choices("ab", k=count) if blinded else ["a"] * count
        self._know(comparison, firsts, _palette_of(comparison), blinded=blinded)
        self._go_on_in(AnnotationSession(tile, self._palette, self._start(comparison)))

    @classmethod
    def resumed(
        cls,
        session: AnnotationSession,
        begun: ComparisonBegun,
        states: tuple[SessionState, SessionState],
    ) -> Self:
        """Go on in a session that was brought back, with what is open in it.

        Parameters
        ----------
        session : where some of it is settled; gets the disputes
        begun, states : as `begun` and `states` gave them

        Raises
        ------
        LabelsError
            They do not go together.
        """
        a, b = (
            _reading_of(state, name, named)
            for state, name, named in zip(states, begun.readers, begun.named, strict=True)
        )
        comparison = compare(a, b)
        if len(comparison.disagreements) != len(begun.firsts) or a.shape != session.tile.shape:
            raise LabelsError("they disagree about something else than the record says")
        made = cls.__new__(cls)
        made._know(comparison, begun.firsts, states[0].classes, blinded=begun.blinded)
        made._go_on_in(session)
        return made

    def _know(
        self,
        comparison: Comparison,
        firsts: Sequence[str],
        palette: ClassPalette,
        *,
        blinded: bool,
    ) -> None:
        self._readings = {Choice.A: comparison.a, Choice.B: comparison.b}
        self.names = comparison.a.name, comparison.b.name
        self.blinded, self._palette = blinded, palette
        self.disputes, self._numbers = _disputes(comparison, firsts)
        self._by_id = {id_: each for each in self.disputes for id_ in each.all_ids}
        self._own_rows = {key: row for each in self.disputes for key, row in self._rows(each)}

    def _go_on_in(self, session: AnnotationSession) -> None:
        session.queue = ReviewQueue(session.labels, urgency=self._urgency())
        session.settling, self.session = self, session

    def begun(self, by: str) -> ComparisonBegun:
        """What the record says of it.

        Parameters
        ----------
        by : who decides
        """
        return ComparisonBegun(
            now(),
            by,
            self.names,
            len(self.disputes),
            self.blinded,
            (self._named(Choice.A), self._named(Choice.B)),
            "".join(each.first for each in self.disputes),
        )

    def states(self) -> tuple[SessionState, SessionState]:
        """What A and B outlined, to be kept with the record."""
        return self._state(Choice.A), self._state(Choice.B)

    @property
    def open(self) -> int:
        """Disputes that are not settled."""
        return sum(self.waits(each) for each in self.disputes)

    def waits(self, dispute: Dispute) -> bool:
        """Whether a nucleus of a dispute still waits for a decision."""
        return any(self.session.queue.waits(id_) for id_ in dispute.all_ids)

    def at(self, nucleus_id: int | None) -> Dispute | None:
        """The dispute that a nucleus is about; None for one that both have, and for none."""
        return None if nucleus_id is None else self._by_id.get(nucleus_id)

    def masks(self, dispute: Dispute, side: Choice) -> list[InstanceMask]:
        """What one reader outlined there."""
        ids = dispute.found.a_ids if side is Choice.A else dispute.found.b_ids
        return [self._mask(self._readings[side], id_, dispute.found) for id_ in ids]

    def settle(self, dispute: Dispute, choice: Choice) -> bool:
        """Decide; False where that is how it is already.

        A or B puts that reader's nuclei there, with their classes, and takes the other's away;
        pixels that this frees go back to the nuclei that lay below. ANEW accepts what a person has
        made of it, what is in hand included.
        """
        session, in_hand = self.session, self.session.hand.draft
        if choice is Choice.ANEW:
            own = [] if in_hand is None else [in_hand.nucleus_id]
            return session.review([*dispute.all_ids, *own], _VERBS[choice])
        session.hand.drop()
        return session.do(self._replaced(dispute, choice))

    # -- edits ------------------------------------------------------------------------------

    def _replaced(self, dispute: Dispute, side: Choice) -> Edit | None:
        labels = self.session.labels
        present = [id_ for id_ in sorted(dispute.all_ids) if labels.area(id_)]
        chosen = dict(zip(dispute.ids[side], self.masks(dispute, side), strict=True))
        boxes = [labels.box(id_) for id_ in present] + [m.box_yxyx for m in chosen.values()]
        if not boxes:
            return None
        crop = WorkingCrop(labels, join_boxes(*boxes))
        freed = np.isin(crop.ids, present)
        crop.ids[freed] = 0
        crop.rows = dict.fromkeys(present)
        for id_, mask in chosen.items():
            window = crop.window(mask.box_yxyx)
            window[mask.mask & (window == 0)] = id_
            if (window == id_).any():
                crop.rows[id_] = _reviewed(self._own_rows[side, id_])
        self._give_back(crop, freed, join_boxes(*boxes), dispute)
        return crop.edit(_VERBS[side])

    def _give_back(
        self,
        crop: WorkingCrop,
        freed: npt.NDArray[np.bool_],
        box: tuple[int, int, int, int],
        dispute: Dispute,
    ) -> None:
        """Give pixels that are free now to nuclei that are there and were painted over."""
        rows = self.session.labels.nuclei
        for side, reading in self._readings.items():
            below = self._session_ids(reading.pixels(box), side)
            for id_ in np.unique(below[freed & (crop.ids == 0)]).tolist():
                if id_ in rows and id_ not in dispute.all_ids:
                    crop.ids[freed & (crop.ids == 0) & (below == id_)] = id_
                    crop.rows[id_] = rows[id_]

    def _session_ids(self, pixels: npt.NDArray[np.int32], side: Choice) -> npt.NDArray[np.int32]:
        """Turn a reader's ids into those of the session; 0 for what is not in it."""
        ids, places = np.unique(pixels, return_inverse=True)
        known = [self._id_of(side, int(id_)) for id_ in ids]
        return np.array(known, np.int32)[places].reshape(pixels.shape)

    def _id_of(self, side: Choice, id_: int) -> int:
        """A's nuclei keep their ids; B's have new ones, where they are disputed."""
        return id_ if side is Choice.A else self._numbers.get(id_, 0)

    # -- to be kept -------------------------------------------------------------------------

    def _named(self, side: Choice) -> bool:
        return self._readings[side].classes is not None

    def _state(self, side: Choice) -> SessionState:
        reading = self._readings[side]
        pixels = reading.pixels((0, 0, *reading.shape)).copy()
        present = np.array(sorted(count_ids(pixels)), np.int64)
        names = classes_of(reading, present).tolist()
        rows = {
            id_: Nucleus(id_, self._class_id(name), _UNKNOWN, _UNKNOWN, Status.EDITED)
            for id_, name in zip(present.tolist(), names, strict=True)
        }
        following = int(present.max(initial=0)) + 1
        return SessionState(pixels, rows, {}, following, self._palette, 0.0, 0, reading.mpp)

    # -- the beginning ----------------------------------------------------------------------

    def _start(self, comparison: Comparison) -> LabelMap:
        """Agreed nuclei as A has them, and of each dispute the side shown; small ones on top."""
        a = comparison.a
        pixels = a.pixels((0, 0, *a.shape)).copy()
        pixels[np.isin(pixels, [i for each in self.disputes for i in each.found.a_ids])] = 0
        classes = classes_of(a, comparison.a_ids).tolist()
        rows = {
            id_: Nucleus(id_, self._class_id(name), _UNKNOWN, _UNKNOWN, Status.REVIEWED)
            for id_, name in zip(comparison.a_ids.tolist(), classes, strict=True)
        }
        shown = [
            (id_, mask, self._own_rows[side, id_])
            for each in self.disputes
            for side in [_shown(each)]
            for id_, mask in zip(each.ids[side], self.masks(each, side), strict=True)
        ]
        for id_, mask, row in sorted(shown, key=lambda one: -one[1].area):
            pixels[slices(mask.box_yxyx)][mask.mask] = id_
            rows[id_] = row
        present = set(np.unique(pixels).tolist())
        kept = {id_: row for id_, row in rows.items() if id_ in present}
        highest = max([0, *a.ids.tolist(), *self._numbers.values()])
        return LabelMap.from_labels(pixels, kept, next_id=highest + 1)

    def _urgency(self) -> dict[int, float]:
        """Larger than any doubt: disputes come before what is merely uncertain."""
        ranked = enumerate(reversed(self.disputes), 3)
        return {id_: float(rank) for rank, dispute in ranked for id_ in dispute.all_ids}

    def _rows(self, dispute: Dispute) -> list[tuple[tuple[Choice, int], Nucleus]]:
        listed = []
        for side, reading in self._readings.items():
            own = dispute.found.a_ids if side is Choice.A else dispute.found.b_ids
            names = classes_of(reading, np.array(own, np.int64)).tolist()
            for id_, name in zip(dispute.ids[side], names, strict=True):
                row = Nucleus(id_, self._class_id(name), _UNKNOWN, _UNKNOWN, Status.EDITED)
                listed.append(((side, id_), row))
        return listed

    def _class_id(self, name: str) -> int:
        return self._palette.names.index(name) if name in self._palette.names else 0

    def _mask(self, reading: Reading, id_: int, found: Disagreement) -> InstanceMask:
        box = found.box_yxyx
        origin, mask = tight_crop(reading.pixels(box) == id_, box[:2])
        return InstanceMask(origin, mask, _UNKNOWN, 0, _UNKNOWN)


def _reading_of(state: SessionState, name: str, named: bool) -> Reading:
    """Turn what `Settling.states` gave into a reading again."""
    nuclei = Segmentation.from_labels(state.label_map().pixels)
    rows = [state.rows[id_] for id_ in nuclei.table["id"].tolist()]
    classes = np.array([state.classes.name_of(row.class_id) for row in rows], np.str_)
    return replace(reading_of(name, nuclei, state.mpp), classes=classes if named else None)


def _disputes(
    comparison: Comparison, firsts: Sequence[str]
) -> tuple[tuple[Dispute, ...], dict[int, int]]:
    """Give every disputed nucleus of B an id of its own; one that both have keeps A's."""
    disputed = (id_ for found in comparison.disagreements for id_ in found.a_ids)
    following = max([0, *comparison.a_ids.tolist(), *disputed]) + 1
    numbers: dict[int, int] = {}
    disputes = []
    for found, letter in zip(comparison.disagreements, firsts, strict=True):
        if found.kind is Kind.CLASS_DIFFERS:
            numbers[found.b_ids[0]] = found.a_ids[0]
        for id_ in found.b_ids:
            if id_ not in numbers:
                numbers[id_], following = following, following + 1
        ids = {Choice.A: found.a_ids, Choice.B: tuple(numbers[id_] for id_ in found.b_ids)}
        disputes.append(Dispute(found, ids, Choice(letter)))
    return tuple(disputes), numbers


def _shown(dispute: Dispute) -> Choice:
    """The side that stands in the session until it is settled: one that has a nucleus there."""
    return dispute.first if dispute.ids[dispute.first] else dispute.second


def _palette_of(comparison: Comparison) -> ClassPalette:
    """Classes of both readers, in the order of their names."""
    named = [r.classes for r in (comparison.a, comparison.b) if r.classes is not None]
    names = sorted({str(name) for classes in named for name in np.unique(classes)})
    return ClassPalette.of_names(names or [DEFAULT_CLASS])


def _reviewed(row: Nucleus) -> Nucleus:
    return replace(row, status=Status.REVIEWED)
