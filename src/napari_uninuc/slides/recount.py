"""Counts, heat maps and report of a result whose table was corrected."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from napari_uninuc.errors import OutputError
from napari_uninuc.slides.density import Density
from napari_uninuc.slides.plan import SlidePlan
from napari_uninuc.slides.report import write_report
from napari_uninuc.slides.results import SlideResult
from napari_uninuc.slides.state import STATE, read_state, write_state
from napari_uninuc.slides.summary import OUTPUTS, SlideSummary
from napari_uninuc.slides.tissue import Tissue

__all__ = ["write_recounted"]

_COLUMNS = ["class", "y0", "x0", "y1", "x1"]


def write_recounted(result: SlideResult, beside: Path, tissue: Tissue) -> None:
    """Write what a corrected table changes: the state and, where the result has them, the rest.

    Parameters
    ----------
    result : as it was before the correction
    beside : folder that holds the corrected table and takes what is made of it
    tissue : of the slide

    Raises
    ------
    OutputError
        The state of the result is damaged, or a file cannot be written.
    """
    rows = pq.read_table(beside / OUTPUTS["parquet"], columns=_COLUMNS).to_pandas()
    names = dict.fromkeys([*result.plan.classes, *map(str, rows["class"].unique())])
    plan: SlidePlan = replace(result.plan, classes=tuple(names))
    density = Density.of_rows(plan, rows)
    settings, before = _state_of(result.folder)
    counts = np.asarray(density.counts.sum(axis=(1, 2))).tolist()
    summary = replace(
        before, nuclei=dict(zip(plan.classes, counts, strict=True)), merged=before.merged + 1
    )
    if (result.folder / OUTPUTS["density"]).exists():
        density.write(beside / OUTPUTS["density"])
    if (result.folder / OUTPUTS["report"]).exists():
        write_report(beside / OUTPUTS["report"], plan, summary, tissue, density)
    write_state(beside, settings, summary.stored())


def _state_of(folder: Path) -> tuple[dict[str, object], SlideSummary]:
    """What a finished run was asked for, and what came out of it until now."""
    stored = read_state(folder) or {}
    try:
        return dict(stored["settings"]), SlideSummary.of(stored["finished"])
    except (KeyError, TypeError) as problem:
        raise OutputError(
            f"{folder / STATE}: expected the counts of a finished run, got damage ({problem}); "
            "outline the slide again"
        ) from None
