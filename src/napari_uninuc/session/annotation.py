"""One picture being annotated: nuclei, what was done to them, and the nucleus in hand."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd
from psygnal import Signal

from napari_uninuc.core import verbs
from napari_uninuc.core.classes import ClassPalette
from napari_uninuc.core.edits import Edit
from napari_uninuc.core.instances import InstanceMask
from napari_uninuc.core.labels import LabelMap
from napari_uninuc.core.nuclei import Nucleus, Status
from napari_uninuc.core.review import ReviewQueue
from napari_uninuc.core.segmentation import (
    CLASS_BY,
    CLASS_PROBABILITY,
    FOUND_COLUMNS,
    STAIN_SAID,
    Segmentation,
)
from napari_uninuc.core.tile import Tile
from napari_uninuc.errors import LabelsError
from napari_uninuc.session.adopting import Adoption, make_adoption
from napari_uninuc.session.draft import NEW, Draft
from napari_uninuc.session.hand import Box, Hand
from napari_uninuc.session.steps import Filter, Steps

if TYPE_CHECKING:
    from napari_uninuc.session.settling import Settling

__all__ = ["AnnotationSession"]


class AnnotationSession:
    """Everything known about one tile while a person corrects it; knows no engine and no window.

    Gestures that need the model go through `hand`, whose drafts are answered by somebody else,
    whenever they can. Everything else happens at once. Belongs to one thread.

    Parameters
    ----------
    tile : the picture
    classes : what a nucleus can be
    labels : nuclei to start from, None for none

    Attributes
    ----------
    labels : the nuclei; changed by edits of this session only
    hand : the nucleus in hand
    steps : undo, redo, and which automatic nuclei are shown
    queue : order of review
    candidates : id -> mask of every automatic nucleus as it was found
    became : name before -> name after, while classes are renamed, moved or merged; else empty
    settling : what two readers disagree about, where this is settled here; else None

    Examples
    --------
    >>> from napari_uninuc import Segmentation
    >>> from napari_uninuc.core.classes import ClassPalette
    >>> from napari_uninuc.session import AnnotationSession
    >>> from napari_uninuc.testing import make_tile
    >>> tissue = make_tile((64, 64), n_nuclei=3)
    >>> session = AnnotationSession(tissue.tile, ClassPalette.of_names(["nucleus", "tumour"]))

    Three outlines are taken over; one gets a class, two become one, and that is taken back:

    >>> session.adopt(Segmentation.from_labels(tissue.labels))
    True
    >>> session.set_class([1], 1), session.merge([2, 3])
    (True, True)
    >>> session.counts()
    {1: 1, 0: 1}
    >>> session.undo(), len(session.segmentation().table)
    (True, 3)

    A click goes through `hand`; any `Annotator` answers it, here one that needs no model:

    >>> from napari_uninuc.testing import FakeAnnotator
    >>> y, x = tissue.centres_yx[0]
    >>> session.delete([1])
    True
    >>> draft = session.hand.click((y, x), inside=True)
    >>> session.hand.show(draft.generation, FakeAnnotator().answer(session.tile, draft.prompt))
    True
    >>> session.hand.keep()
    >>> session.segmentation().table["status"].tolist()
    ['edited', 'edited', 'edited']
    """

    selection_changed = Signal(frozenset)
    classes_changed = Signal(ClassPalette)
    current_class_changed = Signal(int)
    derived_changed = Signal()
    staining_changed = Signal()

    def __init__(self, tile: Tile, classes: ClassPalette, labels: LabelMap | None = None) -> None:
        self.tile = tile
        self.labels = LabelMap(tile.shape) if labels is None else labels
        self.steps = Steps(self.labels, classes)
        self.hand = Hand(self.labels, self._finish)
        self.queue = ReviewQueue(self.labels)
        self.candidates: dict[int, InstanceMask] = {}
        self._current_class, self._current_name = 0, classes.name_of(0)
        self.became: Mapping[str, str] = {}
        self.settling: Settling | None = None
        self._derived: Mapping[int, tuple[int, float]] = {}
        self._staining: Mapping[int, int] = {}
        self._selection: frozenset[int] = frozenset()
        self._accepted: set[int] = set()
        self.labels.changed.connect(self._follow)
        self.hand.changed.connect(self._end_selection)
        self.steps.classes_changed.connect(self._on_classes)

    # -- what can be looked at --------------------------------------------------------------

    @property
    def classes(self) -> ClassPalette:
        """What a nucleus can be."""
        return self.steps.classes

    @classes.setter
    def classes(self, palette: ClassPalette) -> None:
        self.steps.classes = palette

    @property
    def current_class(self) -> int:
        """Class id that a new nucleus gets; it stays the same class where classes move."""
        return self._current_class

    @current_class.setter
    def current_class(self, class_id: int) -> None:
        self._current_name = self.classes.name_of(class_id)
        if class_id != self._current_class:
            self._current_class = class_id
            self.current_class_changed.emit(class_id)

    @property
    def derived(self) -> Mapping[int, tuple[int, float]]:
        """Classes found by examples: id -> class id and its probability; empty where none are.

        They lie over the classes in the rows, which stay as they are, and never over one that a
        person has said: undo knows nothing of them, and without them everything is as before.
        """
        return self._derived

    @derived.setter
    def derived(self, found: Mapping[int, tuple[int, float]]) -> None:
        if found or self._derived:
            self._derived = found
            self.queue.take_class_doubt({id_: 1 - sure for id_, (_, sure) in found.items()})
            self.derived_changed.emit()

    def class_of(self, row: Nucleus) -> tuple[int, float]:
        """Class id of a nucleus, and its probability: NaN where it is not derived."""
        if row.class_said or row.id not in self._derived:
            return row.class_id, math.nan
        return self._derived[row.id]

    @property
    def staining(self) -> Mapping[int, int]:
        """How brown nuclei were measured to be: id -> level, 0 to 3; empty before.

        What a person has said of a nucleus stands in its row and is not touched by this.
        """
        return self._staining

    @staining.setter
    def staining(self, measured: Mapping[int, int]) -> None:
        if measured or self._staining:
            self._staining = measured
            self.staining_changed.emit()

    def class_by(self, row: Nucleus) -> str:
        """Who gave a nucleus its class: ``person``, ``examples`` or ``model``."""
        if row.class_said:
            return "person"
        return "examples" if row.id in self._derived else "model"

    @property
    def selection(self) -> frozenset[int]:
        """Ids of nuclei chosen together, all visible."""
        return self._selection

    def targets(self, hovered: int = 0) -> frozenset[int]:
        """Ids a verb without a position is meant for: selected, in hand, or under the cursor."""
        if self._selection:
            return self._selection
        if self.hand.draft is not None:
            return frozenset([self.hand.draft.nucleus_id]) - {NEW}
        return frozenset([hovered]) - {0}

    def counts(self) -> dict[int, int]:
        """Visible nuclei by class id."""
        found: dict[int, int] = {}
        for nucleus in self.labels.nuclei.values():
            if nucleus.visible:
                class_id, _ = self.class_of(nucleus)
                found[class_id] = found.get(class_id, 0) + 1
        return found

    def segmentation(self) -> Segmentation:
        """Freeze what is visible now, for files: labels, classes, a table with class and status.

        Where the detector found any, also with its boxes, `FOUND_COLUMNS`; where classes are
        derived, with `CLASS_PROBABILITY` and `CLASS_BY`; where a person has said how brown a
        nucleus is, with `STAIN_SAID`.
        """
        bare = Segmentation.from_labels(self.labels.pixels.copy())
        rows = [self.labels.nuclei[int(id_)] for id_ in bare.table["id"]]
        table = bare.table.copy()
        table["score"] = np.array([row.score for row in rows], dtype=np.float64)
        said = [self.class_of(row) for row in rows]
        table["class"] = pd.Series([self.classes.name_of(each) for each, _ in said], dtype=str)
        if self._derived:
            table[CLASS_PROBABILITY] = np.array([sure for _, sure in said], dtype=np.float64)
            table[CLASS_BY] = pd.Series([self.class_by(row) for row in rows], dtype=str)
        if any(row.stain_said is not None for row in rows):
            table[STAIN_SAID] = np.array([row.stain_said for row in rows], dtype=np.float64)
        table["status"] = pd.Series([str(row.status) for row in rows], dtype=str)
        if any(row.detected_box_yxyx is not None for row in rows):
            nowhere = (np.nan,) * len(FOUND_COLUMNS)
            boxes = np.array([row.detected_box_yxyx or nowhere for row in rows], dtype=np.float64)
            table[list(FOUND_COLUMNS)] = boxes
        return Segmentation(bare.labels, table, {}, self.classes)

    # -- verbs ------------------------------------------------------------------------------

    def do(self, edit: Edit | None) -> bool:
        """Make an edit, with undo; False where there is nothing to change."""
        if edit is not None:
            self.steps.do(edit)
        return edit is not None

    def delete(self, ids: Iterable[int]) -> bool:
        """Delete nuclei; clicks given to one of them are dropped, not made."""
        chosen = list(ids)
        if self.hand.draft is not None and self.hand.draft.nucleus_id in {NEW, *chosen}:
            self.hand.drop()
        return self._on(chosen, verbs.delete)

    def merge(self, ids: Sequence[int]) -> bool:
        """Make one nucleus of several; the first gives id and class."""
        return self._on(ids, verbs.merge)

    def fill_holes(self, ids: Iterable[int]) -> bool:
        """Fill what each nucleus encloses."""
        return self._on(ids, verbs.fill_holes)

    def smooth(self, ids: Iterable[int]) -> bool:
        """Smooth the outlines of nuclei."""
        return self._on(ids, verbs.smooth)

    def set_class(self, ids: Iterable[int], class_id: int) -> bool:
        """Give nuclei a class."""
        return self._on(ids, lambda labels, chosen: verbs.set_class(labels, chosen, class_id))

    def set_class_named(self, ids: Iterable[int], name: str) -> bool:
        """Give nuclei the class of a name, which is added where there is none: one step of undo."""
        names = self.classes.names
        if name in names:
            return self.set_class(ids, names.index(name))
        wanted = list(ids)
        self.hand.keep()
        chosen = [id_ for id_ in wanted if self.labels.area(id_)]
        edit = verbs.set_class(self.labels, chosen, len(names)) if chosen else None
        if edit is not None:
            self.steps.do_classes(self.classes.with_added(name), edit)
        return edit is not None

    def set_stain(self, ids: Iterable[int], level: int | None) -> bool:
        """Say how brown nuclei are, 0 to 3, whatever is measured; None takes the word back."""
        return self.set_stains(dict.fromkeys(ids, level))

    def set_stains(self, levels: Mapping[int, int | None]) -> bool:
        """Say how brown each of some nuclei is, one step of undo; see `set_stain`."""
        return self._on(
            levels,
            lambda labels, chosen: verbs.set_stain(labels, {id_: levels[id_] for id_ in chosen}),
        )

    def review(self, ids: Iterable[int], verb: str = "review") -> bool:
        """Accept nuclei as looked at; 0 is a new one in hand.

        An outline that is still on its way, from a click before, arrives as accepted.

        Parameters
        ----------
        verb : of the edit
        """
        chosen, draft = set(ids), self.hand.draft
        coming = [each for each in self.hand.waiting.values() if each.nucleus_id != NEW]
        if draft is not None and (draft.nucleus_id == NEW or not draft.answered):
            coming.append(draft)
        self._accepted |= {each.generation for each in coming if each.nucleus_id in chosen}
        return self._on(
            sorted(chosen),
            lambda labels, each: verbs.set_status(labels, each, Status.REVIEWED, verb),
        )

    def split(
        self, nucleus_id: int, start_yx: tuple[float, float], end_yx: tuple[float, float]
    ) -> bool:
        """Cut a nucleus along a line, px of the tile."""
        return self._on(
            [nucleus_id],
            lambda labels, chosen: verbs.split_by_line(labels, chosen[0], start_yx, end_yx),
        )

    def split_at(self, nucleus_id: int, points_yx: Sequence[tuple[float, float]]) -> bool:
        """Divide a nucleus among points, each pixel to the point it is nearest to."""
        return self._on(
            [nucleus_id],
            lambda labels, chosen: verbs.split_by_points(labels, chosen[0], points_yx),
        )

    def adopt(self, drawn: Segmentation, *, beside: bool = False) -> bool:
        """Take over nuclei drawn elsewhere, with class, score and status: one step of undo.

        Parameters
        ----------
        drawn : of this tile. A class that is not known here is added; a nucleus without status
            counts as drawn by a person
        beside : the nuclei there are stay, see `verbs.adopt`

        Raises
        ------
        LabelsError
            Labels of another size, or ids out of range.
        """
        self.hand.keep()
        adoption = self.make_adoption(drawn, beside=beside)
        return self.adopt_ready(adoption) and adoption.ready is not None

    def make_adoption(self, drawn: Segmentation, *, beside: bool = False) -> Adoption:
        """Find what `adopt` would do now; nothing changes, and any thread may ask."""
        return make_adoption(self.labels, self.classes, drawn, beside=beside)

    def adopt_ready(self, adoption: Adoption) -> bool:
        """Do what was found, one step of undo; False where the session has changed since.

        What is in hand is kept first, which may be such a change.
        """
        self.hand.keep()
        if not self.labels.is_at(adoption.moment) or self.classes != adoption.known:
            return False
        if adoption.ready is not None:
            return self.steps.do_ready(adoption.ready, adoption.classes)
        if adoption.classes != self.classes:
            self.classes = adoption.classes
        return True

    def paint(self, box_yxyx: tuple[int, int, int, int], after: npt.NDArray[np.int32]) -> bool:
        """Take over what a brush left in a crop of the tile; False where nothing has changed.

        Parameters
        ----------
        box_yxyx : half-open px of the tile
        after : (h, w) ids, of the box's size; 0 background
        """
        return self.do(verbs.paint(self.labels, box_yxyx, after))

    def _on(self, ids: Iterable[int], make: Callable[[LabelMap, list[int]], Edit | None]) -> bool:
        """Make final what is in hand, so that a verb acts on what is seen, then apply the verb."""
        wanted = list(ids)
        self.hand.keep()
        chosen = [id_ for id_ in wanted if self.labels.area(id_)]
        return bool(chosen) and self.do(make(self.labels, chosen))

    def _finish(self, draft: Draft) -> None:
        """Turn an answered draft into an edit; the model may have found no pixel at all."""
        accepted = draft.generation in self._accepted
        self._accepted.discard(draft.generation)
        if draft.answer is None or draft.answer.mask.area == 0:
            return
        mask, status = draft.answer.mask, Status.REVIEWED if accepted else Status.EDITED
        if draft.nucleus_id == NEW:
            self.do(verbs.add_nucleus(self.labels, mask, self.current_class, status))
        elif self.labels.area(draft.nucleus_id):  # it may have been deleted meanwhile
            self.do(verbs.refine(self.labels, draft.nucleus_id, mask, status))

    def select(self, ids: Iterable[int]) -> None:
        """Choose visible nuclei together; an empty choice ends it."""
        chosen = frozenset(id_ for id_ in ids if self.labels.area(id_))
        if chosen != self._selection:
            self._selection = chosen
            self.selection_changed.emit(chosen)

    # -- classes ----------------------------------------------------------------------------

    def add_class(self, name: str) -> None:
        """Add a class at the end, one step of undo; LabelsError where there is one of that name."""
        self.steps.do_classes(
            self.classes.with_added(name), verbs.reclass(self.labels, {}, "add class")
        )

    def join_classes(self, other: ClassPalette) -> None:
        """Add the classes of another palette that are new here, one step of undo."""
        self._revise("add classes", self.classes.joined(other))

    def rename_class(self, class_id: int, name: str) -> None:
        """Call a class something else, one step of undo; LabelsError as `add_class`."""
        self._revise("rename class", self.classes.renamed(class_id, name))

    def recolour_class(self, class_id: int, colour: str) -> None:
        """Give a class another colour, ``#rrggbb``, one step of undo."""
        self._revise("colour of class", self.classes.recoloured(class_id, colour))

    def move_class(self, class_id: int, place: int) -> None:
        """Put a class at another place in the list, one step of undo; nuclei keep theirs."""
        order = list(range(len(self.classes)))
        order.insert(place, order.pop(class_id))
        self._revise(
            "move class",
            self.classes.moved(class_id, place),
            {was: now for now, was in enumerate(order) if was != now},
        )

    def remove_class(self, class_id: int, into: int) -> None:
        """Remove a class and give its nuclei another, one step of undo.

        Parameters
        ----------
        class_id, into : ids as they are before

        Raises
        ------
        LabelsError
            It is the only one, or both are the same.
        """
        if class_id == into:
            raise LabelsError(
                f"nuclei of {self.classes.name_of(class_id)} need another class than that, which "
                "is removed; choose one"
            )
        after = {old: old - (old > class_id) for old in range(len(self.classes))}
        after[class_id] = after[into]
        became = {was: now for was, now in after.items() if was != now}
        self._revise("remove class", self.classes.without(class_id), became)

    def _revise(
        self, verb: str, palette: ClassPalette, became: Mapping[int, int] | None = None
    ) -> None:
        self.hand.keep()
        if palette != self.classes:
            ids = {k: (became or {}).get(k, k) for k in range(len(self.classes))}
            self.became = {self.classes.name_of(k): palette.name_of(ids[k]) for k in ids}
            try:
                self.steps.do_classes(palette, verbs.reclass(self.labels, became or {}, verb))
            finally:
                self.became = {}

    def _on_classes(self, palette: ClassPalette) -> None:
        self.derived = {}  # their class ids may be other classes now
        names, current = palette.names, self._current_class
        moved = self._current_name in names  # else it was renamed or removed
        self.current_class = (
            names.index(self._current_name) if moved else min(current, len(palette) - 1)
        )
        self.classes_changed.emit(palette)

    # -- automatic outlines -----------------------------------------------------------------

    def begin_automatic(self) -> None:
        """Start a run of the model, one step of undo; what an earlier run left untouched goes."""
        self.steps.begin_run()
        self.steps.do_run([verbs.delete_automatic(self.labels)])

    def add_automatic(
        self, masks: Sequence[InstanceMask], boxes_yxyx: Sequence[Box | None]
    ) -> bool:
        """Add what the model found, on pixels that no nucleus has; the filter applies at once.

        Parameters
        ----------
        masks : best score first, so that adding them in parts gives what adding them at once does
        boxes_yxyx : the detector's box of each, half-open px of the tile
        """
        first, shown = self.labels.next_id, self.steps.filter
        edit = verbs.add_automatic(
            self.labels, masks, boxes_yxyx, shown.threshold, shown.min_area_px
        )
        if edit is None:
            return False
        found = enumerate(masks, start=first)
        self.candidates |= {id_: mask for id_, mask in found if id_ in edit.ids}
        return self.steps.do_run([edit])

    def set_filter(self, threshold: float, min_area_px: int) -> None:
        """Show automatic nuclei from a score and area on; edited and reviewed ones stay."""
        wanted = Filter(threshold, min_area_px)
        if wanted != self.steps.filter:
            self.steps.do_filter(wanted, self._filtered(wanted))

    def _filtered(self, wanted: Filter) -> Edit | None:
        return verbs.set_filter(self.labels, self.candidates, wanted.threshold, wanted.min_area_px)

    # -- undo -------------------------------------------------------------------------------

    def undo(self) -> bool:
        """Take back the last click of the nucleus in hand, else the last step.

        That a nucleus was taken in hand, by the review for example, is nothing to be taken back:
        it stays there, as the last step has left it. Without any step it is let go of.
        """
        draft = self.hand.draft
        if draft is None:
            return self.steps.undo()
        if draft.is_changed or draft.nucleus_id == NEW:
            self.hand.step_back()
            return True
        self.hand.drop()
        if self.steps.undo() and self.labels.area(draft.nucleus_id):
            self.hand.pick(draft.nucleus_id)
        return True

    def redo(self) -> bool:
        """Do again what was taken back last; what is in hand is dropped."""
        self.hand.drop()
        return self.steps.redo()

    def _end_selection(self, draft: Draft | None) -> None:
        if draft is not None:
            self.select(())

    def _follow(self, edit: Edit) -> None:
        self.queue.update(edit.ids)
        self.select(self._selection)
