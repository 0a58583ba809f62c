"""LyNSeC: NumPy files of colours and ids together; H&E and immunohistochemistry."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from napari_uninuc.datasets.public.arrays import as_labels, read_npy
from napari_uninuc.datasets.public.layout import Layout, Loaded, PublicImage
from napari_uninuc.datasets.public.listing import files
from napari_uninuc.errors import DatasetError

_RGB = 3
_WITH_IDS = 4
_MISMATCHED = frozenset(f"{k}_l2" for k in range(35))
"""H&E files whose labels belong to other pictures; PathoSAM leaves them out as well."""


def _load(path: Path) -> Loaded:
    stored = read_npy(path)
    if stored.ndim != _RGB or stored.shape[-1] < _WITH_IDS:
        raise DatasetError(
            f"{path}: expected (H, W, 4 or more): colours, then ids, got {stored.shape}; download "
            "lynsec.zip again"
        )
    return Loaded(stored[..., :_RGB], as_labels(path, stored[..., _RGB]))


def _list(root: Path, folders: Sequence[str]) -> list[PublicImage]:
    return [
        PublicImage(
            name=f"{path.parent.name}/{path.stem}",
            image_path=path,
            labels_path=path,
            split="all",
            scale_mpp=0.25,
            load=partial(_load, path),
        )
        for folder in folders
        for path in files(root, f"{folder}/*.npy")
        if folder == "lynsec 1" or path.stem not in _MISMATCHED
    ]


LYNSEC_HE = Layout(
    name="lynsec-he",
    title="H&E, lymphoma, 40x",
    expects="lynsec 2/*.npy, lynsec 3/*.npy; 35 files with wrong labels (0_l2 .. 34_l2) are "
    "left out",
    marks=(("lynsec 2/*.npy",), ("lynsec 3/*.npy",)),
    list_images=partial(_list, folders=("lynsec 2", "lynsec 3")),
    splits=("all",),
    split_rule="none: all of it is for testing",
    mpp=0.25,
    licence="see its page",
    source="https://zenodo.org/records/8065174",
    archives={"lynsec.zip": "14b9b5a9c39cb41afc7f31de5a995cefff0947c215e14ab9c7a463f32fbbf4b6"},
)

LYNSEC_IHC = replace(
    LYNSEC_HE,
    name="lynsec-ihc",
    title="immunohistochemistry, lymphoma, 40x",
    expects="lynsec 1/*.npy",
    marks=(("lynsec 1/*.npy",),),
    list_images=partial(_list, folders=("lynsec 1",)),
)
