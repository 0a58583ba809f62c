"""Going through the nuclei one by one, the most doubtful first."""

from typing import Any

import numpy as np

from napari_uninuc.gui.layers import LayerBridge
from napari_uninuc.session import AnnotationSession

__all__ = ["Reviewing"]

_SEEN_PX = 90.0
"""Screen px a nucleus is shown at, at least: its neighbours are seen too."""


class Reviewing:
    """Where the review stands, and the way to the next nucleus.

    Parameters
    ----------
    viewer : its camera goes to the nucleus
    session, bridge : whose nuclei, and where they are shown
    """

    def __init__(self, viewer: Any, session: AnnotationSession, bridge: LayerBridge) -> None:
        self._viewer, self._session, self._bridge = viewer, session, bridge
        self._current: int | None = None

    @property
    def current(self) -> int | None:
        """The nucleus last gone to; it may be gone."""
        return self._current

    def go_next(self) -> int | None:
        """Go to the next nucleus that needs a look; None where none does."""
        return self._go(self._session.queue.next(self._current))

    def go_previous(self) -> int | None:
        """Go to the one before."""
        return self._go(self._session.queue.previous(self._current))

    def accept(self) -> int | None:
        """Mark as reviewed what is in hand or selected, else where the review stands; go on."""
        in_hand = self._session.hand.draft
        if in_hand is not None and in_hand.nucleus_id == 0:
            self._session.hand.keep()
            return self.go_next()
        targets = self._session.targets(self._current or 0)
        if self._session.review(targets) and self._current is None:
            self._current = min(targets)
        return self.go_next()

    def _go(self, id_: int | None) -> int | None:
        self._session.hand.keep()
        self._current = id_ if id_ is not None else self._current
        if id_ is not None:
            self._session.hand.pick(id_)
            self._look_at(id_)
        return id_

    def _look_at(self, id_: int) -> None:
        y0, x0, y1, x1 = self._session.labels.box(id_)
        camera = getattr(self._viewer, "scene", self._viewer).camera  # moved in napari 0.9
        centre = self._bridge.to_world(((y0 + y1 - 1) / 2, (x0 + x1 - 1) / 2))
        place = np.array(camera.center, dtype=float)
        place[-2:] = centre
        camera.center = tuple(place)
        shown = self._bridge.screen_px() * max(y1 - y0, x1 - x0)
        if shown < _SEEN_PX:
            camera.zoom *= _SEEN_PX / shown
