"""CPM15 and CPM17: PNG pictures and MATLAB label maps (``inst_map``)."""

from __future__ import annotations

from pathlib import Path

from napari_uninuc.datasets.public.arrays import as_labels, read_mat, read_picture
from napari_uninuc.datasets.public.layout import Layout, Loaded, PublicImage
from napari_uninuc.datasets.public.listing import files, paired, seeded_split

_SOURCE = "https://github.com/vqdang/hover_net (links to the CPM data on Google Drive)"


def _load(image: Path, labels: Path) -> Loaded:
    stored = read_mat(labels, "inst_map")
    return Loaded(read_picture(image), as_labels(labels, stored["inst_map"]))


def _pairs(part: Path, what: str) -> list[tuple[Path, Path]]:
    labels = part / "Labels"
    return paired(files(part, "Images/*.png"), lambda image: labels / f"{image.stem}.mat", what)


def _list_cpm15(root: Path) -> list[PublicImage]:
    pairs = _pairs(root, "CPM15")
    splits = seeded_split((i.stem for i, _ in pairs), {"test": 0.25, "val": 0.15}, "cpm15")
    return [PublicImage.of_files(splits[i.stem], i, labels, None, _load) for i, labels in pairs]


def _list_cpm17(root: Path) -> list[PublicImage]:
    return [
        PublicImage.of_files(split, image, labels, None, _load)
        for split in ("train", "test")
        for image, labels in _pairs(root / split, "CPM17")
    ]


CPM15 = Layout(
    name="cpm15",
    title="H&E, brain and other tumours, 20x and 40x mixed",
    expects="Images/*.png, Labels/*.mat",
    marks=(("Images/image_*.png", "Labels/*.mat"), ("Images/*.png", "Labels/*.mat")),
    list_images=_list_cpm15,
    splits=("train", "val", "test"),
    split_rule="drawn by us (60/15/25 %): the published one is not seeded",
    mpp=None,
    licence="see its page",
    source=_SOURCE,
    counts={"all": (15,)},
)

CPM17 = Layout(
    name="cpm17",
    title="H&E, brain, head and neck, lung, 20x and 40x mixed",
    expects="train/Images/image_NN.png, train/Labels/image_NN.mat, and the same in test/",
    marks=(("train/Images/image_*.png", "test/Images/image_*.png"),),
    list_images=_list_cpm17,
    splits=("train", "test"),
    split_rule="official",
    mpp=None,
    licence="see its page",
    source=_SOURCE,
    counts={"train": (32,), "test": (32,)},
)
