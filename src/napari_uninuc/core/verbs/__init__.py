"""The verbs: pure functions that make the edit of one gesture, or None when nothing would change.

No verb changes a nucleus that it was not asked to change, save `paint`, which repeats what a
brush has done. A nucleus that falls into pieces keeps them all. Nothing is applied here.
"""

from napari_uninuc.core.verbs.adopt import adopt
from napari_uninuc.core.verbs.automatic import add_automatic, delete_automatic, set_filter
from napari_uninuc.core.verbs.nucleus import (
    add_nucleus,
    delete,
    paint,
    reclass,
    refine,
    set_class,
    set_stain,
    set_status,
)
from napari_uninuc.core.verbs.shape import (
    fill_holes,
    merge,
    smooth,
    split_by_line,
    split_by_points,
)

__all__ = [
    "add_automatic",
    "add_nucleus",
    "adopt",
    "delete",
    "delete_automatic",
    "fill_holes",
    "merge",
    "paint",
    "reclass",
    "refine",
    "set_class",
    "set_filter",
    "set_stain",
    "set_status",
    "smooth",
    "split_by_line",
    "split_by_points",
]
