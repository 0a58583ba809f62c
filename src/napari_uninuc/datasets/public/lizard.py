"""Lizard: PNG pictures in two folders, MATLAB labels with a class list, split in info.csv."""

from __future__ import annotations

import csv
from pathlib import Path

from napari_uninuc.datasets.public.arrays import as_labels, read_mat, read_picture
from napari_uninuc.datasets.public.layout import Layout, Loaded, PublicImage
from napari_uninuc.datasets.public.listing import files, paired
from napari_uninuc.errors import DatasetError

_CLASSES = ("neutrophil", "epithelial", "lymphocyte", "plasma", "eosinophil", "connective")
_SPLITS = {"1": "train", "2": "val", "3": "test"}


def _load(image: Path, path: Path) -> Loaded:
    stored = read_mat(path, "inst_map", "id", "class")
    labels = as_labels(path, stored["inst_map"])
    if not {"id", "class"} <= stored.keys() or stored["id"].size != stored["class"].size:
        raise DatasetError(
            f"{path}: expected as many entries in 'class' as in 'id', got others; download it again"
        )
    numbers = zip(stored["id"].ravel().tolist(), stored["class"].ravel().tolist(), strict=True)
    classes = {int(k): _CLASSES[int(c) - 1] for k, c in numbers if 1 <= int(c) <= len(_CLASSES)}
    return Loaded(read_picture(image), labels, classes)


def _splits(info: Path) -> dict[str, str]:
    """Read which image is in which split; DatasetError where the table is another."""
    try:
        with info.open(encoding="utf-8-sig", newline="") as file:
            return {row["Filename"]: _SPLITS[row["Split"].strip()] for row in csv.DictReader(file)}
    except (OSError, UnicodeDecodeError, KeyError, AttributeError, csv.Error) as error:
        raise DatasetError(
            f"{info}: expected columns Filename and Split (1, 2, 3), got others "
            f"({' '.join(str(error).split())}); download the labels again"
        ) from error


def _list(root: Path) -> list[PublicImage]:
    info = next(iter(files(root, "**/info.csv")))
    splits = _splits(info)
    images = [i for i in files(root, "**/*.png") if i.parent.name.lower().startswith("lizard_im")]
    absent = sorted(set(splits) - {image.stem for image in images})
    if absent:
        raise DatasetError(
            f"{root}: expected the {len(splits)} pictures that {info.name} names, {len(absent)} "
            f"are missing (the first is {absent[0]}.png); download lizard_images1 and 2"
        )
    known = [image for image in images if image.stem in splits]
    return [
        PublicImage.of_files(splits[image.stem], image, labels, 0.5, _load)
        for image, labels in paired(
            known, lambda i: info.parent / "Labels" / f"{i.stem}.mat", "Lizard"
        )
    ]


LIZARD = Layout(
    name="lizard",
    title="H&E, colon, 20x",
    expects="Lizard_Images1/*.png, Lizard_Images2/*.png, Lizard_Labels/info.csv, "
    "Lizard_Labels/Labels/*.mat, each in a folder of its own or not",
    marks=(("[Ll]izard_[Ll]abels/**/info.csv",),),
    list_images=_list,
    splits=("train", "val", "test"),
    split_rule="official: column Split of info.csv, 1 train, 2 val, 3 test",
    mpp=0.5,
    licence="CC BY-NC-SA 4.0",
    source="https://www.kaggle.com/datasets/aadimator/lizard-dataset",
    classes=_CLASSES,
    counts={"all": (238,)},
)
