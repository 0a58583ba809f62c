"""A page about a slide that a browser shows without a network: pictures and numbers."""

import base64
import io
from collections.abc import Sequence
from html import escape
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy import ndimage

from napari_uninuc.io.targets import replacing
from napari_uninuc.slides.density import CELL_UM, Density
from napari_uninuc.slides.plan import SlidePlan
from napari_uninuc.slides.summary import OUTPUTS, SlideSummary
from napari_uninuc.slides.tissue import Tissue

__all__ = ["write_report"]

_LONGEST_SIDE = 1200
_OUTLINE = (0, 110, 220)
_COLOURS = np.array(
    [(255, 255, 255), (255, 224, 150), (245, 140, 70), (190, 40, 90), (60, 10, 90)], np.float64
)
_STYLE = """body{font:15px/1.5 system-ui,sans-serif;max-width:64rem;margin:2rem auto;padding:0 1rem}
table{border-collapse:collapse}td,th{padding:.2rem 1rem .2rem 0;text-align:left}
td+td{text-align:right}img{max-width:100%;border:1px solid #ccc}"""


def write_report(
    path: Path, plan: SlidePlan, summary: SlideSummary, tissue: Tissue, density: Density
) -> None:
    """Write the page; its pictures are inside it, and the label and macro of the slide are not.

    Raises
    ------
    OutputError
        The file cannot be written.
    """
    with replacing(path) as part:
        part.write_text(_page(plan, summary, tissue, density), encoding="utf-8")


def _page(plan: SlidePlan, summary: SlideSummary, tissue: Tissue, density: Density) -> str:
    area, every = summary.tissue_mm2, density.per_mm2
    rows = [("all", summary.count), *summary.nuclei.items()]
    counts = [
        (name, f"{count:,}", f"{count / area:,.0f}" if area else "no tissue")
        for name, count in rows
    ]
    maps = "".join(
        f"<h3>{escape(name)}: 0 to {plane.max():,.0f} per mm²</h3>{_image(_coloured(plane))}"
        for name, plane in zip(("all", *plan.classes), every, strict=True)
        if name == "all" or len(plan.classes) > 1
    )
    notices = "".join(f"<p>{escape(text)}</p>" for text in summary.notices)
    none = "" if area else "<p><b>No tissue was found on this slide.</b></p>"
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{escape(plan.slide)}</title>"
        f"<style>{_STYLE}</style><h1>{escape(plan.slide)}</h1>{none}{notices}"
        + _table(("", "nuclei", "per mm² of tissue"), counts)
        + f"<h2>Slide</h2><p>Blue: what was taken for tissue.</p>{_image(_outlined(tissue))}"
        + f"<h2>Density, in cells of {CELL_UM:.0f} µm</h2>{maps}"
        + "<h2>Run</h2>"
        + _table(("", ""), _facts(plan, summary))
        + f"<p>Made by a computer{_corrected(summary)}, for research; no diagnosis.</p></html>\n"
    )


def _corrected(summary: SlideSummary) -> str:
    if not summary.merged:
        return ""
    regions = "one region" if summary.merged == 1 else f"{summary.merged} regions"
    return f" and corrected by a person in {regions}, which these numbers count"


def _facts(plan: SlidePlan, summary: SlideSummary) -> list[tuple[str, ...]]:
    height, width = plan.shape
    steps = [(f"{step}, seconds", f"{spent:,.1f}") for step, spent in summary.seconds.items()]
    return [
        ("tissue, mm²", f"{summary.tissue_mm2:,.2f}"),
        ("model", plan.model),
        ("weights, sha256", plan.model_sha256 or "unknown"),
        ("licence of the weights", summary.licence),
        ("seen in a mirror too", "yes" if plan.flips else "no"),
        ("stain", "immunohistochemistry (brown)" if plan.brown else "H&E"),
        ("score threshold", f"{plan.score_threshold:g}"),
        ("smallest nucleus, µm²", f"{plan.min_area_um2:g}"),
        ("micrometres per px of the slide", f"{plan.mpp:g}"),
        *_frame(plan),
        ("level outlined", f"{plan.level}, {width} x {height} px of {plan.level_mpp:g} µm"),
        ("tiles outlined, of all", f"{summary.tiles} of {summary.tiles_of_slide}"),
        ("computed on, tiles", _devices(summary)),
        *steps,
        ("files", ", ".join(OUTPUTS[name] for name in summary.outputs)),
    ]


def _devices(summary: SlideSummary) -> str:
    return ", ".join(f"{name}: {tiles:,}" for name, tiles in summary.devices.items()) or "unknown"


def _frame(plan: SlidePlan) -> list[tuple[str, ...]]:
    """Say where the slide begins in the scanner's frame, where it does not fill it."""
    y, x = plan.origin_yx
    return [("scanned part begins at, px of the scanner's frame", f"x {x}, y {y}")] * bool(y or x)


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = ["".join(f"<th>{escape(cell)}</th>" for cell in head)] if any(head) else []
    lines += ["".join(f"<td>{escape(cell)}</td>" for cell in row) for row in rows]
    return "<table>" + "".join(f"<tr>{line}</tr>" for line in lines) + "</table>"


def _outlined(tissue: Tissue) -> npt.NDArray[np.uint8]:
    rgb = tissue.overview.copy()
    inside = np.pad(tissue.mask, 1)
    rim = (inside & ~ndimage.binary_erosion(inside))[1:-1, 1:-1]
    rgb[rim] = _OUTLINE
    return rgb


def _coloured(plane: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """Show 0 as white and the highest value as dark violet."""
    place = plane / max(float(plane.max()), 1.0) * (len(_COLOURS) - 1)
    steps = np.arange(len(_COLOURS))
    channels = [np.interp(place, steps, channel) for channel in _COLOURS.T]
    rgb: npt.NDArray[np.uint8] = np.rint(np.stack(channels, axis=-1)).astype(np.uint8)
    return rgb


def _image(rgb: npt.NDArray[np.uint8]) -> str:
    """Embed pixels, a large picture made smaller and a small one larger, as PNG."""
    height, width = rgb.shape[:2]
    factor = _LONGEST_SIDE / max(height, width)
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    how = Image.Resampling.BOX if factor < 1 else Image.Resampling.NEAREST
    stream = io.BytesIO()
    Image.fromarray(rgb).resize(size, how).save(stream, format="PNG", optimize=True)
    text = base64.b64encode(stream.getvalue()).decode()
    return f'<img alt="" src="data:image/png;base64,{text}">'
