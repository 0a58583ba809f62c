"""Corrected pictures as a folder to train on: ``images/``, ``labels/``, ``classes/``, a card."""

import json
import math
import re
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tomli_w
from PIL import Image

from napari_uninuc.core.examples import ANSWERED_FOR
from napari_uninuc.core.nuclei import Status
from napari_uninuc.core.segmentation import Segmentation
from napari_uninuc.core.tile import Tile
from napari_uninuc.errors import OutputError
from napari_uninuc.io.stated import DEFAULT_CLASS
from napari_uninuc.io.targets import replacing
from napari_uninuc.io.tiff import write_tiff

__all__ = ["CARD_NAME", "write_training_set"]

CARD_NAME = "card.toml"

_CARD_HEAD = """\
# A set of corrected nuclei, written by napari-uninuc.
#
# Train on it by copying the tables [[datasets]] below, as they are, to the end of a recipe
# (docs/train-your-own.md). Their path is where this folder was written: change it if it moved.
# classes: the names of the nuclei. A recipe that is to tell them apart has this line too, at its
# top, above the first line with a bracket; without it every nucleus is just a nucleus.
# exhaustive = false: some nuclei of the pictures are not labelled, because nobody has reviewed
# or drawn them. Such pictures teach outlines; they must neither teach nor measure the finding of
# nuclei. It is true only where there are nuclei and every one in sight was reviewed; that none was
# overlooked is the reviewer's word.

"""
_LONGEST_NAME = 80
_MAX_UINT16 = 65_535


def write_training_set(
    pictures: Sequence[tuple[Tile, Segmentation]],
    folder: str | Path,
    keep: Collection[str] = ANSWERED_FOR,
) -> Path:
    """Write pictures and the nuclei a person answers for, as ``uninuc train`` reads them.

    Parameters
    ----------
    pictures : tile and its nuclei, whose table has a status; the tile's name names the files
    folder : made here; must not exist, or be empty
    keep : statuses of the nuclei that become labels; the others are background. A picture is
        exhaustive only where every nucleus is reviewed and kept: who has drawn some says nothing
        of the rest. Those that are not get a data set of their own on the card

    Returns
    -------
    folder : with ``images/NAME.png``, ``labels/NAME.png`` (``.tif`` above 65,535 ids),
        ``classes/NAME.json`` and `CARD_NAME`

    Raises
    ------
    LabelsError
        A table without status.
    OutputError
        Nothing to write, pictures of different scale or not of their labels' shape, or a folder
        that is taken or cannot be written.

    Examples
    --------
    >>> from napari_uninuc import Segmentation
    >>> from napari_uninuc.io.training_set import write_training_set
    >>> from napari_uninuc.testing import make_tile
    >>> tissue = make_tile((64, 64), n_nuclei=3)
    >>> nuclei = Segmentation.from_labels(tissue.labels)

    >>> nuclei = Segmentation(nuclei.labels, nuclei.table.assign(status="reviewed"), {})
    >>> folder = write_training_set([(tissue.tile, nuclei)], "corrected")
    >>> sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.*"))
    ['card.toml', 'classes/synthetic_0.json', 'images/synthetic_0.png', 'labels/synthetic_0.png']
    """
    target = Path(folder).resolve()  # the card says where it lies, and recipes run anywhere
    scale = _common_scale(target, pictures)
    names = _file_names([tile.name for tile, _ in pictures])
    if target.is_dir() and any(target.iterdir()):
        raise OutputError(f"{target}: expected a new folder, got one with files; name another")
    with replacing(target, folder=True) as part:
        for name in ("images", "labels", "classes"):
            (part / name).mkdir(parents=True)
        described, classes = [], set[str]()
        for name, (tile, nuclei) in zip(names, pictures, strict=True):
            kept = nuclei.only(status=keep)
            _write_picture(part, name, tile, kept)
            described.append(_described(name, tile, nuclei, kept))
            classes.update(kept.table["class"].astype(str))
        card = _card(target, scale, described, keep, classes)
        (part / CARD_NAME).write_text(card, encoding="utf-8", newline="\n")
    return target


def _common_scale(target: Path, pictures: Sequence[tuple[Tile, Segmentation]]) -> float | None:
    """Return the pictures' one mpp: a data set of a recipe has no more than one."""
    if not pictures:
        raise OutputError(f"{target}: expected pictures for the training set, got none; add one")
    first = pictures[0][0].mpp
    for tile, nuclei in pictures:
        same = tile.mpp == first or (
            tile.mpp is not None
            and first is not None
            and math.isclose(tile.mpp, first, rel_tol=0.01)
        )
        if not same:
            raise OutputError(
                f"{target}: pictures of one set need one scale, got {first} and {tile.mpp} um/px; "
                "write a set for each"
            )
        if tile.shape != nuclei.labels.shape:
            raise OutputError(
                f"{target}: picture {tile.name!r} and its labels must have one shape, got "
                f"{tile.shape} and {nuclei.labels.shape}; pass the picture that was segmented"
            )
    return first


def _file_names(names: Sequence[str]) -> list[str]:
    """Make different file names of the names of tiles, which may be anything."""
    chosen: list[str] = []
    taken: set[str] = set()
    for place, name in enumerate(names, start=1):
        plain = re.sub(r"[^\w.-]+", "_", name).strip("._")[:_LONGEST_NAME] or f"tile-{place}"
        stem = re.sub(r"(\.ome)?\.(png|jpe?g|tiff?|bmp|svs|ndpi|zarr)$", "", plain, flags=re.I)
        candidate, number = stem, 2
        while candidate.casefold() in taken:  # many disks do not tell cases apart
            candidate, number = f"{stem}-{number}", number + 1
        taken.add(candidate.casefold())
        chosen.append(candidate)
    return chosen


def _write_picture(part: Path, name: str, tile: Tile, kept: Segmentation) -> None:
    Image.fromarray(tile.rgb).save(part / "images" / f"{name}.png")
    if kept.labels.max(initial=0) > _MAX_UINT16:
        write_tiff(kept, part / "labels" / f"{name}.tif", tile.mpp)
    else:
        Image.fromarray(kept.labels.astype(np.uint16)).save(part / "labels" / f"{name}.png")
    classes = dict(zip(kept.table["id"].astype(str), kept.table["class"].astype(str), strict=True))
    text = json.dumps(classes, ensure_ascii=False)
    (part / "classes" / f"{name}.json").write_text(text, encoding="utf-8")


def _described(name: str, tile: Tile, nuclei: Segmentation, kept: Segmentation) -> dict[str, Any]:
    reviewed = nuclei.only(status=Status.REVIEWED)
    return {
        "name": name,
        "nuclei": len(kept.table),
        "left_out": len(nuclei.table) - len(kept.table),
        "exhaustive": len(reviewed.table) == len(kept.table) == len(nuclei.table) > 0,
        "origin_yx_slide": list(tile.origin_yx_slide),
        "digest": tile.digest,
    }


def _card(
    target: Path,
    mpp: float | None,
    pictures: list[dict[str, Any]],
    keep: Collection[str],
    classes: Collection[str],
) -> str:
    common = {"path": target.as_posix(), "mpp": "unknown" if mpp is None else mpp}
    entries = []
    for exhaustive in (True, False):
        names = [each["name"] for each in pictures if each["exhaustive"] is exhaustive]
        if names:
            name = target.name if exhaustive else f"{target.name}-partly"
            include = {} if len(names) == len(pictures) else {"include": names}
            entries.append({"name": name, **common, "exhaustive": exhaustive, **include})
    content = {
        "nuclei": sum(each["nuclei"] for each in pictures),
        "statuses": sorted(str(each) for each in keep),
        "classes": _told_apart(classes),
    }
    parts = [_CARD_HEAD + tomli_w.dumps(content)]
    parts += [_tables("datasets", entries), _tables("pictures", pictures)]
    return "\n".join(parts)


def _told_apart(classes: Collection[str]) -> list[str]:
    """Names that a model can learn; nuclei that nobody named are of no class where others are."""
    named = sorted(set(classes) - {DEFAULT_CLASS})
    return named if len(named) > 1 else sorted(classes) or [DEFAULT_CLASS]


def _tables(name: str, entries: Sequence[dict[str, Any]]) -> str:
    """An array of tables, which can be copied one by one; tomli-w writes short ones in a line."""
    return "\n".join(f"[[{name}]]\n{tomli_w.dumps(entry)}" for entry in entries)
