"""The tables of a report, as text in cells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from napari_uninuc.evaluation.calibration import CalibrationRow
from napari_uninuc.evaluation.class_pixels import ClassPixels, weighted_dice
from napari_uninuc.evaluation.effort import EffortRow
from napari_uninuc.evaluation.published import ReferenceRow, references_for
from napari_uninuc.evaluation.summary import SummaryRow
from napari_uninuc.evaluation.tissues import TissueMean, TissueRow

Table = tuple[str, tuple[str, ...], list[tuple[str, ...]]]
"""Title, header, cells."""

_SHOWN_FIRST = ("msa",)
_SECONDS = "seconds"


def report_tables(
    summary: Sequence[SummaryRow],
    tissues: tuple[Sequence[TissueRow], Sequence[TissueMean]],
    effort: Sequence[EffortRow],
    calibration: Sequence[CalibrationRow],
    *,
    classes: Mapping[str, Sequence[ClassPixels]],
    subset: bool,
) -> list[Table]:
    """Lay out each table that has rows.

    Parameters
    ----------
    tissues : scores of each tissue, and their means
    classes : pixels of each class, by data set
    subset : not all nuclei were prompted, so that interactive figures are nobody else's
    """
    automatic = [row for row in summary if row.prompt == "automatic"]
    interactive = [row for row in summary if row.prompt != "automatic"]
    keys = ("data set", "prompt", "mask fed back", "corrections")
    tables = (
        _metric_table("Automatic", automatic, keys[:1]),
        _class_table(classes),
        _tissue_table(*tissues),
        _metric_table("Interactive", interactive, keys),
        _effort_table(effort),
        *_calibration_tables(calibration),
        _reference_table(automatic if subset else summary),
    )
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


def _tissue_table(tissues: Sequence[TissueRow], means: Sequence[TissueMean]) -> Table:
    """Lay out each tissue of a data set, and below them the mean in which each counts the same."""
    metrics = list(dict.fromkeys(row.metric for row in means))
    lines: dict[tuple[str, str], dict[str, tuple[int, float]]] = {}
    for dataset in dict.fromkeys(row.dataset for row in means):
        for row in tissues:
            if row.dataset == dataset:
                found = lines.setdefault((dataset, row.tissue), {})
                found[row.metric] = row.n_images, row.mean
        ours = [row for row in means if row.dataset == dataset]
        name = f"mean over {max(row.n_tissues for row in ours)} tissues"
        lines[dataset, name] = {row.metric: (row.n_images, row.mean) for row in ours}
    cells = [
        (
            *names,
            str(max(n_images for n_images, _ in found.values())),
            *(f"{found[metric][1]:.4f}" if metric in found else "-" for metric in metrics),
        )
        for names, found in lines.items()
    ]
    return "Automatic, by tissue", ("data set", "tissue", "images", *metrics), cells


def _class_table(sets: Mapping[str, Sequence[ClassPixels]]) -> Table:
    """Lay out the Dice of each class over the pixels of all images, and their weighted mean."""
    cells: list[tuple[str, ...]] = []
    for dataset, classes in sets.items():
        true = sum(each.true for each in classes)
        for each in classes:
            share = each.true / true if true else float("nan")
            cells.append((dataset, each.name, f"{share:.1%}", f"{each.dice:.4f}"))
        cells.append((dataset, "weighted by frequency", "", f"{weighted_dice(classes):.4f}"))
    return "Pixels by class", ("data set", "class", "share of nuclei", "Dice"), cells


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


def _calibration_tables(rows: Sequence[CalibrationRow]) -> tuple[Table, Table]:
    """Lay out how far predicted IoU can be trusted: of the first answers, and bin by bin."""
    first = [row for row in rows if row.iteration == 0]
    cells: list[tuple[str, ...]] = [
        (
            *(row.dataset, row.prompt, "yes" if row.with_mask else "no", str(row.n_masks)),
            *(f"{row.predicted:.4f}", f"{row.true:.4f}", f"{row.error:.4f}"),
        )
        for row in first
    ]
    bins: list[tuple[str, ...]] = [
        (
            *(row.dataset, row.prompt, "yes" if row.with_mask else "no"),
            *(f"{k / len(row.bins):.1f} to {(k + 1) / len(row.bins):.1f}", str(n)),
            *(f"{predicted:.3f}", f"{true:.3f}"),
        )
        for row in first
        for k, (n, predicted, true) in enumerate(row.bins)
        if n
    ]
    keys = ("data set", "prompt", "mask fed back")
    header = (*keys, "masks", "predicted IoU", "true IoU", "calibration error")
    bins_header = (*keys, "predicted", "masks", "mean predicted", "mean true")
    return (
        ("Predicted IoU of first answers", header, cells),
        ("Predicted IoU of first answers, in bins", bins_header, bins),
    )


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
