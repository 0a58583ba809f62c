"""COCO JSON: one picture, every nucleus an annotation with exact run lengths."""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from napari_uninuc.core.segmentation import CLASS_PROBABILITY, FOUND_COLUMNS, Segmentation
from napari_uninuc.core.tile import Tile
from napari_uninuc.io.colours import rgb_by_class
from napari_uninuc.io.rle import packed_runs, runs_of
from napari_uninuc.io.targets import replacing

__all__ = ["write_coco"]

_IMAGE_ID = 1


def write_coco(
    segmentation: Segmentation,
    path: Path,
    mpp: float | None = None,
    tile: Tile | None = None,
    origin_yx_slide: tuple[int, int] | None = None,
) -> None:
    """Write every nucleus as an annotation; its ``id`` is that of the label image.

    Parameters
    ----------
    segmentation : rows without pixels are left out; categories are its classes, from 1
    path : replaced whole or not at all
    mpp : micrometres per px, kept with the picture
    tile : the picture; gives its name
    origin_yx_slide : first pixel on the slide, px; None takes the tile's, else (0, 0)

    Raises
    ------
    OutputError
        The file cannot be written.

    Examples
    --------
    >>> import json
    >>> from pathlib import Path
    >>> from napari_uninuc import Segmentation
    >>> from napari_uninuc.io.coco import write_coco
    >>> from napari_uninuc.testing import make_tile
    >>> tissue = make_tile((64, 64), n_nuclei=3)
    >>> nuclei = Segmentation.from_labels(tissue.labels)

    >>> write_coco(nuclei, Path("nuclei.coco.json"), mpp=0.25, tile=tissue.tile)
    >>> stored = json.loads(Path("nuclei.coco.json").read_text(encoding="utf-8"))
    >>> [each["id"] for each in stored["annotations"]], stored["categories"][0]["name"]
    ([1, 2, 3], 'nucleus')
    """
    if origin_yx_slide is None:
        origin_yx_slide = (0, 0) if tile is None else tile.origin_yx_slide
    height, width = segmentation.labels.shape
    name = (tile.name if tile is not None else "") or path.name.split(".")[0]
    image = {
        "id": _IMAGE_ID,
        "file_name": name,
        "height": height,
        "width": width,
        "mpp": mpp,
        "origin_yx_slide": [int(value) for value in origin_yx_slide],
    }
    colours = enumerate(rgb_by_class(segmentation).items(), start=1)
    categories = [{"id": k, "name": name, "color": list(rgb)} for k, (name, rgb) in colours]
    head = {"info": {"description": "napari-uninuc"}, "images": [image], "categories": categories}
    with replacing(path) as part, part.open("w", encoding="utf-8", newline="\n") as file:
        file.write(json.dumps(head)[:-1] + ', "annotations": [')
        for count, annotation in enumerate(_annotations(segmentation, categories)):
            file.write(("," if count else "") + "\n" + json.dumps(annotation))
        file.write("\n]}\n")


def _annotations(
    segmentation: Segmentation, categories: list[dict[str, Any]]
) -> Iterator[dict[str, Any]]:
    numbers = {each["name"]: each["id"] for each in categories}
    table = segmentation.table
    statuses = table["status"] if "status" in table.columns else [""] * len(table)
    likely = table.get(CLASS_PROBABILITY, [math.nan] * len(table))
    columns = zip(table["class"], table["score"], likely, statuses, strict=True)
    rows = dict(zip(table["id"].tolist(), columns, strict=True))
    found_xy = _found_boxes(table)
    for id_, annotation in _shapes(segmentation):
        name, score, sure, status = rows[id_]
        attributes = {"status": str(status)} if status else {}
        derived = {CLASS_PROBABILITY: float(sure)} if math.isfinite(sure) else {}
        yield {
            "id": id_,
            "image_id": _IMAGE_ID,
            "category_id": numbers.get(str(name), 1),
            "iscrowd": 0,
            **annotation,
            **({"score": float(score)} if math.isfinite(score) else {}),
            **({"attributes": attributes | derived} if attributes or derived else {}),
            **({"detector_bbox": found_xy[id_]} if id_ in found_xy else {}),
        }


def _found_boxes(table: pd.DataFrame) -> dict[int, list[float]]:
    """The detector's boxes by id, x, y, width and height, px."""
    if FOUND_COLUMNS[0] not in table.columns:
        return {}
    rows = table[["id", *FOUND_COLUMNS]].dropna().to_numpy().tolist()
    return {int(id_): [x0, y0, x1 - x0, y1 - y0] for id_, y0, x0, y1, x1 in rows}


def _shapes(segmentation: Segmentation) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield id, area, box and runs of every nucleus that has pixels."""
    labels = segmentation.labels
    shape = (labels.shape[0], labels.shape[1])
    boxes = segmentation.table[["id", "y0", "x0", "y1", "x1"]].to_numpy()
    for id_, y0, x0, y1, x1 in boxes.tolist():
        mask = labels[y0:y1, x0:x1] == id_
        area = int(mask.sum())
        if area == 0:
            continue
        yield (
            id_,
            {
                "segmentation": {
                    "size": list(shape),
                    "counts": packed_runs(runs_of(mask, (y0, x0), shape)),
                },
                "area": area,
                "bbox": [x0, y0, x1 - x0, y1 - y0],
            },
        )
