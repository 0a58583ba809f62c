"""What the parts of the slide mode need of the slides of a window."""

from pathlib import Path
from typing import Protocol

from psygnal import SignalInstance

from napari_uninuc.core.place import SlidePlace
from napari_uninuc.core.tile import Tile
from napari_uninuc.gui.slides.open_slide import OpenSlide, Region
from napari_uninuc.session import AnnotationSession

__all__ = ["Shelf"]


class Shelf(Protocol):
    """The slides of a window, one of which is looked at; `Slides` is that."""

    @property
    def changed(self) -> SignalInstance:
        """Tells of slides, regions, or what is known of them."""
        ...

    @property
    def current(self) -> OpenSlide | None:
        """The slide whose regions are listed."""
        ...

    @property
    def region(self) -> Region | None:
        """The region of it that is worked at."""
        ...

    def take(
        self,
        slide: OpenSlide,
        name: str,
        place: SlidePlace,
        tile: Tile,
        session: AnnotationSession | None = None,
        kept_in: Path | None = None,
    ) -> None:
        """Work at a region that was read, unless its slide is gone by now."""
        ...

    def refresh(self) -> None:
        """Show what is known of the current slide now."""
        ...
