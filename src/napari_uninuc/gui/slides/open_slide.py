"""A slide that is open in a window: what is known of it, and its regions."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from napari.layers import Image, Labels

from napari_uninuc.core.place import SlidePlace
from napari_uninuc.errors import ImageError
from napari_uninuc.gui.slides.levels import SlidePixels
from napari_uninuc.journal.listing import FoundRegion, find_regions
from napari_uninuc.slides.opening import open_slide
from napari_uninuc.slides.plan import fingerprint_of
from napari_uninuc.slides.protocol import Box, Level, Slide
from napari_uninuc.slides.results import SlideResult
from napari_uninuc.slides.tissue import Tissue, find_tissue

__all__ = ["OpenSlide", "Region", "Survey"]


@dataclass(frozen=True, slots=True, eq=False)
class Region:
    """A rectangle of the slide that is corrected, or was.

    Attributes
    ----------
    place : on the slide
    box_yxyx : px of the level of `place`
    layer : shows its pixels over the slide; its name is the region's
    """

    place: SlidePlace
    box_yxyx: Box
    layer: Image

    @property
    def name(self) -> str:
        """What people call it."""
        return str(self.layer.name)


@dataclass(frozen=True, slots=True, eq=False)
class Survey:
    """What a first look at a slide tells.

    Attributes
    ----------
    fingerprint : 32 hexadecimal digits
    tissue : from afar
    earlier : regions worked at before
    """

    fingerprint: str
    tissue: Tissue
    earlier: list[FoundRegion]


@dataclass(slots=True, eq=False)
class OpenSlide:
    """One slide of the window.

    Attributes
    ----------
    layer : shows it
    pixels : what the layer shows; of the window's thread
    survey : None before the first look
    regions : in the order in which they were made
    earlier : regions worked at before that are not open; empty once dismissed
    coming : names of regions that are being read
    result, result_layer : of the whole slide, and the layer that shows it; None without
    """

    layer: Image
    pixels: SlidePixels
    survey: Survey | None = None
    regions: list[Region] = field(default_factory=list)
    earlier: list[FoundRegion] = field(default_factory=list)
    coming: set[str] = field(default_factory=set)
    result: SlideResult | None = None
    result_layer: Labels | None = None

    @property
    def path(self) -> Path:
        """The slide's file."""
        return self.pixels.slide.path

    @property
    def mpp(self) -> float | None:
        """Micrometres per px at full resolution; None until somebody says it."""
        return self.pixels.slide.mpp

    @property
    def levels(self) -> tuple[Level, ...]:
        """Of the pyramid, finest first."""
        return self.pixels.slide.levels

    @property
    def slide(self) -> Slide:
        """The slide, of which only levels and scale may be used here; see `reading`.

        Raises
        ------
        ImageError
            Nobody has said yet how large a pixel is.
        """
        if self.mpp is None:
            raise ImageError(
                f"{self.path.name} does not say how large a pixel is; enter its size under Picture"
            )
        return cast(Slide, self.pixels.slide)

    @contextmanager
    def reading(self) -> Iterator[Slide]:
        """Open the file once more, for another thread; ImageError as `open_slide`."""
        slide = open_slide(self.path, self.mpp)
        try:
            yield slide
        finally:
            slide.close()

    def look(self) -> Survey:
        """Take the first look; slow, so not in the window's thread."""
        with self.reading() as slide:
            tissue = find_tissue(slide)
            fingerprint = fingerprint_of(slide, tissue)
        self.survey = Survey(fingerprint, tissue, find_regions(fingerprint))
        return self.survey

    def require_survey(self) -> Survey:
        """What the first look told; it is taken now where it was not yet."""
        return self.survey or self.look()

    def free_name(self) -> str:
        """A name no region has, nor one that is being read: ``Region 3``."""
        taken = self.coming | {each.name for each in self.regions}
        taken |= {self.name_in(found.heading.name) for found in self.earlier}
        number = len(self.regions) + len(self.earlier) + len(self.coming) + 1
        while f"Region {number}" in taken:
            number += 1
        return f"Region {number}"

    def tile_name(self, region_name: str) -> str:
        """Name of a region's tile, for files: slide first."""
        return f"{self.path.stem}, {region_name}"

    def name_in(self, tile_name: str) -> str:
        """Name of the region in the name of its tile."""
        return tile_name.removeprefix(f"{self.path.stem}, ") or "Region"
