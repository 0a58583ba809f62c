"""The steps of a saved session, so that undo and redo go on where they were left.

The journal holds every change with what it was before. They are made once more, in a session of
their own and by the same steps as then; what its label map must look like is what the record says.
"""

import numpy as np

from napari_uninuc.core.edits import Edit
from napari_uninuc.core.labels import LabelMap
from napari_uninuc.core.tile import Tile
from napari_uninuc.errors import LabelsError
from napari_uninuc.journal.records import (
    ClassesChanged,
    EditDone,
    FilterChanged,
    RunStarted,
)
from napari_uninuc.journal.replay import Replay, Step
from napari_uninuc.session.annotation import AnnotationSession
from napari_uninuc.session.steps import Filter

__all__ = ["retrace"]


def retrace(replay: Replay, tile: Tile, number: int) -> AnnotationSession:
    """Play a session from a state that was reached to its end, making every step again.

    Parameters
    ----------
    replay : at the state before the journal `number`; at the end of its record afterwards
    tile : the picture

    Returns
    -------
    session : with nuclei, classes and filter as the record has them at its end, and with the steps
        since the last change that could not be retraced, such as one by a version that threw away
        what had been taken back
    """
    seen, session = replay.labels, _begun(replay, tile)
    for step in replay.steps_from(number):
        made = _again(session, step)
        if replay.labels is not seen:  # a snapshot was taken over, when the picture was reopened
            seen = replay.labels
            made = made and _same(session.labels, seen)
        if not made:
            session = _begun(replay, tile)
    if not _same(session.labels, replay.labels):
        session = _begun(replay, tile)
    session.steps.classes = replay.classes
    session.steps.filter = Filter(replay.threshold, replay.min_area_px)
    return session


def _begun(replay: Replay, tile: Tile) -> AnnotationSession:
    """A session without a step, in the state that was reached."""
    labels = replay.labels
    copy = LabelMap.from_labels(labels.pixels, dict(labels.nuclei), next_id=labels.next_id)
    session = AnnotationSession(tile, replay.classes, copy)
    session.steps.filter = Filter(replay.threshold, replay.min_area_px)
    return session


def _again(session: AnnotationSession, step: Step) -> bool:
    """Make one recorded change again; False where it cannot be what was done."""
    head, steps = step.head, session.steps
    try:
        if isinstance(head, RunStarted):
            steps.begin_run()
        elif isinstance(head, ClassesChanged):
            steps.classes = head.palette
        elif isinstance(head, FilterChanged):
            wanted = Filter(head.threshold, head.min_area_px)
            if wanted != steps.filter:
                steps.do_filter(wanted, None)
        elif isinstance(head, EditDone) and step.edit is not None:
            return _edit_again(session, head, step.edit)
    except LabelsError:
        return False
    return True


def _edit_again(session: AnnotationSession, head: EditDone, edit: Edit) -> bool:
    steps, wanted = session.steps, Filter(head.threshold, head.min_area_px)
    if head.move != "do":
        made = steps.retrace(head.move)
        return made is not None and _same_edit(made, edit)
    if head.by is not None:
        steps.do_run([edit])
    elif head.palette is not None:
        steps.do_classes(head.palette, edit)
    elif wanted != steps.filter:
        steps.do_filter(wanted, edit)
    else:
        steps.do(edit)
    return True


def _same_edit(one: Edit, other: Edit) -> bool:
    return (
        one.box_yxyx == other.box_yxyx
        and one.rows_after == other.rows_after
        and np.array_equal(one.after, other.after)
    )


def _same(one: LabelMap, other: LabelMap) -> bool:
    return dict(one.nuclei) == dict(other.nuclei) and np.array_equal(one.pixels, other.pixels)
