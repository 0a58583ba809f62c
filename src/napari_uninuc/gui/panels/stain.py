"""Immunohistochemistry: how brown nuclei are, thresholds over their histogram, the scores."""

import math
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
from psygnal import SignalInstance
from qtpy.QtCore import Qt
from qtpy.QtCore import Signal as QtSignal
from qtpy.QtGui import QColor, QPainter, QPaintEvent
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QLabel,
    QLineEdit,
    QSlider,
    QVBoxLayout,
    QWidget,
)

from napari_uninuc.core.instances import InstanceMask
from napari_uninuc.core.stain import (
    Compartment,
    Levels,
    StainScore,
    StainVectors,
    background_dab,
    dab_density,
)
from napari_uninuc.core.tile import Tile
from napari_uninuc.errors import ImageError
from napari_uninuc.gui.desk import Desk
from napari_uninuc.gui.layers.colours import STAIN_COLOURS, ColourBy
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
_LEAST_PX = 90
_STEPS_OF = {"1+": Levels().weak, "2+": Levels().moderate, "3+": Levels().strong}
_LEVELS = {0: "0", 1: "1+", 2: "2+", 3: "3+"}
_SAY = (
    "Say that of the nucleus in hand or all selected; it stands whatever the thresholds are. "
    "D and Shift+D say positive and negative of the one under the cursor."
)

Density = npt.NDArray[np.float64]


class StainPanel(Panel):
    """Counts brown nuclei as a report has them; the thresholds follow sliders live.

    Parameters
    ----------
    bench : its worker measures
    """

    def __init__(self, bench: Workbench) -> None:
        super().__init__("Brown nuclei (DAB)", folded=True)
        self._bench = bench
        self._measured: tuple[Lesson, Measured] | None = None
        self.measure = button("Measure", "Measure how brown every nucleus is, as outlined now.")
        self.where = QComboBox()
        self.where.addItems(list(_PLACES))
        self.where.setToolTip("Where brown is looked for: in the nucleus, or in a ring of 1.5 um")
        self.of_class = QComboBox()
        self.of_class.setToolTip("Nuclei that are counted")
        self.histogram = Histogram()
        self.sliders = tuple(_slider(name, dense) for name, dense in _STEPS_OF.items())
        self.threshold, self.moderate, self.strong = self.sliders
        self.shown = tuple(QLabel() for _ in self.sliders)
        self.vectors = StainFields()
        self.colour = QCheckBox("Colour nuclei by it")
        self.colour.setToolTip("Blue is negative; the browner the colour, the browner the nucleus")
        self.say = {level: button(text, _SAY) for level, text in _LEVELS.items()}
        self.unsay = button("As measured", "Take back what you said of the nuclei.")
        self.scores = QLabel()
        self.scores.setWordWrap(True)
        self.scores.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.column.addWidget(row(self.measure, self.where, self.of_class))
        self.column.addWidget(self.histogram)
        for name, slider, label in zip(_STEPS_OF, self.sliders, self.shown, strict=True):
            self.column.addWidget(row(QLabel(name), slider, label))
        self.column.addWidget(row(QLabel("This one is"), *self.say.values(), self.unsay))
        self.column.addWidget(self.vectors)
        for each in (self.colour, self.scores):
            self.column.addWidget(each)
        self.measure.clicked.connect(self._on_measure)
        self.where.currentIndexChanged.connect(self._forget)
        self.vectors.changed.connect(self._forget)
        self.vectors.estimate.clicked.connect(self._on_estimate)
        self.of_class.currentIndexChanged.connect(self._show)
        self.colour.toggled.connect(self._on_colour)
        for slider in self.sliders:
            slider.valueChanged.connect(partial(self._on_slider, slider))
        for level, pressed in self.say.items():
            pressed.clicked.connect(partial(self._on_say, level))
        self.unsay.clicked.connect(partial(self._on_say, None))

    @property
    def levels(self) -> Levels:
        """Thresholds of 1+, 2+ and 3+ as the sliders stand."""
        return Levels(*(round(each.value() / _STEPS * _HIGHEST, 4) for each in self.sliders))

    @property
    def score(self) -> StainScore | None:
        """Of the nuclei measured last, as sliders and class stand; None before.

        Nuclei that came since are not counted, those that went are not either.
        """
        if self._measured is None or self.desk is None:
            return None
        tile, session = self.desk.session.tile, self.desk.session
        kept, density, said = self._now()
        if self.of_class.currentIndex() > 0:
            wanted, called = self.of_class.currentText(), session.classes.name_of
            rows = [session.labels.nuclei[id_] for id_ in kept.tolist()]
            counted = np.array([called(session.class_of(r)[0]) == wanted for r in rows], np.bool_)
            density, said = density[counted], said[counted]
        height, width = tile.shape
        area = math.nan if tile.mpp is None else height * width * (tile.mpp / 1000) ** 2
        return StainScore.measured(density, said, self.levels, area)

    def _now(self) -> tuple[npt.NDArray[np.int64], Density, Density]:
        """Ids of nuclei that were measured and are still there, density, what a person said."""
        if self._measured is None or self.desk is None:
            return np.zeros(0, np.int64), np.zeros(0), np.zeros(0)
        lesson, measured = self._measured
        nuclei = self.desk.session.labels.nuclei
        rows = [nuclei.get(id_) for id_ in lesson.ids.tolist()]
        there = np.array([row is not None and row.visible for row in rows], np.bool_)
        said = [None if row is None else row.stain_said for row in rows]
        return lesson.ids[there], measured.density[there], np.array(said, np.float64)[there]

    def follow(self, desk: Desk | None) -> None:
        """Show another desk; what was measured is of the one before."""
        self._measured = None
        super().follow(desk)
        self.vectors.show_vectors(StainVectors())

    def signals(self, desk: Desk) -> list[SignalInstance]:
        """Classes and their names."""
        session = desk.session
        return [session.classes_changed, session.derived_changed, desk.bridge.colour_by_changed]

    def slow_signals(self, desk: Desk) -> list[SignalInstance]:
        """Every edit."""
        return [desk.session.labels.changed]

    def refresh(self) -> None:
        """List the classes, and count anew."""
        if self.desk is not None:
            self.colour.setChecked(self.desk.bridge.colour_by is ColourBy.STAINING)
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
        try:
            vectors = self.vectors.value
        except ImageError as problem:
            tell_problem(problem)
            return
        desk, where = self.desk, _PLACES[self.where.currentText()]
        lesson = lesson_of(desk.session)
        self._bench.worker.submit(
            "Measuring brown",
            partial(_measure, desk.session.tile, lesson, where, vectors),
            on_done=partial(self._take, desk, lesson),
            on_error=tell_problem,
            urgent=True,
        )

    def _take(self, desk: Desk, lesson: Lesson, measured: "Measured") -> None:
        if desk is self.desk:
            self._measured = lesson, measured
            self._show()

    def _on_estimate(self) -> None:
        if self.desk is None:
            return
        self._bench.worker.submit(
            "Estimating stain vectors",
            partial(StainVectors.estimated, self.desk.session.tile.rgb),
            on_done=self._estimated,
            on_error=tell_problem,
            urgent=True,
        )

    def _estimated(self, vectors: StainVectors) -> None:
        self.vectors.show_vectors(vectors)
        self._forget()

    def _forget(self, *_: Any) -> None:
        self._measured = None
        self._show()

    def _on_colour(self, on: bool) -> None:
        if self.desk is not None and on != (self.desk.bridge.colour_by is ColourBy.STAINING):
            self.desk.bridge.colour_by = ColourBy.STAINING if on else ColourBy.CLASS

    def _on_slider(self, moved: QSlider, value: int) -> None:
        """Push the other thresholds along: they stay in order."""
        place = self.sliders.index(moved)
        for k, other in enumerate(self.sliders):
            wanted = max(other.value(), value) if k > place else min(other.value(), value)
            if wanted != other.value():
                other.blockSignals(True)
                other.setValue(wanted)
                other.blockSignals(False)
        self._show()

    def _on_say(self, level: int | None, *_: Any) -> None:
        if self.desk is not None:
            self.desk.session.set_stain(self.desk.session.targets(), level)

    def _show(self, *_: Any) -> None:
        for label, value in zip(self.shown, self._thresholds(), strict=True):
            label.setText(f"{value:.2f}")
        score = self.score
        ids, density, _said = self._now()
        self.histogram.show_density(density, self.levels)
        if score is None or self.desk is None or self._measured is None:
            self.scores.setText("")
            return
        session = self.desk.session
        session.staining = dict(zip(ids.tolist(), self.levels.of(density).tolist(), strict=True))
        now, then = session.labels, self._measured[0]
        stale = {i: now.area(i) for i, each in now.nuclei.items() if each.visible} != {
            i: then.labels.area(i) for i in then.ids.tolist()
        }
        area = "" if math.isnan(score.area_mm2) else f", {score.density_per_mm2:.0f} nuclei per mm2"
        counts = " / ".join(map(str, score.counts))
        background = self._measured[1].background
        beside = "" if math.isnan(background) else f" Beside nuclei: {background:.2f}."
        again = " Outlines were changed since: measure again." if stale else ""
        self.scores.setText(f"{score}{area}. 0 / 1+ / 2+ / 3+: {counts}.{beside}{again}")

    def _thresholds(self) -> tuple[float, float, float]:
        levels = self.levels
        return levels.weak, levels.moderate, levels.strong


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """Optical density of DAB of each nucleus, and the median of tissue beside nuclei."""

    density: Density
    background: float


def _measure(tile: Tile, lesson: Lesson, where: Compartment, vectors: StainVectors) -> Measured:
    masks: list[InstanceMask] = lesson.masks()
    density = dab_density(tile.rgb, masks, where=where, vectors=vectors, mpp=tile.mpp)
    return Measured(density, background_dab(tile.rgb, lesson.labels.pixels, vectors))


def _slider(name: str, dense: float) -> QSlider:
    made = QSlider(Qt.Orientation.Horizontal)
    made.setRange(1, _STEPS)
    made.setValue(round(dense / _HIGHEST * _STEPS))
    made.setToolTip(f"Optical density of DAB from which a nucleus is {name}")
    return made


class StainFields(QWidget):
    """Stain vectors: shown, estimated, or entered.

    Attributes
    ----------
    changed : a person has entered other ones
    estimate : asks for those of the picture
    """

    changed = QtSignal()

    def __init__(self) -> None:
        super().__init__()
        words = "Optical density of red, green and blue that the stain takes away"
        self.blue, self.brown = QLineEdit(), QLineEdit()
        for each in (self.blue, self.brown):
            each.setToolTip(words)
            each.setMinimumWidth(_LEAST_PX)
            each.editingFinished.connect(self._on_edited)
        self.estimate = button("Estimate", "Take the stain vectors from this picture.")
        self.usual = button("Usual", "Those of Ruifrok and Johnston (2001).")
        self.usual.clicked.connect(self._on_usual)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(3)
        column.addWidget(row(QLabel("Blue"), self.blue, self.estimate))
        column.addWidget(row(QLabel("Brown"), self.brown, self.usual))
        self._vectors = StainVectors()
        self.show_vectors(self._vectors)

    @property
    def value(self) -> StainVectors:
        """What stands there.

        Raises
        ------
        ImageError
            Not three numbers each, or two stains that are alike.
        """
        blue, brown = _numbers(self.blue.text()), _numbers(self.brown.text())
        known = self._vectors
        if (blue, brown) == (known.haematoxylin, known.dab):
            return known
        made = StainVectors(blue, brown, None)
        made.unmixing()
        return made

    def show_vectors(self, vectors: StainVectors) -> None:
        """Show other ones."""
        self._vectors = vectors
        for field, three in ((self.blue, vectors.haematoxylin), (self.brown, vectors.dab)):
            field.setText(" ".join(f"{part:g}" for part in three))

    def _on_usual(self) -> None:
        self.show_vectors(StainVectors())
        self.changed.emit()

    def _on_edited(self) -> None:
        self.changed.emit()


def _numbers(text: str) -> tuple[float, float, float]:
    try:
        red, green, blue = (float(part) for part in text.replace(",", " ").split())
    except ValueError:
        raise ImageError(
            f"a stain vector is three numbers, as in 0.27 0.57 0.78, got {text!r}; correct it"
        ) from None
    return red, green, blue


class Histogram(QWidget):
    """Nuclei by optical density of DAB, coloured by level."""

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
            colour = QColor(STAIN_COLOURS[level])
            painter.fillRect(left, self.height() - high, right - left, high, colour)
        painter.end()
