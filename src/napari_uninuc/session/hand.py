"""The hand: the one nucleus being corrected, and those let go of before their answer came."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import count

import numpy as np
from psygnal import Signal

from napari_uninuc.core.geometry import box_iou
from napari_uninuc.core.labels import LabelMap
from napari_uninuc.core.prompts import Answer
from napari_uninuc.session.draft import Draft

__all__ = ["Hand"]

Box = tuple[float, float, float, float]

_NUMBERS = count(1)
"""Of prompts, of all hands: the answer meant for one picture is never taken by another."""
_SAME_NUCLEUS_IOU = 0.5
"""A drawn box that overlaps a nucleus's box by this much is meant for it."""


class Hand:
    """Holds at most one draft; a draft without an answer is to be answered, by its number.

    Parameters
    ----------
    labels : the nuclei that can be taken in hand; never changed here
    finish : called with an answered draft that is to become an edit
    """

    changed = Signal(object)
    """The new `Draft`, or None when nothing is in hand any more."""

    def __init__(self, labels: LabelMap, finish: Callable[[Draft], None]) -> None:
        self._labels, self._finish = labels, finish
        self._draft: Draft | None = None
        self._kept: dict[int, Draft] = {}

    @property
    def draft(self) -> Draft | None:
        """The nucleus in hand."""
        return self._draft

    @property
    def waiting(self) -> Mapping[int, Draft]:
        """Drafts made final before their answer came, by number of the prompt."""
        return dict(self._kept)

    def pick(self, nucleus_id: int) -> Draft:
        """Take a visible nucleus in hand; what was in hand is kept.

        Raises
        ------
        LabelsError
            It has no pixels, or there is no such nucleus.
        """
        self.keep()
        mask = self._labels.mask(nucleus_id)
        return self._take(Draft.of_nucleus(nucleus_id, mask, next(_NUMBERS)))

    def click(self, click_yx: tuple[float, float], inside: bool) -> Draft:
        """Click for the nucleus in hand, or begin a new one, px of the tile."""
        draft = self._draft or Draft.of_new(next(_NUMBERS))
        return self._take(draft.clicked(click_yx, inside, next(_NUMBERS)))

    def box(self, box_yxyx: Box) -> Draft:
        """Draw a box for the nucleus in hand, for the one it overlaps most, or for a new one."""
        if self._draft is None:
            meant = self._nucleus_in(box_yxyx)
            if meant:
                self.pick(meant)
        draft = self._draft or Draft.of_new(next(_NUMBERS))
        return self._take(draft.boxed(box_yxyx, next(_NUMBERS)))

    def show(self, generation: int, answer: Answer) -> bool:
        """Take the model's answer to the prompt of that number.

        Returns
        -------
        used : False where it came too late: the nucleus was clicked again, or dropped
        """
        kept = self._kept.pop(generation, None)
        if kept is not None:
            self._finish(kept.with_answer(answer))
            return True
        if self._draft is None or self._draft.generation != generation:
            return False
        self._take(self._draft.with_answer(answer))
        return True

    def fail(self, generation: int) -> None:
        """Note that the prompt of that number will not be answered; the click is taken back."""
        self._kept.pop(generation, None)
        if self._draft is not None and self._draft.generation == generation:
            self.step_back()

    def keep(self) -> None:
        """Make what is in hand final, as soon as it is answered."""
        draft, self._draft = self._draft, None
        if draft is None:
            return
        self.changed.emit(None)
        if not draft.answered:
            self._kept[draft.generation] = draft
        elif draft.answer is not None:
            self._finish(draft)

    def drop(self) -> None:
        """Forget what is in hand; the nucleus stays as it was."""
        if self._draft is not None:
            self._draft = None
            self.changed.emit(None)

    def step_back(self) -> None:
        """Take back the last click or box; with none left, let go."""
        earlier = None if self._draft is None else self._draft.earlier
        if earlier is None or not earlier.prompt:
            self.drop()
            return
        if not earlier.answered:  # its answer was overtaken by the later click: ask again
            earlier = replace(earlier, generation=next(_NUMBERS))
        self._take(earlier)

    def _take(self, draft: Draft) -> Draft:
        self._draft = draft
        self.changed.emit(draft)
        return draft

    def _nucleus_in(self, box_yxyx: Box) -> int:
        """The visible nucleus whose box this one is meant to redraw, 0 for none."""
        y0, x0, y1, x1 = (max(0, round(value)) for value in box_yxyx)
        ids = [int(id_) for id_ in np.unique(self._labels.pixels[y0:y1, x0:x1]) if id_]
        if not ids:
            return 0
        overlaps = box_iou([box_yxyx], [self._labels.box(id_) for id_ in ids])[0]
        best = int(overlaps.argmax())
        return ids[best] if overlaps[best] >= _SAME_NUCLEUS_IOU else 0
