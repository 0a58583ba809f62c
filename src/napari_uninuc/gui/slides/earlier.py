"""Regions worked at before, as they are on disk, brought back to their slide."""

from collections.abc import Callable

from napari_uninuc.errors import SessionError
from napari_uninuc.gui.slides.open_slide import OpenSlide
from napari_uninuc.gui.slides.shelf import Shelf
from napari_uninuc.gui.workbench import Workbench
from napari_uninuc.journal.listing import FoundRegion
from napari_uninuc.session.autosave import Restored
from napari_uninuc.session.resumed import restore_all
from napari_uninuc.slides.regions import read_region

__all__ = ["EarlierRegions"]


class EarlierRegions:
    """Offers and opens what was kept of the current slide.

    Parameters
    ----------
    slides : know the current slide and take what was read
    bench : owns the worker
    on_problem : told in the window's thread when something failed
    """

    def __init__(
        self, slides: Shelf, bench: Workbench, *, on_problem: Callable[[Exception], None]
    ) -> None:
        self._slides, self._bench, self._on_problem = slides, bench, on_problem

    def bring_back(self) -> None:
        """Open every region worked at before, as it was left."""
        slide = self._slides.current
        if slide is None:
            return
        found, slide.earlier = slide.earlier, []
        for each in found:
            self._bring_back(slide, each)
        self._slides.refresh()

    def dismiss(self) -> None:
        """Offer the earlier regions no more; they stay on disk."""
        slide = self._slides.current
        if slide is not None:
            slide.earlier = []
            self._slides.refresh()

    def _bring_back(self, slide: OpenSlide, found: FoundRegion) -> None:
        heading = found.heading
        y, x = heading.origin_yx_slide
        box = (y, x, y + heading.shape[0], x + heading.shape[1])
        name = slide.name_in(heading.name)

        def work() -> Restored:
            with slide.reading() as source:
                tile = read_region(source, box, found.place, heading.name)
            return restore_all(found.session.path, tile)

        self._bench.worker.submit(
            f"Bringing back {name}",
            work,
            on_done=lambda restored: self._brought_back(slide, name, found, restored),
            on_error=self._on_problem,
        )

    def _brought_back(
        self, slide: OpenSlide, name: str, found: FoundRegion, restored: Restored
    ) -> None:
        session = restored.session
        self._slides.take(slide, name, found.place, session.tile, session, found.session.path)
        if restored.problem is not None:
            self._on_problem(SessionError(restored.problem))
