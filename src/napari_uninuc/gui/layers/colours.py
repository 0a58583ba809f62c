"""Colours of nuclei by class, status, score or staining, cheap at any number of nuclei.

napari's own direct colormap is a dictionary of all ids. Changing one colour means building the
dictionary and drawing the whole picture anew, and without numba it refuses ids above 65,536.
Here one table of about a hundred colours never changes, and an array says which of them each
id has.
"""

import math
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any

import numpy as np
import numpy.typing as npt
from napari.utils.colormaps import DirectLabelColormap, ensure_colormap

from napari_uninuc.core.classes import ClassPalette
from napari_uninuc.core.edits import Edit
from napari_uninuc.core.labels import LabelMap
from napari_uninuc.core.nuclei import Nucleus, Status

__all__ = [
    "STAIN_COLOURS",
    "STATUS_COLOURS",
    "ColourBy",
    "NucleusColormap",
    "NucleusColours",
    "class_colormap",
]


class ColourBy(StrEnum):
    """What the colour of a nucleus tells."""

    CLASS = "class"
    STATUS = "status"
    SCORE = "score"
    STAINING = "staining"


STATUS_COLOURS = {
    Status.AUTOMATIC: "#e6ff80",
    Status.EDITED: "#ff8066",
    Status.REVIEWED: "#ccffb3",
}
"""Apart from each other and from those of classes in any kind of vision, see `core.classes`."""

_CLASSES = 64  # more classes share these colours in turn
_STEPS = 32  # of the score
_FIRST_STATUS = 1 + _CLASSES
_UNKNOWN_SCORE = _FIRST_STATUS + len(STATUS_COLOURS)
_FIRST_SCORE = _UNKNOWN_SCORE + 1
_UNKNOWN_SCORE_COLOUR = "#b0b0b0"
STAIN_COLOURS = ("#4a6fc0", "#f5dc8c", "#c4802f", "#6b3a12")
"""Of nuclei that are not brown, 1+, 2+ and 3+; apart as those of statuses are."""
_FIRST_STAIN = _FIRST_SCORE + _STEPS
_FEW = 16  # nuclei coloured one by one: quicker than arrays
_NEAR = 2**22
"""Ids below have a place each in the array of slots, 4 MB at most; those above are looked up."""


def _slot(row: Nucleus, by: ColourBy) -> int:
    """Return which colour of the table a nucleus has."""
    if by is ColourBy.CLASS:
        return 1 + row.class_id % _CLASSES
    if by is ColourBy.STATUS:
        return _FIRST_STATUS + list(STATUS_COLOURS).index(
            Status.AUTOMATIC if row.status is Status.HIDDEN else row.status
        )
    if by is ColourBy.STAINING:
        return _UNKNOWN_SCORE if row.stain_said is None else _FIRST_STAIN + row.stain_said
    if math.isnan(row.score):
        return _UNKNOWN_SCORE
    return _FIRST_SCORE + min(max(int(row.score * _STEPS), 0), _STEPS - 1)


class NucleusColormap(DirectLabelColormap):
    """A label colormap that looks each id up in an array of slots.

    `color_dict` holds the colour of every *slot*, not of every id: 0 is the background, None
    what an id without a slot gets. napari asks a label colormap for two things, `map` and
    `_data_to_texture`; both are answered from the array.
    """

    _slots: Any = None
    _far_ids: Any = None
    _far_slots: Any = None
    _texture: Any = None
    _rgba: Any = None

    def model_post_init(self, context: Any, /) -> None:
        """Prepare the tables; called by pydantic."""
        super().model_post_init(context)
        count = 1 + max(slot for slot in self.color_dict if slot is not None)
        known, _ = self._values_mapping_to_minimum_values_set(apply_selection=False)
        dtype = np.uint8 if len(self.color_dict) < 250 else np.uint16
        self._texture = np.array([known[slot] for slot in range(count)], dtype=dtype)
        self._rgba = np.stack([self.color_dict[slot] for slot in range(count)]).astype(np.float32)
        # The last place is for every id that has none: a new nucleus looks like class 0.
        self._slots = np.array([0, 1], dtype=np.uint8)
        self._far_ids, self._far_slots = np.empty(0, np.int64), np.empty(0, np.uint8)

    def packed(self) -> npt.NDArray[np.int64]:
        """(slots,) colours as numbers, red x 65536 + green x 256 + blue."""
        rgb = np.rint(255 * self._rgba[:, :3]).astype(np.int64)
        packed: npt.NDArray[np.int64] = rgb @ np.array([65536, 256, 1])
        return packed

    def slot_of(self, id_: int) -> int:
        """Slot of an id."""
        return int(self.slots_of(np.array([id_]))[0])

    def set_slot(self, id_: int, slot: int) -> bool:
        """Give an id a slot; True if it had another. Pixels on screen are not redrawn."""
        if self.slot_of(id_) == slot:
            return False
        if id_ < _NEAR:
            self._grow(id_)
            self._slots[id_] = slot
        else:
            self.set_slots(np.array([id_]), np.array([slot]))
        return True

    def set_slots(self, ids: npt.NDArray[np.integer[Any]], slots: npt.NDArray[Any]) -> None:
        """Give many ids, (N,) integers, their slots, (N,)."""
        near = ids < _NEAR
        self._grow(int(ids[near].max(initial=0)))
        self._slots[ids[near]] = slots[near]
        if not near.all():
            known = dict(zip(self._far_ids.tolist(), self._far_slots.tolist(), strict=True))
            known |= dict(zip(ids[~near].tolist(), slots[~near].tolist(), strict=True))
            self._far_ids = np.array(sorted(known), dtype=np.int64)
            self._far_slots = np.array([known[id_] for id_ in sorted(known)], dtype=np.uint8)

    def _grow(self, id_: int) -> None:
        if id_ + 2 > len(self._slots):
            grown = np.ones(max(2 * len(self._slots), id_ + 2), dtype=np.uint8)
            grown[: len(self._slots)] = self._slots
            self._slots = grown

    def map(self, values: Any) -> npt.NDArray[np.float32]:
        """Return RGBA in 0..1 for one id, (4,), or for ids of any shape, (..., 4) float32."""
        found: npt.NDArray[np.float32] = self._rgba[self.slots_of(np.asarray(values))]
        if self.use_selection:
            found = found * (np.asarray(values) == self.selection)[..., None]
        return found

    def _data_to_texture(self, values: Any) -> Any:
        array = np.asarray(values)
        if self.use_selection:
            found = (array == self.selection).astype(self._texture.dtype)
        else:
            found = self._texture[self.slots_of(array)]
        return found if isinstance(values, np.ndarray) else found[()]

    def slots_of(self, ids: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
        """Slots of ids of any shape: the same shape, uint8."""
        slots: npt.NDArray[np.uint8] = self._slots.take(ids, mode="clip")
        if len(self._far_ids) and ids.size and ids.max() >= _NEAR:
            far = ids >= _NEAR
            places = np.searchsorted(self._far_ids, ids[far]).clip(max=len(self._far_ids) - 1)
            known = self._far_ids[places] == ids[far]
            slots = np.array(slots)
            slots[far] = np.where(known, self._far_slots[places], 1)
        return slots


def class_colormap(
    palette: ClassPalette, ids: npt.NDArray[np.integer[Any]], class_ids: npt.NDArray[Any]
) -> NucleusColormap:
    """Colour nuclei by class, whatever their ids and however many.

    Parameters
    ----------
    palette : colours of the classes
    ids, class_ids : (n,) of the nuclei, and what they are
    """
    made = _make_colormap(palette)
    made.set_slots(ids, 1 + class_ids % _CLASSES)
    return made


def _make_colormap(palette: ClassPalette) -> NucleusColormap:
    """Make the table of all colours: classes, statuses, scores and staining.

    Parameters
    ----------
    palette : its colours, and those it will give to classes added later
    """
    colours: dict[int | None, Any] = {0: "transparent"}
    for class_id in range(_CLASSES):
        colours[1 + class_id] = palette.colour_of(class_id)
    for place, colour in enumerate(STATUS_COLOURS.values()):
        colours[_FIRST_STATUS + place] = colour
    colours[_UNKNOWN_SCORE] = _UNKNOWN_SCORE_COLOUR
    ramp = ensure_colormap("viridis").map(np.linspace(0.15, 1, _STEPS))
    for step in range(_STEPS):
        colours[_FIRST_SCORE + step] = ramp[step]
    for level, colour in enumerate(STAIN_COLOURS):
        colours[_FIRST_STAIN + level] = colour
    return NucleusColormap(color_dict={**colours, None: colours[1]})


class NucleusColours:
    """Keeps the colormap of one label map in step with classes, statuses and scores.

    Parameters
    ----------
    labels : whose nuclei
    palette : colours of classes

    Attributes
    ----------
    colormap : for a labels layer of int32 ids
    """

    def __init__(self, labels: LabelMap, palette: ClassPalette):
        self._labels = labels
        self._by = ColourBy.CLASS
        self._derived: Mapping[int, tuple[int, float]] = {}
        self._staining: Mapping[int, int] = {}
        self.colormap = _make_colormap(palette)
        self._packed = self.colormap.packed()
        self.by = ColourBy.CLASS

    @property
    def by(self) -> ColourBy:
        """What the colour tells."""
        return self._by

    @by.setter
    def by(self, by: ColourBy) -> None:
        self._by = by
        rows = self._labels.nuclei
        ids = np.fromiter(rows, np.int64, len(rows))
        slots = np.fromiter(map(self._slot, rows.values()), np.uint8, len(rows))
        self.colormap.set_slots(ids, slots)

    def take_derived(self, derived: Mapping[int, tuple[int, float]]) -> None:
        """Take classes that lie over those in the rows, see `AnnotationSession.derived`."""
        self._derived = derived
        self.by = self._by

    def take_staining(self, staining: Mapping[int, int]) -> None:
        """Take how brown nuclei were measured to be, see `AnnotationSession.staining`."""
        self._staining = staining
        self.by = self._by

    def _slot(self, row: Nucleus) -> int:
        if self._by is ColourBy.STAINING and row.stain_said is None and row.id in self._staining:
            return _FIRST_STAIN + self._staining[row.id]
        if self._by is ColourBy.CLASS and not row.class_said and row.id in self._derived:
            return 1 + self._derived[row.id][0] % _CLASSES
        return _slot(row, self._by)

    def packed(self, ids: Sequence[int]) -> list[int]:
        """The colour of each nucleus as one number, see `stroke_visual.vertices`."""
        packed = self._packed[self.colormap.slots_of(np.asarray(ids, np.int64))]
        return [int(colour) for colour in packed.tolist()]

    def packed_score(self, id_: int) -> int:
        """The colour of its score, whatever colours tell now."""
        return int(self._packed[_slot(self._labels.nuclei[id_], ColourBy.SCORE)])

    def take_palette(self, palette: ClassPalette) -> bool:
        """Take other colours of classes; True where the colormap is a new one now."""
        made = _make_colormap(palette)
        if all(
            np.array_equal(made.color_dict[slot], self.colormap.color_dict[slot])
            for slot in made.color_dict
        ):
            return False
        self.colormap = made
        self._packed = made.packed()
        self.by = self._by
        return True

    def follow(self, edit: Edit) -> list[int]:
        """Take over the colours of an edit's nuclei.

        Returns
        -------
        ids : of nuclei that were visible before and after and look different now
        """
        rows = {id_: row for id_, row in edit.rows_after.items() if row is not None}
        if len(rows) > _FEW:
            ids = np.fromiter(rows, np.int64, len(rows))
            slots = np.fromiter(map(self._slot, rows.values()), np.uint8)
            changed = ids[self.colormap.slots_of(ids) != slots].tolist()
            self.colormap.set_slots(ids, slots)
        else:
            changed = [
                id_ for id_, row in rows.items() if self.colormap.set_slot(id_, self._slot(row))
            ]
        return [id_ for id_ in changed if rows[id_].visible and _was_visible(edit, id_)]


def _was_visible(edit: Edit, id_: int) -> bool:
    before = edit.rows_before[id_]
    return before is not None and before.visible
