"""The result of a whole slide in the window: shown, corrected by regions, merged back."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from napari.layers import Labels
from psygnal import Signal

from napari_uninuc.core.place import SlidePlace
from napari_uninuc.core.tile import Tile
from napari_uninuc.errors import OutputError
from napari_uninuc.gui.layers.placement import Placement
from napari_uninuc.gui.slides.open_slide import OpenSlide, Region
from napari_uninuc.gui.workbench import Workbench
from napari_uninuc.session import AnnotationSession
from napari_uninuc.session.steps import Filter
from napari_uninuc.slides.correction import Correction
from napari_uninuc.slides.merge_back import Merged, finish_merge, merge_steps
from napari_uninuc.slides.results import SlideResult, open_result

__all__ = ["SlideResults", "begin_with"]


class SlideResults:
    """Adds a result to a slide and writes regions into it; one at a time.

    Parameters
    ----------
    viewer : gets the labels
    bench : its worker does what takes longer than a blink
    on_problem : told in the window's thread when something failed

    Attributes
    ----------
    changed : a result was added or gone, or a merge began, went on or ended
    merged : a region was merged back; the region, and what became of its nuclei
    progress : (steps done, of all) of the merge under way; None where there is none
    """

    changed = Signal()
    merged = Signal(object, object)

    def __init__(
        self, viewer: Any, bench: Workbench, *, on_problem: Callable[[Exception], None]
    ) -> None:
        self._viewer, self._bench, self._on_problem = viewer, bench, on_problem
        self.progress: tuple[int, int] | None = None

    def add(self, slide: OpenSlide, folder: Path) -> None:
        """Show the result in a folder over its slide."""

        def look() -> SlideResult:
            fingerprint = slide.require_survey().fingerprint
            result = open_result(folder, fingerprint, slide.pixels.slide.origin_yx)
            finish_merge(result)
            return result

        self._bench.worker.submit(
            f"Opening {folder.name}",
            look,
            on_done=lambda result: self._show(slide, result),
            on_error=self._on_problem,
        )

    def forget(self, gone: Any, slides: list[OpenSlide]) -> None:
        """Let go of a result whose layer was deleted."""
        for slide in slides:
            if slide.result_layer is gone:
                slide.result = slide.result_layer = None
                self.changed.emit()

    def merge(self, slide: OpenSlide, region: Region) -> None:
        """Write what was corrected in a region into the result of its slide."""
        desk, result = self._bench.desk_of(region.layer), slide.result
        if desk is None or result is None or self.progress is not None:
            return
        if region.place.level != result.plan.level:
            self._on_problem(
                OutputError(
                    f"{region.name} was cut at another resolution than the result was made at; "
                    "draw it again and correct it there"
                )
            )
            return
        self._bench.finish()
        desk.session.hand.keep()
        correction = correction_of(region, desk.session, result)
        self._tell(0, 1)
        self._bench.worker.submit(
            f"Merging {region.name}",
            lambda: merge_steps(result, correction, slide.require_survey().tissue),
            on_yield=lambda done: self._tell(*done),
            on_done=lambda merged: self._done(slide, region, merged),
            on_error=self._failed,
            on_cancel=self._end,
        )

    def _show(self, slide: OpenSlide, result: SlideResult) -> None:
        if slide.layer not in self._viewer.layers:
            return
        if slide.result_layer is not None and slide.result_layer in self._viewer.layers:
            self._viewer.layers.remove(slide.result_layer)
        step = result.plan.downsample
        placed = Placement.of(slide.layer, ((step - 1) / 2, (step - 1) / 2), step).keywords()
        layer = Labels(
            result.levels(),
            multiscale=True,
            name=f"result: {result.folder.name}",
            opacity=0.8,
            **placed,
        )
        layer.contour, layer.editable = 1, False
        slide.result, slide.result_layer = result, layer
        active = self._viewer.layers.selection.active
        self._viewer.layers.insert(self._viewer.layers.index(slide.layer) + 1, layer)
        self._viewer.layers.selection.active = active
        self.changed.emit()

    def _done(self, slide: OpenSlide, region: Region, merged: Merged) -> None:
        if slide.result_layer is not None:
            slide.result_layer.refresh()
        self._end()
        self.merged.emit(region, merged)

    def _failed(self, problem: Exception) -> None:
        self._end()
        self._on_problem(problem)

    def _tell(self, done: int, total: int) -> None:
        self.progress = done, total
        self.changed.emit()

    def _end(self) -> None:
        self.progress = None
        self.changed.emit()


def begin_with(
    result: SlideResult, place: SlidePlace, tile: Tile
) -> tuple[SlidePlace, AnnotationSession]:
    """Begin a session of a region with what the result has there; slow, touches no window.

    Returns
    -------
    place, session
        The place of the tile, which names the result now.

    Raises
    ------
    OutputError
        The result is damaged.
    """
    y, x = tile.origin_yx_slide
    part = result.part((y, x, y + tile.shape[0], x + tile.shape[1]))
    place = replace(place, result=result.key, own_from=part.labels.next_id)
    session = AnnotationSession(replace(tile, place=place), part.classes, part.labels)
    session.candidates = part.candidates
    session.steps.filter = Filter(result.plan.score_threshold, 0)
    return place, session


def correction_of(region: Region, session: AnnotationSession, result: SlideResult) -> Correction:
    """Freeze what is visible of a region now."""
    place = region.place
    return Correction(
        region.box_yxyx,
        session.labels.pixels.copy(),
        {id_: row for id_, row in session.labels.nuclei.items() if row.visible},
        session.classes,
        place.own_from if place.result == result.key else 1,
    )
