"""The pages of the widget, each a column of panels of its own."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import QFrame, QScrollArea, QTabWidget, QVBoxLayout, QWidget

from napari_uninuc.gui.panels.frame import Panel

__all__ = ["Pages"]


class Pages(QTabWidget):
    """Panels by the page they are on, in the order in which a person needs them.

    Parameters
    ----------
    panels : by the name of the page

    Attributes
    ----------
    panels : all of them
    """

    def __init__(self, panels: Mapping[str, Sequence[Panel]]) -> None:
        super().__init__()
        self.panels = [panel for some in panels.values() for panel in some]
        self._places = {name: self.addTab(_page(some), name) for name, some in panels.items()}
        self.setDocumentMode(True)
        tabs: Any = self.tabBar()
        tabs.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        tabs.setExpanding(True)

    @property
    def page(self) -> str:
        """Name of the page that is seen."""
        return self.tabText(self.currentIndex())

    def turn_to(self, page: str) -> None:
        """Show a page."""
        self.setCurrentIndex(self._places[page])


def _page(panels: Sequence[Panel]) -> QScrollArea:
    inner = QWidget()
    column = QVBoxLayout(inner)
    column.setContentsMargins(2, 2, 2, 2)
    column.setSpacing(3)
    scroll = QScrollArea()
    for panel in panels:
        column.addWidget(panel)
        panel.title.clicked.connect(partial(_bring_into_view, scroll, panel))
    column.addStretch(1)
    scroll.setWidget(inner)
    scroll.setWidgetResizable(True)
    scroll.setFrameShape(QFrame.Shape.NoFrame)
    scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
    scroll.setFocusPolicy(Qt.FocusPolicy.NoFocus)
    return scroll


def _bring_into_view(scroll: QScrollArea, panel: Panel, unfolded: bool) -> None:
    """Scroll to what was unfolded below the end of the page, once there is room for it."""
    if unfolded:
        QTimer.singleShot(0, partial(_scroll_to, scroll, panel))


def _scroll_to(scroll: QScrollArea, panel: Panel) -> None:
    scroll.ensureWidgetVisible(panel, 0, 0)
    scroll.ensureWidgetVisible(panel.title, 0, 0)  # where the panel is higher than the page
