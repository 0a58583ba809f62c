"""PanNuke: three folds, each a stack of pictures and one of six-channel id masks."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from napari_uninuc.datasets.public.arrays import as_labels, read_npy
from napari_uninuc.datasets.public.layout import Layout, Loaded, PublicImage
from napari_uninuc.datasets.public.listing import files
from napari_uninuc.errors import DatasetError

_CLASSES = ("neoplastic", "inflammatory", "connective", "dead", "epithelial")
_FOLD = re.compile(r"fold[ _-]?(\d)", re.IGNORECASE)
_RGB, _CHANNELS = 3, 6  # five classes, then background


def merge_channels(
    path: Path, masks: np.ndarray[Any, Any]
) -> tuple[np.ndarray[Any, Any], dict[int, str]]:
    """Turn ids by class channel into one label picture.

    Parameters
    ----------
    path : the file, for errors
    masks : (H, W, 6) ids of each class, then background, which is not read

    Returns
    -------
    labels : (H, W) int32, ids counted over the channels; later channels lie on top
    classes : class name by id; a nucleus wholly covered by a later channel is in neither
    """
    labels, classes, last = np.zeros(masks.shape[:2], dtype=np.int32), {}, 0
    for channel, name in enumerate(_CLASSES):
        stored = as_labels(path, masks[..., channel])
        inside = stored > 0
        ids, places = np.unique(stored[inside], return_inverse=True)
        labels[inside] = last + 1 + places
        classes.update(dict.fromkeys(range(last + 1, last + 1 + len(ids)), name))
        last += len(ids)
    left = set(np.unique(labels).tolist())
    return labels, {nucleus: name for nucleus, name in classes.items() if nucleus in left}


def _load(images: Path, masks: Path, index: int) -> Loaded:
    pixels = np.asarray(read_npy(images, mapped=True)[index])
    labels, classes = merge_channels(masks, np.asarray(read_npy(masks, mapped=True)[index]))
    if pixels.dtype.kind == "f":  # stored as 0..255; a dark picture must not pass for 0..1
        pixels = np.clip(np.rint(pixels), 0, 255).astype(np.uint8)
    return Loaded(pixels, labels, classes)


def _list(root: Path) -> list[PublicImage]:
    stacks = files(root, "**/images.npy")
    numbers = [_fold_number(root, stack) for stack in stacks]
    first = 1 - min(numbers)  # CellViT's copies count from 0
    if len(set(numbers)) < len(numbers) or not 0 <= first <= 1:
        first = 0
    order = sorted(zip(numbers, stacks, strict=True))
    return [image for number, stack in order for image in _fold(number + first, stack)]


def _fold_number(root: Path, stack: Path) -> int:
    for part in (*reversed(stack.relative_to(root).parts[:-1]), root.name):
        found = _FOLD.search(part)
        if found:
            return int(found.group(1))
    raise DatasetError(
        f"{stack}: expected a folder named after its fold above it (fold1), got none; unzip "
        "fold_1.zip, fold_2.zip and fold_3.zip side by side"
    )


def _fold(number: int, images: Path) -> list[PublicImage]:
    masks, types = _beside(images, "masks"), _beside(images, "types")
    pictures, ids, tissues = (read_npy(path, mapped=True) for path in (images, masks, types))
    size = pictures.shape[:3]
    for path, array, want in (
        (images, pictures, (*size, _RGB)),
        (masks, ids, (*size, _CHANNELS)),
        (types, tissues, size[:1]),
    ):
        if array.shape != want or len(size) < _RGB:
            raise DatasetError(
                f"{path}: expected an array of {want} like its fold's pictures, got {array.shape}; "
                "download the fold again"
            )
    return [
        PublicImage(
            name=f"fold{number}/{tissue}/{index:04d}",
            image_path=images,
            labels_path=masks,
            split=f"fold{number}",
            tissue=tissue,
            scale_mpp=0.25,
            load=partial(_load, images, masks, index),
        )
        for index, tissue in enumerate(tissues.astype(str).tolist())
    ]


def _beside(images: Path, name: str) -> Path:
    """Find masks.npy or types.npy: beside the pictures, or in the official zip's own folder."""
    beside = images.with_name(f"{name}.npy")
    official = images.parents[2] / name / images.parent.name / f"{name}.npy"
    found = next((path for path in (beside, official) if path.is_file()), None)
    if found is None:
        raise DatasetError(
            f"{official if images.parents[1].name == 'images' else beside}: expected {name}.npy of "
            "this PanNuke fold, got no file; unzip the fold again"
        )
    return found


PANNUKE = Layout(
    name="pannuke",
    title="H&E, 19 tissues, 40x",
    expects="Fold N/images/foldN/images.npy and types.npy, Fold N/masks/foldN/masks.npy; or "
    "foldN/{images,masks,types}.npy",
    marks=(
        ("*old*/images/*old*/images.npy",),
        ("images/*old*/images.npy",),
        ("*old*/images.npy",),
    ),
    list_images=_list,
    splits=("fold1", "fold2", "fold3"),
    split_rule="official folds; (train, val, test) are (1, 2, 3), (2, 1, 3) and (3, 2, 1)",
    mpp=0.25,
    licence="CC BY-NC-SA 4.0",
    source="https://warwick.ac.uk/fac/cross_fac/tia/data/pannuke (fold_1.zip, fold_2.zip, "
    "fold_3.zip)",
    classes=_CLASSES,
    counts={"fold1": (2656,), "fold2": (2523,), "fold3": (2722,)},
    archives={
        "fold_1.zip": "6e19ad380300e8ce9480f9ab6a14cc91fa4b6a511609b40e3d70bdf9c881ed0b",
        "fold_2.zip": "5bc540cc509f64b5f5a274d6e5a245527dbd3e6d3155d43555115c5d54709b07",
        "fold_3.zip": "c14d372981c42f611ebc80afad01702b89cad8c1b3089daa31931cf5a4b1a39d",
    },
)
