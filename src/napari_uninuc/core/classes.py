"""The classes a nucleus can be given: names and colours, in a fixed order."""

from dataclasses import dataclass, replace
from typing import Self

from napari_uninuc.errors import LabelsError

__all__ = ["ClassPalette", "NucleusClass"]

# Found by search: with the colours of statuses, of the selection and of the nucleus in hand, any
# two lie at least 25 apart in CIELAB, also as people with deuteranopia and protanopia see them
# (tests/gui/test_colours.py measures it).
_COLOURS = (
    "#ffff00",
    "#0099ff",
    "#e666b3",
    "#ff9900",
    "#8033ff",
    "#cc0000",
    "#ff8099",
    "#b300b3",
    "#b33366",
    "#800066",
)


@dataclass(frozen=True, slots=True)
class NucleusClass:
    """One class: its name, and its colour as ``#rrggbb``."""

    name: str
    colour: str


@dataclass(frozen=True, slots=True)
class ClassPalette:
    """Classes by class id, which is the place in the list, from 0.

    Where classes are moved or removed, nuclei get other class ids: see
    `AnnotationSession.move_class` and `remove_class`.

    Raises
    ------
    LabelsError
        No class, an empty name, or a name given twice.

    Examples
    --------
    >>> from napari_uninuc.core.classes import ClassPalette
    >>> palette = ClassPalette.of_names(["epithelial", "inflammatory"]).with_added("stroma")
    >>> palette.names, palette.colour_of(2)
    (('epithelial', 'inflammatory', 'stroma'), '#e666b3')
    """

    classes: tuple[NucleusClass, ...]

    def __post_init__(self) -> None:
        names = [each.name for each in self.classes]
        if not names or not all(name.strip() for name in names) or len(set(names)) != len(names):
            raise LabelsError(
                f"classes need different names that are not empty, got {names}; rename one"
            )

    @classmethod
    def of_names(cls, names: tuple[str, ...] | list[str]) -> Self:
        """Give each name the next colour of the palette."""
        return cls(tuple(NucleusClass(name, _colour(k)) for k, name in enumerate(names)))

    def __len__(self) -> int:
        return len(self.classes)

    @property
    def names(self) -> tuple[str, ...]:
        """Names by class id."""
        return tuple(each.name for each in self.classes)

    def name_of(self, class_id: int) -> str:
        """Name of a class; one unknown here is called by its number."""
        return self.names[class_id] if 0 <= class_id < len(self) else f"class {class_id}"

    def colour_of(self, class_id: int) -> str:
        """Colour ``#rrggbb`` of a class, known here or not."""
        return self.classes[class_id].colour if 0 <= class_id < len(self) else _colour(class_id)

    def with_added(self, name: str) -> Self:
        """Append a class, in the first colour that none has; where all are taken, in one again."""
        used = {each.colour for each in self.classes}
        left = [colour for colour in _COLOURS if colour not in used]
        colour = left[0] if left else _colour(len(self))
        return replace(self, classes=(*self.classes, NucleusClass(name.strip(), colour)))

    def alike(self) -> tuple[tuple[str, str], ...]:
        """Names of classes in the colour of an earlier one, which they are not told apart from.

        Returns
        -------
        pairs : the class, and the first of its colour
        """
        first: dict[str, str] = {}
        pairs = []
        for each in self.classes:
            earlier = first.setdefault(each.colour.lower(), each.name)
            if earlier != each.name:
                pairs.append((each.name, earlier))
        return tuple(pairs)

    def renamed(self, class_id: int, name: str) -> Self:
        """Call a class something else."""
        return self._with(class_id, replace(self.classes[class_id], name=name.strip()))

    def recoloured(self, class_id: int, colour: str) -> Self:
        """Give a class another colour, ``#rrggbb``."""
        return self._with(class_id, replace(self.classes[class_id], colour=colour))

    def moved(self, class_id: int, place: int) -> Self:
        """Put a class at another place in the list; those between make room."""
        others = [*self.classes[:class_id], *self.classes[class_id + 1 :]]
        others.insert(place, self.classes[class_id])
        return replace(self, classes=tuple(others))

    def without(self, class_id: int) -> Self:
        """Take a class out of the list."""
        return replace(self, classes=(*self.classes[:class_id], *self.classes[class_id + 1 :]))

    def _with(self, class_id: int, one: NucleusClass) -> Self:
        return replace(self, classes=(*self.classes[:class_id], one, *self.classes[class_id + 1 :]))

    def joined(self, other: "ClassPalette") -> Self:
        """Append the classes of another palette that this one has no name for, colours kept."""
        new = [each for each in other.classes if each.name not in self.names]
        return replace(self, classes=(*self.classes, *new)) if new else self


def _colour(class_id: int) -> str:
    return _COLOURS[class_id % len(_COLOURS)]
