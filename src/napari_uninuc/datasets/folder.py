"""Plain folders of labelled images: ``images/``, ``labels/``, optional ``classes/``.

::

    FOLDER/images/NAME.jpg      RGB picture (also .jpeg .png .tif .tiff .bmp)
    FOLDER/labels/NAME.png      integer label image of the same size (also .tif .tiff)
    FOLDER/classes/NAME.json    optional: {"nucleus id": "class name"}

A folder may also hold such folders, to any depth (``monuseg/train``, ``monuseg/test``); an image
is then named by the way to it, ``train/NAME``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TypeVar

import numpy as np

from napari_uninuc.core.tile import Tile
from napari_uninuc.errors import DatasetError, ImageError, LabelsError
from napari_uninuc.io.images import read_image
from napari_uninuc.io.labels import read_labels

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")
LABEL_SUFFIXES = (".png", ".tif", ".tiff")

Image = TypeVar("Image", bound="LabelledImage")


@dataclass(frozen=True, slots=True)
class LabelledTile:
    """One image and the nuclei drawn on it, in memory.

    Attributes
    ----------
    tile : the picture
    labels : (H, W) int32 in tile px
        0 is background. Ids are as stored: not contiguous, not split into components.
    classes : class name of each nucleus id, or None where the data set has no classes
        Ids without a class are absent.
    """

    tile: Tile
    labels: np.ndarray
    classes: dict[int, str] | None


@dataclass(frozen=True, slots=True)
class LabelledImage:
    """The files of one labelled image; nothing is read until `read`.

    ``tissue`` is what the data set calls it, empty where it does not say: scores are averaged over
    tissues where it does.
    """

    name: str
    image_path: Path
    labels_path: Path
    classes_path: Path | None = None
    tissue: str = ""

    def read(self, mpp: float | None = None) -> LabelledTile:
        """Read picture, labels and classes.

        Parameters
        ----------
        mpp : micrometres per pixel of the picture; None where unknown
            Not read from the file: data sets are cropped and re-encoded, tags are rarely right.

        Raises
        ------
        DatasetError
            A file is missing or unreadable, the labels are not non-negative integers, or their
            size is not that of the picture.
        """
        try:
            picture = read_image(self.image_path)
        except ImageError as error:
            raise DatasetError(str(error)) from error
        labels = self.read_labels()
        tile = replace(picture, mpp=mpp, name=self.name)
        if labels.shape != tile.shape:
            raise DatasetError(
                f"{self.labels_path}: labels must be {tile.shape} (H, W) like "
                f"{self.image_path.name}, got {labels.shape}; export them at the image's size"
            )
        classes = None if self.classes_path is None else _read_classes(self.classes_path)
        return LabelledTile(tile, labels, classes)

    def read_labels(self) -> np.ndarray:
        """Read the labels alone, (H, W) int32; errors as of `read`."""
        try:
            return read_labels(self.labels_path)
        except LabelsError as error:
            raise DatasetError(str(error)) from error


def read_folder(
    path: str | Path,
    include: str | Sequence[str] | None = None,
    exclude: Sequence[str] = (),
) -> list[LabelledImage]:
    """List the labelled images of a folder, sorted by name.

    Parameters
    ----------
    path : folder with ``images/`` and ``labels/``, or a folder of such folders
    include : names or glob patterns (``test_*``); None or empty takes all
        Matched against the whole name and against its last part.
    exclude : names or glob patterns to leave out, after `include`

    Raises
    ------
    DatasetError
        The folder or its parts are missing, an image has no label file, two pictures share one
        name, a pattern matches nothing (a misspelt validation image must not slip into
        training), or nothing is left.
    """
    root = Path(path)
    if not root.is_dir():
        raise DatasetError(f"{root}: no such folder; expected one with images/ and labels/")
    images = [image for part in _dataset_folders(root) for image in _list_part(root, part)]
    if not images:
        raise DatasetError(
            f"{root}: no images found; expected images/NAME{{{','.join(IMAGE_SUFFIXES)}}} "
            "with labels/NAME.png"
        )
    kept = select_images(images, include, exclude, root)
    return sorted(kept, key=lambda image: image.name)


def _dataset_folders(root: Path) -> Iterator[Path]:
    """Yield `root` or, where it has no ``images/`` itself, the folders below that have one."""
    if (root / "images").is_dir():
        yield root
        return
    yield from sorted(found.parent for found in root.rglob("images") if found.is_dir())


def _list_part(root: Path, part: Path) -> Iterator[LabelledImage]:
    if not (part / "labels").is_dir():
        raise DatasetError(f"{part}: has images/ but no labels/; expected labels/NAME.png")
    prefix = "" if part == root else f"{part.relative_to(root).as_posix()}/"
    seen: dict[str, Path] = {}
    for image_path in sorted((part / "images").iterdir()):
        stem = image_path.stem
        if image_path.suffix.lower() not in IMAGE_SUFFIXES or stem.startswith("."):
            continue
        if stem in seen:
            raise DatasetError(
                f"{image_path}: second picture named {stem!r} beside {seen[stem].name}; keep one"
            )
        seen[stem] = image_path
        classes_path = part / "classes" / f"{stem}.json"
        yield LabelledImage(
            prefix + stem,
            image_path,
            _labels_path(part / "labels", stem, image_path),
            classes_path if classes_path.is_file() else None,
        )


def _labels_path(folder: Path, stem: str, image_path: Path) -> Path:
    for suffix in LABEL_SUFFIXES:
        candidate = folder / f"{stem}{suffix}"
        if candidate.is_file():
            return candidate
    for suffix in (".jpg", ".jpeg"):
        if (folder / f"{stem}{suffix}").is_file():
            raise DatasetError(
                f"{folder / stem}{suffix}: labels must be PNG or TIFF, got JPEG, which changes "
                "numbers; export them again"
            )
    raise DatasetError(
        f"{image_path}: has no labels; expected {folder / f'{stem}.png'} (or .tif, .tiff)"
    )


def select_images(
    images: Sequence[Image],
    include: str | Sequence[str] | None,
    exclude: str | Sequence[str],
    root: Path,
) -> list[Image]:
    """Keep the images that patterns name, in their order; arguments and errors of `read_folder`."""
    included = (include,) if isinstance(include, str) else tuple(include or ())
    excluded = (exclude,) if isinstance(exclude, str) else tuple(exclude)
    for pattern in (*included, *excluded):
        if not any(_matches(image.name, pattern) for image in images):
            raise DatasetError(
                f"{root}: pattern {pattern!r} matches none of {len(images)} images "
                f"(the first is {images[0].name!r}); correct the include or exclude list"
            )
    kept = [
        image
        for image in images
        if (not included or any(_matches(image.name, pattern) for pattern in included))
        and not any(_matches(image.name, pattern) for pattern in excluded)
    ]
    if not kept:
        raise DatasetError(f"{root}: include and exclude leave none of {len(images)} images")
    return kept


def _matches(name: str, pattern: str) -> bool:
    return fnmatchcase(name, pattern) or fnmatchcase(name.rsplit("/", 1)[-1], pattern)


def _read_classes(path: Path) -> dict[int, str]:
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        return {int(nucleus): str(name) for nucleus, name in stored.items()}
    except (OSError, ValueError, AttributeError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise DatasetError(
            f'{path}: expected {{"nucleus id": "class name"}} as JSON, got {reason}; correct it'
        ) from error
