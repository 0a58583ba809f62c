"""mSA after each correction, as a picture where matplotlib is installed and as text where not."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from napari_uninuc.evaluation.summary import SummaryRow
from napari_uninuc.io.targets import replacing

CURVE_NAMES = ("corrections.png", "corrections.svg")
_METRIC = "msa"
_WIDTH = 40
_DPI = 150

Curves = dict[str, list[SummaryRow]]


def curves_of(summary: Sequence[SummaryRow]) -> Curves:
    """Rows of mSA by data set and protocol, by corrections; only those with two or more."""
    found: Curves = {}
    for row in summary:
        if row.prompt != "automatic" and row.metric == _METRIC:
            fed = "" if row.with_mask else ", no mask fed back"
            found.setdefault(f"{row.dataset}, {row.prompt}{fed}", []).append(row)
    ordered = {name: sorted(rows, key=lambda row: row.iteration) for name, rows in found.items()}
    return {name: rows for name, rows in ordered.items() if len(rows) > 1}


def curves_text(summary: Sequence[SummaryRow]) -> str:
    """Draw the curves with characters; empty where there is nothing to draw."""
    parts = []
    for name, rows in curves_of(summary).items():
        lines = [
            f"I{row.iteration}  {row.mean:.4f}  {'#' * round(row.mean * _WIDTH)}" for row in rows
        ]
        parts.append("\n".join([f"mSA, {name}", *lines]))
    return "\n\n".join(parts)


def write_curves(summary: Sequence[SummaryRow], folder: Path) -> list[Path]:
    """Draw the curves as PNG and SVG, with 95 % bootstrap intervals.

    Returns
    -------
    written : paths; none where there is nothing to draw or no matplotlib

    Raises
    ------
    OutputError
        A file cannot be written.
    """
    curves = curves_of(summary)
    if not curves or not can_draw():
        return []
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.add_subplot()
    for name, rows in curves.items():
        steps = [row.iteration for row in rows]
        (line,) = axes.plot(steps, [row.mean for row in rows], marker="o", label=name)
        low, high = [row.low for row in rows], [row.high for row in rows]
        axes.fill_between(steps, low, high, alpha=0.15, color=line.get_color(), linewidth=0)
    axes.set(xlabel="corrections", ylabel="mSA", ylim=(0, 1))
    axes.legend(loc="lower right", fontsize="small")
    for name in CURVE_NAMES:
        with replacing(folder / name) as part:
            figure.savefig(part, format=Path(name).suffix[1:], dpi=_DPI)
    return [folder / name for name in CURVE_NAMES]


def can_draw() -> bool:
    """Whether matplotlib is installed; it is nothing we ask for."""
    return find_spec("matplotlib") is not None
