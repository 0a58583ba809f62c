"""The agreement of readers as a page with pictures, and as numbers for programs beside it."""

import html
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from napari_uninuc.agreement.comparison import Comparison
from napari_uninuc.agreement.crops import Crops
from napari_uninuc.agreement.disagreements import Disagreement
from napari_uninuc.agreement.figures import THRESHOLDS, Figure, Figures
from napari_uninuc.agreement.kinds import Kind
from napari_uninuc.core.extents import Box, pad_box
from napari_uninuc.io.html_pages import html_page, html_picture, html_table
from napari_uninuc.io.targets import replacing
from napari_uninuc.io.thumbnails import outlined_png

__all__ = ["WORDS", "Agreement", "write_report"]

WORDS = {
    Kind.MATCHED: "Nuclei that both have",
    Kind.CLASS_DIFFERS: "of which the classes differ",
    Kind.SPLIT: "One nucleus of A, several of B",
    Kind.MERGED: "Several nuclei of A, one of B",
    Kind.ONLY_A: "Only A has it",
    Kind.ONLY_B: "Only B has it",
}
"""What people read of each kind."""

_SHOWN = 60
"""Disagreements with pictures; the list names all, up to `_LISTED`."""
_LISTED = 2000
_MARGIN_PX, _MAX_SIDE_PX = 12, 160
_ABOUT, _OTHERS = (255, 230, 0), (120, 190, 255)
"""Colours of the nuclei that a disagreement is about, and of those around them."""


@dataclass(frozen=True, slots=True, eq=False)
class Agreement:
    """All that is told of two or more readers.

    Attributes
    ----------
    comparisons : of every pair, the first reader's first
    crops : the picture under each pair
    fleiss : kappa of all readers; None for two
    """

    comparisons: Sequence[Comparison]
    crops: Sequence[Crops]
    fleiss: Figure | None


def write_report(agreement: Agreement, path: Path) -> Path:
    """Write a page, and the same in numbers beside it, each whole or not at all.

    Parameters
    ----------
    path : of the page; the numbers get its name with the ending ``.json``

    Returns
    -------
    numbers : where they are

    Raises
    ------
    OutputError
        A file cannot be written.
    """
    page, numbers = _page(agreement), _numbers(agreement)
    beside = path.with_suffix(".json")
    for target, text in ((path, page), (beside, json.dumps(numbers, indent=1) + "\n")):
        with replacing(target) as part:
            part.write_text(text, encoding="utf-8", newline="\n")
    return beside


# -- numbers ----------------------------------------------------------------------------------


def _numbers(agreement: Agreement) -> dict[str, Any]:
    pairs = [_numbers_of(each) for each in agreement.comparisons]
    if agreement.fleiss is None:
        return pairs[0]
    fleiss = agreement.fleiss
    return {
        **pairs[0],
        "pairs": pairs,
        "fleiss_kappa": _plain(fleiss.value),
        "fleiss_kappa_interval": [_plain(fleiss.low), _plain(fleiss.high)],
    }


def _numbers_of(comparison: Comparison) -> dict[str, Any]:
    figures = comparison.figures
    return {
        "a": comparison.a.name,
        "b": comparison.b.name,
        "shape": list(comparison.a.shape),
        **_counts(comparison.total),
        **_values(figures),
        "intervals": {
            "f1": {
                str(t): [_plain(f.low), _plain(f.high)]
                for t, f in zip(THRESHOLDS, figures.f1, strict=True)
            },
            "mean_iou": [_plain(figures.mean_iou.low), _plain(figures.mean_iou.high)],
            "kappa": [_plain(figures.kappa.low), _plain(figures.kappa.high)],
        },
        "regions": [
            {
                "box_yxyx": list(box),
                **_counts(dict(zip(Kind, counts, strict=True))),
                **_values(comparison.sums.of_square(row)),
            }
            for row, (box, counts) in enumerate(
                zip(comparison.squares, comparison.counts.tolist(), strict=True)
            )
        ],
        "disagreements": [
            {
                "kind": each.kind.value,
                "a_ids": list(each.a_ids),
                "b_ids": list(each.b_ids),
                "a_class": each.a_class,
                "b_class": each.b_class,
                "iou": _plain(each.iou),
                "disputed_px": each.disputed_px,
                "box_yxyx": list(each.box_yxyx),
            }
            for each in comparison.disagreements
        ],
    }


def _counts(counts: dict[Kind, int]) -> dict[str, int]:
    return {kind.value: count for kind, count in counts.items()}


def _values(figures: Figures) -> dict[str, Any]:
    return {
        "f1": {str(t): _plain(f.value) for t, f in zip(THRESHOLDS, figures.f1, strict=True)},
        "mean_iou": _plain(figures.mean_iou.value),
        "kappa": _plain(figures.kappa.value),
    }


def _plain(value: float) -> float | None:
    """JSON knows no NaN."""
    return round(value, 6) if math.isfinite(value) else None


# -- the page ---------------------------------------------------------------------------------


def _page(agreement: Agreement) -> str:
    comparisons = agreement.comparisons
    names = list(dict.fromkeys(r.name for each in comparisons for r in (each.a, each.b)))
    parts = []
    if agreement.fleiss is not None:
        kappa = [("Fleiss' kappa of the classes", _told(agreement.fleiss))]
        parts += [html_table(("All readers", "with 95 % interval"), kappa)]
    for comparison, crops in zip(comparisons, agreement.crops, strict=True):
        parts += _section(comparison, crops)
    parts += [
        "<p>Intervals: squares of the picture drawn with replacement, 2,000 times. For research; "
        "no diagnosis.</p>"
    ]
    return html_page(f"Agreement of {', '.join(names)}", parts)


def _section(comparison: Comparison, crops: Crops) -> Iterator[str]:
    a, b = comparison.a, comparison.b
    yield f"<h2>A: {html.escape(a.name)}<br>B: {html.escape(b.name)}</h2>"
    for reading in (a, b):
        if reading.notice:
            yield f"<p>{html.escape(f'{reading.name}: {reading.notice}')}</p>"
    counts = [(WORDS[kind], f"{n:,}") for kind, n in comparison.total.items()]
    yield html_table(("What was found", ""), counts)
    yield html_table(("Agreement", "with 95 % interval"), _figure_rows(comparison.figures))
    yield "<h3>Disagreements, the most serious first</h3>"
    yield from _with_pictures(comparison, crops)
    if len(comparison.squares) > 1:
        yield "<h3>By region</h3>"
        yield html_table(_REGION_COLUMNS, _region_rows(comparison), numbers=True)
    rest = comparison.disagreements[_SHOWN:_LISTED]
    if rest:
        yield f"<h3>Disagreements {_SHOWN + 1} to {_SHOWN + len(rest)}</h3>"
        yield html_table((), ([_caption(k, each)] for k, each in enumerate(rest, _SHOWN + 1)))
    left_out = len(comparison.disagreements) - _LISTED
    if left_out > 0:
        yield f"<p>{left_out:,} more are in the table and in the .json.</p>"


def _with_pictures(comparison: Comparison, crops: Crops) -> Iterator[str]:
    if not comparison.disagreements:
        yield "<p>None.</p>"
        return
    yield (
        "<p>Serious is what is answered differently on many pixels. Yellow: what it is about; "
        "blue: other nuclei of that reader.</p>"
    )
    yield "<table><tr><th></th><th>A</th><th>B</th></tr>"
    for number, each in enumerate(comparison.disagreements[:_SHOWN], 1):
        yield _pictured(number, each, comparison, crops)
    yield "</table>"


def _figure_rows(figures: Figures) -> list[tuple[str, str]]:
    return [
        *(
            (f"F1 at IoU {threshold:.2f}", _told(figure))
            for threshold, figure in zip(THRESHOLDS, figures.f1, strict=True)
        ),
        ("Mean IoU of nuclei that both have", _told(figures.mean_iou)),
        ("Cohen's kappa of their classes", _told(figures.kappa)),
    ]


_REGION_COLUMNS = (
    *("Rows", "Columns", "Both", "Class", "Split", "Merged", "Only A", "Only B"),
    *("F1 at 0.50", "Mean IoU", "Kappa"),
)


def _region_rows(comparison: Comparison) -> Iterator[list[str]]:
    counts = comparison.counts.tolist()
    for row, (y0, x0, y1, x1) in enumerate(comparison.squares):
        figures = comparison.sums.of_square(row)
        told = (figures.f1[0], figures.mean_iou, figures.kappa)
        numbers = [f"{y0}\u2013{y1}", f"{x0}\u2013{x1}", *map(str, counts[row])]
        yield [*numbers, *(_number(figure.value, "") for figure in told)]


def _told(figure: Figure) -> str:
    text = _number(figure.value)
    if math.isfinite(figure.low):
        text += f"  ({figure.low:.3f} to {figure.high:.3f})"
    return text


def _number(value: float, unknown: str = "cannot be told") -> str:
    return f"{value:.3f}" if math.isfinite(value) else unknown


def _caption(number: int, each: Disagreement) -> str:
    word = "Classes differ" if each.kind is Kind.CLASS_DIFFERS else WORDS[each.kind]
    ids = [
        f"{name} {' '.join(map(str, own))}" + (f" ({called})" if called else "")
        for name, own, called in (("A", each.a_ids, each.a_class), ("B", each.b_ids, each.b_class))
        if own
    ]
    y0, x0, _, _ = each.box_yxyx
    return f"{number}. {word}: {'; '.join(ids)}, at row {y0}, column {x0}"


def _pictured(number: int, each: Disagreement, comparison: Comparison, crops: Crops) -> str:
    box = _shown_box(each.box_yxyx, comparison.a.shape)
    rgb = crops(box)
    cells = []
    for name, reading, ids in (("A", comparison.a, each.a_ids), ("B", comparison.b, each.b_ids)):
        pixels = reading.pixels(box)
        about = np.where(np.isin(pixels, ids), pixels, np.int32(0))
        png = outlined_png(rgb, [(pixels, _OTHERS), (about, _ABOUT)])
        cells.append(f"<td>{html_picture(png, f'{name} of {number}')}</td>")
    return f"<tr><td>{html.escape(_caption(number, each))}</td>{''.join(cells)}</tr>"


def _shown_box(box_yxyx: Box, shape: tuple[int, int]) -> Box:
    """Widen a box a little; of one that is too large for a thumbnail, the middle."""
    y0, x0, y1, x1 = pad_box(box_yxyx, _MARGIN_PX, shape)
    y0, y1 = _middle(y0, y1)
    x0, x1 = _middle(x0, x1)
    return y0, x0, y1, x1


def _middle(start: int, end: int) -> tuple[int, int]:
    over = max(0, end - start - _MAX_SIDE_PX)
    return start + over // 2, end - (over - over // 2)
