"""What a file states of one nucleus, made into values that can be trusted."""

import math
from typing import Any

from napari_uninuc.core.nuclei import MAX_ID, Status
from napari_uninuc.errors import LabelsError

__all__ = [
    "DEFAULT_CLASS",
    "checked_score",
    "checked_status",
    "clean_name",
    "counted",
    "known_id",
    "known_mpp",
]

DEFAULT_CLASS = "nucleus"

_LONGEST_NAME = 200
_STATUSES = frozenset(str(status) for status in Status if status is not Status.HIDDEN)


def clean_name(value: Any) -> str:
    """Read a class name: text that can be written again, at most `_LONGEST_NAME` characters.

    None and NaN, which tables have where nothing is said, are "".
    """
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    return str(value)[:_LONGEST_NAME].encode("utf-8", "replace").decode("utf-8").strip()


def known_id(value: Any) -> int:
    """Read an id, a whole number in 1..`MAX_ID` as number or text; 0 where it is none."""
    try:
        number = int(value)
        whole = number == float(value) and not isinstance(value, bool)
    except (TypeError, ValueError, OverflowError):
        return 0
    return number if whole and 1 <= number <= MAX_ID else 0


def checked_score(value: Any) -> float:
    """Read a score; None and "NaN" are unknown.

    Raises
    ------
    LabelsError
        Not a number in 0..1.
    """
    try:
        number = math.nan if value is None else float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.inf
    if math.isnan(number) or 0 <= number <= 1:
        return number
    raise LabelsError(f"scores must be numbers in 0..1, got {str(value)[:40]!r}; correct them")


def known_mpp(value: Any) -> float | None:
    """Read micrometres per px; None where it is no number that a microscope could have."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if 1e-3 <= value <= 1e3 else None


def checked_status(value: Any) -> str:
    """Read a status; what is none of ours is unknown, which is ""."""
    return str(value) if str(value) in _STATUSES else ""


def counted(count: int, what: str) -> str:
    """Say how many there are of something whose plural ends in s."""
    return f"{count} {what}" if count == 1 else f"{count} {what}s"
