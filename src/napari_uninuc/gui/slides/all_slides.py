"""The slides of one window, which of them is looked at, and the regions that lie on them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from napari.layers import Image
from psygnal import Signal
from qtpy.QtWidgets import QWidget

from napari_uninuc.core.place import SlidePlace
from napari_uninuc.core.tile import Tile
from napari_uninuc.errors import ImageError
from napari_uninuc.gui.layers.placement import Placement
from napari_uninuc.gui.slides.drawing import RegionDrawing
from napari_uninuc.gui.slides.earlier import EarlierRegions
from napari_uninuc.gui.slides.layer import scaled_in_um, slide_pixels_of
from napari_uninuc.gui.slides.open_slide import OpenSlide, Region, Survey
from napari_uninuc.gui.slides.region_marks import RegionMarks
from napari_uninuc.gui.slides.results import SlideResults
from napari_uninuc.gui.slides.tour import RegionTour
from napari_uninuc.gui.window.keyboard import Keyboard
from napari_uninuc.gui.workbench import Workbench
from napari_uninuc.session import AnnotationSession
from napari_uninuc.slides.opening import require_mpp

__all__ = ["Slides"]


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
    drawing, tour, earlier : regions that are drawn, gone to, and brought back
    results : of whole slides
    """

    changed = Signal()

    def __init__(
        self,
        viewer: Any,
        window: QWidget,
        bench: Workbench,
        *,
        on_problem: Callable[[Exception], None],
    ) -> None:
        self._viewer, self._window, self._bench = viewer, window, bench
        self._on_problem = on_problem
        self._slides: list[OpenSlide] = []
        self._current: OpenSlide | None = None
        self._marks: RegionMarks | None = None
        self.results = SlideResults(viewer, bench, on_problem=on_problem)
        self.drawing = RegionDrawing(viewer, window, self, bench, on_problem=on_problem)
        self.tour = RegionTour(viewer, window, self, bench, self.drawing.tool)
        self.earlier = EarlierRegions(self, bench, on_problem=on_problem)
        keys = {
            "region": self.drawing.toggle,
            "next_region": self.tour.go_next,
            "previous_region": self.tour.go_previous,
        }
        self._keyboard = Keyboard(window, keys)
        viewer.layers.events.removed.connect(self._on_removed)
        bench.slide_asked.connect(self.open)
        bench.desk_changed.connect(self._on_desk)

    def close(self) -> None:
        """Let go of the window and of all files."""
        self.drawing.tool.close()
        self._keyboard.close()
        self._show_marks(None)
        self._viewer.layers.events.removed.disconnect(self._on_removed)
        self.tour.close()
        self._bench.slide_asked.disconnect(self.open, missing_ok=True)
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
            slide = OpenSlide(layer, slide_pixels_of(layer))
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
        require_mpp(mpp, slide.path.name)
        slide.pixels.slide.mpp = mpp
        slide.survey = None
        for name, value in scaled_in_um(mpp).items():
            setattr(slide.layer, name, value)
        self._viewer.reset_view()
        self._look(slide)
        self.refresh()

    def _make_current(self, slide: OpenSlide | None) -> None:
        if slide is not self._current:
            self._current = slide
            self.drawing.tool.disarm()
            self._show_marks(slide)
        self._keyboard.set_armed(slide is not None)
        self.refresh()

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
        self.refresh()

    # -- the result of the whole slide ------------------------------------------------------

    def add_result(self, folder: Path) -> None:
        """Show the result of the current slide that lies in a folder."""
        if self._current is not None:
            self.results.add(self._current, folder)

    def merge(self, region: Region) -> None:
        """Write a region of the current slide into its result."""
        if self._current is not None:
            self.results.merge(self._current, region)

    # -- regions that come and go ------------------------------------------------------------

    def take(
        self,
        slide: OpenSlide,
        name: str,
        place: SlidePlace,
        tile: Tile,
        session: AnnotationSession | None = None,
        kept_in: Path | None = None,
    ) -> None:
        """Work at a region that was read, unless its slide is gone by now.

        Parameters
        ----------
        place : of the tile
        session : with the nuclei it begins with; None for none
        kept_in : where that session is on disk; None for a new one
        """
        if slide in self._slides and slide.layer in self._viewer.layers:
            layer = self._lay(slide, name, place, tile)
            self._bench.take(layer, tile, session, kept_in)
            self.refresh()

    def _lay(self, slide: OpenSlide, name: str, place: SlidePlace, tile: Tile) -> Image:
        """Lay a region's pixels exactly over the slide."""
        step, (y, x) = place.downsample, tile.origin_yx_slide
        first = ((y + 0.5) * step - 0.5, (x + 0.5) * step - 0.5)
        placed = Placement.of(slide.layer, first, step).keywords()
        layer = Image(tile.rgb, rgb=True, name=name, **placed)
        height, width = tile.shape
        slide.regions.append(Region(place, (y, x, y + height, x + width), layer))
        layers, below = self._viewer.layers, [slide.layer, slide.result_layer]
        below += [each.layer for each in slide.regions[:-1]]
        layers.insert(max(layers.index(each) for each in below if each in layers) + 1, layer)
        layer.events.name.connect(self._on_layer_renamed)
        return layer

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
                    self._bench.sessions.rename(desk.session, slide.tile_name(region.name))
                    desk.bridge.rename(f"{region.name}: ")
        self.refresh()

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
        self.refresh()

    # -- what is shown ----------------------------------------------------------------------

    def _on_desk(self) -> None:
        """Follow to the slide of the region that is worked at now."""
        desk = self._bench.desk
        if desk is not None:
            self.drawing.tool.disarm()
        for slide in self._slides:
            if desk is not None and any(each.layer is desk.bridge.image for each in slide.regions):
                self._make_current(slide)
        self.refresh()

    def _show_marks(self, slide: OpenSlide | None) -> None:
        if self._marks is not None:
            self._marks.close()
        self._marks = None if slide is None else RegionMarks(self._viewer, slide.layer)

    def refresh(self) -> None:
        """Show what is known of the current slide now."""
        slide, here = self._current, self.region
        if self._marks is not None and slide is not None:
            self._marks.show([(r.name, r.place.box_yxyx, r is here) for r in slide.regions])
        self.changed.emit()
