"""NuClick: immunohistochemistry pictures and NumPy label pictures of lymphocytes."""

from __future__ import annotations

from pathlib import Path

from napari_uninuc.datasets.public.arrays import as_labels, read_npy, read_picture
from napari_uninuc.datasets.public.layout import Layout, Loaded, PublicImage
from napari_uninuc.datasets.public.listing import files, paired

_SPLITS = {"Train": "train", "Validation": "val"}


def _load(image: Path, labels: Path) -> Loaded:
    return Loaded(read_picture(image), as_labels(labels, read_npy(labels)))


def _list(root: Path) -> list[PublicImage]:
    return [
        PublicImage.of_files(split, image, labels, 0.25, _load)
        for folder, split in _SPLITS.items()
        for image, labels in paired(
            files(root, f"images/{folder}/*.png"),
            lambda image: root / "masks" / image.parent.name / f"{image.stem}.npy",
            "NuClick",
        )
    ]


NUCLICK = Layout(
    name="nuclick",
    title="immunohistochemistry, 40x; lymphocytes only",
    expects="IHC_nuclick/IHC/images/{Train,Validation}/*.png, masks/{Train,Validation}/*.npy",
    marks=(("images/Train/*.png",), ("images/Validation/*.png",)),
    list_images=_list,
    splits=("train", "val"),
    split_rule="official; tables report the validation part",
    mpp=0.25,
    licence="see its page",
    source="https://warwick.ac.uk/fac/cross_fac/tia/data/nuclick/ihc_nuclick.zip",
    archives={
        "ihc_nuclick.zip": "5128f1dfcba531e89b49e26364bc667eeb9978fa0039baa25a7f73fdaec2d736"
    },
    exhaustive=False,
)
