"""Saving a session by itself: every change is written down at once, and can be brought back."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from pathlib import Path

from napari_uninuc.core.classes import ClassPalette
from napari_uninuc.core.edits import Edit
from napari_uninuc.core.instances import InstanceMask
from napari_uninuc.core.tile import Tile
from napari_uninuc.errors import SessionError
from napari_uninuc.journal.folder import read_heading
from napari_uninuc.journal.picture import read_picture
from napari_uninuc.journal.places import sessions_root
from napari_uninuc.journal.records import (
    Actor,
    ClassesChanged,
    ClassesDerived,
    ComparisonBegun,
    FilterChanged,
    Note,
    RunStarted,
    ScaleChanged,
    now,
    pack_edit,
    pack_note,
)
from napari_uninuc.journal.replay import Replay
from napari_uninuc.journal.snapshot import SessionState
from napari_uninuc.journal.writer import SessionWriter
from napari_uninuc.session.annotation import AnnotationSession
from napari_uninuc.session.background_writer import BackgroundWriter
from napari_uninuc.session.retrace import retrace
from napari_uninuc.session.steps import Filter

__all__ = ["Actor", "Autosave", "Restored", "restore"]

_CLOSE_WITHIN_S = 10.0
_FIRST = 1000  # of the listeners: records are in the order in which things happened


class Autosave:
    """Writes everything that changes in a session into its folder, beside the work.

    Nothing is made on disk before the first change. What is written survives the end of the
    process at once and the end of the machine a fraction of a second later. When a change comes
    before the last one was written, it waits for that, briefly: so no more than one is ever lost.

    Parameters
    ----------
    session : its thread is the one that changes it
    folder : an earlier session of the same picture, from which this one was restored; the
        record goes on there. Where another window has it open, or nobody may write to it, a new
        folder is made.
    root : folder of all sessions; None is `sessions_root`
    on_problem : called in another thread, once, when changes cannot be saved; the session goes
        on, and saving is tried again by itself

    Raises
    ------
    SessionError
        `folder` is no session, or one of another picture.

    Examples
    --------
    >>> from contextlib import closing
    >>> from pathlib import Path
    >>> from napari_uninuc import Segmentation
    >>> from napari_uninuc.core.classes import ClassPalette
    >>> from napari_uninuc.session import AnnotationSession
    >>> from napari_uninuc.session.autosave import Autosave, restore
    >>> from napari_uninuc.testing import make_tile
    >>> tissue = make_tile((64, 64), n_nuclei=3)
    >>> session = AnnotationSession(tissue.tile, ClassPalette.of_names(["nucleus", "tumour"]))

    >>> with closing(Autosave(session, root=Path("sessions"), on_problem=print)) as autosave:
    ...     session.adopt(Segmentation.from_labels(tissue.labels))
    True

    Later, in another process, the work goes on where it was left:

    >>> restored = restore(autosave.folder)
    >>> restored.changes, restored.problem, len(restored.session.labels)
    (1, None, 3)
    >>> with closing(
    ...     Autosave(restored.session, autosave.folder, root=Path("sessions"), on_problem=print)
    ... ):
    ...     restored.session.delete([2])
    True
    """

    def __init__(
        self,
        session: AnnotationSession,
        folder: Path | None = None,
        *,
        root: Path | None = None,
        on_problem: Callable[[Exception], None],
    ) -> None:
        self._session = session
        self._writer = SessionWriter(
            session.tile, sessions_root() if root is None else root, folder
        )
        self._noted_tile, self._noted_filter = session.tile, session.steps.filter
        self._noted_classes = session.classes
        self._noted_masks: dict[int, InstanceMask] = dict(session.candidates)
        self._actor: Actor | None = None
        self._answering: Actor | None = None
        self._noted_answering: Actor | None = None
        self._background: BackgroundWriter | None = BackgroundWriter(
            self._writer, session.tile, self._state(), on_problem
        )
        session.labels.changed.connect(self._on_edit, priority=_FIRST)
        session.steps.filter_changed.connect(self._on_filter, priority=_FIRST)
        session.classes_changed.connect(self._on_classes, priority=_FIRST)
        session.derived_changed.connect(self._on_derived, priority=_FIRST)

    @property
    def folder(self) -> Path | None:
        """Where the session is kept; None until something has changed."""
        return self._writer.path

    @property
    def works(self) -> bool:
        """Whether what changes is written; False once the disk refused, or after `close`."""
        return self._background is not None and not self._background.is_broken

    def begin_run(self, actor: Actor) -> None:
        """Note that the person lets a model outline the picture."""
        self._note(RunStarted(now(), actor))

    def begin_comparison(self, begun: ComparisonBegun, readers: Sequence[SessionState]) -> None:
        """Note that the person begins to settle what two readers disagree about, and keep that.

        Parameters
        ----------
        readers : what A and what B outlined
        """
        self._note(begun)
        if self._background is not None:
            self._background.keep_readers(readers)

    def rename(self, name: str) -> None:
        """Call the session's picture something else, here and on disk."""
        self._note_scale()
        self._session.tile = self._noted_tile = replace(self._session.tile, name=name)
        if self._background is not None:
            self._background.rename(name)

    def answered_by(self, actor: Actor) -> None:
        """Say which model answers the person's clicks; noted with what comes of them."""
        self._answering = actor

    @contextmanager
    def by(self, actor: Actor) -> Iterator[None]:
        """Say that what changes inside is a model's own doing, not a person's."""
        earlier, self._actor = self._actor, actor
        try:
            yield
        finally:
            self._actor = earlier

    def close(self, timeout_s: float = _CLOSE_WITHIN_S) -> bool:
        """Write what waits and let go of session and folder; later calls do nothing.

        Returns
        -------
        done : False where the disk took longer than `timeout_s`
        """
        background, self._background = self._background, None
        if background is None:
            return True
        session = self._session
        session.labels.changed.disconnect(self._on_edit)
        session.steps.filter_changed.disconnect(self._on_filter)
        session.classes_changed.disconnect(self._on_classes)
        session.derived_changed.disconnect(self._on_derived)
        return background.close(timeout_s, self._state() if background.is_broken else None)

    def _on_edit(self, edit: Edit) -> None:
        session = self._session
        self._note_scale()
        shown = self._noted_filter = session.steps.filter
        classes = None if session.classes == self._noted_classes else session.classes
        self._noted_classes = session.classes
        answering = None
        if self._actor is None and self._answering != self._noted_answering:
            answering = self._noted_answering = self._answering
        make = partial(
            pack_edit,
            edit,
            self._new_masks(edit),
            at=now(),
            by=self._actor,
            move=session.steps.move,
            nuclei=len(session.labels),
            threshold=shown.threshold,
            min_area_px=shown.min_area_px,
            classes=classes,
            answered_by=answering,
        )
        self._write(make)

    def _new_masks(self, edit: Edit) -> dict[int, InstanceMask]:
        """Choose the model's masks that came with an edit and are in no record yet."""
        candidates, noted = self._session.candidates, self._noted_masks
        ids = [i for i in edit.rows_after if candidates.get(i) is not noted.get(i)]
        found = {i: candidates[i] for i in ids if i in candidates}
        noted |= found
        return found

    def _on_filter(self, shown: Filter) -> None:
        if shown != self._noted_filter:
            self._noted_filter = shown
            self._note(FilterChanged(now(), float(shown.threshold), int(shown.min_area_px)))

    def _on_classes(self, palette: ClassPalette) -> None:
        if palette == self._noted_classes:
            return
        self._noted_classes = palette
        classes = tuple((each.name, each.colour) for each in palette.classes)
        self._note(ClassesChanged(now(), classes))

    def _on_derived(self) -> None:
        session = self._session
        derived = {i: found for i, found in session.derived.items() if i in session.labels.nuclei}
        said = sum(row.class_said for row in session.labels.nuclei.values())
        at = now()
        self._write(lambda: pack_note(ClassesDerived.of(derived, said, at)))

    def _note(self, note: Note) -> None:
        self._note_scale()
        self._write(partial(pack_note, note))

    def _note_scale(self) -> None:
        tile = self._session.tile
        if tile is not self._noted_tile:
            self._noted_tile = tile
            mpp = None if tile.mpp is None else float(tile.mpp)
            self._write(partial(pack_note, ScaleChanged(now(), mpp)))

    def _write(self, make: Callable[[], bytes]) -> None:
        background = self._background
        if background is not None:
            background.write(make, self._state() if background.wants_state else None)

    def _state(self) -> SessionState:
        session = self._session
        return SessionState(
            session.labels.pixels.copy(),
            dict(session.labels.nuclei),
            dict(session.candidates),
            session.labels.next_id,
            session.classes,
            session.steps.filter.threshold,
            session.steps.filter.min_area_px,
            session.tile.mpp,
            {i: found for i, found in session.derived.items() if i in session.labels.nuclei},
        )


@dataclass(frozen=True, slots=True, eq=False)
class Restored:
    """A session brought back.

    Attributes
    ----------
    session : as it was when the last change was recorded, with its steps: undo and redo go on
    changes : recorded ones that are in it, undo and redo included
    last : when the last of them was made, UTC; None where none is newer than the last snapshot
    problem : what could not be read and what to do, in one line; None for nothing
    """

    session: AnnotationSession
    changes: int
    last: datetime | None
    problem: str | None


def restore(folder: Path, tile: Tile | None = None) -> Restored:
    """Bring a session back from its folder, which is only read.

    Parameters
    ----------
    folder : of the session; may have been copied from elsewhere
    tile : its picture; None takes the one saved in the folder

    Raises
    ------
    SessionError
        No session folder, another picture's, one that holds links or folders, without a picture
        where none is given, or so damaged that there is no state to begin from.

    Examples
    --------
    >>> from contextlib import closing
    >>> from pathlib import Path
    >>> from napari_uninuc import Segmentation
    >>> from napari_uninuc.core.classes import ClassPalette
    >>> from napari_uninuc.io.formats import write_segmentation
    >>> from napari_uninuc.session import AnnotationSession
    >>> from napari_uninuc.session.autosave import Autosave, restore
    >>> from napari_uninuc.testing import make_tile
    >>> tissue = make_tile((64, 64), n_nuclei=3)
    >>> session = AnnotationSession(tissue.tile, ClassPalette.of_names(["nucleus", "tumour"]))

    >>> with closing(Autosave(session, root=Path("sessions"), on_problem=print)) as autosave:
    ...     session.adopt(Segmentation.from_labels(tissue.labels))
    True

    The folder has all that is needed to write the nuclei, or to correct them further:

    >>> session = restore(autosave.folder).session
    >>> write_segmentation(session.segmentation(), "nuclei.geojson", session.tile).name
    'nuclei.geojson'
    """
    heading = read_heading(folder)
    if tile is None:
        tile = read_picture(folder, heading)
    if tile.digest != heading.digest or tile.shape != heading.shape:
        raise SessionError(
            f"{folder}: a session of {heading.name or 'another picture'}, got "
            f"{tile.name or 'a picture'} with other pixels; open it with its own picture"
        )
    replay = Replay(folder, heading)
    session = retrace(replay, tile, replay.to_beginning())
    if replay.troubles:  # what is certain now may follow from a later snapshot
        replay = Replay(folder, heading)
        session = retrace(replay, tile, replay.to_newest())
    session.tile = replace(tile, mpp=replay.mpp)
    session.candidates = dict(replay.candidates)
    session.derived = replay.derived
    return Restored(session, replay.kept, replay.last, "; ".join(replay.troubles) or None)
