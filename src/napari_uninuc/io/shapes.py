"""Outlines of any file onto one label image: what readers of outlines share.

A format says how it lists its shapes (`Shape`) and where its outlines run (`Through`); the rest
is the same for all: filling, ids, classes, what is told of what was left out.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Literal

from napari_uninuc.errors import LabelsError
from napari_uninuc.io.filling import Crop, fill_polygon, fill_polygons, fill_traced
from napari_uninuc.io.painting import Painted, Painting
from napari_uninuc.io.stated import DEFAULT_CLASS, checked_score, checked_status, counted
from napari_uninuc.io.stored import StoredSegmentation

__all__ = ["Header", "Shape", "Through", "fill_rings", "paint_shapes", "require_size"]

_AT_ONCE = 256  # shapes

Through = Literal["corners", "centres"]
"""Where outlines run: around pixels, whose corners are whole numbers, or through the centres of
the outermost ones, which are whole numbers then."""


@dataclass(frozen=True, slots=True, eq=False)
class Shape:
    """One shape of a file, as stated there.

    Attributes
    ----------
    polygons_xy : one for each piece: its outer ring, then its holes, each (k, 2) x, y in px. An
        empty one is what encloses no area
    stated_id : None where the file gives none
    class_name : as of `clean_name`; "" where the file gives none
    score, status : as stated; None is unknown
    colour : ``#rrggbb`` of the class
    left_out : what it is where it is no nucleus ("point"); else empty
    """

    polygons_xy: Sequence[Sequence[Any]] = ()
    stated_id: object = None
    class_name: str = ""
    score: object = None
    status: object = None
    colour: str | None = None
    left_out: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Header:
    """What a file of outlines says besides.

    Attributes
    ----------
    shape : (H, W) px of the picture; None where the file does not say
    mpp : micrometres per px; None where the file does not say
    origin_yx_slide : first pixel on the slide, px; None where the file does not say
    classes : name and ``#rrggbb`` (or None) of each class that is known beforehand
    """

    shape: tuple[int, int] | None = None
    mpp: float | None = None
    origin_yx_slide: tuple[int, int] | None = None
    classes: Sequence[tuple[str, str | None]] = ()


def require_size(stated: tuple[int, int] | None, wanted: tuple[int, int] | None) -> tuple[int, int]:
    """Take the size (H, W) that a file states or the one that is wanted; they must not differ.

    Raises
    ------
    LabelsError
        They differ, or neither is known.
    """
    found = wanted if stated is None else stated
    if found is None:
        raise LabelsError(
            "the file does not say how large the picture is; name the picture (--like IMAGE) or "
            "its shape"
        )
    if wanted is not None and tuple(found) != tuple(wanted):
        raise LabelsError(
            f"expected nuclei of a picture of {wanted[0]} x {wanted[1]} px, got those of one of "
            f"{found[0]} x {found[1]}; name the right picture"
        )
    return found[0], found[1]


def paint_shapes(
    path: Path,
    shapes: Iterable[Shape],
    shape: tuple[int, int] | None,
    origin_yx: tuple[int, int] | None = None,
    *,
    through: Through = "corners",
    header: Header | None = None,
    in_slide_px: bool = True,
) -> StoredSegmentation:
    """Rasterise shapes, the later ones on top.

    Parameters
    ----------
    path : of the file, for errors
    shapes : made while they are painted, so that a file needs never be held whole
    shape : (H, W) of the picture, px; None takes the file's
    origin_yx : where the picture's first pixel lies on the slide, px; None takes the file's,
        else (0, 0)
    through : where the outlines run
    header : what the file says besides
    in_slide_px : points count from the slide's first pixel, not from the picture's

    Returns
    -------
    stored : ids as stated where they can be ids of a label image. Its notice counts what was
        left out or renumbered

    Raises
    ------
    LabelsError
        No size known, no shape with an area (an empty file that states the picture's size is one
        of no nuclei), bad coordinates or scores, or too much of anything
        (`filling` and `painting` name limits).
    """
    said = header or Header()
    try:
        size = require_size(said.shape, shape)
        origin = origin_yx or said.origin_yx_slide or (0, 0)
        painting, left_out = Painting(size), Counter[str]()
        for name, colour in said.classes:
            painting.know_class(name, colour)
        first = origin if in_slide_px else (0, 0)
        for each, crops in _filled(shapes, size, first, through, left_out):
            painting.add(
                crops,
                each.stated_id,
                each.class_name or DEFAULT_CLASS,
                checked_score(each.score),
                checked_status(each.status),
                colour=each.colour if each.class_name else None,
            )
        if not painting.shapes and (left_out or said.shape is None):  # else the file says none
            found = ", ".join(f"{what} ({n})" for what, n in left_out.items()) or "none"
            raise LabelsError(f"expected outlines of nuclei, got {found}; export the nuclei")
        painted = painting.finish()
    except LabelsError as problem:
        text = str(problem)
        raise LabelsError(text if text.startswith(str(path)) else f"{path}: {text}") from None
    return StoredSegmentation(painted.segmentation, said.mpp, origin, _notice(painted, left_out))


def _filled(
    shapes: Iterable[Shape],
    size: tuple[int, int],
    first_yx: tuple[int, int],
    through: Through,
    left_out: Counter[str],
) -> Iterator[tuple[Shape, list[Crop]]]:
    """Fill what may be nuclei, some hundreds at a time; all else is counted."""
    waiting = iter(shapes)
    while some := list(islice(waiting, _AT_ONCE)):
        kept = [each for each in some if each.polygons_xy and not each.left_out]
        left_out.update(
            each.left_out or "shape without area"
            for each in some
            if each.left_out or not each.polygons_xy
        )
        polygons = [rings for each in kept for rings in each.polygons_xy]
        crops: Iterator[Crop | None]
        if through == "centres":
            crops = (fill_traced(rings[0], size, first_yx) for rings in polygons)
        else:
            crops = fill_polygons(polygons, size, first_yx)
        for each in kept:
            found = list(islice(crops, len(each.polygons_xy)))
            yield each, [crop for crop in found if crop is not None]


def fill_rings(
    rings_xy: Sequence[Any],
    shape: tuple[int, int],
    origin_yx: tuple[int, int] = (0, 0),
    through: Through = "corners",
) -> Crop | None:
    """Fill one polygon as `fill_polygon`, or its outer ring as `fill_traced`."""
    if through == "centres":
        return fill_traced(rings_xy[0], shape, origin_yx)
    return fill_polygon(rings_xy, shape, origin_yx)


def _notice(painted: Painted, left_out: Counter[str]) -> str:
    said = []
    if left_out:
        listed = ", ".join(f"{what} ({n})" for what, n in left_out.items())
        said.append(f"left out what is no nucleus: {listed}")
    if painted.renumbered:
        said.append(
            f"new ids for {counted(painted.renumbered, 'object')} whose id was taken or is none"
        )
    return "; ".join(said)
