"""Saving the nuclei in a file that opens elsewhere, or as pictures to train on."""

from pathlib import Path

from psygnal import SignalInstance
from qtpy.QtWidgets import QComboBox, QFileDialog

from napari_uninuc.core.nuclei import Status
from napari_uninuc.gui.desk import Desk
from napari_uninuc.gui.panels.frame import Panel, button, row
from napari_uninuc.gui.window.notices import tell
from napari_uninuc.gui.workbench import Workbench
from napari_uninuc.io.formats import FORMATS

__all__ = ["SavePanel"]

_WORDS = {
    ".ome.zarr": "OME-Zarr, with picture and classes",
    ".ome.tif": "OME-TIFF labels",
    ".tif": "TIFF labels",
    ".png": "PNG labels",
    ".geojson": "GeoJSON for QuPath",
    ".geojson.gz": "GeoJSON for QuPath, packed",
    ".coco.json": "COCO annotations",
    ".rois.zip": "ImageJ ROI set",
    ".ann.dcm": "DICOM annotations",
    ".sd.zarr": "SpatialData, with picture and table",
    "_seg.npy": "cellpose masks",
    ".csv": "Table, one row a nucleus",
    ".parquet": "Parquet table, one row a nucleus",
}


_ALL, _REVIEWED = "All nuclei", "Only reviewed nuclei"


class SavePanel(Panel):
    """Which nuclei, and two buttons; the ending of the name chooses the format."""

    def __init__(self, workbench: Workbench) -> None:
        super().__init__("Save")
        self._workbench = workbench
        self.save = button(
            "Save nuclei as...",
            "Write what you see to a file: hidden outlines are left out, ids stay the same.",
        )
        self.training_set = button(
            "Training set...",
            "Write the picture and its reviewed nuclei into a folder to train a model on.",
        )
        self.which = QComboBox()
        self.which.setToolTip("Which nuclei are saved; their ids stay the same.")
        self.column.addWidget(self.which)
        self.column.addWidget(row(self.save, self.training_set))
        self.save.clicked.connect(self._on_save)
        self.training_set.clicked.connect(self._on_training_set)
        workbench.saved.connect(lambda path: tell(f"Saved {path}"))

    def signals(self, desk: Desk) -> list[SignalInstance]:
        """The list of classes."""
        return [desk.session.classes_changed]

    def refresh(self) -> None:
        """List what can be saved by itself."""
        names = () if self.desk is None else self.desk.session.classes.names
        before = self.which.currentText()
        self.which.clear()
        self.which.addItem(_ALL)
        self.which.addItem(_REVIEWED, (Status.REVIEWED, None))
        for name in names:
            self.which.addItem(f"Only class {name}", (None, name))
        self.which.setCurrentIndex(max(0, self.which.findText(before)))

    def _on_save(self) -> None:
        if self.desk is None:
            return
        suggested = f"{self.desk.session.tile.name or 'nuclei'}-nuclei.ome.tif"
        path, _ = QFileDialog.getSaveFileName(self, "Save nuclei", suggested, _filters())
        if path:
            status, class_name = self.which.currentData() or (None, None)
            self._workbench.save(Path(path), status, class_name)

    def _on_training_set(self) -> None:
        if self.desk is None:
            return
        path, _ = QFileDialog.getSaveFileName(
            self,
            "Folder of the training set",
            f"{self.desk.session.tile.name or 'nuclei'}-training",
        )
        if path:
            self._workbench.save_training_set(Path(path))


def _filters() -> str:
    listed = [f"{_WORDS[suffix]} (*{suffix})" for suffix in FORMATS if suffix in _WORDS]
    return ";;".join(listed)
