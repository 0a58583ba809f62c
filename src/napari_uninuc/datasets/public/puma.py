"""PUMA: TIFF regions of melanoma and GeoJSON nuclei."""

from __future__ import annotations

from pathlib import Path

from napari_uninuc.datasets.public.arrays import read_picture
from napari_uninuc.datasets.public.layout import Layout, Loaded, PublicImage
from napari_uninuc.datasets.public.listing import files, paired, seeded_split
from napari_uninuc.io.labels import read_segmentation

_CLASSES = (
    "stroma",
    "tumor",
    "plasma_cell",
    "histiocyte",
    "lymphocyte",
    "melanophage",
    "neutrophil",
    "endothelium",
    "epithelium",
    "apoptosis",
)
_IMAGES, _NUCLEI = "01_training_dataset_tif_ROIs", "01_training_dataset_geojson_nuclei"


def _load(image: Path, outlines: Path) -> Loaded:
    """Paint the outlines where they lie in the picture, not where their own bounds begin."""
    pixels = read_picture(image)
    found = read_segmentation(outlines, pixels.shape[:2], (0, 0)).segmentation
    names = found.table["class"].str.lower().str.removeprefix("nuclei_")
    known = zip(found.table["id"].tolist(), names.tolist(), strict=True)
    return Loaded(pixels, found.labels, {k: name for k, name in known if name in _CLASSES})


def _site(image: Path) -> str:
    return "metastatic" if "metastatic" in image.stem else "primary"


def _list(root: Path) -> list[PublicImage]:
    nuclei = {path.stem: path for path in files(root, f"{_NUCLEI}/**/*_nuclei.geojson")}
    images = files(root, f"{_IMAGES}/**/*.tif")
    pairs = paired(
        images,
        lambda i: nuclei.get(f"{i.stem}_nuclei", root / _NUCLEI / f"{i.stem}_nuclei.geojson"),
        "PUMA",
    )
    splits: dict[str, str] = {}
    for site in ("primary", "metastatic"):
        names = [image.stem for image in images if _site(image) == site]
        splits |= seeded_split(names, {"test": 0.2, "val": 0.12}, f"puma/{site}")
    return [
        PublicImage.of_files(splits[image.stem], image, outlines, 0.23, _load)
        for image, outlines in pairs
    ]


PUMA = Layout(
    name="puma",
    title="H&E, melanoma, 40x",
    expects=f"{_IMAGES}/*.tif, {_NUCLEI}/*_nuclei.geojson",
    marks=((f"{_IMAGES}/**/*.tif",),),
    list_images=_list,
    splits=("train", "val", "test"),
    split_rule="drawn by us in each site (68/12/20 %): none is published",
    mpp=0.23,
    licence="see its page",
    source="https://zenodo.org/records/15050523",
    classes=_CLASSES,
    counts={"all": (205, 206)},
    archives={
        f"{_IMAGES}.zip": "af48b879f8ff7e74b84a7114924881606f13f108aa0f9bcc21d3593b717ee022",
        f"{_NUCLEI}.zip": "eda271225900d6de0759e0281f3731a570e09f2adab58bd36425b9d2dfad91a0",
    },
)
