"""The two questions before many things are exported at once."""

from pathlib import Path

from qtpy.QtWidgets import QFileDialog, QInputDialog, QWidget

from napari_uninuc.io.formats import FORMATS

__all__ = ["ask_where"]

_USUAL = ".geojson"


def ask_where(parent: QWidget) -> tuple[Path, str] | None:
    """Ask for a folder and for the ending of a format; None where one is not given."""
    folder = QFileDialog.getExistingDirectory(parent, "Folder for the nuclei of all")
    if not folder:
        return None
    endings = list(FORMATS)
    ending, given = QInputDialog.getItem(
        parent, "Export all", "Format", endings, endings.index(_USUAL), False
    )
    return (Path(folder), ending) if given else None
