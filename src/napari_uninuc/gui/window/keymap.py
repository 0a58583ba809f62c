"""The one table of keys and of what the mouse does; `keyboard` makes it work."""

from dataclasses import dataclass
from enum import IntEnum

from qtpy.QtGui import QKeySequence

__all__ = [
    "CLASS_KEYS",
    "HABITS",
    "KEYS",
    "MOUSE",
    "Key",
    "Reach",
    "button_text",
    "key_of",
]


class Reach(IntEnum):
    """How far our keys reach; those of one step work in all that follow, too."""

    NONE = 0
    """There is nothing to work at: all keys are napari's."""
    BACK = 1
    """Our tool is put away, or one of napari's is in use: only what leads back is ours."""
    BRUSH = 2
    """A tool of napari's is in use on the nuclei."""
    ALL = 3
    """Our tool is in hand."""


@dataclass(frozen=True, slots=True)
class Key:
    """One row of the table.

    Attributes
    ----------
    action : what handlers are found by
    keys : Qt key sequences, the first is the one shown
    words : what the button says
    tooltip : what the person correcting would want to know
    covers : napari's own key of that name that is covered while the tool is armed; empty if none
    repeats : holding the key down does it again
    reach : from which on it works
    held : the action ends when the key is let go of
    """

    action: str
    keys: tuple[str, ...]
    words: str
    tooltip: str
    covers: str = ""
    repeats: bool = False
    reach: Reach = Reach.ALL
    held: bool = False

    @property
    def is_letter(self) -> bool:
        """Whether it means nothing to a field that takes numbers."""
        return all(keys[-1].isalpha() or keys[-1] in "?/" for keys in self.keys) and all(
            keys.removeprefix("Shift+")[1:] == "" for keys in self.keys
        )

    @property
    def shown(self) -> str:
        """The key as printed on the keyboard of this machine."""
        return QKeySequence(self.keys[0]).toString(QKeySequence.SequenceFormat.NativeText)


CLASS_KEYS = tuple(
    Key(
        f"class_{digit}",
        (str(digit),),
        f"Class {digit}",
        f"Give class {digit} to the nucleus in hand, all selected, or the one under the cursor.",
        "modes of the active layer; its buttons still work" if digit < 8 else "",
    )
    for digit in range(1, 10)
)

KEYS: tuple[Key, ...] = (
    Key(
        "fix",
        ("F",),
        "Fix or add",
        "Click a nucleus to take it in hand, click beside it to add what is missing, right-click "
        "what does not belong. Click an empty place, or drag a box, to add a nucleus.",
        "fill bucket of a labels layer, in its own modes too, and to the front of a shapes layer; "
        "their buttons still work",
        reach=Reach.BACK,
    ),
    Key(
        "lasso",
        ("L",),
        "Lasso",
        "Drag a line around nuclei to select them; then delete them or give them a class. "
        "With Shift, they are added to those selected.",
        "label picker of a labels layer; its button still works",
    ),
    Key(
        "split",
        ("T",),
        "Split",
        "Click the two parts of a nucleus, one after the other, or drag a line across it: it is "
        "cut between the two, or along the line.",
        "path tool of a shapes layer; its button still works",
    ),
    Key(
        "merge",
        ("M",),
        "Merge",
        "Drag from one nucleus to another to make them one. Alt+click neighbours to merge several.",
        "new label of a labels layer; its button still works",
    ),
    Key("keep", ("Return", "Enter"), "Keep", "Keep the outline in hand as it is now."),
    Key("drop", ("Esc",), "Drop", "Drop the outline in hand: the nucleus is as it was before."),
    Key(
        "delete",
        ("Delete", "Backspace"),
        "Delete",
        "Delete the nucleus in hand, all selected, or the one under the cursor.",
        "delete of points, shapes and, in the layer list, layers; Ctrl+Delete still deletes layers",
    ),
    Key(
        "accept",
        ("A",),
        "Accept, go on",
        "Mark the nucleus as reviewed and go to the next one in the queue.",
        "select all of a points or shapes layer",
    ),
    Key("next", ("N",), "Next", "Go to the next nucleus that needs a look.", repeats=True),
    Key(
        "ask",
        ("J",),
        "Ask",
        "Go to the nucleus whose class would teach most; then press the digit of its class.",
    ),
    Key(
        "alike",
        ("K",),
        "All like this",
        "Find all nuclei like the examples of one class: point at one of them. They are selected; "
        "its digit gives them the class.",
    ),
    Key(
        "not_alike",
        ("Shift+K",),
        "None like that",
        "Point at a nucleus that is not meant: it and those like it are proposed no more.",
    ),
    Key(
        "positive",
        ("D",),
        "Brown",
        "Say that the nucleus is brown (positive), whatever is measured; again takes it back.",
        "direct selection of a shapes layer; its button still works",
    ),
    Key(
        "negative",
        ("Shift+D",),
        "Not brown",
        "Say that the nucleus is not brown (negative), whatever is measured; again takes it back.",
    ),
    Key("previous", ("Shift+N",), "Previous", "Go back to the nucleus before.", repeats=True),
    Key(
        "take_first",
        ("U",),
        "First",
        "Settle the disagreement as the first of the two readers has it, and go on.",
    ),
    Key(
        "take_second",
        ("I",),
        "Second",
        "Settle the disagreement as the second of the two readers has it, and go on.",
        "inserting of points of a shapes layer; its button still works",
    ),
    Key(
        "take_anew",
        ("W",),
        "As it is now",
        "Settle the disagreement as you have outlined it yourself, and go on.",
    ),
    Key("fill_holes", ("H",), "Fill holes", "Fill the holes of the nucleus in hand or selected."),
    Key(
        "smooth",
        ("O",),
        "Smooth",
        "Smooth the edge of the nucleus in hand or selected; neighbours stay as they are.",
    ),
    Key(
        "brush",
        ("B",),
        "Brush",
        "Paint by hand with napari's brush: it extends the nucleus in hand, or begins a new one. "
        "Neighbours stay as they are.",
        "preserving of labels of a labels layer, and to the back of a shapes layer; their buttons "
        "still work",
        reach=Reach.BRUSH,
    ),
    Key(
        "erase",
        ("E",),
        "Erase",
        "Erase by hand with napari's eraser: only the nucleus in hand shrinks, or, with none in "
        "hand, whatever is erased.",
        "eraser of a labels layer, and ellipse of a shapes layer; their buttons still work",
        reach=Reach.BRUSH,
    ),
    Key(
        "hide",
        ("Q",),
        "Hide while held",
        "Hold it down to see the picture without outlines.",
        reach=Reach.BACK,
        held=True,
    ),
    Key(
        "boxes",
        ("X",),
        "Boxes",
        "Show or hide the boxes that the detector found, brighter where it was surer.",
        "swap of two labels of a labels layer, and removing of corners of a shapes layer",
    ),
    Key(
        "save_again",
        ("S",),
        "Save again",
        "Write the nuclei into the file they were saved in last.",
        "selecting of a points or shapes layer; its button still works",
        reach=Reach.BACK,
    ),
    Key(
        "undo",
        ("Ctrl+Z",),
        "Undo",
        "Take back the last change, whatever it was: a click, a brush stroke or all of a run.",
        "undo of a labels layer, which knows only of brush strokes",
        repeats=True,
        reach=Reach.BRUSH,
    ),
    Key(
        "redo",
        ("Ctrl+Shift+Z",),
        "Redo",
        "Do again what was taken back.",
        "redo of a labels layer, which knows only of brush strokes",
        repeats=True,
        reach=Reach.BRUSH,
    ),
    *CLASS_KEYS,
    Key(
        "region",
        ("R",),
        "Region",
        "Drag a rectangle on a slide, at any zoom: it becomes a region whose nuclei are outlined "
        "and corrected. Esc puts the tool away.",
        "rectangle tool of a shapes layer; its button still works",
    ),
    Key(
        "next_picture",
        ("PgDown",),
        "Next picture",
        "Go to the next picture of the folder; this one is kept as it is.",
        reach=Reach.BACK,
    ),
    Key(
        "previous_picture",
        ("PgUp",),
        "Previous picture",
        "Go to the picture of the folder before.",
        reach=Reach.BACK,
    ),
    Key("next_region", ("G",), "Next region", "Go to the next region of the slide."),
    Key("previous_region", ("Shift+G",), "Previous region", "Go to the region before."),
    Key(
        "panel",
        ("F6",),
        "To the panel",
        "Take the keyboard to the panel, and from there back to the picture.",
        reach=Reach.BACK,
    ),
    # Qt may or may not take Shift for used up by the sign, as the keyboard has it.
    Key(
        "keys",
        ("?", "Shift+?", "Shift+/"),
        "Keys",
        "Show or hide this list.",
        reach=Reach.BACK,
    ),
)

MOUSE: tuple[tuple[str, str], ...] = (
    ("Click", "a nucleus: take it in hand; an empty place: add a nucleus"),
    ("Click in or near the one in hand", "this belongs to it"),
    ("Right-click, or Alt+click", "this does not belong to it"),
    ("Shift+click", "this belongs to it, however far away"),
    ("Drag", "a box around a nucleus: outline it anew, or add it"),
    ("Space+drag, or middle button", "move the picture"),
    ("Wheel", "zoom"),
)
"""What the mouse does with the tool "Fix or add", for the list of keys."""

HABITS: tuple[tuple[str, str], ...] = (
    ("cellpose: Ctrl+click deletes", "point at the nucleus and press Delete"),
    ("cellpose: Alt+click merges", "Merge (M), then click one and Alt+click others"),
    ("cellpose: right-click draws", "click, and the model draws; Brush (B) draws by hand"),
    ("cellpose: A and D, pictures", "PgUp and PgDown in a folder"),
    ("QuPath: brush, Alt to take away", "Brush (B) and Erase (E), for the nucleus in hand"),
    ("QuPath: wand", "click where it should reach"),
    ("QuPath: class from a list", "digits 1 to 9"),
)
"""What people know from other programs, and how it is done here."""

_BY_ACTION = {key.action: key for key in KEYS}


def key_of(action: str) -> Key:
    """Look up a row of the table; KeyError for an action it does not have."""
    return _BY_ACTION[action]


def button_text(action: str) -> str:
    """Return what to print on a button, key included: ``Split (T)``."""
    key = _BY_ACTION[action]
    return f"{key.words} ({key.shown})"
