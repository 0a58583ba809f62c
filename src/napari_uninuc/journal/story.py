"""What happened in a session, gathered from its journals for people to read."""

from collections import Counter, deque
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt

from napari_uninuc.core.extents import Box, pad_box, slices
from napari_uninuc.core.labels import LabelMap
from napari_uninuc.core.nuclei import Status
from napari_uninuc.core.tile import Tile
from napari_uninuc.io.thumbnails import outlined_png
from napari_uninuc.journal.folder import SessionHeading
from napari_uninuc.journal.records import ComparisonBegun, EditDone, Gap, RunStarted
from napari_uninuc.journal.replay import Replay, Step

__all__ = ["PERSON", "Change", "Story", "tell_story"]

PERSON = "person"

_SHOWN = 60
_MARGIN_PX = 10
_MAX_SIDE_PX = 200
_OUTLINE = (255, 230, 0)  # on neither side of haematoxylin, eosin or DAB


@dataclass(frozen=True, slots=True)
class Change:
    """One change of outlines by a person; pictures are PNG in base64, outlines drawn in."""

    at: datetime
    kind: str
    ids: tuple[int, ...]
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Story:
    """What a report says; every list in the order in which it is shown.

    Attributes
    ----------
    heading : of the session
    mpp : micrometres per px at the end
    runs : automatic runs
    comparisons : of two readers, whose disagreements were settled here
    counts : class name, status, nuclei at the end; derived classes count
    derived : nuclei whose class was derived from examples
    reviewed, total : visible nuclei
    kinds : what was done, by whom, how often
    hours : hour (UTC) and changes by a person in it
    shown : the latest changes of outlines by a person
    not_shown : earlier ones, and those too large to show
    problems : what could not be read or was not recorded, a line each
    """

    heading: SessionHeading
    mpp: float | None
    runs: tuple[RunStarted, ...]
    comparisons: tuple[ComparisonBegun, ...]
    counts: tuple[tuple[str, str, int], ...]
    derived: int
    reviewed: int
    total: int
    kinds: tuple[tuple[str, str, int], ...]
    hours: tuple[tuple[str, int], ...]
    shown: tuple[Change, ...]
    not_shown: int
    problems: tuple[str, ...]


def tell_story(folder: Path, heading: SessionHeading, tile: Tile) -> Story:
    """Play a session from its beginning and note what happens.

    Parameters
    ----------
    folder, heading : of the session, plain files only
    tile : its picture

    Raises
    ------
    SessionError
        There is no state to begin from.
    """
    end = Replay(folder, heading)
    end.to_end()
    replay, listener = Replay(folder, heading), _Listener(tile)
    for step in replay.steps():
        listener.hear(step, replay.labels)
    counts = Counter(
        (end.classes.name_of(end.class_of(row)), str(row.status))
        for row in end.labels.nuclei.values()
        if row.visible
    )
    reviewed = sum(n for (_, status), n in counts.items() if status == Status.REVIEWED)
    return Story(
        heading,
        end.mpp,
        tuple(listener.runs),
        tuple(listener.comparisons),
        tuple((name, status, n) for (name, status), n in sorted(counts.items())),
        sum(i in end.derived and not r.class_said for i, r in end.labels.nuclei.items()),
        reviewed,
        len(end.labels),
        tuple((kind, by, n) for (kind, by), n in listener.kinds.most_common()),
        tuple(sorted(listener.hours.items())),
        tuple(view.change() for view in listener.views),
        listener.reshaped - len(listener.views),
        (*replay.troubles, *listener.problems),
    )


class _Listener:
    """Counts what it hears, and keeps the last views."""

    def __init__(self, tile: Tile) -> None:
        self._tile = tile
        self.runs: list[RunStarted] = []
        self.comparisons: list[ComparisonBegun] = []
        self.kinds: Counter[tuple[str, str]] = Counter()
        self.hours: Counter[str] = Counter()
        self.views: deque[_View] = deque(maxlen=_SHOWN)
        self.reshaped = 0
        self.problems: list[str] = []

    def hear(self, step: Step, labels: LabelMap) -> None:
        """Note one step; `labels` is as it left them."""
        head = step.head
        if isinstance(head, RunStarted):
            self.runs.append(head)
        elif isinstance(head, ComparisonBegun):
            self.comparisons.append(head)
        elif isinstance(head, Gap):
            self.problems.append(
                f"{head.missing} changes before {head.at:%Y-%m-%d %H:%M:%S} UTC could not be "
                "written down; their outcome is kept"
            )
        elif isinstance(head, EditDone):
            self._hear_edit(head, step, labels)

    def _hear_edit(self, head: EditDone, step: Step, labels: LabelMap) -> None:
        kind = head.verb if head.move == "do" else f"{head.move} {head.verb}"
        self.kinds[kind, PERSON if head.by is None else head.by.model] += 1
        if head.by is not None:
            return
        self.hours[f"{head.at:%Y-%m-%d %H}:00"] += 1
        edit = step.edit
        if edit is None or edit.after.size == 0:
            return
        self.reshaped += 1
        box = pad_box(edit.box_yxyx, _MARGIN_PX, labels.shape)
        if max(box[2] - box[0], box[3] - box[1]) > _MAX_SIDE_PX:
            return
        after = labels.pixels[slices(box)].copy()
        before = after.copy()
        y, x = edit.origin_yx[0] - box[0], edit.origin_yx[1] - box[1]
        before[y : y + edit.before.shape[0], x : x + edit.before.shape[1]] = edit.before
        self.views.append(
            _View(head.at, kind, tuple(sorted(edit.ids)), self._tile, box, before, after)
        )


@dataclass(frozen=True, slots=True, eq=False)
class _View:
    """A change, small, before it is made a picture of: most are dropped again."""

    at: datetime
    kind: str
    ids: tuple[int, ...]
    tile: Tile
    box_yxyx: Box
    before: npt.NDArray[np.int32]
    after: npt.NDArray[np.int32]

    def change(self) -> Change:
        return Change(self.at, self.kind, self.ids, self._png(self.before), self._png(self.after))

    def _png(self, ids: npt.NDArray[np.int32]) -> str:
        return outlined_png(self.tile.rgb[slices(self.box_yxyx)], [(ids, _OUTLINE)])
