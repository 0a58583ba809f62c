"""The dock widget "UniNuc: correct nuclei"; it assembles and does nothing else."""

from typing import Any

import napari
from qtpy.QtCore import QEvent, QObject, Qt, QTimer
from qtpy.QtOpenGLWidgets import QOpenGLWidget
from qtpy.QtWidgets import QApplication, QVBoxLayout, QWidget

from napari_uninuc.gui.panels import (
    ClassesPanel,
    ComparePanel,
    EarlierPanel,
    ModelPanel,
    NamingPanel,
    OutlinePanel,
    Pages,
    PicturePanel,
    RegionsPanel,
    ResultPanel,
    ReviewPanel,
    SavePanel,
    StainPanel,
    StateLine,
    TeachingPanel,
    ToolsPanel,
    WorklistPanel,
)
from napari_uninuc.gui.panels.frame import name_controls
from napari_uninuc.gui.slides.all_slides import Slides
from napari_uninuc.gui.slides.layer import is_slide
from napari_uninuc.gui.window.hint import Hint
from napari_uninuc.gui.window.key_sheet import KeySheet
from napari_uninuc.gui.window.notices import tell_problem
from napari_uninuc.gui.work.model_slot import Loader, load_bundled
from napari_uninuc.gui.workbench import Workbench

__all__ = ["CorrectNucleiWidget"]

_PICTURE, _CORRECT, _RESULTS = "Picture", "Correct", "Results"
_NARROWEST_PX = 300


class CorrectNucleiWidget(QWidget):
    """Outline all nuclei, correct them by clicks, review and save them.

    Parameters
    ----------
    napari_viewer : the viewer it is docked in; napari passes it by this name, or a proxy of it
    load : makes the model's annotator; None takes the bundled model on torch

    Attributes
    ----------
    workbench, slides : all that it does, without the panels
    """

    def __init__(self, napari_viewer: napari.Viewer, load: Loader | None = None) -> None:
        super().__init__()
        viewer = _viewer_itself(napari_viewer)
        self._window = window = _main_window(viewer)
        self._keys, self.hint = KeySheet(window), Hint(window)
        self.workbench = Workbench(
            viewer,
            window,
            load_bundled if load is None else load,
            is_slide=is_slide,
            handlers={
                "keys": self._keys.toggle,
                "panel": self._turn_keyboard,
                "save_again": lambda: self.save.save_again(),
                "next_picture": lambda: self.folder.walk.go_next(),
                "previous_picture": lambda: self.folder.walk.go_previous(),
            },
            on_problem=tell_problem,
        )
        self.slides = Slides(viewer, window, self.workbench, on_problem=tell_problem)
        self.picture = PicturePanel(viewer, self.workbench, self.slides)
        self.folder = WorklistPanel(viewer, self.workbench)
        self.regions = RegionsPanel(viewer, window, self.workbench, self.slides)
        self.result = ResultPanel(self.slides)
        self.earlier = EarlierPanel(self.workbench)
        self.outline = OutlinePanel(self.workbench)
        self.tools = ToolsPanel(self.workbench, self.slides)
        self.classes = ClassesPanel()
        self.teaching = TeachingPanel()
        self.review = ReviewPanel()
        self.naming = NamingPanel(self.workbench)
        self.compare = ComparePanel(self.workbench)
        self.stain = StainPanel(self.workbench)
        self.save = SavePanel(self.workbench)
        self.model = ModelPanel(self.workbench)
        self.pages = Pages(
            {
                _PICTURE: [self.picture, self.folder, self.regions, self.result, self.model],
                _CORRECT: [
                    self.earlier,
                    self.outline,
                    self.tools,
                    self.classes,
                    self.teaching,
                    self.review,
                    self.naming,
                ],
                _RESULTS: [self.stain, self.save, self.compare],
            }
        )
        self.state = StateLine(self.workbench)
        _fill(self, self.pages, self.state)
        name_controls(self)
        self.slides.changed.connect(self._turn_to_slide)
        self.workbench.desk_changed.connect(self._on_desk)
        self._on_desk()
        window.installEventFilter(self)
        window.destroyed.connect(self._on_window_gone)
        self.model.begin()
        self.workbench.begin()
        self.tools.refresh_later()

    def close_desks(self) -> None:
        """Let go of viewer and worker; may be called twice."""
        if self.workbench.worker.is_open:
            self.picture.close_panel()
            self.regions.close_panel()
            self.result.close_panel()
            self.model.close_learning()
            self.naming.close_panel()
            self._window.removeEventFilter(self)
            self.slides.close()
            self.workbench.close()
            self._keys.deleteLater()
            self.hint.close_hint()

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        """Make final what is in hand when the main window is about to close; called by Qt."""
        if event is not None and event.type() == QEvent.Type.Close:
            self.workbench.finish()
        return False

    def changeEvent(self, event: QEvent | None) -> None:
        """Let go when the dock was closed by its x, which takes the widget out of it; by Qt."""
        super().changeEvent(event)
        if event is not None and event.type() == QEvent.Type.ParentChange:
            QTimer.singleShot(0, self._close_if_undocked)

    def _close_if_undocked(self) -> None:
        if self.parentWidget() is None:  # and was not put into another dock meanwhile
            self.close_desks()

    def _on_desk(self) -> None:
        desk = self.workbench.desk
        for panel in self.pages.panels:
            panel.follow(desk)
        self.state.follow(desk)
        if desk is not None and self.pages.page == _PICTURE:
            self.pages.turn_to(_CORRECT)
        self._turn_to_slide()

    def _turn_keyboard(self) -> None:
        """Take the keyboard to the page that is seen, or back to the canvas."""
        focused = QApplication.focusWidget()
        canvas = next(iter(self._window.findChildren(QOpenGLWidget)), None)
        if focused is not None and self.isAncestorOf(focused) and canvas is not None:
            canvas.setFocus(Qt.FocusReason.OtherFocusReason)
        else:
            tabs: Any = self.pages.tabBar()
            tabs.setFocus(Qt.FocusReason.TabFocusReason)

    def _turn_to_slide(self) -> None:
        """Show where regions are drawn and listed, where a slide is seen and no region is."""
        bench, slide = self.workbench, self.slides.current
        on_slide = slide is not None and slide.layer is bench.picture
        if bench.desk is None and on_slide and self.pages.page == _CORRECT:
            self.pages.turn_to(_PICTURE)

    def _on_window_gone(self) -> None:
        self.workbench.abandon()

    def closeEvent(self, event: Any) -> None:
        """Let go when the dock is closed for good; called by Qt."""
        self.close_desks()
        super().closeEvent(event)


def _viewer_itself(viewer: Any) -> napari.Viewer:
    """Unwrap the proxy that napari hands to plugins.

    What comes out of a proxy is a proxy again: a window that Qt does not take for one, and layers
    that are not the layers of events and of the selection.
    """
    itself: napari.Viewer = getattr(viewer, "__wrapped__", viewer)
    return itself


def _main_window(viewer: napari.Viewer) -> QWidget:
    # There is no public way to the window that shortcuts and overlays belong to (napari#7302).
    window: QWidget = viewer.window._qt_window
    return window


def _fill(widget: QWidget, *parts: QWidget) -> None:
    layout = QVBoxLayout(widget)
    layout.setContentsMargins(0, 4, 0, 0)
    layout.setSpacing(2)
    for part in parts:
        layout.addWidget(part)
    widget.setMinimumWidth(_NARROWEST_PX)
