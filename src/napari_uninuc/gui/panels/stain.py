"""Immunohistochemistry: how brown the nuclei are, a threshold over their histogram, the scores."""

import math
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
from psygnal import SignalInstance
from qtpy.QtCore import Qt
from qtpy.QtGui import QColor, QPainter, QPaintEvent
from qtpy.QtWidgets import QComboBox, QLabel, QSlider, QWidget

from napari_uninuc.core.instances import InstanceMask
from napari_uninuc.core.stain import Compartment, Levels, StainScore, dab_density
from napari_uninuc.core.tile import Tile
from napari_uninuc.gui.desk import Desk
from napari_uninuc.gui.panels.frame import Panel, button, row
from napari_uninuc.gui.window.notices import tell_problem
from napari_uninuc.gui.workbench import Workbench
from napari_uninuc.session.lessons import Lesson, lesson_of

__all__ = ["StainPanel"]

_HIGHEST = 1.5
"""Optical density at the right end of histogram and slider."""
_BINS = 60
_STEPS = 150
_PLACES: dict[str, Compartment] = {"in nuclei": "nucleus", "around them": "ring", "in both": "both"}
_ALL = "All classes"

Density = npt.NDArray[np.float64]


class StainPanel(Panel):
    """Counts brown nuclei as a report has them; the threshold follows a slider live.

    Parameters
    ----------
    bench : its worker measures
    """

    def __init__(self, bench: Workbench) -> None:
        super().__init__("Brown nuclei (DAB)", folded=True)
        self._bench = bench
        self._measured: tuple[Lesson, Density] | None = None
        self.measure = button("Measure", "Measure how brown every nucleus is, as outlined now.")
        self.where = QComboBox()
        self.where.addItems(list(_PLACES))
        self.where.setToolTip("Where brown is looked for: in the nucleus, or in a ring of 1.5 um")
        self.of_class = QComboBox()
        self.of_class.setToolTip("Nuclei that are counted")
        self.histogram = Histogram()
        self.threshold = QSlider(Qt.Orientation.Horizontal)
        self.threshold.setRange(1, _STEPS)
        self.threshold.setValue(round(Levels().weak / _HIGHEST * _STEPS))
        self.threshold.setToolTip("Optical density of DAB from which a nucleus is positive")
        self.scores = QLabel()
        self.scores.setWordWrap(True)
        self.scores.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.column.addWidget(row(self.measure, self.where, self.of_class))
        for each in (self.histogram, self.threshold, self.scores):
            self.column.addWidget(each)
        self.measure.clicked.connect(self._on_measure)
        self.where.currentIndexChanged.connect(self._forget)
        self.of_class.currentIndexChanged.connect(self._show)
        self.threshold.valueChanged.connect(self._show)

    @property
    def levels(self) -> Levels:
        """Thresholds of 1+, 2+ and 3+ as the slider stands."""
        return Levels.from_weak(round(self.threshold.value() / _STEPS * _HIGHEST, 4))

    @property
    def score(self) -> StainScore | None:
        """Of the nuclei measured last, as slider and class stand; None before."""
        if self._measured is None or self.desk is None:
            return None
        lesson, density = self._measured
        tile, session = self.desk.session.tile, self.desk.session
        counted = np.ones(len(density), np.bool_)
        wanted = self.of_class.currentText()
        if self.of_class.currentIndex() > 0:
            called, rows = session.classes.name_of, session.labels.nuclei  # as they are by now
            here = [rows.get(id_) for id_ in lesson.ids.tolist()]
            counted = np.array(
                [r is not None and called(session.class_of(r)[0]) == wanted for r in here], np.bool_
            )
        height, width = tile.shape
        area = math.nan if tile.mpp is None else height * width * (tile.mpp / 1000) ** 2
        return StainScore.of(self.levels.of(density[counted]), self.levels, area)

    def follow(self, desk: Desk | None) -> None:
        """Show another desk; what was measured is of the one before."""
        self._measured = None
        super().follow(desk)

    def signals(self, desk: Desk) -> list[SignalInstance]:
        """Classes and their names."""
        return [desk.session.classes_changed, desk.session.derived_changed]

    def slow_signals(self, desk: Desk) -> list[SignalInstance]:
        """Every edit."""
        return [desk.session.labels.changed]

    def refresh(self) -> None:
        """List the classes, and count anew."""
        names = [] if self.desk is None else list(self.desk.session.classes.names)
        shown = [self.of_class.itemText(k) for k in range(1, self.of_class.count())]
        if names != shown or not self.of_class.count():
            before = self.of_class.currentText()
            self.of_class.blockSignals(True)
            self.of_class.clear()
            self.of_class.addItems([_ALL, *names])
            self.of_class.setCurrentText(before)
            self.of_class.blockSignals(False)
        self._show()

    def refresh_later(self) -> None:
        """Say where nuclei have changed since they were measured."""
        self._show()

    def _on_measure(self) -> None:
        if self.desk is None:
            return
        desk, where = self.desk, _PLACES[self.where.currentText()]
        lesson = lesson_of(desk.session)
        self._bench.worker.submit(
            "Measuring brown",
            partial(_measure, desk.session.tile, lesson, where),
            on_done=partial(self._take, desk, lesson),
            on_error=tell_problem,
            urgent=True,
        )

    def _take(self, desk: Desk, lesson: Lesson, density: Density) -> None:
        if desk is self.desk:
            self._measured = lesson, density
            self._show()

    def _forget(self, *_: Any) -> None:
        self._measured = None
        self._show()

    def _show(self, *_: Any) -> None:
        score, density = self.score, np.zeros(0)
        if self._measured is not None:
            density = self._measured[1]
        self.histogram.show_density(density, self.levels)
        if score is None or self.desk is None or self._measured is None:
            self.scores.setText("")
            return
        now, then = self.desk.session.labels, self._measured[0]
        stale = {i: now.area(i) for i, each in now.nuclei.items() if each.visible} != {
            i: then.labels.area(i) for i in then.ids.tolist()
        }
        area = "" if math.isnan(score.area_mm2) else f", {score.density_per_mm2:.0f} nuclei per mm2"
        again = " Outlines were changed since: measure again." if stale else ""
        self.scores.setText(f"{score}{area}.{again}")


def _measure(tile: Tile, lesson: Lesson, where: Compartment) -> Density:
    masks: list[InstanceMask] = lesson.masks()
    return dab_density(tile.rgb, masks, where=where, mpp=tile.mpp)


class Histogram(QWidget):
    """Nuclei by optical density of DAB, coloured by level."""

    _COLOURS = ("#7d9fd1", "#e8c27a", "#c98b3c", "#7a4a1e")

    def __init__(self) -> None:
        super().__init__()
        self.setFixedHeight(48)
        self.counts = np.zeros(_BINS, np.int64)
        self._levels = Levels()

    def show_density(self, density: Density, levels: Levels) -> None:
        """Take other nuclei or thresholds."""
        bins = np.minimum((density / _HIGHEST * _BINS).astype(np.int64), _BINS - 1)
        self.counts = np.bincount(bins, minlength=_BINS)
        self._levels = levels
        self.update()

    def paintEvent(self, event: QPaintEvent | None) -> None:
        """Draw the bars; called by Qt."""
        painter = QPainter(self)
        most, width = max(int(self.counts.max()), 1), self.width() / _BINS
        middles = (np.arange(_BINS) + 0.5) * _HIGHEST / _BINS
        for k, level in enumerate(self._levels.of(middles).tolist()):
            high = round(self.counts[k] / most * self.height())
            left, right = round(k * width), round((k + 1) * width)
            colour = QColor(self._COLOURS[level])
            painter.fillRect(left, self.height() - high, right - left, high, colour)
        painter.end()
