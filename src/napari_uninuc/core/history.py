"""What was done to a label map, in order, and the way back.

Nothing that was done is ever out of reach: where an edit is made after some were taken back, the
taking back becomes a part of what was done, and undo leads through it to the branch that was left.
"""

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial
from typing import Self

from psygnal import EmitLoopError

from napari_uninuc.core.edits import Edit, fold_edits, swap_edits
from napari_uninuc.core.labels import LabelMap
from napari_uninuc.core.packing import PackedEdit
from napari_uninuc.core.ready import ReadyEdit

__all__ = ["EditHistory"]

_MAX_BYTES = 512 * 2**20  # seventy automatic runs of 10,000 nuclei, or 40,000 corrected outlines
_PACK_ABOVE_BYTES = 64 * 2**10


class EditHistory:
    """Undo and redo of every edit of one label map, bounded in bytes and not in steps.

    Edits reach the label map through here; one applied past it makes the next undo that
    touches the same pixels or rows refuse with a `LabelsError`.

    Parameters
    ----------
    labels : the map that is edited
    max_bytes : past it the oldest entries are dropped, and can no longer be undone
    """

    def __init__(self, labels: LabelMap, max_bytes: int = _MAX_BYTES) -> None:
        self._labels = labels
        self._max_bytes = max_bytes
        self._done: deque[_Entry] = deque()
        self._undone: list[_Entry] = []
        self._nbytes = 0

    @property
    def nbytes(self) -> int:
        """Memory that all entries hold, those that can be redone included; rows estimated."""
        return self._nbytes

    @property
    def can_undo(self) -> bool:
        """Whether there is something to take back."""
        return bool(self._done)

    @property
    def can_redo(self) -> bool:
        """Whether there is something to do again."""
        return bool(self._undone)

    @property
    def undo_name(self) -> str | None:
        """Verb of the entry that undo would take back."""
        return self._done[-1].verb if self._done else None

    def do(self, edit: Edit, *, amend: bool = False) -> None:
        """Apply an edit and remember it; what could be redone can then be reached by undo.

        Parameters
        ----------
        edit : made from the label map as it is now
        amend : join it to the last entry if that has the same verb, so that one undo takes
            back both. For sliders, which make an edit at every step of one drag.

        Raises
        ------
        LabelsError
            The label map refuses the edit; nothing has changed then.
        """
        joined = amend and not self._undone and self.undo_name == edit.verb
        failed = self._apply(edit)
        self._turn_undone()
        if joined:
            earlier = self._take_last()
            folded = fold_edits([earlier, edit], edit.verb, self._labels.pixels)
        else:
            folded = edit
        if folded is not None:
            self._remember(folded)
        if failed is not None:
            raise failed

    def do_ready(self, ready: ReadyEdit) -> bool:
        """Apply an edit that was made on a snapshot; False where the map has changed since."""
        if not ready.fits(self._labels):
            return False
        failed = self._make(partial(self._labels.catch_up, ready.ahead, ready.edit))
        self._turn_undone()
        self._keep(_Entry(ready.packed))
        if failed is not None:
            raise failed
        return True

    def sink(self, below: int) -> int:
        """Put the last entry below others that do not depend on it, as if it had come before.

        Parameters
        ----------
        below : entries before the last that it is to pass

        Returns
        -------
        passed : how many it went past; it stops at one that has to do with it
        """
        passed = 0
        while passed < below:
            here = len(self._done) - 1 - passed
            upper, lower = self._done[here], self._done[here - 1]
            swapped = swap_edits(lower.edit(), upper.edit())
            if swapped is None:
                break
            self._nbytes -= upper.nbytes + lower.nbytes
            self._done[here - 1], self._done[here] = _Entry.of(swapped[0]), _Entry.of(swapped[1])
            self._nbytes += self._done[here - 1].nbytes + self._done[here].nbytes
            passed += 1
        return passed

    def do_all(self, edits: Iterable[Edit | None], verb: str) -> Edit | None:
        """Apply edits one after the other as one entry.

        Parameters
        ----------
        edits : each made from the label map as the one before left it, so pass a generator
            that makes them on demand; None is skipped
        verb : of the entry

        Returns
        -------
        edit : all of them in one; None when nothing has changed

        Raises
        ------
        LabelsError
            The label map refuses one of them, or making one failed; those before it have
            been taken back then. So for any other error while making one.
        """
        applied: list[Edit] = []
        try:
            for edit in edits:
                if edit is not None:
                    failed = self._apply(edit)
                    applied.append(edit)
                    if failed is not None:
                        raise failed
        except BaseException:
            for edit in reversed(applied):
                self._apply(edit.inverse())
            raise
        folded = fold_edits(applied, verb, self._labels.pixels)
        if folded is not None:
            self._turn_undone()
            self._remember(folded)
        return folded

    def undo(self) -> Edit | None:
        """Take the last entry back.

        Returns
        -------
        edit : what was applied to do so; None when there was nothing to undo

        Raises
        ------
        LabelsError
            The label map was changed past this history; nothing has changed then.
        """
        if not self._done:
            return None
        edit = self._done[-1].edit().inverse()
        failed = self._apply(edit)
        self._undone.append(self._done.pop())
        if failed is not None:
            raise failed
        return edit

    def redo(self) -> Edit | None:
        """Do the last undone entry again.

        Returns
        -------
        edit : what was applied; None when there was nothing to redo

        Raises
        ------
        LabelsError
            The label map was changed past this history; nothing has changed then.
        """
        if not self._undone:
            return None
        edit = self._undone[-1].edit()
        failed = self._apply(edit)
        self._done.append(self._undone.pop())
        if failed is not None:
            raise failed
        return edit

    def _apply(self, edit: Edit) -> EmitLoopError | None:
        return self._make(partial(self._labels.apply, edit))

    @staticmethod
    def _make(change: Callable[[], None]) -> EmitLoopError | None:
        """Change the map; a listener's error is handed back, for the pixels have changed by then.

        The books must be kept before it is raised, or the change could not be undone.
        """
        try:
            change()
        except EmitLoopError as error:
            return error
        return None

    def _remember(self, edit: Edit) -> None:
        self._keep(_Entry.of(edit))

    def _keep(self, entry: "_Entry") -> None:
        self._done.append(entry)
        self._nbytes += entry.nbytes
        while self._nbytes > self._max_bytes:
            self._nbytes -= self._done.popleft().nbytes

    def _take_last(self) -> Edit:
        entry = self._done.pop()
        self._nbytes -= entry.nbytes
        return entry.edit()

    def _turn_undone(self) -> None:
        """Make what was taken back, and its taking back, a part of what was done."""
        turned, self._undone = self._undone, []
        self._done.extend(reversed(turned))
        for entry in turned:
            self._keep(entry.turned())


@dataclass(frozen=True, slots=True)
class _Entry:
    """An edit as it is kept; `back` where it was its inverse that was made."""

    kept: Edit | PackedEdit
    back: bool = False

    @classmethod
    def of(cls, edit: Edit) -> Self:
        large = edit.before.nbytes + edit.after.nbytes > _PACK_ABOVE_BYTES
        return cls(PackedEdit.of(edit) if large else edit)

    @property
    def nbytes(self) -> int:
        return self.kept.nbytes

    @property
    def verb(self) -> str:
        return self.kept.rows.verb if isinstance(self.kept, PackedEdit) else self.kept.verb

    def edit(self) -> Edit:
        edit = self.kept.edit() if isinstance(self.kept, PackedEdit) else self.kept
        return edit.inverse() if self.back else edit

    def turned(self) -> Self:
        return replace(self, back=not self.back)
