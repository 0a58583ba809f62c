"""One reader's nuclei, from whatever they were saved in; of a slide, only what is asked for."""

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from napari_uninuc.core.extents import Box, slices
from napari_uninuc.core.segmentation import Segmentation
from napari_uninuc.core.tile import Tile
from napari_uninuc.errors import LabelsError
from napari_uninuc.io.labels import read_segmentation
from napari_uninuc.io.stated import DEFAULT_CLASS
from napari_uninuc.journal.folder import read_heading
from napari_uninuc.journal.picture import read_picture
from napari_uninuc.journal.replay import Replay
from napari_uninuc.slides.results import SlideResult, open_result
from napari_uninuc.slides.state import STATE
from napari_uninuc.slides.summary import OUTPUTS

__all__ = ["Reading", "open_reading", "reading_of"]

_HEADING = "session.json"


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """The nuclei of one reader.

    Attributes
    ----------
    name : what people are told
    shape : (H, W) px
    pixels : reads a half-open box, px: (h, w) int32 ids, 0 background
    ids : (N,) int64, ascending
    boxes_yxyx : (N, 4) int64, half-open px, of each id; those cut away may be listed too
    classes : (N,) names; None where this reader named none
    mpp : micrometres per px; None where nobody says
    slide : fingerprint and level of the slide it is of; None where it is of none
    origin_yx : first pixel on that level
    digest : of the pixels it was made on; empty where nobody says
    picture : what the session saved with it reads; None where there is none
    notice : one line a person should read; empty where there is none
    """

    name: str
    shape: tuple[int, int]
    pixels: Callable[[Box], npt.NDArray[np.int32]]
    ids: npt.NDArray[np.int64]
    boxes_yxyx: npt.NDArray[np.int64]
    classes: npt.NDArray[np.str_] | None
    mpp: float | None = None
    slide: tuple[str, int] | None = None
    origin_yx: tuple[int, int] = (0, 0)
    digest: str = ""
    picture: Callable[[], Tile] | None = None
    notice: str = ""

    def cut(self, box_yxyx: Box) -> "Reading":
        """Take the part of a slide's reading that lies in a box of it, px; nothing is read."""
        y, x, y1, x1 = box_yxyx
        shift, limit = np.array([y, x, y, x]), np.array([y1 - y, x1 - x] * 2)
        boxes = np.clip(self.boxes_yxyx - shift, 0, limit)
        inside = (boxes[:, 0] < boxes[:, 2]) & (boxes[:, 1] < boxes[:, 3])
        read = self.pixels
        return replace(
            self,
            shape=(y1 - y, x1 - x),
            pixels=lambda box: read((box[0] + y, box[1] + x, box[2] + y, box[3] + x)),
            ids=self.ids[inside],
            boxes_yxyx=boxes[inside],
            classes=None if self.classes is None else self.classes[inside],
            origin_yx=(self.origin_yx[0] + y, self.origin_yx[1] + x),
            digest="",
            picture=None,
        )


def reading_of(name: str, nuclei: Segmentation, mpp: float | None = None) -> Reading:
    """Take nuclei in memory for a reading.

    A reader whose only class is called "nucleus" has named none.
    """
    table = nuclei.table.sort_values("id")
    named = set(nuclei.palette.names) != {DEFAULT_CLASS}
    return Reading(
        name,
        (nuclei.labels.shape[0], nuclei.labels.shape[1]),
        lambda box: nuclei.labels[slices(box)],
        table["id"].to_numpy(np.int64),
        table[["y0", "x0", "y1", "x1"]].to_numpy(np.int64),
        table["class"].to_numpy().astype(np.str_) if named else None,
        mpp,
    )


def open_reading(
    path: str | os.PathLike[str],
    shape: tuple[int, int] | None = None,
    picture: str | os.PathLike[str] | None = None,
) -> Reading:
    """Open what a reader saved.

    Parameters
    ----------
    path : folder of a saved session, the output folder of `uninuc slide` or the label image in
        it, or a label file as `io.labels.read_segmentation` takes it
    shape : (H, W) px of the picture, for files that do not say
    picture : file of the picture, for files about several

    Raises
    ------
    LabelsError, SessionError, OutputError
        Missing, damaged, or nothing of these.
    """
    source = Path(path)
    if (source / _HEADING).exists():
        return _of_session(source)
    for folder in (source, source.parent):
        if (folder / STATE).exists() and source in (folder, folder / OUTPUTS["labels"]):
            return _of_slide(source, open_result(folder))
    stored = read_segmentation(source, shape, picture=picture)
    reading = reading_of(source.name, stored.segmentation, stored.mpp)
    return replace(reading, notice=stored.notice, origin_yx=stored.origin_yx_slide)


def _of_session(folder: Path) -> Reading:
    heading = read_heading(folder)
    replay = Replay(folder, heading)
    replay.to_end()
    nuclei = Segmentation.from_labels(replay.labels.pixels)
    rows = (replay.labels.nuclei[id_] for id_ in nuclei.table["id"].tolist())
    names = [replay.classes.name_of(row.class_id) for row in rows]
    named = Segmentation(nuclei.labels, nuclei.table.assign(**{"class": names}), {}, replay.classes)
    place = heading.slide
    return replace(
        reading_of(folder.name, named, replay.mpp),
        slide=None if place is None else (place.fingerprint, place.level),
        origin_yx=heading.origin_yx_slide,
        digest=heading.digest,
        picture=lambda: read_picture(folder, heading),
        notice="; ".join(replay.troubles),
    )


def _of_slide(source: Path, result: SlideResult) -> Reading:
    columns = ["id", "class", "y0", "x0", "y1", "x1"]
    try:
        table = pq.read_table(result.table_path, columns=columns).to_pandas().sort_values("id")
    except (OSError, ValueError, pa.ArrowException) as problem:
        reason = " ".join(str(problem).split())
        raise LabelsError(
            f"{result.table_path}: expected a readable table, got {reason}; outline the slide again"
        ) from None
    plan = result.plan
    corners = table[columns[2:]].to_numpy(np.float64) / plan.downsample
    boxes = np.concatenate([np.floor(corners[:, :2]), np.ceil(corners[:, 2:])], axis=1)
    classes = table["class"].to_numpy().astype(np.str_)
    return Reading(
        source.name,
        plan.shape,
        _reader(result.levels()[0]),
        table["id"].to_numpy(np.int64),
        np.clip(boxes, 0, [*plan.shape] * 2).astype(np.int64),
        None if set(plan.classes) | set(classes.tolist()) == {DEFAULT_CLASS} else classes,
        plan.level_mpp,
        (plan.fingerprint, plan.level),
    )


def _reader(level: Any) -> Callable[[Box], npt.NDArray[np.int32]]:
    def pixels(box: Box) -> npt.NDArray[np.int32]:
        return np.asarray(level[slices(box)]).astype(np.int32, copy=False)

    return pixels
