"""The result of a whole slide: added, corrected by regions, and merged back."""

from pathlib import Path

from qtpy.QtWidgets import QCheckBox, QFileDialog, QLabel, QMessageBox, QProgressBar

from napari_uninuc.gui.panels.frame import Panel, button
from napari_uninuc.gui.slides.all_slides import Slides
from napari_uninuc.gui.slides.open_slide import Region
from napari_uninuc.gui.window.notices import tell
from napari_uninuc.slides.merge_back import Merged

__all__ = ["ResultPanel"]


class ResultPanel(Panel):
    """Seen only while a slide is open."""

    def __init__(self, slides: Slides) -> None:
        super().__init__("Result of the whole slide")
        self._slides = slides
        self.add = button(
            "Add a result...",
            "Show what `uninuc slide` found on this slide: choose the folder it wrote into.",
        )
        self.words = QLabel()
        self.words.setWordWrap(True)
        self.begin = QCheckBox("New regions begin with its nuclei")
        self.begin.setChecked(True)
        self.begin.setToolTip("Correct the result in the rectangle, in place of an empty region.")
        self.merge = button(
            "Merge back",
            "Write the nuclei of the region worked at into the result: labels, table and QuPath "
            "file. Nuclei that cross the rectangle's edge stay whole.",
        )
        self.bar = QProgressBar()
        for part in (self.add, self.words, self.begin, self.merge, self.bar):
            self.column.addWidget(part)
        self.add.clicked.connect(self._on_add)
        self.begin.toggled.connect(self._on_begin)
        self.merge.clicked.connect(self._on_merge)
        self._slides.changed.connect(self._on_signal)
        self._slides.results.changed.connect(self._on_signal)
        self._slides.results.merged.connect(self._on_merged)

    def close_panel(self) -> None:
        """Stop listening."""
        self._slides.changed.disconnect(self._on_signal, missing_ok=True)
        self._slides.results.changed.disconnect(self._on_signal, missing_ok=True)
        self._slides.results.merged.disconnect(self._on_merged, missing_ok=True)

    def refresh(self) -> None:
        """Show what there is; works without a desk."""
        slide, results = self._slides.current, self._slides.results
        self.setEnabled(True)
        self.setVisible(slide is not None and slide.mpp is not None)
        result = None if slide is None else slide.result
        self.add.setVisible(result is None)
        for part in (self.words, self.begin, self.merge):
            part.setVisible(result is not None)
        self.bar.setVisible(results.progress is not None)
        if result is None:
            return
        region = self._slides.region
        self.words.setText(str(result.folder))
        self.merge.setText("Merge back" if region is None else f"Merge {region.name} back")
        self.merge.setEnabled(region is not None and results.progress is None)
        if results.progress is not None:
            done, total = results.progress
            self.bar.setRange(0, total)
            self.bar.setValue(done)
            self.bar.setFormat("Writing into the result")

    def _on_add(self) -> None:
        folder = QFileDialog.getExistingDirectory(self, "Folder written by uninuc slide")
        if folder:
            self._slides.add_result(Path(folder))

    def _on_begin(self, checked: bool) -> None:
        self._slides.drawing.begins_with_result = checked

    def _on_merge(self) -> None:
        region = self._slides.region
        slide = self._slides.current
        if region is None or slide is None or slide.result is None:
            return
        answer = QMessageBox.question(
            self,
            "Merge back",
            f"Write the nuclei of {region.name} into {slide.result.folder.name}? In its rectangle "
            "they take the place of those that are there. This cannot be undone.",
        )
        if answer == QMessageBox.StandardButton.Yes:
            self._slides.merge(region)

    def _on_merged(self, region: Region, merged: Merged) -> None:
        tell(
            f"{region.name} is merged back: {merged.changed} nuclei changed, {merged.added} added, "
            f"{merged.removed} removed."
        )
