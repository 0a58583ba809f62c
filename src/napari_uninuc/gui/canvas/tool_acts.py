"""What each tool does to the session with a click or a drag, in tile px; knows no napari."""

from enum import StrEnum
from typing import Any

from napari_uninuc.gui.canvas.gestures import (
    Place,
    box_between,
    box_meets,
    nuclei_inside,
    nucleus_under_line,
    place_belongs,
)
from napari_uninuc.session import AnnotationSession

__all__ = ["LEFT", "MIDDLE", "RIGHT", "Tool", "ToolActs"]

LEFT, RIGHT, MIDDLE = 1, 2, 3  # mouse buttons, in vispy's numbers


class Tool(StrEnum):
    """What dragging and clicking do; the value is the action of the table of keys."""

    FIX = "fix"
    LASSO = "lasso"
    SPLIT = "split"
    MERGE = "merge"


class ToolActs:
    """Clicks and drags, by tool.

    Parameters
    ----------
    session : what is changed

    Attributes
    ----------
    seed : first of the two places that say how to split a nucleus, tile px; None before it
    """

    def __init__(self, session: AnnotationSession):
        self._session = session
        self.seed: Place | None = None

    def click(self, tool: Tool, place: Place, button: int, modifiers: tuple[Any, ...]) -> None:
        """Do what a click means.

        Parameters
        ----------
        place : tile px, on the tile
        modifiers : held down at the press; compared with their names "Shift" and "Alt"
        """
        there = self._session.labels.at(place)
        shift, alt = "Shift" in modifiers, "Alt" in modifiers
        if tool is Tool.FIX:
            if button == RIGHT or alt:
                self._click_outside(place, there)
            elif button == LEFT:
                self._click_inside(place, there, shift)
        elif button == LEFT and tool is Tool.SPLIT:
            self._click_part(place, there)
        elif button == LEFT and tool is Tool.MERGE and alt:
            self._merge_with(there)
        elif button == LEFT:
            self._choose(there, shift)

    def _click_inside(self, place: Place, there: int, shift: bool) -> None:
        draft = self._session.hand.draft
        if draft is not None and (shift or place_belongs(draft, place, there)):
            self._session.hand.click(place, True)
        elif there:
            self._session.hand.pick(there)  # keeps what was in hand
        else:
            self._session.hand.keep()
            self._session.hand.click(place, True)

    def _click_outside(self, place: Place, there: int) -> None:
        if self._session.hand.draft is None and there:
            self._session.hand.pick(there)  # a click where it reaches too far says it all
        if self._session.hand.draft is not None:
            self._session.hand.click(place, False)

    def _choose(self, there: int, shift: bool) -> None:
        """Select one nucleus; with Shift, add it to those selected or take it out."""
        self._session.hand.keep()
        chosen = self._session.selection
        one = frozenset([there]) - {0}
        self._session.select(chosen ^ one if shift else one)

    def _click_part(self, place: Place, there: int) -> None:
        """Remember the first part of a nucleus that is two; the click on the second splits it."""
        self._session.hand.keep()
        first, self.seed = self.seed, None
        if first is not None and there and self._session.labels.at(first) == there:
            self._session.split_at(there, [first, place])
            self._session.select([])
        else:
            self.seed = place if there else None
            self._session.select([there] if there else [])

    def _merge_with(self, there: int) -> None:
        """Merge a nucleus into the one selected or in hand; more may follow."""
        into = next(iter(sorted(self._session.targets())), 0)
        self._session.hand.keep()
        if not there or not into or there == into:
            self._session.select([there] if there else [])
        elif self._session.merge([into, there]):
            self._session.select([into])

    def drag(self, tool: Tool, path: list[Place], modifiers: tuple[Any, ...]) -> None:
        """Do what a drag with the left button means.

        Parameters
        ----------
        path : from press to release, tile px; the press lies on the tile
        """
        {
            Tool.FIX: self._draw_box,
            Tool.LASSO: self._draw_lasso,
            Tool.SPLIT: self._draw_cut,
            Tool.MERGE: self._draw_link,
        }[tool](path, "Shift" in modifiers)

    def _draw_box(self, path: list[Place], _shift: bool) -> None:
        box = box_between(path[0], path[-1], self._session.tile.shape)
        if box is None:
            return
        draft = self._session.hand.draft
        if draft is not None and not box_meets(box, draft):
            self._session.hand.keep()
        self._session.hand.box(box)

    def _draw_lasso(self, path: list[Place], shift: bool) -> None:
        self._session.hand.keep()
        found = nuclei_inside(self._session.labels, path)
        self._session.select(self._session.selection | found if shift else found)

    def _draw_cut(self, path: list[Place], _shift: bool) -> None:
        self.seed = None
        self._session.hand.keep()
        meant = nucleus_under_line(self._session.labels, path[0], path[-1])
        if meant:
            self._session.split(meant, path[0], path[-1])

    def _draw_link(self, path: list[Place], _shift: bool) -> None:
        self._session.hand.keep()
        ends = [self._session.labels.at(path[0]), self._session.labels.at(path[-1])]
        if all(ends) and ends[0] != ends[1] and self._session.merge(ends):
            self._session.select([ends[0]])
