"""Label images out of COCO JSON, ours and others'."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

from napari_uninuc.errors import LabelsError
from napari_uninuc.io.colours import hex_of
from napari_uninuc.io.filling import MAX_COORDINATE, Crop, fill_polygon
from napari_uninuc.io.json_stream import stream_json
from napari_uninuc.io.painting import Painting
from napari_uninuc.io.rle import crop_of_runs
from napari_uninuc.io.stated import (
    DEFAULT_CLASS,
    checked_score,
    checked_status,
    clean_name,
    known_mpp,
)
from napari_uninuc.io.stored import StoredSegmentation

__all__ = ["is_coco", "read_coco"]

_HEAD = ("images", "categories")


def read_coco(path: Path, shape: tuple[int, int] | None = None) -> StoredSegmentation:
    """Rasterise the annotations of a file about one picture.

    Parameters
    ----------
    path : run lengths or polygons; a list of polygons is one nucleus of several pieces. Plain
        or gzipped
    shape : (H, W) of the picture, px, where the file may not say; must not differ from it

    Returns
    -------
    stored : ids, classes (categories), scores and our status as stored

    Raises
    ------
    LabelsError
        Not such a file, several pictures, no size, bad runs, points, ids or scores, or too much
        of anything (`json_stream`, `rle`, `filling` and `painting` name limits).
    """
    try:
        return _read(path, shape)
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
    for member, _ in stream_json(path, {"annotations", "features"}):
        if member in ("annotations", *_HEAD):
            return True
        if member in ("", "features", "geometry"):
            return False
    return False


def _read(path: Path, shape: tuple[int, int] | None) -> StoredSegmentation:
    head = _head(path)
    image = _only_image(path, head["images"])
    painting = Painting(_size_of(path, image, shape))
    names = {}
    for each in head["categories"]:
        if isinstance(each, dict) and type(each.get("id")) is int and each.get("name"):
            names[each["id"]] = clean_name(each["name"]) or DEFAULT_CLASS
            painting.know_class(names[each["id"]], hex_of(each.get("color")))
    for member, annotation in stream_json(path, {"annotations"}):
        if member == "annotations":
            _add(painting, annotation, names)
    origin = image.get("origin_yx_slide")
    known = isinstance(origin, list) and len(origin) == 2
    known = known and all(type(v) is int and abs(v) <= MAX_COORDINATE for v in origin or [])
    return StoredSegmentation(
        painting.finish().segmentation,
        known_mpp(image.get("mpp")),
        (origin[0], origin[1]) if known and origin is not None else (0, 0),
    )


def _head(path: Path) -> dict[str, list[Any]]:
    """Read pictures and categories, wherever in the file they stand."""
    head: dict[str, list[Any]] = {}
    for member, value in stream_json(path, {"annotations"}):
        if member in _HEAD and isinstance(value, list):
            head[member] = value
            if len(head) == len(_HEAD):
                return head
    missing = ", ".join(name for name in _HEAD if name not in head)
    raise LabelsError(f"{path}: expected COCO JSON, got none of its lists {missing}; export again")


def _only_image(path: Path, images: list[Any]) -> Mapping[str, Any]:
    if len(images) != 1 or not isinstance(images[0], dict):
        raise LabelsError(
            f"{path}: expected annotations of one picture, got {len(images)}; split the file"
        )
    return images[0]


def _size_of(
    path: Path, image: Mapping[str, Any], wanted: tuple[int, int] | None
) -> tuple[int, int]:
    """Take the size the file states or the one that is wanted; they must not differ."""
    height, width = image.get("height"), image.get("width")
    if type(height) is not int or type(width) is not int:
        if wanted is not None:
            return wanted
        raise LabelsError(
            f"{path}: the file does not say how large the picture is; name the picture (--like "
            "IMAGE) or its shape"
        )
    if wanted is not None and (height, width) != tuple(wanted):
        raise LabelsError(
            f"{path}: expected nuclei of a picture of {wanted[0]} x {wanted[1]} px, got those of "
            f"one of {height} x {width}; name the right picture"
        )
    return height, width


def _add(painting: Painting, annotation: Any, names: Mapping[Any, str]) -> None:
    if not isinstance(annotation, dict):
        raise LabelsError("expected annotations, got something else in the list; remove it")
    attributes = annotation.get("attributes")
    status = attributes.get("status") if isinstance(attributes, dict) else None
    category = annotation.get("category_id")
    painting.add(
        _crops(annotation.get("segmentation"), painting.shape),
        annotation.get("id"),
        names.get(category, DEFAULT_CLASS) if isinstance(category, int) else DEFAULT_CLASS,
        checked_score(annotation.get("score")),
        checked_status(status),
    )


def _crops(shapes: Any, shape: tuple[int, int]) -> list[Crop]:
    if isinstance(shapes, dict):
        if shapes.get("size") != list(shape):
            _refuse(f"expected masks of {shape[0]} x {shape[1]} px, got {shapes.get('size')}")
        found = [crop_of_runs(shapes.get("counts"), shape)]
    elif isinstance(shapes, list):
        found = [fill_polygon([_points(each)], shape) for each in shapes]
    else:
        _refuse("expected a segmentation of polygons or run lengths, got none")
    return [crop for crop in found if crop is not None]


def _points(flat: Any) -> list[list[Any]]:
    """Pair up x0, y0, x1, y1 ..."""
    if not isinstance(flat, list) or len(flat) % 2:
        _refuse("expected polygons as x, y, x, y ..., got something else")
    return [[flat[k], flat[k + 1]] for k in range(0, len(flat), 2)]


def _refuse(text: str) -> NoReturn:
    raise LabelsError(f"{text[:200]}; write the file again")
