"""Nuclei drawn elsewhere, made ready for a session; any thread may do it."""

from dataclasses import dataclass

import pandas as pd

from napari_uninuc.core import verbs
from napari_uninuc.core.classes import ClassPalette
from napari_uninuc.core.labels import LabelMap
from napari_uninuc.core.nuclei import Nucleus, Status
from napari_uninuc.core.ready import ReadyEdit
from napari_uninuc.core.segmentation import Segmentation

__all__ = ["Adoption", "make_adoption"]


@dataclass(frozen=True, slots=True, eq=False)
class Adoption:
    """What taking nuclei over does to a session as it was at one moment.

    Attributes
    ----------
    moment : of the session's label map
    known, classes : of the session then, and with those of the nuclei
    ready : the edit; None where nothing would change
    """

    moment: object | None
    known: ClassPalette
    classes: ClassPalette
    ready: ReadyEdit | None


def make_adoption(
    labels: LabelMap, known: ClassPalette, drawn: Segmentation, *, beside: bool
) -> Adoption:
    """Find what taking nuclei over does; the label map is copied and left as it is.

    Parameters
    ----------
    labels, known : of the session
    drawn, beside : see `AnnotationSession.adopt`

    Raises
    ------
    LabelsError
        Labels of another size, or ids out of range.
    """
    classes = known.joined(drawn.palette)
    snapshot = labels.snapshot()
    moment = snapshot.moment
    rows = _rows_of(drawn.table, classes)
    edit = verbs.adopt(snapshot, drawn.labels, rows, beside=beside)
    ready = None if edit is None else ReadyEdit.on(snapshot, edit)
    return Adoption(moment, known, classes, ready)


def _rows_of(table: pd.DataFrame, classes: ClassPalette) -> dict[int, Nucleus]:
    """Make the rows of a label map from the table of a segmentation."""
    statuses = table["status"] if "status" in table.columns else pd.Series("", index=table.index)
    known = {status.value: status for status in Status if status is not Status.HIDDEN}
    columns = zip(table["id"], table["class"], table["score"], statuses, strict=True)
    return {
        int(id_): Nucleus(
            int(id_),
            classes.names.index(str(name)),
            float(score),
            float("nan"),
            known.get(str(status), Status.EDITED),
        )
        for id_, name, score, status in columns
    }
