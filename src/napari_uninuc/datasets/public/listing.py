"""Listing files and sharing them out: what every layout needs before anything is decoded."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from napari_uninuc.errors import DatasetError

__all__ = ["SPLIT_VERSION", "files", "held_out", "paired", "seeded_split"]

SPLIT_VERSION = "uninuc-split-1"
"""Part of every drawn split: another rule gets another version, never the same name."""

_HELD_OUT = 0.2  # of a split without a validation part of its own, as PathoSAM takes


def files(root: Path, pattern: str) -> list[Path]:
    """List the files below `root` that match, sorted, without macOS leftovers."""
    return sorted(
        path
        for path in root.glob(pattern)
        if path.is_file() and not path.name.startswith(".") and "__MACOSX" not in path.parts
    )


def paired(
    images: Iterable[Path], labels_of: Callable[[Path], Path], what: str
) -> list[tuple[Path, Path]]:
    """Put each picture beside its label file.

    Parameters
    ----------
    images : pictures that are there
    labels_of : where the labels of a picture should be
    what : name of the data set, for the error

    Raises
    ------
    DatasetError
        Label files are missing; says how many, of how many, and the first.
    """
    pairs = [(image, labels_of(image)) for image in images]
    missing = [labels for _, labels in pairs if not labels.is_file()]
    if missing:
        raise DatasetError(
            f"{missing[0]}: expected the labels of a {what} picture, got no file; {len(missing)} "
            f"of {len(pairs)} label files are missing: unzip or download them again"
        )
    return pairs


def seeded_split(
    names: Iterable[str], shares: Mapping[str, float], salt: str, rest: str = "train"
) -> dict[str, str]:
    """Share names out by chance that is the same everywhere and for ever.

    Names are ordered by the blake2b digest of "version/salt/name"; the first are the first
    split's, and so on. No random generator is asked, so no version of one matters.

    Parameters
    ----------
    names : all of the data set; the shares are of their number, at least one each
    shares : split: share in (0, 1), in order
    salt : name of the data set
    rest : the split of what is left

    Returns
    -------
    splits : split by name
    """
    ordered = sorted(set(names), key=lambda name: _digest(salt, name))
    splits = dict.fromkeys(ordered, rest)
    start = 0
    for split, share in shares.items():
        stop = start + max(1, round(share * len(ordered)))
        splits.update(dict.fromkeys(ordered[start:stop], split))
        start = stop
    return splits


def held_out(names: Sequence[str], salt: str) -> frozenset[str]:
    """Choose the fifth of a split that ``SPLIT-val`` means; ``SPLIT-fit`` is the rest."""
    splits = seeded_split(names, {"val": _HELD_OUT}, salt, rest="fit")
    return frozenset(name for name, split in splits.items() if split == "val")


def _digest(salt: str, name: str) -> str:
    return hashlib.blake2b(f"{SPLIT_VERSION}/{salt}/{name}".encode(), digest_size=16).hexdigest()
