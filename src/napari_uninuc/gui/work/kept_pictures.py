"""Pictures on disk with the corrections that were kept of them: to read, to count, to export."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from napari_uninuc.core.nuclei import Status
from napari_uninuc.core.segmentation import Segmentation
from napari_uninuc.core.tile import Tile
from napari_uninuc.gui.work.walk import NOT_BEGUN, State
from napari_uninuc.io.formats import write_segmentation
from napari_uninuc.io.images import read_image
from napari_uninuc.journal.listing import find_sessions
from napari_uninuc.session import AnnotationSession
from napari_uninuc.session.autosave import Restored
from napari_uninuc.session.resumed import restore_all

__all__ = [
    "KeptPicture",
    "export_picture",
    "pictures_in",
    "read_kept",
    "state_of",
    "write_all",
]

_SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp", ".jp2")


@dataclass(frozen=True, slots=True, eq=False)
class KeptPicture:
    """A picture and the newest corrections of it that no window has open.

    Attributes
    ----------
    restored, folder : None where there are none
    """

    tile: Tile
    restored: Restored | None
    folder: Path | None


def pictures_in(folder: Path) -> list[Path]:
    """Files of a folder that are pictures by their ending, by name."""
    return sorted(
        each
        for each in folder.iterdir()
        if each.suffix.lower() in _SUFFIXES and not each.name.startswith(".") and each.is_file()
    )


def read_kept(path: Path) -> KeptPicture:
    """Read a picture and what was corrected on it before; for the worker.

    Raises
    ------
    ImageError, SessionError
        The picture or its corrections cannot be read.
    """
    tile = read_image(path)
    for found in find_sessions(tile.digest):
        if not found.in_use and found.problem is None:
            return KeptPicture(tile, restore_all(found.path, tile), found.path)
    return KeptPicture(tile, None, None)


def state_of(session: AnnotationSession | None) -> State:
    """How far the review of a session is; of None, not begun."""
    if session is None:
        return NOT_BEGUN
    rows = [row for row in session.labels.nuclei.values() if row.visible]
    return State(sum(row.status is Status.REVIEWED for row in rows), len(rows))


def write_all(
    frozen: Sequence[tuple[str, Segmentation, Tile]], folder: Path, ending: str
) -> Iterator[int]:
    """Write nuclei into a folder one after the other; for the worker.

    Parameters
    ----------
    frozen : names, of which the files get ``-nuclei`` and the ending, nuclei and pictures

    Yields
    ------
    written : files so far
    """
    for count, (name, nuclei, tile) in enumerate(frozen, start=1):
        write_segmentation(nuclei, folder / f"{name}-nuclei{ending}", tile)
        yield count


def export_picture(picture: KeptPicture, path: Path) -> bool:
    """Write the corrections of a picture in the format of the path; False where it has none."""
    if picture.restored is None:
        return False
    session = picture.restored.session
    write_segmentation(session.segmentation(), path, session.tile)
    return True
