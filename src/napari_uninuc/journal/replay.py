"""Playing a session again from its folder: to its end, or change by change."""

from collections.abc import Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np

from napari_uninuc.core.classes import ClassPalette
from napari_uninuc.core.edits import Edit
from napari_uninuc.core.instances import InstanceMask
from napari_uninuc.core.labels import LabelMap
from napari_uninuc.core.nuclei import Nucleus
from napari_uninuc.errors import LabelsError, SessionError
from napari_uninuc.journal.folder import SessionHeading, journals_in, snapshots_in
from napari_uninuc.journal.framing import NO_CHECK, JournalReader
from napari_uninuc.journal.records import (
    ClassesChanged,
    ClassesDerived,
    EditDone,
    FilterChanged,
    Note,
    Record,
    ScaleChanged,
)
from napari_uninuc.journal.snapshot import SessionState, read_snapshot

__all__ = ["Replay", "Step", "count_changes"]


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """One record that was played: what it says, and its edit where it is one."""

    head: EditDone | Note
    edit: Edit | None


class Replay:
    """The state of a session, moved on record by record.

    Parameters
    ----------
    folder : of the session, plain files only
    heading : its heading

    Attributes
    ----------
    labels, classes, candidates, threshold, min_area_px, mpp, derived : the state reached, see
        `SessionState`
    troubles : what could not be played, a line each, in order
    kept : changes known up to the state reached, those before its snapshot included
    last : when the last of them that was played was made, UTC

    Examples
    --------
    >>> from contextlib import closing
    >>> from pathlib import Path
    >>> from napari_uninuc import Segmentation
    >>> from napari_uninuc.core.classes import ClassPalette
    >>> from napari_uninuc.journal.folder import read_heading
    >>> from napari_uninuc.journal.replay import Replay
    >>> from napari_uninuc.session import AnnotationSession
    >>> from napari_uninuc.session.autosave import Autosave
    >>> from napari_uninuc.testing import make_tile
    >>> tissue = make_tile((64, 64), n_nuclei=3)
    >>> session = AnnotationSession(tissue.tile, ClassPalette.of_names(["nucleus", "tumour"]))

    >>> with closing(Autosave(session, root=Path("sessions"), on_problem=print)) as autosave:
    ...     session.adopt(Segmentation.from_labels(tissue.labels)), session.delete([2])
    (True, True)

    What was done, one record after the other, and what there was after each:

    >>> replay = Replay(autosave.folder, read_heading(autosave.folder))
    >>> for step in replay.steps():
    ...     if step.edit is not None:
    ...         print(sorted(step.edit.ids), len(replay.labels))
    [1, 2, 3] 3
    [2] 2
    """

    def __init__(self, folder: Path, heading: SessionHeading) -> None:
        self._heading = heading
        self._journals, self._snapshots = journals_in(folder), snapshots_in(folder)
        self._folder = folder
        self._check = NO_CHECK
        self.troubles: list[str] = []
        self.kept = 0
        self.last: datetime | None = None
        self._adopt(self._empty())

    def _empty(self) -> SessionState:
        pixels = np.zeros(self._heading.shape, dtype=np.int32)
        return SessionState(pixels, {}, {}, 1, self._heading.palette, 0.5, 0, self._heading.mpp)

    def _adopt(self, state: SessionState) -> None:
        self.labels: LabelMap = state.label_map()
        self.classes: ClassPalette = state.classes
        self.candidates: dict[int, InstanceMask] = dict(state.candidates)
        self.threshold, self.min_area_px = state.threshold, state.min_area_px
        self.mpp = state.mpp
        self.derived: Mapping[int, tuple[int, float]] = state.derived

    def to_end(self) -> None:
        """Go to the last state that is certain, from the newest snapshot that can be read.

        Raises
        ------
        SessionError
            There is none to begin from.
        """
        for _ in self.steps_from(self.to_newest()):
            pass

    def to_newest(self) -> int:
        """Go to the last state that a snapshot holds; returns and raises as `to_beginning`."""
        number = self._latest_start()
        self.kept = count_changes(path for n, path in self._journals.items() if n < number)
        return number

    def steps(self) -> Iterator[Step]:
        """Play everything from the beginning; what is lost is bridged by the next snapshot.

        Raises
        ------
        SessionError
            There is no state to begin from.
        """
        yield from self._steps(self.to_beginning(), bridging=True)

    def steps_from(self, number: int) -> Iterator[Step]:
        """Play the journals from one on, up to the first damage; now is the state before it."""
        yield from self._steps(number, bridging=False)

    def to_beginning(self) -> int:
        """Go to the first state that is known.

        Returns
        -------
        number : of the journal that follows

        Raises
        ------
        SessionError
            There is none.
        """
        first = next((n for n in self._starts() if self._load(n)), None)
        if first is None:
            raise self._nowhere()
        return first

    def _starts(self) -> list[int]:
        """Numbers of journals before which the state may be known, ascending."""
        return sorted({*self._snapshots, *([1] if self._heading.starts_empty else [])})

    def _latest_start(self) -> int:
        for number in reversed(self._starts()):
            if self._load(number):
                return number
        raise self._nowhere()

    def _nowhere(self) -> SessionError:
        return SessionError(
            f"{self._folder}: no snapshot can be read, so there is nothing to begin from; "
            "restore the folder from a backup"
        )

    def _load(self, number: int) -> bool:
        """Take over the state before a journal; False where it is not known."""
        if number in self._snapshots:
            try:
                self._adopt(read_snapshot(self._snapshots[number], self._heading.shape))
                return True
            except (SessionError, LabelsError):
                pass  # an older one, or the beginning, may do; what is then missing is told
        if number == 1 and self._heading.starts_empty:
            self._adopt(self._empty())
            return True
        return False

    def _steps(self, number: int, *, bridging: bool) -> Iterator[Step]:
        """Play journals from `number` on; the state before that one is the present one."""
        loaded, last = True, max(self._journals, default=0)
        while number <= last:
            trouble = yield from self._play(number, loaded)
            number, loaded = number + 1, False
            if trouble is None:
                continue
            self.troubles.append(f"{trouble}: {self._outcome()}")
            if not bridging:
                return
            later = (n for n in self._starts() if n >= number and self._load(n))
            number, loaded = next(later, last + 1), True

    def _play(self, number: int, loaded: bool) -> Generator[Step, None, str | None]:
        """Play one journal; returns what kept it from being played to its end, if anything."""
        path = self._journals.get(number)
        if path is None:
            return f"journal {number} is missing"
        reader = JournalReader(path)
        carried = reader.carries_on_from
        if not loaded and carried == NO_CHECK and not self._load(number):
            return f"the snapshot before {path.name} cannot be read"
        if not loaded and carried not in (None, NO_CHECK, self._check):
            return f"the journal before {path.name} has lost its end"
        for payload in reader.records():
            try:
                yield self._make(Record(payload))
            except (SessionError, LabelsError) as problem:
                return f"{path.name} holds a record that cannot be used ({problem})"
        self._check = reader.check
        damage = reader.damage
        if damage is None:
            return None
        return (
            f"{path.name} cannot be read from byte {damage.at_byte} of {damage.size} on "
            f"({damage.reason})"
        )

    def _make(self, record: Record) -> Step:
        head, edit = record.head, None
        if isinstance(head, EditDone):
            edit, candidates = record.edit(self.labels.pixels)
            palette = head.palette
            self.labels.apply(edit)
            if palette is not None:
                self.classes, self.derived = palette, {}
            self.candidates |= candidates
            self.threshold, self.min_area_px = head.threshold, head.min_area_px
            self.kept += 1
            self.last = head.at
        elif isinstance(head, FilterChanged):
            self.threshold, self.min_area_px = head.threshold, head.min_area_px
        elif isinstance(head, ClassesChanged):
            self.classes, self.derived = head.palette, {}
        elif isinstance(head, ClassesDerived):
            self.derived = head.derived(len(self.classes))
        elif isinstance(head, ScaleChanged):
            self.mpp = head.mpp
        return Step(head, edit)

    def class_of(self, row: Nucleus) -> int:
        """Class id of a nucleus in the state reached, derived or not."""
        if row.class_said or row.id not in self.derived:
            return row.class_id
        return self.derived[row.id][0]

    def _outcome(self) -> str:
        until = f" until {self.last:%Y-%m-%d %H:%M:%S} UTC" if self.last else ""
        return (
            f"{self.kept} changes{until} are kept, later ones are lost; look over what was done "
            "last and go on, the damaged file stays where it is"
        )


def count_changes(paths: Iterable[Path]) -> int:
    """Count the edits in journals without reading them; damaged ones up to the damage."""
    return sum(Record(each).is_edit for path in paths for each in JournalReader(path).records())
