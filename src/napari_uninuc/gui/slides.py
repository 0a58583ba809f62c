"""The slides of one window: their regions, drawn, opened, gone to, brought back and put away."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from napari.layers import Image
from psygnal import Signal
from qtpy.QtWidgets import QWidget

from napari_uninuc.core.tile import Tile
from napari_uninuc.errors import ImageError, SessionError
from napari_uninuc.gui.keymap import Keyboard
from napari_uninuc.gui.open_slide import OpenSlide, Region, Survey
from napari_uninuc.gui.placement import Placement
from napari_uninuc.gui.region_marks import RegionMarks
from napari_uninuc.gui.region_sizes import box_between, require_fitting, words_for
from napari_uninuc.gui.region_tool import RegionTool, World
from napari_uninuc.gui.region_view import look_at_box
from napari_uninuc.gui.slide_layer import scaled_in_um, slide_pixels_of
from napari_uninuc.gui.slide_results import SlideResults, begin_with
from napari_uninuc.gui.tool_acts import LEFT
from napari_uninuc.journal.listing import FoundRegion
from napari_uninuc.session import AnnotationSession
from napari_uninuc.session.keeping import Restored, restore
from napari_uninuc.slides.protocol import Box
from napari_uninuc.slides.regions import place_of, read_region

if TYPE_CHECKING:
    from napari_uninuc.gui.workbench import Workbench

__all__ = ["Slides"]

_USUAL_MPP = 0.25
"""Of models; where none is loaded yet when a region is drawn."""


class Slides:
    """What is done with slides; a region is a picture of the workbench like any other.

    Parameters
    ----------
    viewer, window : napari's viewer and its main window
    bench : opens pictures, owns worker, model and what is kept on disk
    on_problem : told in the window's thread when something failed

    Attributes
    ----------
    changed : slides, regions, or what is known of them
    tool : draws regions
    results : of whole slides
    begins_with_result : a region drawn on a slide with a result begins with its nuclei there
    """

    changed = Signal()

    def __init__(
        self,
        viewer: Any,
        window: QWidget,
        bench: "Workbench",
        *,
        on_problem: Callable[[Exception], None],
    ) -> None:
        self._viewer, self._window, self._bench = viewer, window, bench
        self._on_problem = on_problem
        self._slides: list[OpenSlide] = []
        self._current: OpenSlide | None = None
        self._marks: RegionMarks | None = None
        self.begins_with_result = True
        self.results = SlideResults(viewer, bench, on_problem=on_problem)
        self.tool = RegionTool(viewer, window, on_drawn=self._drawn, words_for=self._words_for_drag)
        self.tool.changed.connect(self._on_tool)
        keys = {
            "region": self.toggle_tool,
            "next_region": self.go_next,
            "previous_region": self.go_previous,
        }
        self._keyboard = Keyboard(window, keys)
        viewer.layers.events.removed.connect(self._on_removed)
        viewer.mouse_drag_callbacks.append(self._on_press)
        bench.desk_changed.connect(self._on_desk)

    def close(self) -> None:
        """Let go of the window and of all files."""
        self.tool.close()
        self._keyboard.close()
        self._show_marks(None)
        self._viewer.layers.events.removed.disconnect(self._on_removed)
        if self._on_press in self._viewer.mouse_drag_callbacks:
            self._viewer.mouse_drag_callbacks.remove(self._on_press)
        self._bench.desk_changed.disconnect(self._on_desk, missing_ok=True)
        self._slides.clear()
        self._current = None

    # -- slides -----------------------------------------------------------------------------

    @property
    def current(self) -> OpenSlide | None:
        """The slide whose regions are listed."""
        return self._current

    @property
    def region(self) -> Region | None:
        """The region of the current slide that is worked at."""
        desk, slide = self._bench.desk, self._current
        if desk is None or slide is None:
            return None
        return next((each for each in slide.regions if each.layer is desk.bridge.image), None)

    def session_of(self, region: Region) -> AnnotationSession | None:
        """The nuclei of a region."""
        desk = self._bench.desk_of(region.layer)
        return None if desk is None else desk.session

    def open(self, layer: Image) -> None:
        """Make a slide the current one; looks for its tissue and for earlier regions once."""
        slide = next((each for each in self._slides if each.layer is layer), None)
        if slide is None:
            pixels = slide_pixels_of(layer)
            assert pixels is not None
            slide = OpenSlide(layer, pixels)
            self._slides.append(slide)
        self._make_current(slide)
        self._look(slide)

    def calibrate(self, mpp: float) -> None:
        """Say how large a pixel of the current slide is, um; not once it has regions.

        Raises
        ------
        ImageError
            It has regions, or no slide can have such pixels.
        """
        slide = self._current
        if slide is None or slide.mpp == mpp:
            return
        if slide.regions:
            raise ImageError(
                "the size of a pixel cannot change while regions are open, for they were cut by "
                "it; remove them from the list first, nothing of them is lost"
            )
        if not 0.05 <= mpp <= 5:
            raise ImageError(
                f"a slide's pixels must be between 0.05 and 5 um, got {mpp:g}; 0.25 is a 40x scan"
            )
        slide.pixels.slide.mpp = mpp
        slide.survey = None
        for name, value in scaled_in_um(mpp).items():
            setattr(slide.layer, name, value)
        self._viewer.reset_view()
        self._look(slide)
        self._refresh()

    def _make_current(self, slide: OpenSlide | None) -> None:
        if slide is not self._current:
            self._current = slide
            self.tool.disarm()
            self._show_marks(slide)
        self._keyboard.set_armed(slide is not None)
        self._refresh()

    def _look(self, slide: OpenSlide) -> None:
        if slide.survey is None and slide.mpp is not None:
            self._bench.worker.submit(
                f"Looking at {slide.path.name}",
                slide.look,
                on_done=lambda survey: self._looked(slide, survey),
                on_error=self._on_problem,
            )

    def _looked(self, slide: OpenSlide, survey: Survey) -> None:
        open_now = {(each.place.level, each.place.box_yxyx) for each in slide.regions}
        slide.earlier = [
            found
            for found in survey.earlier
            if (found.place.level, found.place.box_yxyx) not in open_now
        ]
        slide.pixels.overview = survey.tissue.overview
        if slide.layer in self._viewer.layers:
            slide.layer.refresh()
        self._refresh()

    # -- drawing ----------------------------------------------------------------------------

    def toggle_tool(self) -> None:
        """Take the tool that draws regions, or put it away."""
        if self.tool.armed:
            self.tool.disarm()
            return
        slide = self._current
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
        self.tool.arm()

    def _on_tool(self) -> None:
        """Give the canvas back to the tools of the region worked at."""
        desk = self._bench.desk
        if not self.tool.armed and desk is not None:
            desk.tools.arm(desk.tools.tool)
        self.changed.emit()

    def _box_between(self, first: World, last: World) -> tuple[int, Box]:
        """Level and box, px of it, of a rectangle between two places of mouse events."""
        assert self._current is not None
        return box_between(self._current, first, last, self._model_mpp(self._current))

    def _model_mpp(self, slide: OpenSlide) -> float:
        annotator = self._bench.models.annotator
        if annotator is None:
            return _USUAL_MPP
        return annotator.card.mpp or cast(float, slide.mpp)

    def _words_for_drag(self, first: World, last: World) -> tuple[str, bool]:
        assert self._current is not None
        return words_for(self._current, *self._box_between(first, last))

    def _drawn(self, first: World, last: World) -> None:
        try:
            level, box = self._box_between(first, last)
            require_fitting(box)
        except ImageError as problem:
            self._on_problem(problem)  # the tool stays, for the next try
            return
        self.tool.disarm()
        self.add_region(level, box)

    def add_region(self, level: int, box_yxyx: Box) -> None:
        """Read a region in the worker and go to work on it.

        Parameters
        ----------
        level, box_yxyx : of the current slide; px of that level
        """
        slide = self._current
        assert slide is not None
        name = slide.free_name()
        tile_name = slide.tile_name(name)
        result = slide.result if self.begins_with_result else None

        def read() -> tuple[Tile, AnnotationSession | None]:
            fingerprint = slide.require_survey().fingerprint
            with slide.reading() as source:
                place = place_of(source, fingerprint, level, box_yxyx)
                tile = read_region(source, box_yxyx, place, tile_name)
            session = None if result is None else begin_with(result, tile)
            return (tile if session is None else session.tile), session

        self._bench.worker.submit(
            f"Reading {name}",
            read,
            on_done=lambda found: self._take(slide, name, *found),
            on_error=self._on_problem,
        )

    def _take(
        self, slide: OpenSlide, name: str, tile: Tile, session: AnnotationSession | None
    ) -> None:
        if slide in self._slides and slide.layer in self._viewer.layers:
            layer = self._add_layer(slide, name, tile)
            self._bench.take(layer, tile, session)
            self._refresh()

    def _add_layer(self, slide: OpenSlide, name: str, tile: Tile) -> Image:
        """Lay a region's pixels exactly over the slide."""
        assert tile.place is not None
        step, (y, x) = tile.downsample, tile.origin_yx_slide
        first = ((y + 0.5) * step - 0.5, (x + 0.5) * step - 0.5)
        placed = Placement.of(slide.layer, first, step).keywords()
        layer = Image(tile.rgb, rgb=True, name=name, **placed)
        height, width = tile.shape
        slide.regions.append(Region(tile.place, (y, x, y + height, x + width), layer))
        layers, below = self._viewer.layers, [slide.layer, slide.result_layer]
        below += [each.layer for each in slide.regions[:-1]]
        layers.insert(max(layers.index(each) for each in below if each in layers) + 1, layer)
        layer.events.name.connect(self._on_layer_renamed)
        return layer

    # -- going about ------------------------------------------------------------------------

    def go_to(self, region: Region, *, move: bool = True) -> None:
        """Work at a region; the camera shows all of it unless told to stay."""
        self.tool.disarm()
        self._bench.open(region.layer)
        desk = self._bench.desk
        if desk is not None:
            self._viewer.layers.selection.active = desk.bridge.nuclei
        if move:
            self._look_at(region)
        self._refresh()

    def go_next(self) -> None:
        """Go to the region after this one."""
        self._go_by(1)

    def go_previous(self) -> None:
        """Go to the region before this one."""
        self._go_by(-1)

    def go_to_place(self, place_yx: tuple[float, float]) -> None:
        """Bring a place, px of full resolution, to the middle of the canvas."""
        slide = self._current
        if slide is not None:
            world = np.asarray(slide.layer.data_to_world(place_yx))[-2:]
            camera = getattr(self._viewer, "scene", self._viewer).camera  # moved in napari 0.9
            centre = np.array(camera.center, dtype=float)
            centre[-2:] = world
            camera.center = tuple(centre)

    def _go_by(self, step: int) -> None:
        slide = self._current
        if slide is None or not slide.regions:
            return
        here = self.region
        place = -1 if here is None and step > 0 else 0
        if here is not None:
            place = slide.regions.index(here)
        self.go_to(slide.regions[(place + step) % len(slide.regions)])

    def _look_at(self, region: Region) -> None:
        slide = self._current
        if slide is not None:
            look_at_box(self._viewer, self._window, slide.layer, region.place.box_yxyx)

    def _on_press(self, _viewer: Any, event: Any) -> Iterator[None]:
        """Go to the region that is clicked, unless it is the one worked at."""
        slide = self._current
        if slide is None or event.button != LEFT or self.tool.armed or len(slide.regions) < 2:
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
        if there and self.region is not None and self.region not in there:
            self.go_to(there[0], move=False)

    # -- earlier work -----------------------------------------------------------------------

    def bring_back(self) -> None:
        """Open every region worked at before, as it was left."""
        slide = self._current
        if slide is None:
            return
        found, slide.earlier = slide.earlier, []
        for each in found:
            self._bring_back(slide, each)
        self._refresh()

    def dismiss_earlier(self) -> None:
        """Offer the earlier regions no more; they stay on disk."""
        if self._current is not None:
            self._current.earlier = []
            self._refresh()

    def _bring_back(self, slide: OpenSlide, found: FoundRegion) -> None:
        heading = found.heading
        y, x = heading.origin_yx_slide
        box = (y, x, y + heading.shape[0], x + heading.shape[1])
        name = slide.name_in(heading.name)

        def work() -> Restored:
            with slide.reading() as source:
                tile = read_region(source, box, found.place, heading.name)
            return restore(found.session.path, tile)

        self._bench.worker.submit(
            f"Bringing back {name}",
            work,
            on_done=lambda restored: self._brought_back(slide, name, found, restored),
            on_error=self._on_problem,
        )

    def _brought_back(
        self, slide: OpenSlide, name: str, found: FoundRegion, restored: Restored
    ) -> None:
        if slide not in self._slides or slide.layer not in self._viewer.layers:
            return
        layer = self._add_layer(slide, name, restored.session.tile)
        self._bench.take(layer, restored.session.tile, restored.session, found.session.path)
        if restored.problem is not None:
            self._on_problem(SessionError(restored.problem))
        self._refresh()

    # -- the result of the whole slide ------------------------------------------------------

    def add_result(self, folder: Path) -> None:
        """Show the result of the current slide that lies in a folder."""
        if self._current is not None:
            self.results.add(self._current, folder)

    def merge(self, region: Region) -> None:
        """Write a region of the current slide into its result."""
        if self._current is not None:
            self.results.merge(self._current, region)

    # -- names, and regions that go ---------------------------------------------------------

    def rename(self, region: Region, name: str) -> None:
        """Call a region something else, in the list, in files and on disk."""
        wanted = name.strip()
        if wanted and wanted != region.name:
            region.layer.name = wanted  # `_on_layer_renamed` does the rest

    def _on_layer_renamed(self, event: Any) -> None:
        for slide in self._slides:
            for region in slide.regions:
                desk = self._bench.desk_of(region.layer)
                if region.layer is event.source and desk is not None:
                    self._bench.keeping.rename(desk.session, slide.tile_name(region.name))
                    desk.bridge.rename(f"{region.name}: ")
        self._refresh()

    def remove(self, region: Region) -> None:
        """Take a region out of the window; what was kept on disk stays there."""
        self._bench.drop(region.layer)
        if region.layer in self._viewer.layers:
            self._viewer.layers.remove(region.layer)

    def _on_removed(self, event: Any) -> None:
        """Follow slides and regions whose layers were deleted."""
        gone = event.value
        self.results.forget(gone, self._slides)
        for slide in list(self._slides):
            slide.regions = [each for each in slide.regions if each.layer is not gone]
            if slide.layer is gone:
                self._slides.remove(slide)
                slide.pixels.close()
                if slide is self._current:
                    self._make_current(self._slides[-1] if self._slides else None)
        self._refresh()

    # -- what is shown ----------------------------------------------------------------------

    def _on_desk(self) -> None:
        """Follow to the slide of the region that is worked at now."""
        desk = self._bench.desk
        if desk is not None:
            self.tool.disarm()
        for slide in self._slides:
            if desk is not None and any(each.layer is desk.bridge.image for each in slide.regions):
                self._make_current(slide)
        self._refresh()

    def _show_marks(self, slide: OpenSlide | None) -> None:
        if self._marks is not None:
            self._marks.close()
        self._marks = None if slide is None else RegionMarks(self._viewer, slide.layer)

    def _refresh(self) -> None:
        slide, here = self._current, self.region
        if self._marks is not None and slide is not None:
            self._marks.show([(r.name, r.place.box_yxyx, r is here) for r in slide.regions])
        self.changed.emit()
