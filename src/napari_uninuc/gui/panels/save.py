"""Saving the nuclei in a file that opens elsewhere."""

from pathlib import Path

from qtpy.QtWidgets import QFileDialog

from napari_uninuc.gui.notices import tell
from napari_uninuc.gui.panels.frame import Panel, button
from napari_uninuc.gui.workbench import Workbench
from napari_uninuc.io.formats import FORMATS

__all__ = ["SavePanel"]

_WORDS = {
    ".ome.zarr": "OME-Zarr, with picture and classes",
    ".ome.tif": "OME-TIFF labels",
    ".tif": "TIFF labels",
    ".geojson": "GeoJSON for QuPath",
    ".geojson.gz": "GeoJSON for QuPath, packed",
    ".coco.json": "COCO annotations",
    ".csv": "Table, one row a nucleus",
    ".parquet": "Parquet table, one row a nucleus",
}


class SavePanel(Panel):
    """One button; the ending of the name chooses the format."""

    def __init__(self, workbench: Workbench) -> None:
        super().__init__("Save")
        self._workbench = workbench
        self.save = button(
            "Save nuclei as...",
            "Write what you see to a file: hidden outlines are left out, ids stay the same.",
        )
        self.column.addWidget(self.save)
        self.save.clicked.connect(self._on_save)
        workbench.saved.connect(lambda path: tell(f"Saved {path}"))

    def _on_save(self) -> None:
        if self.desk is None:
            return
        suggested = f"{self.desk.session.tile.name or 'nuclei'}-nuclei.ome.tif"
        path, _ = QFileDialog.getSaveFileName(self, "Save nuclei", suggested, _filters())
        if path:
            self._workbench.save(Path(path))


def _filters() -> str:
    listed = [f"{_WORDS[suffix]} (*{suffix})" for suffix in FORMATS if suffix in _WORDS]
    return ";;".join(listed)
