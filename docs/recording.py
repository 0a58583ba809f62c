"""A short recording of a window as an animated WebP; for docs/tour.py."""

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw
from qtpy.QtCore import QPoint
from qtpy.QtTest import QTest

_WIDTH = 900
_ARROW = ((0, 0), (0, 17), (4, 13), (7, 20), (10, 19), (7, 12), (12, 12))
_LARGEST = 3_000_000


class Recording:
    """Frames of a napari window, each as long as it is to be seen.

    Parameters
    ----------
    viewer : whose window
    """

    def __init__(self, viewer: Any) -> None:
        self._viewer, self._window = viewer, viewer.window._qt_window
        self._frames: list[Image.Image] = []
        self._lasting_ms: list[int] = []
        self.pointer: QPoint | None = None

    def point(self, widget: Any, place: QPoint) -> None:
        """Draw the mouse at a place of a widget from now on."""
        self.pointer = widget.mapTo(self._window, place)

    def frame(self, lasting_ms: int) -> None:
        """Take the window as it is."""
        QTest.qWait(60)
        shot = self._viewer.window.screenshot(flash=False, canvas_only=False)
        image = Image.fromarray(np.ascontiguousarray(shot[..., :3]))
        if self.pointer is not None:
            scale = image.width / self._window.width()
            x, y = self.pointer.x() * scale, self.pointer.y() * scale
            corners = [(x + a * scale, y + b * scale) for a, b in _ARROW]
            ImageDraw.Draw(image).polygon(corners, fill="white", outline="black")
        height = round(image.height * _WIDTH / image.width)
        self._frames.append(image.resize((_WIDTH, height), Image.Resampling.LANCZOS))
        self._lasting_ms.append(lasting_ms)

    def save(self, path: Path) -> None:
        """Write it, coarser until it has less than 3 MB."""
        for quality in (70, 50, 30):
            self._frames[0].save(
                path,
                save_all=True,
                append_images=self._frames[1:],
                duration=self._lasting_ms,
                loop=0,
                quality=quality,
                method=4,
            )
            if path.stat().st_size < _LARGEST:
                return
        raise ValueError(f"{path}: {path.stat().st_size} bytes; record less")
