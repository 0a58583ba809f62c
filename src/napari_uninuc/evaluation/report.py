"""A finished evaluation, as text, Markdown and JSON."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from napari_uninuc.evaluation.automatic import AutomaticRow
from napari_uninuc.evaluation.calibration import CalibrationRow, Key, Reliability, calibration_of
from napari_uninuc.evaluation.class_pixels import ClassPixels, added_up, weighted_dice
from napari_uninuc.evaluation.curves import curves_text, write_curves
from napari_uninuc.evaluation.effort import EffortRow, effort_of
from napari_uninuc.evaluation.interactive import InteractiveRow
from napari_uninuc.evaluation.summary import SummaryRow, summarise
from napari_uninuc.evaluation.tables import Table, report_tables
from napari_uninuc.evaluation.thresholds import ThresholdChoice
from napari_uninuc.evaluation.tissues import TissueMean, TissueRow, by_tissue
from napari_uninuc.io.targets import replacing


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
    parameters : of the whole network; None for a baseline
    encoder_parameters, encoder_gmacs : parameters of all that encodes a picture, and 10^9
        multiply-accumulates to encode 1024 x 1024 input px, once an image, as the paper's table 4
        counts them (`network.cost.encoder_cost`); None for a baseline
    threshold : how the score threshold was chosen; None where it is the card's
    """

    model: str
    model_sha256: str
    settings: str
    max_nuclei: int | None
    versions: tuple[str, ...]
    automatic: tuple[AutomaticRow, ...]
    interactive: tuple[InteractiveRow, ...]
    parameters: int | None = None
    encoder_parameters: int | None = None
    encoder_gmacs: float | None = None
    threshold: ThresholdChoice | None = None

    def summary(self) -> list[SummaryRow]:
        """Average over images, see `summarise`."""
        return summarise(self.automatic, self.interactive)

    def by_tissue(self) -> tuple[list[TissueRow], list[TissueMean]]:
        """Average automatic scores over tissues, see `evaluation.tissues.by_tissue`."""
        return by_tissue(self.automatic)

    def effort(self) -> list[EffortRow]:
        """Count the clicks an outline costs, see `effort_of`."""
        return effort_of(self.interactive)

    def calibration(self) -> list[CalibrationRow]:
        """Set predicted beside true IoU, see `calibration_of`."""
        counted: list[tuple[Key, Reliability | None]] = [
            ((row.dataset, "automatic", False, 0), row.reliability) for row in self.automatic
        ]
        counted += [
            ((row.dataset, row.prompt, row.with_mask, row.iteration), row.reliability)
            for row in self.interactive
        ]
        return calibration_of((key, one) for key, one in counted if one is not None)

    def classes(self) -> dict[str, tuple[ClassPixels, ...]]:
        """Pixels of each class over all images, by data set; see `evaluation.class_pixels`."""
        sets = dict.fromkeys(row.dataset for row in self.automatic)
        found = {
            name: added_up(row.class_pixels for row in self.automatic if row.dataset == name)
            for name in sets
        }
        return {name: classes for name, classes in found.items() if classes}

    def tables(self) -> list[Table]:
        """Lay out what was found, see `report_tables`."""
        return report_tables(
            *(self.summary(), self.by_tissue(), self.effort(), self.calibration()),
            classes=self.classes(),
            subset=self.max_nuclei is not None,
        )

    @property
    def chosen(self) -> str:
        """How the score threshold was chosen, in words; empty where it is the card's."""
        if self.threshold is None:
            return ""
        score = dict(self.threshold.tried)[self.threshold.threshold]
        words = (
            f"score threshold {self.threshold.threshold:g}, chosen on validation pictures "
            f"({self.threshold.metric} {score:.4f} there)"
        )
        if self.threshold.n_tested:
            words += f"; {self.threshold.n_tested} of them are tested on too, which flatters"
        return words

    @property
    def cost(self) -> str:
        """Parameters and GMACs in words; empty for a baseline."""
        whole, encoders, gmacs = self.parameters, self.encoder_parameters, self.encoder_gmacs
        if whole is None or encoders is None or gmacs is None:
            return ""
        return (
            f"{encoders / 1e6:.2f} M parameters of encoders, {gmacs:.2f} GMACs to encode "
            f"1024 x 1024 px; {whole / 1e6:.2f} M parameters in all"
        )


def write_report(report: Report, folder: str | Path) -> Path:
    """Write ``report.json`` and ``report.md`` into a folder, made if missing.

    Where matplotlib is installed and there were corrections, their curves too (see `curves`).
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
    write_curves(report.summary(), target)
    return target


def to_json(report: Report) -> str:
    """Write every row, the summary and the effort as strict JSON; NaN becomes null."""
    tissues, over_tissues = report.by_tissue()
    stored = {
        "model": report.model,
        "model_sha256": report.model_sha256,
        "versions": list(report.versions),
        "settings": json.loads(report.settings),
        "summary": [asdict(row) for row in report.summary()],
        "over_tissues": [asdict(row) for row in over_tissues],
        "tissues": [asdict(row) for row in tissues],
        "classes": {
            name: {
                "weighted_dice": weighted_dice(classes),
                "classes": [asdict(each) | {"dice": each.dice} for each in classes],
            }
            for name, classes in report.classes().items()
        },
        "effort": [asdict(row) for row in report.effort()],
        "parameters": report.parameters,
        "encoder_parameters": report.encoder_parameters,
        "encoder_gmacs": report.encoder_gmacs,
        "threshold": None if report.threshold is None else asdict(report.threshold),
        "calibration": [asdict(row) for row in report.calibration()],
        "automatic": [asdict(row) for row in report.automatic],
        "interactive": [asdict(row) for row in report.interactive],
    }
    return json.dumps(_without_nan(stored), indent=1, allow_nan=False) + "\n"


def to_markdown(report: Report) -> str:
    """Write the summary, and what others reported, as Markdown tables."""
    parts = [f"# Evaluation of `{report.model}`"]
    if report.model_sha256:
        parts.append(f"Weights sha256 `{report.model_sha256}`.")
    if report.cost:
        parts.append(f"{report.cost}.")
    if report.chosen:
        parts.append(f"{report.chosen.capitalize()}.")
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
    for title, header, cells in report.tables():
        lines = ["| " + " | ".join(row) + " |" for row in [header, *cells]]
        lines.insert(1, "|" + "---|" * len(header))
        parts += [f"## {title}", "\n".join(lines)]
    drawn = curves_text(report.summary())
    if drawn:
        parts.append(f"```text\n{drawn}\n```")
    parts.append("Run with " + ", ".join(report.versions) + ".")
    return "\n\n".join(parts) + "\n"


def to_text(report: Report) -> str:
    """Lay the same tables out in columns for a terminal."""
    parts = ["\n".join(filter(None, (f"model {report.model}", report.cost, report.chosen)))]
    for title, header, cells in report.tables():
        rows = [header, *cells]
        widths = [max(len(row[column]) for row in rows) for column in range(len(header))]
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in rows
        ]
        parts.append("\n".join([title, *lines]))
    return "\n\n".join(parts) + "\n"


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_nan(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
