"""MoNuSAC 2020: a folder a patient, TIFF (or SVS) pictures and ImageScope outlines by class."""

from __future__ import annotations

from pathlib import Path

from napari_uninuc.datasets.public.arrays import read_picture
from napari_uninuc.datasets.public.layout import Layout, Loaded, PublicImage
from napari_uninuc.datasets.public.listing import files
from napari_uninuc.datasets.public.polygons import read_imagescope
from napari_uninuc.errors import DatasetError

_CLASSES = ("epithelial", "lymphocyte", "macrophage", "neutrophil")
_AMBIGUOUS = frozenset({"Ambiguous"})
"""Regions of the test set that the challenge leaves out of its score; here they are background."""


def _load(image: Path, outlines: Path) -> Loaded:
    pixels = read_picture(image)
    labels, names = read_imagescope(outlines, pixels.shape[:2], _AMBIGUOUS)
    return Loaded(pixels, labels, {k: name.lower() for k, name in names.items()})


def _picture_of(outlines: Path) -> Path:
    tiff = outlines.with_suffix(".tif")
    return tiff if tiff.is_file() else outlines.with_suffix(".svs")


def _list(root: Path) -> list[PublicImage]:
    found = files(root, "MoNuSAC*/**/*.xml")
    missing = [outlines for outlines in found if not _picture_of(outlines).is_file()]
    if missing:
        raise DatasetError(
            f"{missing[0].with_suffix('.tif')}: expected a MoNuSAC picture (.tif or .svs), got no "
            f"file; {len(missing)} of {len(found)} are missing: unzip or download them again"
        )
    return [_image(root, outlines) for outlines in found]


def _image(root: Path, outlines: Path) -> PublicImage:
    split = "test" if "test" in outlines.relative_to(root).parts[0].lower() else "train"
    image = _picture_of(outlines)
    return PublicImage.of_files(split, image, outlines, 0.25, _load)


MONUSAC = Layout(
    name="monusac",
    title="H&E, lung, prostate, kidney, breast, 40x; four kinds of cell only",
    expects="MoNuSAC_images_and_annotations/PATIENT/*.tif and *.xml, and the same in "
    "MoNuSAC Testing Data and Annotations/",
    marks=(("MoNuSAC*/*/*.xml",),),
    list_images=_list,
    splits=("train", "test"),
    split_rule="official",
    mpp=0.25,
    licence="CC BY-NC-SA 4.0",
    source="https://monusac-2020.grand-challenge.org/Data/",
    classes=_CLASSES,
    counts={"train": (209,), "test": (85,)},
    archives={
        "MoNuSAC_images_and_annotations.zip": (
            "5b7cbeb34817a8f880d3fddc28391e48d3329a91bf3adcbd131ea149a725cd92"
        ),
        "MoNuSAC Testing Data and Annotations.zip": (
            "bcbc38f6bf8b149230c90c29f3428cc7b2b76f8acd7766ce9fc908fc896c2674"
        ),
    },
    exhaustive=False,
)
