"""A slide as a layer of napari: its pyramid, its scale, and the way back from layer to slide."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_uninuc.gui.slides.levels import SlideLevel, SlidePixels, SlideSource
from napari_uninuc.gui.window.notices import tell_problem, warn
from napari_uninuc.slides.opening import look_at_slide

if TYPE_CHECKING:
    from napari.layers import Layer

__all__ = ["SCANNER_SUFFIXES", "is_slide", "scaled_in_um", "slide_layer_data", "slide_pixels_of"]

SCANNER_SUFFIXES = (
    ".svs",
    ".ndpi",
    ".scn",
    ".mrxs",
    ".bif",
    ".svslide",
    ".vms",
    ".vmu",
    ".czi",
    ".dcm",
)
"""Of files that are slides and nothing else."""


def slide_layer_data(path: Path) -> tuple[SlideSource, dict[str, Any], str]:
    """Make the layer of a slide; nothing but its directory is read.

    Returns
    -------
    layer : multiscale RGB image, in micrometres where the file says its scale, else in px

    Raises
    ------
    ImageError
        As `look_at_slide`.
    """
    slide = look_at_slide(path)
    if slide.notice:
        warn(slide.notice)
    described: dict[str, Any] = {"name": path.name, "rgb": True, "multiscale": True}
    if slide.mpp is not None:
        described |= scaled_in_um(slide.mpp)
    return SlideSource(slide, tell_problem), described, "image"


def scaled_in_um(mpp: float) -> dict[str, Any]:
    """Say the scale of a layer with two axes in napari's words."""
    return {"scale": (mpp, mpp), "units": ("micrometer", "micrometer")}


def slide_pixels_of(layer: "Layer") -> SlidePixels:
    """What a layer shows that `is_slide`."""
    finest: SlideLevel = layer.data[0]
    return finest.pixels


def is_slide(layer: "Layer") -> bool:
    """Whether a layer shows a slide."""
    return bool(getattr(layer, "multiscale", False)) and isinstance(layer.data[0], SlideLevel)
