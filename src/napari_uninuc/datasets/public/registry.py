"""All public layouts, by name: finding, guessing and reading them."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from napari_uninuc.datasets.public.consep import CONSEP, CONSEP_7
from napari_uninuc.datasets.public.cpm import CPM15, CPM17
from napari_uninuc.datasets.public.label_pictures import CRYONUSEG, NUINSSEG
from napari_uninuc.datasets.public.layout import Layout, PublicImage
from napari_uninuc.datasets.public.listing import held_out
from napari_uninuc.datasets.public.lizard import LIZARD
from napari_uninuc.datasets.public.lynsec import LYNSEC_HE, LYNSEC_IHC
from napari_uninuc.datasets.public.monusac import MONUSAC
from napari_uninuc.datasets.public.monuseg import MONUSEG
from napari_uninuc.datasets.public.nuclick import NUCLICK
from napari_uninuc.datasets.public.pannuke import PANNUKE
from napari_uninuc.datasets.public.puma import PUMA
from napari_uninuc.datasets.public.tnbc import TNBC
from napari_uninuc.errors import DatasetError

__all__ = [
    "LAYOUTS",
    "checked_archives",
    "count_problems",
    "guess_layouts",
    "list_layout",
    "read_layout",
]

LAYOUTS: dict[str, Layout] = {
    layout.name: layout
    for layout in (
        CPM15,
        CPM17,
        CONSEP,
        CONSEP_7,
        CRYONUSEG,
        LIZARD,
        LYNSEC_HE,
        LYNSEC_IHC,
        MONUSAC,
        MONUSEG,
        NUCLICK,
        NUINSSEG,
        PANNUKE,
        PUMA,
        TNBC,
    )
}
"""The fourteen data sets of the paper's tables 5, 6 and 8 (CoNSeP with two lists of classes)."""

_PARTS = ("-fit", "-val")
_CHUNK = 1 << 20


def guess_layouts(folder: Path) -> list[Layout]:
    """List the layouts whose files are in `folder`, or up to three folders below it.

    What lies inside another layout's files is a part of that: CPM17's ``train`` looks like CPM15.
    """
    guessed = [layout for layout in LAYOUTS.values() if layout.variant_of is None]
    roots = {layout.name: layout.root(folder) for layout in guessed}
    found = {root for root in roots.values() if root is not None}
    return [
        layout
        for layout in guessed
        if (root := roots[layout.name]) is not None and not found & set(root.parents)
    ]


def list_layout(layout: Layout, folder: Path) -> list[PublicImage]:
    """List every image that is there, complete or not.

    Raises
    ------
    DatasetError
        No such folder, nothing of this layout in it, or pictures without labels.
    """
    if not folder.is_dir():
        raise DatasetError(f"{folder}: no such folder; expected {layout.name} as unzipped")
    root = layout.root(folder)
    if root is None:
        zipped = [name for name in layout.archives if (folder / name).is_file()]
        advice = f"unzip {', '.join(zipped)}" if zipped else f"get it from {layout.source}"
        raise DatasetError(
            f"{folder}: expected {layout.name} as unzipped ({layout.expects}), got none of it; "
            f"{advice}"
        )
    return layout.list_images(root)


def read_layout(
    name: str, folder: Path, splits: Sequence[str] = (), *, partial: bool = False
) -> list[PublicImage]:
    """List the images of a public data set that belong to some splits.

    Parameters
    ----------
    name : key of `LAYOUTS`
    folder : as unzipped, or up to three folders above
    splits : names of the layout; ``SPLIT-val`` is a fifth of a split, drawn once and for all,
        and ``SPLIT-fit`` the rest. None takes all
    partial : a part of the data set is enough; where splits are drawn, they are drawn from it

    Raises
    ------
    DatasetError
        As `list_layout`; an unknown split; or fewer or more images than were published.
    """
    layout = LAYOUTS[name]
    images = list_layout(layout, folder)
    wanted = tuple(splits) or layout.splits
    for split in wanted:
        if _whole(split, layout) not in layout.splits:
            raise DatasetError(
                f"{folder}: {name} has the splits {', '.join(layout.splits)}, each also as "
                f"SPLIT-fit and SPLIT-val, got {split!r}; correct split in the recipe"
            )
    problems = [] if partial else count_problems(layout, images, wanted)
    if problems:
        raise DatasetError(
            f"{folder}: {problems[0]}; download it again, or set partial = true in the recipe"
        )
    kept = {image.name: image for split in wanted for image in _part(images, split, layout)}
    if not kept:
        raise DatasetError(f"{folder}: no image of {name} in {', '.join(wanted)}; unzip that part")
    return list(kept.values())


def count_problems(
    layout: Layout, images: Iterable[PublicImage], splits: Sequence[str] = ()
) -> list[str]:
    """Say where the number of images is not the published one, in `splits` or in all of them."""
    found = Counter(image.split for image in images)
    whole = {_whole(split, layout) for split in splits}
    problems = []
    for split, published in layout.counts.items():
        if split != "all" and splits and split not in whole:
            continue
        number = found.total() if split == "all" else found[split]
        if number not in published:
            expected = " or ".join(str(count) for count in published)
            part = "" if split == "all" else f" in {split}"
            problems.append(f"{layout.name} has {expected} images{part}, got {number}")
    return problems


def checked_archives(layout: Layout, folder: Path) -> Iterator[tuple[str, bool]]:
    """Compare the archives that lie in `folder` with their sha256; yields (name, is whole)."""
    for name, sha256 in layout.archives.items():
        path = folder / name
        if path.is_file():
            hasher = hashlib.sha256()
            with path.open("rb") as file:
                while chunk := file.read(_CHUNK):
                    hasher.update(chunk)
            yield name, hasher.hexdigest() == sha256


def _whole(split: str, layout: Layout) -> str:
    """Name the split that ``SPLIT-fit`` or ``SPLIT-val`` is a part of."""
    cut = next((split.removesuffix(part) for part in _PARTS if split.endswith(part)), split)
    return split if split in layout.splits else cut


def _part(images: Sequence[PublicImage], split: str, layout: Layout) -> list[PublicImage]:
    whole = _whole(split, layout)
    of_split = [image for image in images if image.split == whole]
    if whole == split:
        return of_split
    kept_out = held_out([image.name for image in of_split], f"{layout.name}/{whole}")
    return [image for image in of_split if (image.name in kept_out) == split.endswith("-val")]
