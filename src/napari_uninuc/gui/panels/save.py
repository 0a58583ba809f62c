"""Saving the nuclei in a file that opens elsewhere, or as pictures to train on."""

import re
from pathlib import Path

from psygnal import SignalInstance
from qtpy.QtWidgets import QComboBox, QFileDialog, QMessageBox, QWidget

from napari_uninuc.core.nuclei import Status
from napari_uninuc.gui.desk import Desk
from napari_uninuc.gui.panels.frame import Panel, button, key_button, row
from napari_uninuc.gui.window.notices import tell
from napari_uninuc.gui.workbench import Workbench
from napari_uninuc.io.formats import FORMATS

__all__ = ["SavePanel", "may_replace", "with_ending"]

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
    ".seg.dcm": "DICOM label map",
    ".sd.zarr": "SpatialData, with picture and table",
    "_seg.npy": "cellpose masks",
    ".csv": "Table, one row a nucleus",
    ".parquet": "Parquet table, one row a nucleus",
}


_ENDING = r"(\.ome)?\.(tiff?|png|jpe?g|bmp|webp|jp2|svs|ndpi|mrxs|scn|vms|bif|dcm|zarr|npy)$"

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
        self.again = key_button("save_again")
        self.which = QComboBox()
        self.which.setToolTip("Which nuclei are saved; their ids stay the same.")
        self.column.addWidget(self.which)
        self.column.addWidget(row(self.save, self.again))
        self.column.addWidget(self.training_set)
        self.save.clicked.connect(self._on_save)
        self.again.clicked.connect(self.save_again)
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

    def save_again(self) -> None:
        """Write into the same file as last time, or ask where there was none."""
        last = self._workbench.saved_as
        if last is None:
            self._on_save()
        else:
            self._workbench.save(last.path, last.status, last.class_name)

    def _on_save(self) -> None:
        if self.desk is None:
            return
        suggested = f"{_bare(self.desk.session.tile.name)}-nuclei.ome.tif"
        typed, chosen = QFileDialog.getSaveFileName(self, "Save nuclei", suggested, _filters())
        if not typed:
            return
        path = with_ending(typed, chosen)
        if not may_replace(self, "Save nuclei", typed, path):
            return
        status, class_name = self.which.currentData() or (None, None)
        self._workbench.save(path, status, class_name)

    def _on_training_set(self) -> None:
        if self.desk is None:
            return
        path, _ = QFileDialog.getSaveFileName(
            self,
            "Folder of the training set",
            f"{_bare(self.desk.session.tile.name)}-training",
        )
        if path:
            self._workbench.save_training_set(Path(path))


def may_replace(parent: QWidget, title: str, typed: str, path: Path) -> bool:
    """Ask before a file is replaced whose name a dialog for saving has not asked about.

    Parameters
    ----------
    typed : what the dialog gave; it has asked about that alone
    path : what is written, the ending included
    """
    if str(path) == typed or not path.exists():
        return True
    answer = QMessageBox.question(parent, title, f"Replace {path.name}, which is there?")
    return answer == QMessageBox.StandardButton.Yes


def with_ending(typed: str, chosen: str) -> Path:
    """Give a name that has no ending of a format that of the filter chosen beside it.

    Parameters
    ----------
    typed : path as it was typed
    chosen : the filter, such as ``GeoJSON for QuPath (*.geojson)``
    """
    ending = re.search(r"\(\*(.+)\)", chosen)
    if ending is None or any(typed.lower().endswith(suffix) for suffix in FORMATS):
        return Path(typed)
    return Path(typed + ending[1])


def _bare(name: str) -> str:
    """Name of a picture without the ending of its file, of which a saved name has its own."""
    return re.sub(_ENDING, "", name, flags=re.IGNORECASE) or "nuclei"


def _filters() -> str:
    listed = [f"{_WORDS[suffix]} (*{suffix})" for suffix in FORMATS if suffix in _WORDS]
    return ";;".join(listed)
