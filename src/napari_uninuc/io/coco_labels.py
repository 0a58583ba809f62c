"""Label images out of COCO JSON, ours and others'."""

import os
from collections import Counter
from pathlib import Path
from typing import Any, NoReturn

from napari_uninuc.errors import LabelsError
from napari_uninuc.io.coco_pictures import chosen_picture, key_of, size_of
from napari_uninuc.io.colours import hex_of
from napari_uninuc.io.filling import MAX_COORDINATE, Crop, OversizedError
from napari_uninuc.io.json_stream import stream_json
from napari_uninuc.io.painting import Painted, Painting
from napari_uninuc.io.rle import crop_of_runs
from napari_uninuc.io.shapes import Through, fill_rings, require_size
from napari_uninuc.io.stated import (
    DEFAULT_CLASS,
    checked_score,
    checked_status,
    clean_name,
    counted,
    known_mpp,
)
from napari_uninuc.io.stored import StoredSegmentation

__all__ = ["is_coco", "read_coco"]

_HEAD = ("images", "categories")
_ANNOTATIONS = ("annotations", "")  # a list alone is what COCO calls results
_FEWEST_NUMBERS = 6  # three points
_BOX_ALONE, _NO_AREA = "box alone", "fewer than three points"


def read_coco(
    path: Path,
    shape: tuple[int, int] | None = None,
    picture: str | os.PathLike[str] | None = None,
    through: Through = "corners",
) -> StoredSegmentation:
    """Rasterise the annotations of a file about one picture.

    Parameters
    ----------
    path : run lengths or polygons; a list of polygons is one nucleus of several pieces. Plain
        or gzipped
    shape : (H, W) of the picture, px, where the file may not say; must not differ from it
    picture : file name of the picture that is meant, for a file about several
    through : where polygons run

    Returns
    -------
    stored : classes (categories), scores and our status as stored, ids where they can be ids of
        a label image. A crowd that holds two other outlines is left out. Its notice counts what
        was left out, renumbered or has a class that is not listed

    Raises
    ------
    LabelsError
        Not such a file, the picture is not in it, no size, no outlines, bad runs, points or
        scores, or too much of anything (`json_stream`, `rle`, `filling` and `painting` name
        limits).
    """
    try:
        return _Reader(path, shape, picture, through).read()
    except LabelsError as problem:
        if str(problem).startswith(str(path)):
            raise
        raise LabelsError(f"{path}: {problem}") from None


def is_coco(path: Path) -> bool:
    """Tell by the first telling member of a JSON file whether it is COCO and not GeoJSON.

    Raises
    ------
    LabelsError
        Not readable as JSON so far.
    """
    for member, value in stream_json(path, {"annotations", "features"}):
        if member in ("annotations", *_HEAD):
            return True
        if member == "":
            return isinstance(value, dict) and "segmentation" in value and "geometry" not in value
        if member in ("features", "geometry"):
            return False
    return False


class _Reader:
    """Reads one file."""

    def __init__(
        self,
        path: Path,
        shape: tuple[int, int] | None,
        picture: str | os.PathLike[str] | None,
        through: Through,
    ) -> None:
        self._path, self._through = path, through
        head = _head(path)
        pictures = [each for each in head["images"] if isinstance(each, dict)]
        self._image = chosen_picture(pictures, picture, shape)
        self._listed = {key_of(each.get("id")) for each in pictures} - {None}
        self._key = key_of(self._image.get("id"))
        self._painting = Painting(require_size(size_of(self._image), shape))
        self._names: dict[int | str | None, str] = {}
        for each in head["categories"]:
            if isinstance(each, dict) and each.get("name"):
                name = clean_name(each["name"]) or DEFAULT_CLASS
                self._names[key_of(each.get("id"))] = name
                self._painting.know_class(name, hex_of(each.get("color")))
        self._left_out: Counter[str] = Counter()
        self._elsewhere, self._unlisted_class = 0, 0

    def read(self) -> StoredSegmentation:
        for member, annotation in stream_json(self._path, {"annotations"}):
            if member in _ANNOTATIONS:
                self._add(annotation)
        self._require_some()
        painted = self._painting.finish()
        return StoredSegmentation(
            painted.segmentation,
            known_mpp(self._image.get("mpp")),
            _origin(self._image.get("origin_yx_slide")),
            self._notice(painted),
        )

    def _add(self, annotation: Any) -> None:
        if not isinstance(annotation, dict):
            raise LabelsError("expected annotations, got something else in the list; remove it")
        if not self._is_ours(key_of(annotation.get("image_id"))):
            return
        crowd = bool(annotation.get("iscrowd"))
        try:
            crops = self._crops(annotation.get("segmentation"))
        except OversizedError:
            if not crowd:
                raise
            crops = "crowd larger than nuclei"
        if isinstance(crops, str):
            self._left_out[crops] += 1
            return
        attributes = annotation.get("attributes")
        status = attributes.get("status") if isinstance(attributes, dict) else None
        self._painting.add(
            crops,
            annotation.get("id"),
            self._class_of(annotation.get("category_id")),
            checked_score(annotation.get("score")),
            checked_status(status),
            sure=not crowd,
        )

    def _is_ours(self, key: int | str | None) -> bool:
        """Whether an annotation is of the picture; those of no known picture are counted."""
        if key is None:
            ours = len(self._listed) < 2
        elif self._key is None:  # the file names no picture: what comes first is meant
            self._key = key
            ours = True
        else:
            ours = key == self._key
        self._elsewhere += not ours and key not in self._listed
        return ours

    def _class_of(self, category: Any) -> str:
        key = key_of(category)
        if key is None or key in self._names:
            return self._names.get(key, DEFAULT_CLASS)
        if isinstance(key, str):
            return clean_name(key) or DEFAULT_CLASS
        self._unlisted_class += 1
        return DEFAULT_CLASS

    def _crops(self, shapes: Any) -> list[Crop] | str:
        """Fill an outline; where there is none, say what there is."""
        shape = self._painting.shape
        if isinstance(shapes, dict):
            if shapes.get("size") != list(shape):
                _refuse(f"expected masks of {shape[0]} x {shape[1]} px, got {shapes.get('size')}")
            found = [crop_of_runs(shapes.get("counts"), shape)]
        elif not shapes:
            return _BOX_ALONE
        elif isinstance(shapes, list):
            parts = [shapes] if all(type(each) in (int, float) for each in shapes) else shapes
            polygons = [pairs for pairs in map(_points, parts) if 2 * len(pairs) >= _FEWEST_NUMBERS]
            if not polygons:
                return _NO_AREA
            found = [fill_rings([each], shape, through=self._through) for each in polygons]
        else:
            _refuse("expected a segmentation of polygons or run lengths, got something else")
        return [crop for crop in found if crop is not None]

    def _require_some(self) -> None:
        if self._elsewhere and (not self._listed or not (self._painting.shapes or self._left_out)):
            raise LabelsError(
                "expected annotations of one picture, got those of several that the file does "
                "not list; split the file"
                if not self._listed
                else f"expected annotations of the picture {self._key!r}, got "
                f"{self._elsewhere} of others that the file does not list; write it again"
            )
        if self._left_out and not self._painting.shapes:
            _refuse(f"expected outlines, got annotations with {self._all_left_out()}")

    def _all_left_out(self) -> str:
        return ", ".join(f"{what} ({n})" for what, n in self._left_out.items())

    def _notice(self, painted: Painted) -> str:
        said = []
        if self._elsewhere:
            said.append(
                f"left out {counted(self._elsewhere, 'annotation')} of pictures that are not listed"
            )
        if self._left_out:
            said.append(f"left out annotations with {self._all_left_out()}")
        if painted.regions:
            said.append(f"left out {counted(painted.regions, 'crowd')} that other outlines lie in")
        if painted.renumbered:
            said.append(
                f"new ids for {counted(painted.renumbered, 'annotation')} whose id was taken or "
                "cannot be one of a label image"
            )
        if self._unlisted_class:
            said.append(
                f"class {DEFAULT_CLASS!r} for {counted(self._unlisted_class, 'annotation')} whose "
                "category is not listed"
            )
        return "; ".join(said)


def _head(path: Path) -> dict[str, list[Any]]:
    """Read pictures and categories, wherever in the file they stand."""
    head: dict[str, list[Any]] = {}
    annotated = False
    for member, value in stream_json(path, {"annotations"}):
        annotated |= member in _ANNOTATIONS
        if member in _HEAD and isinstance(value, list):
            head[member] = value
            if len(head) == len(_HEAD):
                return head
    if not annotated and not head:
        raise LabelsError(
            f"{path}: expected COCO JSON, got none of its lists images, annotations, categories; "
            "export again"
        )
    return {name: head.get(name, []) for name in _HEAD}


def _origin(stated: Any) -> tuple[int, int]:
    if not isinstance(stated, list) or len(stated) != 2:
        return 0, 0
    known = all(type(value) is int and abs(value) <= MAX_COORDINATE for value in stated)
    return (stated[0], stated[1]) if known else (0, 0)


def _points(flat: Any) -> list[list[Any]]:
    """Pair up x0, y0, x1, y1 ..."""
    if not isinstance(flat, list) or len(flat) % 2:
        _refuse("expected polygons as x, y, x, y ..., got something else")
    return [[flat[k], flat[k + 1]] for k in range(0, len(flat), 2)]


def _refuse(text: str) -> NoReturn:
    raise LabelsError(f"{text[:200]}; write the file again")
