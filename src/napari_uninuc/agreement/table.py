"""What two readers say, one row a nucleus or disagreement."""

import os
from pathlib import Path

import numpy as np
import pandas as pd

from napari_uninuc.agreement.comparison import Comparison
from napari_uninuc.agreement.disagreements import classes_of
from napari_uninuc.agreement.kinds import Kind
from napari_uninuc.errors import OutputError
from napari_uninuc.io.targets import replacing

__all__ = ["TABLE_SUFFIXES", "findings_table", "table_suffix", "write_findings"]

TABLE_SUFFIXES = (".csv", ".parquet")

_BOX = ("y0", "x0", "y1", "x1")


def findings_table(comparison: Comparison) -> pd.DataFrame:
    """List all there is: disagreements, the most serious first, then what both agree on.

    Returns
    -------
    table : kind; a_ids and b_ids, ids with spaces between; a_class, b_class; iou of nuclei that
        both have; disputed_px, see `Disagreement`; half-open box y0, x0, y1, x1, px
        Matched nuclei have the box of A, and stand once: among the disagreements where their
        classes differ
    """
    rows = [
        (
            each.kind.value,
            " ".join(map(str, each.a_ids)),
            " ".join(map(str, each.b_ids)),
            each.a_class,
            each.b_class,
            each.iou,
            each.disputed_px,
            *each.box_yxyx,
        )
        for each in comparison.disagreements
    ]
    columns = ("kind", "a_ids", "b_ids", "a_class", "b_class", "iou", "disputed_px", *_BOX)
    listed = pd.DataFrame(rows, columns=list(columns))
    return pd.concat([listed, _agreed(comparison)], ignore_index=True)[list(columns)]


def write_findings(comparison: Comparison, path: Path) -> None:
    """Write `findings_table` as CSV or Parquet, whole or not at all; OutputError."""
    suffix, table = table_suffix(path), findings_table(comparison)
    with replacing(path) as part:
        if suffix == ".parquet":
            table.to_parquet(part, engine="pyarrow", index=False)
        else:
            table.to_csv(part, index=False, float_format="%.6g", lineterminator="\n")


def table_suffix(path: str | os.PathLike[str]) -> str:
    """Find the format of a table by its name; OutputError where there is none."""
    suffix = Path(path).suffix.lower()
    if suffix not in TABLE_SUFFIXES:
        raise OutputError(
            f"{path}: expected a name that ends in {' or '.join(TABLE_SUFFIXES)}, got "
            f"{Path(path).name!r}; change the ending"
        )
    return suffix


def _agreed(comparison: Comparison) -> pd.DataFrame:
    """Rows of the nuclei of which both say the same."""
    differing = [d.a_ids[0] for d in comparison.disagreements if d.kind is Kind.CLASS_DIFFERS]
    same = ~np.isin(comparison.a_ids, differing)
    first, second = comparison.a_ids[same], comparison.b_ids[same]
    boxes = comparison.a.boxes_yxyx[np.searchsorted(comparison.a.ids, first)].reshape(-1, 4)
    return pd.DataFrame(
        {
            "kind": np.full(len(first), Kind.MATCHED.value, dtype=object),
            "a_ids": first.astype(str).astype(object),
            "b_ids": second.astype(str).astype(object),
            "a_class": classes_of(comparison.a, first).astype(object),
            "b_class": classes_of(comparison.b, second).astype(object),
            "iou": comparison.ious[same],
            "disputed_px": np.zeros(len(first), np.int64),
            **dict(zip(_BOX, boxes.T, strict=True)),
        }
    )
