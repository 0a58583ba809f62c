"""Going through the nuclei one by one, the most doubtful first."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from napari_uninuc.core.review_walk import ReviewWalk
from napari_uninuc.gui.layers.bridge import LayerBridge
from napari_uninuc.session import AnnotationSession

__all__ = ["Reviewing"]

_LEAST_PX, _USUAL_PX, _MOST_PX = 90.0, 180.0, 360.0
"""Screen px of a nucleus: it is seen well, and its neighbours are seen too.

Between the first two nothing is zoomed, since a picture that is enlarged anew for each nucleus
makes sizes hard to compare. The last is where a zoom of the person's own ends.
"""


class Reviewing:
    """Where the review stands, and the way to the next nucleus.

    Parameters
    ----------
    viewer : its camera goes to the nucleus
    session, bridge : whose nuclei, and where they are shown
    """

    def __init__(self, viewer: Any, session: AnnotationSession, bridge: LayerBridge) -> None:
        self._viewer, self._session, self._bridge = viewer, session, bridge
        self._walk = ReviewWalk(session.queue)
        self._own_zoom = self._persons_zoom = 0.0

    @property
    def current(self) -> int | None:
        """The nucleus last gone to; it may be gone."""
        return self._walk.current

    def go_next(self) -> int | None:
        """Go to the next nucleus that needs a look; None where none does."""
        return self._go(self._walk.next)

    def go_previous(self) -> int | None:
        """Go back to the one before; None where there is none."""
        return self._go(self._walk.previous)

    def go_to(self, id_: int | None) -> int | None:
        """Go to a nucleus out of turn; None goes nowhere."""
        return self._go(lambda: id_)

    def accept(self) -> int | None:
        """Mark as reviewed what is in hand or selected, else where the review stands; go on."""
        in_hand = self._session.hand.draft
        if in_hand is not None and not self._session.selection:
            self._session.review([in_hand.nucleus_id])
        else:
            self._session.review(self._session.targets(self.current or 0))
        return self.go_next()

    def after(self, remove: Callable[[], object]) -> None:
        """Remove nuclei; where the one under review was in hand and is gone, go on."""
        in_hand, current = self._session.hand.draft, self.current
        remove()
        under_review = in_hand is not None and in_hand.nucleus_id == current
        if under_review and current is not None and not self._session.labels.area(current):
            self.go_next()

    def _go(self, step: Callable[[], int | None]) -> int | None:
        self._session.hand.keep()
        id_ = step()
        if id_ is not None:
            self._session.hand.pick(id_)
            self._look_at(id_)
        return id_

    # -- camera -----------------------------------------------------------------------------

    def _look_at(self, id_: int) -> None:
        y0, x0, y1, x1 = self._session.labels.box(id_)
        camera = getattr(self._viewer, "scene", self._viewer).camera  # moved in napari 0.9
        centre = self._bridge.to_world(((y0 + y1 - 1) / 2, (x0 + x1 - 1) / 2))
        place = np.array(camera.center, dtype=float)
        place[-2:] = centre
        camera.center = tuple(place)
        self._zoom(camera, self._bridge.screen_px() * max(y1 - y0, x1 - x0))

    def _zoom(self, camera: Any, shown_px: float) -> None:
        """Enlarge what is too small to judge; give back what only a smaller one had needed."""
        if not math.isclose(camera.zoom, self._own_zoom, rel_tol=1e-3):
            self._persons_zoom = camera.zoom  # chosen by the person since the last nucleus
        wished_px = shown_px * self._persons_zoom / camera.zoom
        if not _LEAST_PX <= shown_px <= min(max(_USUAL_PX, wished_px), _MOST_PX):
            camera.zoom *= min(max(_LEAST_PX, wished_px), _MOST_PX) / shown_px
        self._own_zoom = camera.zoom
