"""One row of the table: what is known of a nucleus besides its pixels."""

import math
from dataclasses import dataclass
from enum import StrEnum

from napari_uninuc.errors import LabelsError

__all__ = ["MAX_ID", "Nucleus", "Status"]

MAX_ID = 2**31 - 1  # label images are int32


class Status(StrEnum):
    """Who answers for a nucleus."""

    AUTOMATIC = "automatic"  # the model's, untouched
    EDITED = "edited"  # drawn or changed by a person
    REVIEWED = "reviewed"  # looked at and accepted by a person
    HIDDEN = "hidden"  # automatic, below the filter: a row of the table but no pixels


@dataclass(frozen=True, slots=True, eq=False)
class Nucleus:
    """The table row of one nucleus. Equal when all fields are; two unknown numbers are equal.

    Attributes
    ----------
    id : its value in the label image, 1..`MAX_ID`
    class_id : from 0
    score : detector's confidence in [0, 1]; NaN when a person drew it
    predicted_iou : the mask decoder's own estimate of its IoU, in [0, 1]; NaN where unknown
    status : who answers for it
    detected_box_yxyx : the detector's box, half-open px of the tile, kept so that a review
        can compare it with the mask; None where no detector was asked
    class_said : a person has said the class; examples teach others, and nothing overrules them
    stain_said : how brown a person has called it, 0 to 3, whatever is measured; None where nobody

    Raises
    ------
    LabelsError
        An id, class or level of staining out of range, or a box that is not four numbers.
    """

    id: int
    class_id: int
    score: float
    predicted_iou: float
    status: Status
    detected_box_yxyx: tuple[float, float, float, float] | None = None
    class_said: bool = False
    stain_said: int | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.id <= MAX_ID:
            raise LabelsError(f"nucleus ids must be 1..{MAX_ID}, got {self.id}; relabel it")
        if self.class_id < 0:
            raise LabelsError(f"class ids must be 0 or above, got {self.class_id}; pick a class")
        if self.detected_box_yxyx is not None and len(self.detected_box_yxyx) != 4:
            raise LabelsError(
                f"a detected box must be y0, x0, y1, x1, got {self.detected_box_yxyx}; "
                "pass four numbers or None"
            )

        if self.stain_said is not None and not 0 <= self.stain_said <= 3:
            raise LabelsError(f"staining must be 0, 1, 2 or 3, got {self.stain_said}; choose one")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Nucleus) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def _key(self) -> tuple[object, ...]:
        """Every field, with None for NaN: an unknown score has not changed by being unknown."""
        return (
            self.id,
            self.class_id,
            None if math.isnan(self.score) else self.score,
            None if math.isnan(self.predicted_iou) else self.predicted_iou,
            self.status,
            self.detected_box_yxyx,
            self.class_said,
            self.stain_said,
        )

    @property
    def visible(self) -> bool:
        """Whether it has pixels."""
        return self.status is not Status.HIDDEN
