"""TNBC: PNG pictures and yes/no masks, a folder a patient."""

from __future__ import annotations

from pathlib import Path

from napari_uninuc.datasets.public.arrays import pieces, read_picture
from napari_uninuc.datasets.public.layout import Layout, Loaded, PublicImage
from napari_uninuc.datasets.public.listing import files, paired, seeded_split


def _load(image: Path, mask: Path) -> Loaded:
    return Loaded(read_picture(image), pieces(read_picture(mask).max(axis=-1) > 0))


def _mask_of(image: Path) -> Path:
    slide = image.parent.name.removeprefix("Slide_")
    return image.parent.parent / f"GT_{slide}" / image.name


def _list(root: Path) -> list[PublicImage]:
    pairs = paired(files(root, "Slide_*/*.png"), _mask_of, "TNBC")
    patients = {image.parent.name for image, _ in pairs}
    splits = seeded_split(patients, {"test": 0.2, "val": 0.12}, "tnbc")
    return [
        PublicImage.of_files(splits[image.parent.name], image, mask, 0.25, _load)
        for image, mask in pairs
    ]


TNBC = Layout(
    name="tnbc",
    title="H&E, triple negative breast cancer, 40x",
    expects="TNBC_NucleiSegmentation/Slide_NN/*.png, GT_NN/*.png",
    marks=(("Slide_*/*.png", "GT_*/*.png"),),
    list_images=_list,
    splits=("train", "val", "test"),
    split_rule="drawn by us, whole patients (68/12/20 %): the published one is not seeded and "
    "parts patients",
    mpp=0.25,
    licence="see its page",
    source="https://zenodo.org/records/1175282",
    counts={"all": (50,)},
    archives={
        "TNBC_NucleiSegmentation.zip": (
            "da708c3a988f4ad4b9bbb9283b387faf703f0bc0e5e689927306bd27ea13a57f"
        )
    },
)
