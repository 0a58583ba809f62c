"""Going from region to region of a slide, by list, key, overview or click."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from qtpy.QtWidgets import QWidget

from napari_uninuc.gui.canvas.tool_acts import LEFT
from napari_uninuc.gui.slides.open_slide import Region
from napari_uninuc.gui.slides.region_tool import RegionTool
from napari_uninuc.gui.slides.region_view import look_at_box
from napari_uninuc.gui.slides.shelf import Shelf
from napari_uninuc.gui.workbench import Workbench

__all__ = ["RegionTour"]


class RegionTour:
    """Moves the camera and the work to a region of the current slide.

    Parameters
    ----------
    viewer, window : napari's viewer and its main window
    slides : know the current slide and its regions
    bench : opens pictures
    tool : draws regions; it is put away before one is gone to
    """

    def __init__(
        self, viewer: Any, window: QWidget, slides: Shelf, bench: Workbench, tool: RegionTool
    ) -> None:
        self._viewer, self._window = viewer, window
        self._slides, self._bench, self._tool = slides, bench, tool
        viewer.mouse_drag_callbacks.append(self._on_press)

    def close(self) -> None:
        """Let go of the viewer."""
        if self._on_press in self._viewer.mouse_drag_callbacks:
            self._viewer.mouse_drag_callbacks.remove(self._on_press)

    def go_to(self, region: Region, *, move: bool = True) -> None:
        """Work at a region; the camera shows all of it unless told to stay."""
        self._tool.disarm()
        self._bench.open(region.layer)
        desk = self._bench.desk
        if desk is not None:
            self._viewer.layers.selection.active = desk.bridge.nuclei
        if move:
            self._look_at(region)
        self._slides.refresh()

    def go_next(self) -> None:
        """Go to the region after this one."""
        self._go_by(1)

    def go_previous(self) -> None:
        """Go to the region before this one."""
        self._go_by(-1)

    def go_to_place(self, place_yx: tuple[float, float]) -> None:
        """Bring a place, px of full resolution, to the middle of the canvas."""
        slide = self._slides.current
        if slide is not None:
            world = np.asarray(slide.layer.data_to_world(place_yx))[-2:]
            camera = getattr(self._viewer, "scene", self._viewer).camera  # moved in napari 0.9
            centre = np.array(camera.center, dtype=float)
            centre[-2:] = world
            camera.center = tuple(centre)

    def _go_by(self, step: int) -> None:
        slide = self._slides.current
        if slide is None or not slide.regions:
            return
        here = self._slides.region
        place = -1 if here is None and step > 0 else 0
        if here is not None:
            place = slide.regions.index(here)
        self.go_to(slide.regions[(place + step) % len(slide.regions)])

    def _look_at(self, region: Region) -> None:
        slide = self._slides.current
        if slide is not None:
            look_at_box(self._viewer, self._window, slide.layer, region.place.box_yxyx)

    def _on_press(self, _viewer: Any, event: Any) -> Iterator[None]:
        """Go to the region that is clicked, unless it is the one worked at."""
        slide = self._slides.current
        if slide is None or event.button != LEFT or self._tool.armed or len(slide.regions) < 2:
            return
        yield
        if event.type == "mouse_move":
            return
        y, x = (float(v) + 0.5 for v in slide.layer.world_to_data(event.position)[-2:])
        there = [
            each
            for each in slide.regions
            if each.place.box_yxyx[0] <= y < each.place.box_yxyx[2]
            and each.place.box_yxyx[1] <= x < each.place.box_yxyx[3]
        ]
        if there and self._slides.region is not None and self._slides.region not in there:
            self.go_to(there[0], move=False)
