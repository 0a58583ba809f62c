"""Regions drawn on the current slide: the tool, what a drag means, and reading the pixels."""

from collections.abc import Callable
from typing import Any

from qtpy.QtWidgets import QWidget

from napari_uninuc.core.place import SlidePlace
from napari_uninuc.core.tile import Tile
from napari_uninuc.errors import ImageError
from napari_uninuc.gui.slides.open_slide import OpenSlide
from napari_uninuc.gui.slides.region_sizes import box_between, require_fitting, words_for
from napari_uninuc.gui.slides.region_tool import RegionTool, World
from napari_uninuc.gui.slides.results import begin_with
from napari_uninuc.gui.slides.shelf import Shelf
from napari_uninuc.gui.workbench import Workbench
from napari_uninuc.session import AnnotationSession
from napari_uninuc.slides.protocol import Box
from napari_uninuc.slides.regions import place_of, read_region

__all__ = ["RegionDrawing"]

_USUAL_MPP = 0.25
"""Of models; where none is loaded yet when a region is drawn."""


class RegionDrawing:
    """From a drag on the canvas to a region that is worked at.

    Parameters
    ----------
    viewer, window : napari's viewer and its main window
    slides : know the current slide and take what was read
    bench : owns worker and model
    on_problem : told in the window's thread when something failed

    Attributes
    ----------
    tool : what the mouse holds
    begins_with_result : a region drawn on a slide with a result begins with its nuclei there
    """

    def __init__(
        self,
        viewer: Any,
        window: QWidget,
        slides: Shelf,
        bench: Workbench,
        *,
        on_problem: Callable[[Exception], None],
    ) -> None:
        self._slides, self._bench, self._on_problem = slides, bench, on_problem
        self.begins_with_result = True
        self.tool = RegionTool(viewer, window, on_drawn=self._drawn, words_for=self._words_for_drag)
        self.tool.changed.connect(self._on_tool)

    def toggle(self) -> None:
        """Take the tool that draws regions, or put it away."""
        if self.tool.armed:
            self.tool.disarm()
            return
        slide = self._slides.current
        if slide is None:
            return
        try:
            _ = slide.slide
        except ImageError as problem:
            self._on_problem(problem)
            return
        if self._bench.desk is not None:
            self._bench.desk.session.hand.keep()
            self._bench.desk.tools.disarm()
        self.tool.arm(slide)

    def _on_tool(self) -> None:
        """Give the canvas back to the tools of the region worked at."""
        desk = self._bench.desk
        if not self.tool.armed and desk is not None:
            desk.tools.arm(desk.tools.tool)
        self._slides.changed.emit()

    def _box_between(self, slide: OpenSlide, first: World, last: World) -> tuple[int, Box]:
        """Level and box, px of it, of a rectangle between two places of mouse events."""
        annotator = self._bench.models.annotator
        mpp = _USUAL_MPP if annotator is None else annotator.card.mpp or slide.slide.mpp
        return box_between(slide, first, last, mpp)

    def _words_for_drag(self, slide: OpenSlide, first: World, last: World) -> tuple[str, bool]:
        return words_for(slide, *self._box_between(slide, first, last))

    def _drawn(self, slide: OpenSlide, first: World, last: World) -> None:
        try:
            level, box = self._box_between(slide, first, last)
            require_fitting(box)
        except ImageError as problem:
            self._on_problem(problem)  # the tool stays, for the next try
            return
        self.tool.disarm()
        self.add(slide, level, box)

    def add(self, slide: OpenSlide, level: int, box_yxyx: Box) -> None:
        """Read a region in the worker and go to work on it.

        Parameters
        ----------
        level, box_yxyx : of the slide; px of that level
        """
        name = slide.free_name()
        slide.coming.add(name)
        tile_name = slide.tile_name(name)
        result = slide.result if self.begins_with_result else None

        def read() -> tuple[SlidePlace, Tile, AnnotationSession | None]:
            fingerprint = slide.require_survey().fingerprint
            with slide.reading() as source:
                place = place_of(source, fingerprint, level, box_yxyx)
                tile = read_region(source, box_yxyx, place, tile_name)
            if result is None:
                return place, tile, None
            place, session = begin_with(result, place, tile)
            return place, session.tile, session

        def take(found: tuple[SlidePlace, Tile, AnnotationSession | None]) -> None:
            slide.coming.discard(name)
            self._slides.take(slide, name, *found)

        def fail(problem: Exception) -> None:
            slide.coming.discard(name)
            self._on_problem(problem)

        self._bench.worker.submit(
            f"Reading {name}",
            read,
            on_done=take,
            on_error=fail,
            on_cancel=lambda: slide.coming.discard(name),
        )
