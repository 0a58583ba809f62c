"""Finding all nuclei, and which of those found are shown."""

from time import perf_counter

from napari.utils import progress
from psygnal import SignalInstance
from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import QLabel, QProgressBar, QSlider

from napari_uninuc.core.tile import Tile
from napari_uninuc.engine.settings import fewest_px
from napari_uninuc.gui.desk import Desk
from napari_uninuc.gui.panels.frame import Panel, button, row
from napari_uninuc.gui.work.outlining import RunState
from napari_uninuc.gui.workbench import Workbench

__all__ = ["OutlinePanel"]

_MAX_AREA_UM2 = 60
_QUICK_S = 0.05
_REST_MS = 200
"""Hiding takes 0.4 to 1.5 s with 10,000 nuclei on 4096 x 4096 px: then once, and not on the way."""


class OutlinePanel(Panel):
    """One button, how far it is, and two sliders that hide and show without computing."""

    def __init__(self, workbench: Workbench) -> None:
        super().__init__("All nuclei")
        self._workbench = workbench
        self._activity: progress | None = None
        self.start = button(
            "Outline all nuclei",
            "Find and outline every nucleus of the picture. What you have drawn or changed stays.",
        )
        self.bar = QProgressBar()
        self.cancel = button("Cancel", "Stop; the nuclei that are in the picture by now stay.")
        self.running = row(self.bar, self.cancel)
        self.certainty = _slider(100, "Hide automatic outlines the model is less sure of.")
        self.certainty_text = QLabel()
        self.area = _slider(_MAX_AREA_UM2, "Hide automatic outlines that are smaller.")
        self.area_text = QLabel()
        self.column.addWidget(self.start)
        self.where = QLabel()
        self.where.setWordWrap(True)
        self.where.hide()
        self.column.addWidget(self.running)
        self.column.addWidget(self.where)
        self.column.addWidget(row(QLabel("Surer than"), self.certainty, self.certainty_text))
        self.column.addWidget(row(QLabel("Larger than"), self.area, self.area_text))
        self.start.clicked.connect(workbench.outline_all)
        self.cancel.clicked.connect(workbench.cancel)
        self._seconds = 0.0
        self._rest = QTimer(self)
        self._rest.setSingleShot(True)
        self._rest.setInterval(_REST_MS)
        self._rest.timeout.connect(self._filter)
        self.certainty.valueChanged.connect(self._on_slider)
        self.area.valueChanged.connect(self._on_slider)
        workbench.run_changed.connect(self._on_run)
        workbench.models.changed.connect(self._on_run)
        self._on_run()

    def follow(self, desk: Desk | None) -> None:
        """Show another desk; where a slider has just come to rest is meant for the one before."""
        if self._rest.isActive():
            self._rest.stop()
            self._filter()
        super().follow(desk)

    def signals(self, desk: Desk) -> list[SignalInstance]:
        """The filter, which undo changes too."""
        return [desk.session.steps.filter_changed]

    def refresh(self) -> None:
        """Put the sliders where the filter is; a run elsewhere can be cancelled without a desk."""
        self.setEnabled(True)
        for part in (self.certainty, self.area):
            part.setEnabled(self.desk is not None)
        self._on_run()
        if self.desk is None:
            return
        wanted = self.desk.session.steps.filter
        for slider, value in (
            (self.certainty, round(wanted.threshold * 100)),
            (self.area, round(wanted.min_area_px * self._mpp(self.desk.session.tile) ** 2)),
        ):
            if not slider.isSliderDown():
                slider.blockSignals(True)
                slider.setValue(value)
                slider.blockSignals(False)
        self._show_values()

    def _mpp(self, tile: Tile) -> float:
        annotator = self._workbench.models.annotator
        return float(tile.mpp or (annotator.card.mpp if annotator else None) or 0.25)

    def _on_slider(self) -> None:
        """Follow at once; with so many nuclei that this takes long, once the slider rests."""
        self._show_values()
        if self._seconds < _QUICK_S:
            self._filter()
        else:
            self._rest.start()

    def _filter(self) -> None:
        if self.desk is not None:
            began = perf_counter()
            area, mpp = self.area.value(), self._mpp(self.desk.session.tile)
            self.desk.session.set_filter(
                self.certainty.value() / 100, fewest_px(area, mpp) if area else 0
            )
            self._seconds = perf_counter() - began

    def _show_values(self) -> None:
        self.certainty_text.setText(f"{self.certainty.value()} %")
        self.area_text.setText(f"{self.area.value()} um\N{SUPERSCRIPT TWO}")

    def _on_run(self) -> None:
        run = self._workbench.run
        self.running.setVisible(run is not None)
        self.start.setEnabled(run is None and self.desk is not None)
        if run is None:
            self.where.hide()
            if self._activity is not None:
                self._activity.close()
                self._activity = None
            return
        self.bar.setRange(0, run.total if run.done else 0)
        self.bar.setValue(run.done)
        self.bar.setFormat(f"{run.found} nuclei, part {run.done} of {run.total}")
        self.where.setText(self._words(run))
        self.where.setVisible(bool(self.where.text()))
        if self._activity is None:
            self._activity = progress(desc="Outlining nuclei", total=run.total)
        self._activity.total = run.total
        self._activity.n = run.done
        self._activity.refresh()

    def _words(self, run: RunState) -> str:
        """Say what a bar without numbers does not."""
        if self._workbench.models.loading:
            return "The model is loading."
        here = self.desk is not None and self.desk.session is run.session
        return "" if here else f"Outlining {run.session.tile.name}, which is not shown now."


def _slider(highest: int, tooltip: str) -> QSlider:
    slider = QSlider(Qt.Orientation.Horizontal)
    slider.setRange(0, highest)
    slider.setToolTip(tooltip)
    slider.setFocusPolicy(Qt.FocusPolicy.NoFocus)
    return slider
