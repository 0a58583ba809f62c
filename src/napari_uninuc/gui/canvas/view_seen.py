"""How the canvas shows data that are seen flat: where they are, how large, which part."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["Rectangle", "Seen", "View"]

_ORIGIN_AND_STEPS = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])

Rectangle = tuple[int, int, int, int]
"""Left, bottom, width and height, px of the framebuffer."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What of the data the canvas shows.

    Attributes
    ----------
    zoom : px of the screen, as a person counts them at 200 %, per unit of the data
    box_xyxy : (4,) all that is seen lies inside, units of the data
    """

    zoom: float
    box_xyxy: npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class View:
    """Where the canvas shows the data.

    Attributes
    ----------
    to_screen : (2, 3) of x and y of the data to px of the screen's buffer, which are half as
        large at 200 %
    to_render : (2, 3) of those px to -1 to 1 across the canvas; a scale and an offset alone
    scale : px of the buffer per px of the screen as a person counts them
    """

    to_screen: npt.NDArray[np.float64]
    to_render: npt.NDArray[np.float64]
    scale: float

    @classmethod
    def of(cls, visual: Any) -> "View | None":
        """Where the data of one of vispy's visuals are shown; None where from the side."""
        to_screen = _affine(visual.get_transform("visual", "framebuffer"))
        if not np.linalg.det(to_screen[:, :2]):
            return None
        to_render = _affine(visual.get_transform("framebuffer", "render"))
        return cls(to_screen, to_render, visual.transforms.pixel_scale)

    @property
    def key(self) -> bytes:
        """The same for the same view."""
        return self.to_screen.tobytes() + self.to_render.tobytes()

    @property
    def across(self) -> float:
        """How many px of the buffer a unit of the data covers; negative where mirrored."""
        return float(np.linalg.det(self.to_screen[:, :2]))

    @property
    def zoom(self) -> float:
        """See `Seen`."""
        return float(abs(self.across) ** 0.5 / self.scale)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the canvas, px of the buffer."""
        width, height = np.abs(2 / np.diag(self.to_render)).round().astype(int).tolist()
        return width, height

    def seen(self, within: Rectangle | None = None, beside: float = 0.0) -> Seen:
        """What of the data is shown on the canvas, or in a rectangle, and this far beside, px."""
        size = np.array(self.size)
        left, bottom, width, height = within or (0, 0, *size)
        x = np.array([left - beside, left + width + beside]) / size[0]
        y = np.array([bottom - beside, bottom + height + beside]) / size[1]
        corners = 2 * np.array([x[[0, 1, 0, 1]], y[[0, 0, 1, 1]]]) - 1
        px = (corners - self.to_render[:, 2:]) / np.diag(self.to_render)[:, None]
        data = np.linalg.solve(self.to_screen[:, :2], px - self.to_screen[:, 2:])
        return Seen(self.zoom, np.concatenate([data.min(axis=1), data.max(axis=1)]))

    def rectangle(self, box_xyxy: npt.NDArray[np.float64], beside: float) -> Rectangle | None:
        """Where a box of the data is shown, and this far beside it, px; None where it is not."""
        all_seen = self.seen(beside=beside).box_xyxy
        low, high = np.maximum(box_xyxy[:2], all_seen[:2]), np.minimum(box_xyxy[2:], all_seen[2:])
        if (low > high).any():
            return None
        corners = np.array([(x, y) for x in (low[0], high[0]) for y in (low[1], high[1])]).T
        px = self.to_screen[:, :2] @ corners + self.to_screen[:, 2:]
        flat = px * np.diag(self.to_render)[:, None] + self.to_render[:, 2:]
        places = (flat + 1) / 2 * np.array(self.size)[:, None]
        first = np.maximum(np.floor(places.min(axis=1) - beside), 0).astype(int)
        end = np.minimum(np.ceil(places.max(axis=1) + beside), self.size).astype(int)
        if (first >= end).any():
            return None
        (left, bottom), (width, height) = first.tolist(), (end - first).tolist()
        return left, bottom, width, height


def _affine(transform: Any) -> npt.NDArray[np.float64]:
    """What a transform of vispy does to x and y, (2, 3)."""
    mapped = transform.map(_ORIGIN_AND_STEPS)
    flat = mapped[:, :2] / mapped[:, 3:]
    return np.column_stack([flat[1] - flat[0], flat[2] - flat[0], flat[0]])
