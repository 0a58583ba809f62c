"""Features of many nuclei as text, one a line, without making an object of each.

The text is the one that ``json.dumps`` makes of `io.geojson.features_of`, to the byte.
"""

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import numpy as np
import numpy.typing as npt

from napari_uninuc.core.classes import ClassPalette
from napari_uninuc.core.runs import Runs
from napari_uninuc.io.colours import rgb_of
from napari_uninuc.io.geojson import AREA, AREA_UM2, ID, SCORE, times
from napari_uninuc.io.outlines import trace_runs
from napari_uninuc.io.plain_rings import plain_rings

__all__ = ["LineFrame", "detection_lines"]


@dataclass(frozen=True, slots=True)
class LineFrame:
    """What all lines of a file share.

    Attributes
    ----------
    space : with an id it gives the object's UUID
    mpp : micrometres per px of the level
    downsample : px of full resolution per px of the level
    classes : names by class id
    """

    space: UUID
    mpp: float
    downsample: float
    classes: tuple[str, ...]


def detection_lines(
    ids: npt.NDArray[np.int64],
    runs: Runs,
    class_ids: npt.NDArray[np.int64],
    scores: npt.NDArray[np.float64],
    frame: LineFrame,
) -> list[str]:
    """Write nuclei as QuPath detections in px of full resolution, one line each.

    Parameters
    ----------
    ids, class_ids, scores : (n,)
    runs : of n nuclei, px of the level
    """
    areas = runs.areas.tolist()
    classified = [_classification(name, colour) for name, colour in _coloured(frame.classes)]
    prefix, full = frame.space.bytes, frame.downsample**2
    lines = []
    columns = ids.tolist(), areas, class_ids.tolist(), scores.tolist()
    geometries = _geometries(runs, frame.downsample)
    for id_, area, class_id, score, geometry in zip(*columns, geometries, strict=True):
        shown = area if frame.downsample == 1 else round(area * full)
        said = f', "{SCORE}": {score!r}' if math.isfinite(score) else ""
        lines.append(
            f'{{"type": "Feature", "id": "{_uuid5(prefix, id_)}", "geometry": {{{geometry}}}, '
            f'"properties": {{"objectType": "detection", {classified[class_id]}, "measurements": '
            f'{{"{ID}": {id_}, "{AREA}": {shown}, {_AREA_UM2}: {area * frame.mpp * frame.mpp!r}'
            f'{said}}}, "metadata": {{"{ID}": "{id_}"}}}}}}'
        )
    return lines


_AREA_UM2 = json.dumps(AREA_UM2)


def _coloured(classes: Sequence[str]) -> list[tuple[str, tuple[int, int, int]]]:
    palette = ClassPalette.of_names(list(classes))
    return [(each.name, rgb_of(each.colour)) for each in palette.classes]


def _classification(name: str, colour: tuple[int, int, int]) -> str:
    return json.dumps({"classification": {"name": name, "color": colour}})[1:-1]


def _uuid5(space: bytes, id_: int) -> str:
    """Write `uuid.uuid5` of a number; a third of its time."""
    digest = bytearray(hashlib.sha1(space + b"%d" % id_, usedforsecurity=False).digest()[:16])
    digest[6] = digest[6] & 0x0F | 0x50
    digest[8] = digest[8] & 0x3F | 0x80
    text = digest.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def _geometries(runs: Runs, step: float) -> list[str]:
    """Write type and coordinates of each nucleus."""
    texts = [""] * len(runs)
    plain = runs.plain()
    if plain.any():
        written = _whole if float(step).is_integer() else _broken
        rings = written(*plain_rings(runs.take(plain)), step)
        for place, ring in zip(np.flatnonzero(plain).tolist(), rings, strict=True):
            texts[place] = f'"type": "Polygon", "coordinates": [[{ring}]]'
    others = np.flatnonzero(~plain)
    for outline in trace_runs(others, runs.take(others)):  # ids are places here
        polygons = outline.polygons_xy
        single = len(polygons) == 1
        shape = polygons[0] if single else polygons
        coordinates = json.dumps(shape if step == 1 else times(shape, step))
        kind = "Polygon" if single else "MultiPolygon"
        texts[outline.id] = f'"type": "{kind}", "coordinates": {coordinates}'
    return texts


def _whole(points: npt.NDArray[np.int64], ends: npt.NDArray[np.int64], step: float) -> list[str]:
    """Write rings whose px stay whole: ``[x, y], [x, y]``, no Python for each point."""
    x, y = (points * int(step)).T
    columns = [_digits(each) for each in (x, y)]
    wide = [each.shape[1] for each in columns]
    cells = np.zeros((len(points), sum(wide) + 6), np.uint8)
    cells[:, 0], cells[:, 1 : 1 + wide[0]] = ord("["), columns[0]
    cells[:, 1 + wide[0]], cells[:, 2 + wide[0]] = ord(","), ord(" ")
    cells[:, 3 + wide[0] : -3] = columns[1]
    cells[:, -3], cells[:, -2], cells[:, -1] = ord("]"), ord(","), ord(" ")
    cells[ends - 1, -2], cells[ends - 1, -1] = 0, ord("\n")
    return cells.tobytes().translate(None, b"\0").decode().split("\n")[:-1]


def _digits(values: npt.NDArray[np.int64]) -> npt.NDArray[np.uint8]:
    """Decimals of (n,) numbers from 0 on, (n, most) of ASCII; 0 where there is none."""
    low, high = int(values.min()), int(values.max())
    every = np.arange(low, high + 1)
    powers = 10 ** np.arange(len(str(high)) - 1, -1, -1)
    table = (every[:, None] // powers % 10 + ord("0")).astype(np.uint8)
    table[:, :-1][every[:, None] < powers[:-1]] = 0
    return np.asarray(table[values - low])


def _broken(points: npt.NDArray[np.int64], ends: npt.NDArray[np.int64], step: float) -> list[str]:
    listed = times(points.tolist(), step)
    starts = [0, *ends.tolist()[:-1]]
    return [json.dumps(listed[a:b])[1:-1] for a, b in zip(starts, ends.tolist(), strict=True)]
