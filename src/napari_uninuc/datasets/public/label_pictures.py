"""CryoNuSeg and NuInsSeg: pictures, and label pictures of the same name in TIFF."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from napari_uninuc.datasets.public.arrays import read_picture, read_picture_labels
from napari_uninuc.datasets.public.layout import Layout, Loaded, PublicImage
from napari_uninuc.datasets.public.listing import files, paired, seeded_split

_ANNOTATOR = "Annotator 1 (biologist)"


def _load(image: Path, labels: Path) -> Loaded:
    return Loaded(read_picture(image), read_picture_labels(labels))


def _list_cryonuseg(root: Path) -> list[PublicImage]:
    drawn = {path.stem: path for path in files(root, f"{_ANNOTATOR}/**/label masks modify/*.tif")}
    expected = root / _ANNOTATOR / "label masks modify"
    pairs = paired(
        files(root, "tissue images/*.tif"),
        lambda image: drawn.get(image.stem, expected / image.name),
        "CryoNuSeg",
    )
    splits = seeded_split((image.stem for image, _ in pairs), {"test": 0.2}, "cryonuseg")
    return [
        PublicImage.of_files(splits[image.stem], image, labels, 0.25, _load)
        for image, labels in pairs
    ]


def _list_nuinsseg(root: Path) -> list[PublicImage]:
    pairs = paired(
        files(root, "*/tissue images/*.png"),
        lambda image: image.parent.parent / "label masks modify" / f"{image.stem}.tif",
        "NuInsSeg",
    )
    return [
        PublicImage(
            name=f"{image.parent.parent.name}/{image.stem}",
            image_path=image,
            labels_path=labels,
            split="all",
            tissue=image.parent.parent.name,
            scale_mpp=None,
            load=partial(_load, image, labels),
        )
        for image, labels in pairs
    ]


CRYONUSEG = Layout(
    name="cryonuseg",
    title="H&E, frozen sections of ten organs, 40x; first marking of the biologist",
    expects=f"tissue images/*.tif, {_ANNOTATOR}/label masks modify/*.tif",
    marks=(("tissue images/*.tif", f"{_ANNOTATOR}/**/label masks modify/*.tif"),),
    list_images=_list_cryonuseg,
    splits=("train", "test"),
    split_rule="drawn by us (80/20 %): the published one is not seeded",
    mpp=0.25,
    licence="see its page",
    source="https://www.kaggle.com/datasets/ipateam/"
    "segmentation-of-nuclei-in-cryosectioned-he-images",
    counts={"all": (30,)},
)

NUINSSEG = Layout(
    name="nuinsseg",
    title="H&E, 31 human and mouse organs; scale not stated with the files, about 0.22 um/px",
    expects="TISSUE/tissue images/*.png, TISSUE/label masks modify/*.tif",
    marks=(("*/tissue images/*.png", "*/label masks modify/*.tif"),),
    list_images=_list_nuinsseg,
    splits=("all",),
    split_rule="none; the bundled models were taught on all organs but human cardia, human lung, "
    "human tonsile and mouse heart: test them on those four",
    mpp=None,
    licence="CC BY 4.0 (Zenodo record 10518968)",
    source="https://www.kaggle.com/datasets/ipateam/nuinsseg",
    counts={"all": (665,)},
)
