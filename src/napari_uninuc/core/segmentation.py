"""The result of a segmentation: a label image and one row for every nucleus in it."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from napari_uninuc.core.classes import ClassPalette
from napari_uninuc.core.geometry import label_boxes
from napari_uninuc.core.instances import InstanceMask, paint_masks
from napari_uninuc.errors import LabelsError

__all__ = [
    "CLASS_BY",
    "CLASS_PROBABILITY",
    "FOUND_COLUMNS",
    "STAIN_SAID",
    "TABLE_COLUMNS",
    "Segmentation",
]

TABLE_COLUMNS = ("id", "score", "class", "y0", "x0", "y1", "x1")
FOUND_COLUMNS = ("found_y0", "found_x0", "found_y1", "found_x1")
"""Of the detector's box, half-open px, float64; a table has all of them or none."""

CLASS_PROBABILITY = "class_probability"
"""Column of classes that were derived, from examples or maps: how likely each is, in [0, 1]; NaN
where a person or the model has said the class."""

CLASS_BY = "class_by"
"""Column that comes with `CLASS_PROBABILITY`: who gave the class, ``person``, ``examples``,
``map`` or ``words`` (dense decoders), or ``model``."""

STAIN_SAID = "stain_said"
"""Column of how brown a person has called nuclei, 0 to 3; NaN where nobody did."""


@dataclass(frozen=True, slots=True, eq=False)
class Segmentation:
    """Every nucleus of one picture.

    Attributes
    ----------
    labels : (H, W) int32, 0 background
    table : one row a nucleus, ids ascending; columns `TABLE_COLUMNS`: id int64 as in `labels`,
        score float64 in [0, 1] (NaN where unknown), class str, tight half-open box int64 px.
        It may have a column status (`core.nuclei.Status` as str, empty where unknown),
        `CLASS_PROBABILITY` with `CLASS_BY`, `STAIN_SAID` and others
    timings : seconds by step: encode, detect, masks; empty where nothing was run
    classes : names and colours of what a nucleus can be; None where nobody said

    Raises
    ------
    LabelsError
        Labels that are not (H, W) int32, or a table without those columns.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_uninuc import Segmentation
    >>> labels = np.zeros((40, 60), np.int32)
    >>> labels[10:14, 20:26], labels[30:33, 5:8] = 2, 7
    >>> nuclei = Segmentation.from_labels(labels)
    >>> nuclei.table[["id", "class", "y0", "x0", "y1", "x1"]].values.tolist()
    [[2, 'nucleus', 10, 20, 14, 26], [7, 'nucleus', 30, 5, 33, 8]]
    """

    labels: npt.NDArray[np.int32]
    table: pd.DataFrame
    timings: Mapping[str, float]
    classes: ClassPalette | None = None

    def __post_init__(self) -> None:
        if self.labels.ndim != 2 or self.labels.dtype != np.int32:
            raise LabelsError(
                f"labels must be (H, W) int32, got {self.labels.shape} {self.labels.dtype}; "
                "pass one channel as int32"
            )
        missing = [name for name in TABLE_COLUMNS if name not in self.table.columns]
        if missing:
            raise LabelsError(
                f"table must have columns {', '.join(TABLE_COLUMNS)}, got none named "
                f"{', '.join(missing)}; add them"
            )

    @classmethod
    def from_instances(
        cls,
        instances: Sequence[InstanceMask],
        shape: tuple[int, int],
        class_names: Sequence[str],
        timings: Mapping[str, float],
    ) -> Self:
        """Paint instances; id ``i + 1`` is ``instances[i]``, one wholly covered gets no row.

        Parameters
        ----------
        instances : crops in px of the picture, yx; the better score wins a shared pixel
        shape : (H, W) of the picture, px
        class_names : name of each class id
        timings : seconds by step

        Raises
        ------
        LabelsError
            A class id without a name.

        Examples
        --------
        >>> import numpy as np
        >>> from napari_uninuc import Segmentation
        >>> from napari_uninuc.core.instances import InstanceMask
        >>> square = np.ones((8, 8), np.bool_)
        >>> better = InstanceMask((2, 2), square, score=0.9, class_id=0, predicted_iou=0.8)
        >>> other = InstanceMask((6, 6), square, score=0.6, class_id=1, predicted_iou=0.7)
        >>> nuclei = Segmentation.from_instances([other, better], (20, 30), ["a", "b"], {})
        >>> nuclei.table["class"].tolist(), int(nuclei.labels[7, 7])
        (['b', 'a'], 2)
        """
        unnamed = {m.class_id for m in instances if not 0 <= m.class_id < len(class_names)}
        if unnamed:
            raise LabelsError(
                f"class ids must be 0..{len(class_names) - 1}, got {sorted(unnamed)}; "
                "name every class"
            )
        labels = paint_masks(instances, shape)
        scores = np.array([mask.score for mask in instances], dtype=np.float64)
        names = np.array([class_names[mask.class_id] for mask in instances], dtype=object)
        ids, boxes = label_boxes(labels)
        return cls(labels, _table(ids, boxes, scores[ids - 1], names[ids - 1]), dict(timings))

    @classmethod
    def from_labels(cls, labels: npt.NDArray[np.integer[Any]], class_name: str = "nucleus") -> Self:
        """Wrap a label image of unknown origin: scores are NaN, one class, no timings.

        Raises
        ------
        LabelsError
            Labels that are not (H, W) integers in 0..2147483647.
        """
        ids, boxes = label_boxes(labels)
        if ids.size and ids[-1] > np.iinfo(np.int32).max:
            raise LabelsError(
                f"label ids must be at most 2147483647, got {ids[-1]}; relabel the image"
            )
        names = np.full(len(ids), class_name, dtype=object)
        table = _table(ids, boxes, np.full(len(ids), np.nan), names)
        return cls(labels.astype(np.int32, copy=False), table, {})

    @property
    def palette(self) -> ClassPalette:
        """`classes`, with the next colours for names of the table that it lacks."""
        known = () if self.classes is None else self.classes.classes
        names = [each.name for each in known]
        listed = dict.fromkeys(str(name) for name in self.table["class"].unique())
        added = [name for name in listed if name not in names and name.strip()]
        coloured = ClassPalette.of_names([*names, *added] or ["nucleus"])
        return ClassPalette((*known, *coloured.classes[len(known) :]))

    def narrow_labels(
        self, wide: type[np.signedinteger] | type[np.unsignedinteger]
    ) -> npt.NDArray[Any]:
        """Copy the labels as uint16 where every id fits, else as `wide`."""
        fits = self.labels.max(initial=0) <= np.iinfo(np.uint16).max
        return self.labels.astype(np.uint16 if fits else wide)

    def only(
        self, status: str | Collection[str] | None = None, class_name: str | None = None
    ) -> Self:
        """Keep a part of the nuclei; their ids do not change, the others become background.

        Parameters
        ----------
        status : one `core.nuclei.Status` or several of which one is asked; None asks for none
        class_name : name of a class; None asks for none

        Raises
        ------
        LabelsError
            A status is asked for where the table has none, or a class nobody knows.

        Examples
        --------
        >>> import numpy as np
        >>> from napari_uninuc import Segmentation
        >>> labels = np.zeros((40, 60), np.int32)
        >>> labels[10:14, 20:26], labels[30:33, 5:8] = 2, 7
        >>> both = Segmentation.from_labels(labels)
        >>> both = Segmentation(labels, both.table.assign(status=["automatic", "reviewed"]), {})
        >>> np.unique(both.only(status="reviewed").labels).tolist()
        [0, 7]
        """
        kept = np.ones(len(self.table), dtype=np.bool_)
        if status is not None:
            if "status" not in self.table.columns:
                raise LabelsError(
                    "expected a status of every nucleus, got a table without; save a session, "
                    "or export all nuclei"
                )
            wanted = [status] if isinstance(status, str) else list(status)
            kept &= self.table["status"].isin([str(each) for each in wanted]).to_numpy()
        if class_name is not None:
            if class_name not in self.palette.names:
                raise LabelsError(
                    f"expected one of the classes {', '.join(self.palette.names)}, got "
                    f"{class_name!r}; name one of these"
                )
            kept &= (self.table["class"] == class_name).to_numpy()
        return replace(
            self,
            labels=_without(self.labels, self.table["id"].to_numpy()[~kept]),
            table=self.table[kept].reset_index(drop=True),
        )


def _without(
    labels: npt.NDArray[np.int32], dropped: npt.NDArray[np.int64]
) -> npt.NDArray[np.int32]:
    """Make some ids background."""
    if dropped.size == 0:
        return labels
    return np.where(np.isin(labels, dropped), np.int32(0), labels)


def _table(
    ids: npt.NDArray[np.int64],
    boxes_yxyx: npt.NDArray[np.int64],
    scores: npt.NDArray[np.float64],
    names: npt.NDArray[np.object_],
) -> pd.DataFrame:
    columns = dict(zip(TABLE_COLUMNS[3:], boxes_yxyx.T, strict=True))
    return pd.DataFrame({"id": ids, "score": scores, "class": names.astype(str), **columns})
