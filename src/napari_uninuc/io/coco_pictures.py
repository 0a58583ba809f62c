"""Which picture of a COCO file is meant: one file is often about a whole set."""

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import unquote

from napari_uninuc.errors import LabelsError

__all__ = ["chosen_picture", "key_of", "size_of"]

_ROBOFLOW = re.compile(r"\.rf\.[0-9a-z]+(\.\w+)?$", re.IGNORECASE)
"""What it adds to ``tile_png``, having taken the dot away."""

_LABEL_STUDIO = re.compile(r"^[0-9a-f]{8}-")
_MOST_NAMED = 5


def key_of(id_: Any) -> int | str | None:
    """Make ids comparable that programs write as number or text, 7, 7.0 or "7"; None for none."""
    if isinstance(id_, str):
        text = id_.strip()
        return int(text) if re.fullmatch(r"-?\d{1,18}", text) else text or None
    if isinstance(id_, bool) or not isinstance(id_, int | float):
        return None
    return int(id_) if id_ == id_ // 1 else None  # NaN and endless are not


def size_of(picture: Mapping[str, Any]) -> tuple[int, int] | None:
    """Read height and width, px; None where the file does not say."""
    height, width = (key_of(picture.get(side)) for side in ("height", "width"))
    return (height, width) if isinstance(height, int) and isinstance(width, int) else None


def chosen_picture(
    pictures: Sequence[Mapping[str, Any]],
    named: str | os.PathLike[str] | None,
    shape: tuple[int, int] | None,
) -> Mapping[str, Any]:
    """Find the picture a person means.

    Parameters
    ----------
    pictures : those of the file
    named : name of the picture's file, with its folders where they tell two apart; None where
        nobody said. A file about one picture is about that one, whatever its name
    shape : (H, W) px, where known

    Raises
    ------
    LabelsError
        Several, and none or more than one of them is meant.
    """
    if len(pictures) < 2:
        return pictures[0] if pictures else {}
    if named is None:
        raise LabelsError(
            f"expected annotations of one picture, got {_listed(pictures)}; name the picture "
            "(--like IMAGE), or split the file"
        )
    likeness = [max(_likeness(name, named) for name in _names(each)) for each in pictures]
    best = max(likeness)
    found = [p for p, alike in zip(pictures, likeness, strict=True) if alike == best > 0]
    if len(found) > 1 and shape is not None:
        found = [each for each in found if size_of(each) in (None, shape)]
    if len(found) != 1:
        raise LabelsError(
            f"expected one picture named {PurePosixPath(os.fspath(named)).name!r}, got "
            f"{len(found)} of that name among {_listed(pictures)}; name the right picture"
        )
    return found[0]


def _names(picture: Mapping[str, Any]) -> list[str]:
    """File names; Roboflow keeps the one it was given among what is extra."""
    extra = picture.get("extra")
    given = extra.get("name") if isinstance(extra, Mapping) else None
    return [str(each) for each in (picture.get("file_name"), given) if each] or [""]


def _likeness(stored: str, named: str | os.PathLike[str]) -> float:
    """Count the parts of two paths that agree, from the end; below 1 for much the same name."""
    ours, theirs = _parts(os.fspath(named)), _parts(unquote(stored))
    count = 0
    for a, b in zip(reversed(ours), reversed(theirs), strict=False):
        if a != b:
            break
        count += 1
    if count or not theirs:
        return count
    renamed = {
        PurePosixPath(theirs[-1]).stem,
        PurePosixPath(_LABEL_STUDIO.sub("", theirs[-1])).stem,
    }
    stem = PurePosixPath(ours[-1]).stem
    from_roboflow = _ROBOFLOW.sub("", theirs[-1]) == ours[-1].replace(".", "_")
    return 0.5 if stem in renamed or from_roboflow else 0


def _parts(path: str) -> list[str]:
    return [part for part in path.replace("\\", "/").casefold().split("/") if part]


def _listed(pictures: Sequence[Mapping[str, Any]]) -> str:
    names = ", ".join(_names(each)[0][:60] or "?" for each in pictures[:_MOST_NAMED])
    more = ", ..." if len(pictures) > _MOST_NAMED else ""
    return f"{len(pictures)} ({names}{more})"
