"""MoNuSeg 2018: TIFF pictures and ImageScope outlines."""

from __future__ import annotations

from pathlib import Path

from napari_uninuc.datasets.public.arrays import read_picture
from napari_uninuc.datasets.public.layout import Layout, Loaded, PublicImage
from napari_uninuc.datasets.public.listing import files, paired
from napari_uninuc.datasets.public.polygons import read_imagescope


def _load(image: Path, outlines: Path) -> Loaded:
    pixels = read_picture(image)
    labels, _ = read_imagescope(outlines, pixels.shape[:2])
    return Loaded(pixels, labels)


def _outlines_of(image: Path) -> Path:
    """Training keeps them in ``Annotations`` beside ``Tissue Images``, test beside the picture."""
    if image.parent.name.lower().startswith("tissue"):
        return image.parent.parent / "Annotations" / f"{image.stem}.xml"
    return image.with_suffix(".xml")


def _split(root: Path, image: Path) -> str:
    above = (root.name, *image.relative_to(root).parts[:-1])
    return "test" if any("test" in part.lower() for part in above) else "train"


def _list(root: Path) -> list[PublicImage]:
    images = [
        PublicImage.of_files(_split(root, image), image, outlines, 0.25, _load)
        for image, outlines in paired(files(root, "**/*.tif"), _outlines_of, "MoNuSeg")
    ]
    return sorted(images, key=lambda image: image.split, reverse=True)


MONUSEG = Layout(
    name="monuseg",
    title="H&E, seven organs and more, 40x",
    expects="MoNuSeg 2018 Training Data/Tissue Images/*.tif and Annotations/*.xml, "
    "MoNuSegTestData/*.tif and *.xml",
    marks=(
        ("MoNuSeg*Train*/**/Tissue*Images/*.tif",),
        ("MoNuSeg*Test*/**/*.xml",),
        ("Tissue*Images/*.tif", "Annotations/*.xml"),
        ("TCGA-*.tif", "TCGA-*.xml"),
    ),
    list_images=_list,
    splits=("train", "test"),
    split_rule="official",
    mpp=0.25,
    licence="CC BY-NC-SA 4.0",
    source="https://monuseg.grand-challenge.org/Data/",
    counts={"train": (37, 30), "test": (14,)},
    archives={
        "MoNuSeg 2018 Training Data.zip": (
            "25d3d3185bb2970b397cafa72eb664c9b4d24294aee382e7e3df9885affce742"
        ),
        "MoNuSegTestData.zip": "13e522387ae8b1bcc0530e13ff9c7b4d91ec74959ef6f6e57747368d7ee6f88a",
    },
)
