"""What a saved session teaches: the examples that its record holds."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from napari_uninuc.core.edits import Edit
from napari_uninuc.core.examples import Corrections, Example, Kind, examples_of, is_exhaustive
from napari_uninuc.core.extents import tight_box
from napari_uninuc.core.tile import Tile
from napari_uninuc.journal.folder import read_heading
from napari_uninuc.journal.picture import read_picture
from napari_uninuc.journal.records import EditDone
from napari_uninuc.journal.replay import Replay, Step

__all__ = ["read_corrections"]

_TAKES_AWAY = ("delete", "paint")
"""Verbs by which a person says that there is no nucleus. Merging and taking over another picture's
nuclei take rows away too, and say nothing of the kind."""


def read_corrections(folder: Path, tile: Tile | None = None) -> tuple[Corrections, str | None]:
    """Read what a session teaches, as it was left: what was undone teaches nothing.

    Parameters
    ----------
    folder : of the session, which is only read; one that a window has open is read as far as it
        was written
    tile : its picture; None takes the one saved in the folder

    Returns
    -------
    corrections, problem
        And what could not be read and what to do, in one line; None for nothing.

    Raises
    ------
    SessionError
        As `napari_uninuc.session.autosave.restore`.
    """
    heading = read_heading(folder)
    if tile is None:
        tile = read_picture(folder, heading)
    replay, listener = Replay(folder, heading), _Listener()
    for step in replay.steps():
        listener.hear(step)
    rows = replay.labels.nuclei
    examples = examples_of(replay.labels, listener.redrawn, list(listener.taken.values()))
    said = Corrections(
        replace(tile, mpp=replay.mpp),
        examples,
        is_exhaustive(rows.values()),
        folder.name,
    )
    return said, "; ".join(replay.troubles) or None


class _Listener:
    """Remembers whose outline a person changed, and what a person took away."""

    def __init__(self) -> None:
        self.redrawn: set[int] = set()
        self.taken: dict[int, Example] = {}

    def hear(self, step: Step) -> None:
        """Take note of one step."""
        head, edit = step.head, step.edit
        if not isinstance(head, EditDone) or edit is None:
            return
        by_person = head.by is None and head.move != "undo"
        for id_ in edit.ids:
            before, after = edit.rows_before[id_], edit.rows_after[id_]
            if after is not None and after.visible:
                self.taken.pop(id_, None)
            if before is None or not before.visible or before.detected_box_yxyx is None:
                continue
            if after is None:
                example = _was(edit, id_)
                if by_person and head.verb in _TAKES_AWAY and example is not None:
                    self.taken[id_] = example
            elif by_person and ((edit.before == id_) != (edit.after == id_)).any():
                self.redrawn.add(id_)


def _was(edit: Edit, id_: int) -> Example | None:
    """Where a nucleus lay before it was taken away."""
    mask = edit.before == id_
    box = tight_box(mask)
    if box is None:
        return None
    y0, x0, y1, x1 = box
    origin = edit.origin_yx[0] + y0, edit.origin_yx[1] + x0
    return Example(Kind.DELETED, origin, np.ascontiguousarray(mask[y0:y1, x0:x1]))
