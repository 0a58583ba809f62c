"""An edit made beforehand on a copy of the label map, so that making it for good is a copy only."""

from dataclasses import dataclass
from typing import Self

from napari_uninuc.core.edits import Edit
from napari_uninuc.core.labels import LabelMap
from napari_uninuc.core.packing import PackedEdit

__all__ = ["ReadyEdit"]


@dataclass(frozen=True, slots=True, eq=False)
class ReadyEdit:
    """An edit, checked, counted and packed; may be made in another thread than the map's.

    Attributes
    ----------
    edit : the edit
    moment : of the label map when the edit was made, see `LabelMap.is_at`
    ahead : a snapshot of the map, after the edit
    packed : the edit as the history keeps it
    """

    edit: Edit
    moment: object
    ahead: LabelMap
    packed: PackedEdit

    @classmethod
    def on(cls, snapshot: LabelMap, edit: Edit) -> Self:
        """Make an edit on a snapshot, which belongs to the result from now on.

        Raises
        ------
        LabelsError
            As of `LabelMap.apply`.
        """
        moment = snapshot.moment
        snapshot.apply(edit)
        return cls(edit, moment, snapshot, PackedEdit.of(edit))

    def fits(self, labels: LabelMap) -> bool:
        """Whether nothing was changed in the map since."""
        return labels.is_at(self.moment)
