"""A finished evaluation, as text, Markdown and JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from napari_uninuc.evaluation.automatic import AutomaticRow
from napari_uninuc.evaluation.effort import EffortRow, effort_of
from napari_uninuc.evaluation.interactive import InteractiveRow
from napari_uninuc.evaluation.published import ReferenceRow, references_for
from napari_uninuc.evaluation.summary import SummaryRow, summarise
from napari_uninuc.io.targets import replacing

_SHOWN_FIRST = ("msa",)
_SECONDS = "seconds"


@dataclass(frozen=True, slots=True)
class Report:
    """What an evaluation found.

    Attributes
    ----------
    model : id or path as asked for
    model_sha256 : of the weights; empty for a baseline or random weights
    settings : the recipe as JSON text, save the paths of this machine
    max_nuclei : nuclei prompted an image at most, None for all
        With a limit, interactive figures are set beside nobody else's.
    versions : "package version" lines
    automatic, interactive : rows of images; either may be empty
    """

    model: str
    model_sha256: str
    settings: str
    max_nuclei: int | None
    versions: tuple[str, ...]
    automatic: tuple[AutomaticRow, ...]
    interactive: tuple[InteractiveRow, ...]

    def summary(self) -> list[SummaryRow]:
        """Average over images, see `summarise`."""
        return summarise(self.automatic, self.interactive)

    def effort(self) -> list[EffortRow]:
        """Count the clicks an outline costs, see `effort_of`."""
        return effort_of(self.interactive)


def write_report(report: Report, folder: str | Path) -> Path:
    """Write ``report.json`` and ``report.md`` into a folder, made if missing.

    Each file is written beside its place and renamed; other files there are left alone.

    Returns
    -------
    folder : as a Path

    Raises
    ------
    OutputError
        The folder or a file in it cannot be written.
    """
    target = Path(folder)
    texts = {"report.json": to_json(report), "report.md": to_markdown(report)}
    for name, text in texts.items():
        with replacing(target / name) as part:
            part.write_text(text, encoding="utf-8")
    return target


def to_json(report: Report) -> str:
    """Write every row, the summary and the effort as strict JSON; NaN becomes null."""
    stored = {
        "model": report.model,
        "model_sha256": report.model_sha256,
        "versions": list(report.versions),
        "settings": json.loads(report.settings),
        "summary": [asdict(row) for row in report.summary()],
        "effort": [asdict(row) for row in report.effort()],
        "automatic": [asdict(row) for row in report.automatic],
        "interactive": [asdict(row) for row in report.interactive],
    }
    return json.dumps(_without_nan(stored), indent=1, allow_nan=False) + "\n"


def to_markdown(report: Report) -> str:
    """Write the summary, and what others reported, as Markdown tables."""
    parts = [f"# Evaluation of `{report.model}`"]
    if report.model_sha256:
        parts.append(f"Weights sha256 `{report.model_sha256}`.")
    parts.append(
        "Means over images; in brackets the 95 % bootstrap interval over images. "
        "Seconds are wall time an image."
    )
    if report.max_nuclei is not None:
        parts.append(f"Interactive: at most {report.max_nuclei} nuclei an image, truth cut alike.")
    if report.interactive:
        parts.append(
            "Clicks to reach an IoU: means over nuclei, two clicks a correction and one for a "
            "first click; a first box counts none, a nucleus that never gets there counts all."
        )
    for title, header, cells in _tables(report):
        lines = ["| " + " | ".join(row) + " |" for row in [header, *cells]]
        lines.insert(1, "|" + "---|" * len(header))
        parts += [f"## {title}", "\n".join(lines)]
    parts.append("Run with " + ", ".join(report.versions) + ".")
    return "\n\n".join(parts) + "\n"


def to_text(report: Report) -> str:
    """Lay the same tables out in columns for a terminal."""
    parts = [f"model {report.model}"]
    for title, header, cells in _tables(report):
        rows = [header, *cells]
        widths = [max(len(row[column]) for row in rows) for column in range(len(header))]
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in rows
        ]
        parts.append("\n".join([title, *lines]))
    return "\n\n".join(parts) + "\n"


Table = tuple[str, tuple[str, ...], list[tuple[str, ...]]]


def _tables(report: Report) -> list[Table]:
    """Lay out title, header and cells of each table that has rows."""
    summary = report.summary()
    scores = _metric_table(
        "Automatic", [row for row in summary if row.prompt == "automatic"], ("data set",)
    )
    corrected = _metric_table(
        "Interactive",
        [row for row in summary if row.prompt != "automatic"],
        ("data set", "prompt", "mask fed back", "corrections"),
    )
    effort = _effort_table(report.effort())
    comparable = [row for row in summary if row.prompt == "automatic" or report.max_nuclei is None]
    tables = (scores, corrected, effort, _reference_table(comparable))
    return [table for table in tables if table[2]]


def _metric_table(title: str, rows: Sequence[SummaryRow], keys: tuple[str, ...]) -> Table:
    metrics = list(dict.fromkeys(row.metric for row in rows))
    lines: dict[tuple[str, ...], dict[str, SummaryRow]] = {}
    for row in rows:
        names = (row.dataset, row.prompt, "yes" if row.with_mask else "no", str(row.iteration))
        lines.setdefault(names[: len(keys)], {})[row.metric] = row
    cells = [
        (
            *names,
            str(max(row.n_images for row in found.values())),
            *(_cell(found.get(metric)) for metric in metrics),
        )
        for names, found in lines.items()
    ]
    return title, (*keys, "images", *metrics), cells


def _effort_table(rows: Sequence[EffortRow]) -> Table:
    """Lay out how many clicks an IoU costs, means over nuclei."""
    cells: list[tuple[str, ...]] = [
        (
            row.dataset,
            row.prompt,
            "yes" if row.with_mask else "no",
            f"{row.iou:g}",
            str(row.n_nuclei),
            f"{row.clicks:.2f}",
            f"{row.never:.1%}",
        )
        for row in rows
    ]
    header = ("data set", "prompt", "mask fed back", "IoU", "nuclei", "clicks", "never")
    return "Clicks to reach an IoU", header, cells


def _cell(row: SummaryRow | None) -> str:
    if row is None:
        return "-"
    if row.metric == _SECONDS:
        return f"{row.mean:.1f}"
    if row.metric in _SHOWN_FIRST:
        return f"{row.mean:.4f} [{row.low:.3f}, {row.high:.3f}]"
    return f"{row.mean:.4f}"


def _reference_table(summary: Sequence[SummaryRow]) -> Table:
    """Set each mSA beside the figures reported for the same data set and protocol."""
    cells: list[tuple[str, ...]] = [
        (row.dataset, row.prompt, str(row.iteration), f"{row.mean:.4f}", *_reference_cells(known))
        for row in summary
        if row.metric == "msa"
        for known in references_for(row.dataset, row.prompt, row.iteration)
    ]
    header = ("data set", "prompt", "corrections", "this model", "reported", "by", "source")
    return "mSA beside reported figures", header, cells


def _reference_cells(known: ReferenceRow) -> tuple[str, str, str]:
    return f"{known.msa:.4g}", known.method, known.source


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_nan(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
