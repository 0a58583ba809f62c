"""What `uninuc slide` left in a folder, opened again: labels lazily, rows by place."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet as pq
import zarr

from napari_uninuc.core.classes import ClassPalette
from napari_uninuc.core.instances import InstanceMask
from napari_uninuc.core.labels import LabelMap
from napari_uninuc.core.nuclei import Nucleus, Status
from napari_uninuc.errors import OutputError
from napari_uninuc.io.sources import DECODING_ERRORS
from napari_uninuc.slides.plan import LATER, ORIGIN, SlidePlan, origin_of
from napari_uninuc.slides.protocol import Box
from napari_uninuc.slides.state import STATE, counts_from_elsewhere
from napari_uninuc.slides.summary import OUTPUTS

__all__ = ["ResultPart", "SlideResult", "open_result"]

NEXT_ID = "uninuc_next_id"
"""Attribute of the label pyramid: lowest id never given; the table's largest plus one without."""


@dataclass(frozen=True, slots=True, eq=False)
class ResultPart:
    """The nuclei of a box, ready to be corrected.

    Attributes
    ----------
    labels : ids as in the result; what a new nucleus gets lies above all of them
    classes : of the run, and what was added since
    candidates : id -> mask of every automatic nucleus, cut at the box
    """

    labels: LabelMap
    classes: ClassPalette
    candidates: dict[int, InstanceMask]


@dataclass(frozen=True, slots=True, eq=False)
class SlideResult:
    """A finished run.

    Attributes
    ----------
    folder : of the run
    plan : what it did, without its fields
    key : the same for every copy of this run, another for every other run
    """

    folder: Path
    plan: SlidePlan
    key: str

    @property
    def labels_path(self) -> Path:
        """The label pyramid."""
        return self.folder / OUTPUTS["labels"]

    @property
    def table_path(self) -> Path:
        """One row a nucleus."""
        return self.folder / OUTPUTS["parquet"]

    def levels(self, mode: str = "r") -> list[Any]:
        """Open the label pyramid: (H, W) int32 zarr arrays, finest first."""
        group: Any = zarr.open_group(str(self.labels_path), mode=mode)  # type: ignore[arg-type]
        described = group.attrs["multiscales"][0]["datasets"]
        return [group[entry["path"]] for entry in described]

    def pixels(self, box_yxyx: Box) -> npt.NDArray[np.int32]:
        """Read a box of the finest level, half-open px of it: (h, w) int32, 0 background."""
        y0, x0, y1, x1 = box_yxyx
        return np.asarray(self.levels()[0][y0:y1, x0:x1]).astype(np.int32, copy=False)

    def rows_near(self, box_yxyx: Box) -> pd.DataFrame:
        """Read the rows of nuclei whose box meets a box of the level; column status included."""
        y0, x0, y1, x1 = (value * self.plan.downsample for value in box_yxyx)
        column = pa.dataset.field
        meets = (
            (column("y0") < y1) & (column("y1") > y0) & (column("x0") < x1) & (column("x1") > x0)
        )
        rows = pq.read_table(self.table_path, filters=meets).to_pandas()
        if "status" not in rows.columns:
            rows["status"] = Status.AUTOMATIC.value
        return rows.set_index("id", drop=False)

    def ids(self) -> npt.NDArray[np.int64]:
        """Read the ids of all N nuclei: (N,), in the order of the table."""
        column = pq.read_table(self.table_path, columns=["id"])["id"]
        return np.asarray(column.to_numpy(), np.int64)

    def next_id(self) -> int:
        """Lowest id that was never given in this result."""
        group = zarr.open_group(str(self.labels_path), mode="r")
        stored: Any = group.attrs.get(NEXT_ID, 1)
        ids = self.ids()
        return max(int(stored), int(ids.max()) + 1 if ids.size else 1)

    def part(self, box_yxyx: Box) -> ResultPart:
        """Take the nuclei of a box of the level; one that crosses its edge is cut there.

        Raises
        ------
        OutputError
            Damaged, or labels and table do not fit together.
        """
        try:
            pixels, rows = self.pixels(box_yxyx), self.rows_near(box_yxyx)
            next_id = self.next_id()
        except (*DECODING_ERRORS, pa.ArrowException) as problem:
            reason = " ".join(str(problem).split()) or type(problem).__name__
            raise OutputError(
                f"{self.folder}: expected readable nuclei, got {reason}; outline the slide again"
            ) from None
        ids = [int(id_) for id_ in np.unique(pixels) if id_]
        missing = [id_ for id_ in ids if id_ not in rows.index]
        if missing:
            raise OutputError(
                f"{self.table_path}: expected a row for nucleus {missing[0]}, got none; the labels "
                "are of another run, outline the slide again"
            )
        extra = dict.fromkeys(str(name) for name in rows["class"])
        classes = ClassPalette.of_names(list(dict.fromkeys([*self.plan.classes, *extra])))
        nuclei = {
            id_: self._nucleus(rows.loc[id_], classes, (box_yxyx[0], box_yxyx[1])) for id_ in ids
        }
        labels = LabelMap.from_labels(pixels, nuclei, next_id=next_id)
        automatic = [i for i, row in nuclei.items() if row.status is Status.AUTOMATIC]
        return ResultPart(labels, classes, {id_: labels.mask(id_) for id_ in automatic})

    def _nucleus(self, row: Any, classes: ClassPalette, origin: tuple[int, int]) -> Nucleus:
        step = self.plan.downsample
        sides = [
            float(row[f"detected_{axis}{end}"]) / step - origin[place]
            for end in "01"
            for place, axis in enumerate("yx")
        ]
        box = None if np.isnan(sides).any() else (sides[0], sides[1], sides[2], sides[3])
        return Nucleus(
            int(row["id"]),
            classes.names.index(str(row["class"])),
            float(row["score"]),
            float(row["predicted_iou"]),
            Status(str(row["status"])),
            box,
        )


def open_result(
    folder: Path, fingerprint: str | None = None, origin_yx: tuple[int, int] = (0, 0)
) -> SlideResult:
    """Open what a run left.

    Parameters
    ----------
    folder : as named by ``--output``
    fingerprint : of the slide it must be of; None asks for none
    origin_yx : what that slide is counted from, see `Slide`

    Raises
    ------
    OutputError
        No finished run, without labels or table, or of another slide.
    """
    stored = _stored(folder)
    settings: Any = stored.get("settings")
    try:
        values = {
            each.name: settings[each.name]
            for each in fields(SlidePlan)
            if each.name not in ("fields", ORIGIN, *LATER)
        }
        later: dict[str, Any] = {name: str(settings.get(name, "")) for name in LATER}
        shape, classes = tuple(values["shape"]), tuple(values["classes"])
        plan = SlidePlan(
            **{**values, "shape": shape, "classes": classes, "fields": (), "tiles": ()},
            origin_yx=origin_of(settings),
            **later,
        )
    except (KeyError, TypeError, ValueError) as problem:
        raise OutputError(
            f"{folder / STATE}: expected the settings of a run, got damage ({problem}); choose "
            "another folder"
        ) from None
    if stored.get("finished") is None:
        raise OutputError(
            f"{folder}: expected a finished run, got one that is not; run the same command again"
        )
    if fingerprint is not None and plan.fingerprint != fingerprint:
        if plan.origin_yx != tuple(origin_yx):
            raise OutputError(f"{folder}: {counts_from_elsewhere(settings, origin_yx)}")
        raise OutputError(
            f"{folder}: expected a result of this slide, got one of {plan.slide}; choose the "
            "folder that belongs to it"
        )
    for name in ("labels", "parquet"):
        if not (folder / OUTPUTS[name]).exists():
            raise OutputError(
                f"{folder}: expected {OUTPUTS[name]} in it, got none; outline the slide again "
                f"without --without {name}"
            )
    key = hashlib.blake2b(json.dumps(settings, sort_keys=True).encode(), digest_size=16)
    return SlideResult(folder, plan, key.hexdigest())


def _stored(folder: Path) -> Mapping[str, Any]:
    try:
        stored = json.loads((folder / STATE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        stored = None
    if not isinstance(stored, dict):
        raise OutputError(
            f"{folder}: expected the output folder of `uninuc slide`, got none with a readable "
            f"{STATE}; choose that folder"
        )
    return stored
