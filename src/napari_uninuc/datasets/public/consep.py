"""CoNSeP: PNG pictures and MATLAB maps of ids (``inst_map``) and classes (``type_map``)."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from napari_uninuc.datasets.public.arrays import as_labels, read_mat, read_picture
from napari_uninuc.datasets.public.layout import Layout, Loaded, PublicImage
from napari_uninuc.datasets.public.listing import files, paired

_SEVEN = {
    1: "miscellaneous",
    2: "inflammatory",
    3: "healthy epithelial",
    4: "malignant epithelial",
    5: "fibroblast",
    6: "muscle",
    7: "endothelial",
}
_FOUR = {
    **_SEVEN,
    **dict.fromkeys((3, 4), "epithelial"),
    **dict.fromkeys((5, 6, 7), "spindle"),
}


def classes_of_map(labels: np.ndarray, kinds: np.ndarray, names: dict[int, str]) -> dict[int, str]:
    """Name each nucleus by the class most of its pixels have; classes without a name are left out.

    Parameters
    ----------
    labels : (H, W) int32
    kinds : (H, W) class number of each pixel, 0 none
    names : class name by number
    """
    inside = labels > 0
    kept = labels[inside].astype(np.int64)
    numbers = kinds[inside].astype(np.int64)
    votes: dict[int, tuple[int, int]] = {}
    pairs, counts = np.unique(np.stack([kept, numbers]), axis=1, return_counts=True)
    for nucleus, number, count in zip(*pairs.tolist(), counts.tolist(), strict=True):
        votes[nucleus] = max(votes.get(nucleus, (0, 0)), (count, number))
    return {k: names[number] for k, (_, number) in votes.items() if number in names}


def _load(image: Path, path: Path, names: dict[int, str]) -> Loaded:
    stored = read_mat(path, "inst_map", "type_map")
    labels = as_labels(path, stored["inst_map"])
    if "type_map" not in stored:
        return Loaded(read_picture(image), labels)
    kinds = as_labels(path, stored["type_map"])
    classes = classes_of_map(labels, kinds, names) if kinds.shape == labels.shape else {}
    return Loaded(read_picture(image), labels, classes)


def _list(root: Path, names: dict[int, str]) -> list[PublicImage]:
    load = partial(_load, names=names)
    return [
        PublicImage.of_files(split.lower(), image, labels, 0.25, load)
        for split in ("Train", "Test")
        for image, labels in paired(
            files(root, f"{split}/Images/*.png"),
            lambda image: image.parent.parent / "Labels" / f"{image.stem}.mat",
            "CoNSeP",
        )
    ]


CONSEP = Layout(
    name="consep",
    title="H&E, colon, 40x; classes merged to four as in HoVer-Net",
    expects="Train/Images/train_N.png, Train/Labels/train_N.mat, Test/Images, Test/Labels",
    marks=(("Train/Images/train_*.png",), ("Test/Images/test_*.png",)),
    list_images=partial(_list, names=_FOUR),
    splits=("train", "test"),
    split_rule="official",
    mpp=0.25,
    licence="research use",
    source="https://warwick.ac.uk/fac/cross_fac/tia/data/hovernet",
    classes=tuple(dict.fromkeys(_FOUR.values())),
    counts={"train": (27,), "test": (14,)},
)

CONSEP_7 = replace(
    CONSEP,
    name="consep-7",
    title="the same files, all seven classes",
    list_images=partial(_list, names=_SEVEN),
    classes=tuple(_SEVEN.values()),
    variant_of="consep",
)
