"""A session brought back with all that belongs to it, the disputes of two readers included."""

from dataclasses import replace
from pathlib import Path

from napari_uninuc.core.tile import Tile
from napari_uninuc.errors import LabelsError, SessionError
from napari_uninuc.journal.folder import read_heading, reader_path
from napari_uninuc.journal.records import ComparisonBegun
from napari_uninuc.journal.replay import Replay
from napari_uninuc.journal.snapshot import read_snapshot
from napari_uninuc.session.autosave import Restored, restore
from napari_uninuc.session.settling import Settling

__all__ = ["restore_all"]


def restore_all(folder: Path, tile: Tile) -> Restored:
    """Bring a session back, and what is still to be settled in it.

    Parameters
    ----------
    folder, tile : as for `restore`

    Returns
    -------
    restored : its session has `settling` where it settles what two readers disagree about. Where
        what they had outlined cannot be read, the nuclei are there and `problem` says so

    Raises
    ------
    SessionError
        As `restore`.
    """
    restored = restore(folder, tile)
    if not reader_path(folder, "a").exists():
        return restored
    try:
        _resume(folder, restored)
    except (SessionError, LabelsError) as problem:
        told = f"what the two readers outlined is gone ({problem}); compare them again"
        return replace(restored, problem="; ".join(filter(None, [restored.problem, told])))
    return restored


def _resume(folder: Path, restored: Restored) -> None:
    heading = read_heading(folder)
    heads = (step.head for step in Replay(folder, heading).steps())
    begun = next((head for head in heads if isinstance(head, ComparisonBegun)), None)
    if begun is None:
        raise SessionError("nothing says who they are")
    a, b = (read_snapshot(reader_path(folder, letter), heading.shape) for letter in "ab")
    Settling.resumed(restored.session, begun, (a, b))
