"""Asks whose nuclei are to be compared."""

import getpass
from collections.abc import Sequence
from pathlib import Path

from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDialog,
    QDialogButtonBox,
    QFileDialog,
    QFormLayout,
    QLineEdit,
    QWidget,
)

from napari_uninuc.gui.panels.frame import button, row
from napari_uninuc.gui.work.comparing import Order, Reader
from napari_uninuc.journal.listing import FoundSession

__all__ = ["CompareDialog"]

_FILES = "Nuclei (*.geojson *.geojson.gz *.json *.tif *.tiff *.png);;All (*)"


class CompareDialog(QDialog):
    """Two readers, who settles, and whether that person is told whose outlines are whose.

    Parameters
    ----------
    parent : over which it opens
    found : saved sessions of the picture
    """

    def __init__(self, parent: QWidget, found: Sequence[FoundSession]) -> None:
        super().__init__(parent)
        self.setWindowTitle("Compare with...")
        own = Reader("nuclei in this window")
        saved = [Reader(_when(each), each.path) for each in found]
        self.a = _choice([own, *saved])
        self.b = _choice([*saved, own])
        self.by = QLineEdit(_user())
        self.by.setToolTip("Who decides; the record of the session says so.")
        self.blinded = QCheckBox("Do not tell me whose outline is whose")
        self.blinded.setToolTip(
            "Names are hidden, and which of the two comes first is drawn by lot each time."
        )
        form = QFormLayout(self)
        for words, choice in (("Reader A", self.a), ("Reader B", self.b)):
            form.addRow(words, row(choice, *self._openers(choice)))
        form.addRow("Decided by", self.by)
        form.addRow(self.blinded)
        self._buttons = QDialogButtonBox(
            QDialogButtonBox.StandardButton.Ok | QDialogButtonBox.StandardButton.Cancel
        )
        self._buttons.accepted.connect(self.accept)
        self._buttons.rejected.connect(self.reject)
        form.addRow(self._buttons)
        for choice in (self.a, self.b):
            choice.currentIndexChanged.connect(self._on_choice)
        self._on_choice()

    @property
    def order(self) -> Order:
        """What was chosen."""
        by = self.by.text().strip() or "somebody"
        return Order(self.a.currentData(), self.b.currentData(), by, self.blinded.isChecked())

    def choose(self, choice: QComboBox, path: Path) -> None:
        """Offer a file or folder in one of the lists, and choose it."""
        choice.addItem(path.name, Reader(path.name, path))
        choice.setCurrentIndex(choice.count() - 1)

    def _openers(self, choice: QComboBox) -> tuple[QWidget, QWidget]:
        file = button("File...", "Nuclei saved in a file: GeoJSON, COCO, TIFF, PNG.")
        folder = button("Folder...", "A saved session, an OME-Zarr, or a result of uninuc slide.")
        file.clicked.connect(lambda: self._ask(choice, folder=False))
        folder.clicked.connect(lambda: self._ask(choice, folder=True))
        return file, folder

    def _ask(self, choice: QComboBox, *, folder: bool) -> None:
        if folder:
            path = QFileDialog.getExistingDirectory(self, "Nuclei of a reader")
        else:
            path, _ = QFileDialog.getOpenFileName(self, "Nuclei of a reader", "", _FILES)
        if path:
            self.choose(choice, Path(path))

    def _on_choice(self, _place: int = 0) -> None:
        """Nobody is compared with themselves."""
        ok = self._buttons.button(QDialogButtonBox.StandardButton.Ok)
        if ok is not None:
            ok.setEnabled(self.a.currentData() != self.b.currentData())


def _choice(readers: Sequence[Reader]) -> QComboBox:
    made = QComboBox()
    for reader in readers:
        made.addItem(reader.name, reader)
    return made


def _when(found: FoundSession) -> str:
    return f"session of {found.changed.astimezone():%d %B %Y, %H:%M} ({found.nuclei} nuclei)"


def _user() -> str:
    try:
        return getpass.getuser()
    except OSError:  # a machine without users, or one that does not tell
        return ""
