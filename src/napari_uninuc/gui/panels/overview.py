"""A small picture of the whole slide: tissue, regions, what the canvas shows; a click goes there.

It lies in the panel and is no layer of napari: one sees where one is while zoomed in.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from qtpy.QtCore import QRectF, QSize, Qt, Signal
from qtpy.QtGui import QColor, QImage, QMouseEvent, QPainter, QPaintEvent, QPen, QPixmap
from qtpy.QtWidgets import QSizePolicy, QWidget
from scipy import ndimage

from napari_uninuc.slides.tissue import Tissue

__all__ = ["Overview"]

_TALLEST = 220
_TISSUE, _REGION, _CURRENT, _VIEW = "#1c7cff", "#e0a800", "#18b050", "#d01818"
_LEAST_PX = 5.0

Edges = tuple[float, float, float, float]
"""(y0, x0, y1, x1) as shares of the slide's height and width."""


class Overview(QWidget):
    """The slide from afar.

    Attributes
    ----------
    pressed : (y, x) of a press or drag of the left button, as shares of height and width
    """

    pressed = Signal(float, float)

    def __init__(self) -> None:
        super().__init__()
        self._picture: QPixmap | None = None
        self._regions: tuple[tuple[Edges, bool], ...] = ()
        self._view: Edges | None = None
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setToolTip(
            "The whole slide. Blue: outline of the tissue; yellow: regions; green: the region "
            "worked at; red: what the window shows. Click to go there."
        )
        self.setCursor(Qt.CursorShape.PointingHandCursor)

    def set_tissue(self, tissue: Tissue | None) -> None:
        """Show another slide, or none."""
        self._picture = None if tissue is None else _pixmap(_with_outline(tissue))
        self.updateGeometry()
        self.update()

    def set_boxes(self, regions: Sequence[tuple[Edges, bool]], view: Edges | None) -> None:
        """Draw regions, with whether each is the one worked at, and what the canvas shows."""
        if (tuple(regions), view) != (self._regions, self._view):
            self._regions, self._view = tuple(regions), view
            self.update()

    def hasHeightForWidth(self) -> bool:
        """The slide keeps its shape; called by Qt."""
        return True

    def heightForWidth(self, width: int) -> int:
        """The height that goes with a width, px; called by Qt."""
        if self._picture is None:
            return 24
        return min(round(width * self._picture.height() / self._picture.width()), _TALLEST)

    def sizeHint(self) -> QSize:
        """Called by Qt."""
        width = max(self.width(), 200)
        return QSize(width, self.heightForWidth(width))

    def minimumSizeHint(self) -> QSize:
        """Called by Qt."""
        return QSize(60, self.heightForWidth(max(self.width(), 200)))

    def paintEvent(self, _event: QPaintEvent | None) -> None:
        """Draw it; called by Qt."""
        painter = QPainter(self)
        if self._picture is None:
            painter.drawText(self.rect(), Qt.AlignmentFlag.AlignCenter, "looking at the slide ...")
            return
        frame = self._frame(self._picture)
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
        painter.drawPixmap(frame, self._picture, QRectF(self._picture.rect()))
        for edges, current in self._regions:
            _draw(painter, frame, edges, _CURRENT if current else _REGION)
        if self._view is not None:
            _draw(painter, frame, self._view, _VIEW)

    def mousePressEvent(self, event: QMouseEvent | None) -> None:
        """Go there; called by Qt."""
        self._go(event)

    def mouseMoveEvent(self, event: QMouseEvent | None) -> None:
        """Go on while the button is held; called by Qt."""
        self._go(event)

    def _go(self, event: QMouseEvent | None) -> None:
        if event is None or self._picture is None:
            return
        if not event.buttons() & Qt.MouseButton.LeftButton:
            return
        frame, at = self._frame(self._picture), event.position()
        y = (at.y() - frame.top()) / max(frame.height(), 1.0)
        x = (at.x() - frame.left()) / max(frame.width(), 1.0)
        self.pressed.emit(min(max(y, 0.0), 1.0), min(max(x, 0.0), 1.0))

    def _frame(self, picture: QPixmap) -> QRectF:
        """Where the picture lies in the widget, px of it."""
        scale = min(self.width() / picture.width(), max(self.height(), 1) / picture.height())
        width, height = picture.width() * scale, picture.height() * scale
        return QRectF((self.width() - width) / 2, 0, width, height)


def _draw(painter: QPainter, frame: QRectF, edges: Edges, colour: str) -> None:
    y0, x0, y1, x1 = (min(max(edge, 0.0), 1.0) for edge in edges)
    box = QRectF(
        frame.left() + x0 * frame.width(),
        frame.top() + y0 * frame.height(),
        max((x1 - x0) * frame.width(), _LEAST_PX),
        max((y1 - y0) * frame.height(), _LEAST_PX),
    )
    painter.setPen(QPen(QColor(colour), 2))
    painter.drawRect(box.intersected(frame))


def _with_outline(tissue: Tissue) -> npt.NDArray[np.uint8]:
    """Draw the edge of the tissue into the overview."""
    wide = max(1, round(max(tissue.mask.shape) / 400))
    edge = ndimage.binary_dilation(tissue.mask, iterations=wide) & ~tissue.mask
    rgb = tissue.overview.copy()
    colour = QColor(_TISSUE)
    rgb[edge] = colour.red(), colour.green(), colour.blue()
    return rgb


def _pixmap(rgb: npt.NDArray[np.uint8]) -> QPixmap:
    height, width = rgb.shape[:2]
    packed = np.ascontiguousarray(rgb).tobytes()
    image = QImage(packed, width, height, 3 * width, QImage.Format.Format_RGB888)
    return QPixmap.fromImage(image.copy())
