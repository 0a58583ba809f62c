"""Sides of the box of the nucleus in hand, to be dragged; knows no napari."""

from dataclasses import dataclass

from napari_uninuc.gui.canvas.gestures import Box, Place

__all__ = ["BoxGrip", "grip_at"]


@dataclass(frozen=True, slots=True)
class BoxGrip:
    """One side of a box, or two that meet.

    Attributes
    ----------
    box_yxyx : half-open px of the tile, as it was when it was gripped
    sides : which of its four edges move, places in `box_yxyx`
    """

    box_yxyx: Box
    sides: tuple[int, ...]

    def moved(self, place_yx: Place, shape: tuple[int, int]) -> Box:
        """The box with its gripped sides at a place, px; it keeps a px and stays on the tile."""
        box = list(self.box_yxyx)
        for side in self.sides:
            axis = side % 2
            edge = min(max(round(place_yx[axis] + 0.5), 0), shape[axis])
            opposite = box[side ^ 2]
            box[side] = min(edge, opposite - 1) if side < 2 else max(edge, opposite + 1)
        y0, x0, y1, x1 = box
        return float(y0), float(x0), float(y1), float(x1)


def grip_at(box_yxyx: Box, place_yx: Place, reach_px: float) -> BoxGrip | None:
    """Find the sides of a box that lie at a place.

    Parameters
    ----------
    box_yxyx : half-open px of the tile
    place_yx, reach_px : px of the tile; how far from a side it is still meant

    Returns
    -------
    grip : None off the sides. Of a box too small for its inside to be clicked, only what lies
        outside of it
    """
    edges = [edge - 0.5 for edge in box_yxyx]
    on_it = all(
        edges[axis] - reach_px <= place_yx[axis] <= edges[axis + 2] + reach_px for axis in (0, 1)
    )
    if not on_it:
        return None
    sides = []
    for axis in (0, 1):
        inward = min(reach_px, (edges[axis + 2] - edges[axis]) / 4)
        low, high = place_yx[axis] - edges[axis], edges[axis + 2] - place_yx[axis]
        if low <= min(inward, high):
            sides.append(axis)
        elif high <= inward:
            sides.append(axis + 2)
    return BoxGrip(box_yxyx, tuple(sides)) if sides else None
