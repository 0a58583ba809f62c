"""One tile of a run: read, outlined, and kept in a file of its own."""

import io
import json
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_uninuc.core.geometry import Field
from napari_uninuc.core.instances import InstanceMask
from napari_uninuc.core.tile import Tile
from napari_uninuc.engine.protocol import Annotator, FoundNucleus
from napari_uninuc.errors import OutputError, SessionError
from napari_uninuc.io.columns import MASK, mask_bits, masks_of, table_of_masks
from napari_uninuc.io.targets import replacing
from napari_uninuc.slides.nuclei import Nuclei
from napari_uninuc.slides.protocol import Slide

__all__ = [
    "KeptTile",
    "TileResult",
    "is_done",
    "local_field",
    "outline_tile",
    "read_notices",
    "read_tile",
    "read_tile_file",
    "read_tile_nuclei",
    "tile_path",
    "write_tile_file",
]


@dataclass(frozen=True, slots=True, eq=False)
class TileResult:
    """What was found in one tile, before tiles are put together.

    Attributes
    ----------
    index : of the tile's field in the plan
    found : px of the level, best score first; masks may overlap each other and the next tile's
    seconds : by step: read, outline
    device : what computed it, for people; empty where an earlier version wrote the file
    notices : what the model said meanwhile that a user should read
    """

    index: int
    found: tuple[FoundNucleus, ...]
    seconds: dict[str, float]
    device: str = ""
    notices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class KeptTile:
    """A `TileResult` as it is put together with others: its nuclei column by column."""

    nuclei: Nuclei
    seconds: dict[str, float]
    device: str = ""
    notices: tuple[str, ...] = ()


def read_tile(
    slide: Slide, level: int, mpp: float, field: Field, *, brown: bool | None = None
) -> Tile:
    """Read what a field sees, as a tile of its own; ``brown`` is the stain of its slide."""
    y0, x0, _, _ = field.outer_yxyx
    pixels = slide.read(level, field.outer_yxyx)
    return replace(Tile.from_array(pixels, mpp, (y0, x0), slide.path.name), brown=brown)


def local_field(field: Field) -> Field:
    """Put a field of the slide into px of the crop that `read_tile` makes of it."""
    y, x, _, _ = field.outer_yxyx

    def moved(box: tuple[int, int, int, int]) -> tuple[int, int, int, int]:
        return box[0] - y, box[1] - x, box[2] - y, box[3] - x

    return Field(0, moved(field.outer_yxyx), moved(field.inner_yxyx))


def outline_tile(
    annotator: Annotator, tile: Tile, field: Field, score_threshold: float
) -> tuple[FoundNucleus, ...]:
    """Find the nuclei whose box has its centre in the field's inner part, in px of the level."""
    y, x = tile.origin_yx_slide
    found = annotator.segment_field(tile, local_field(field), score_threshold)
    return tuple(
        FoundNucleus(mask.shifted(y, x), (box[0] + y, box[1] + x, box[2] + y, box[3] + x))
        for mask, box in found
    )


def tile_path(folder: Path, index: int) -> Path:
    """Where the result of a tile lies."""
    return folder / f"{index:07d}.npz"


def is_done(path: Path) -> bool:
    """Whether a whole tile file lies there; one cut short by a crash does not count."""
    return path.is_file() and zipfile.is_zipfile(path)


def write_tile_file(result: TileResult, path: Path) -> None:
    """Keep a result: beside its place and renamed, so it is there whole or not at all.

    Raises
    ------
    OutputError
        No room, or no right to write there.
    """
    masks = {place: one.mask for place, one in enumerate(result.found)}
    boxes = np.array([one.box_yxyx for one in result.found], np.float64).reshape(-1, 4)
    packed = io.BytesIO()
    np.savez_compressed(
        packed,
        index=np.array(result.index),
        seconds=np.frombuffer(json.dumps(result.seconds).encode(), np.uint8),
        said=np.frombuffer(json.dumps([result.device, result.notices]).encode(), np.uint8),
        masks=table_of_masks(masks),
        bits=np.frombuffer(mask_bits(masks.values()), np.uint8),
        boxes=boxes,
    )
    with replacing(path) as part:
        part.write_bytes(packed.getvalue())


def read_tile_file(path: Path) -> TileResult:
    """Read what `write_tile_file` wrote.

    Raises
    ------
    OutputError
        Missing or damaged.
    """
    with _opened(path) as stored:
        masks = masks_of(stored["masks"].astype(MASK), stored["bits"].tobytes())
        seconds = json.loads(stored["seconds"].tobytes())
        found = _together(masks, stored["boxes"])
        return TileResult(int(stored["index"]), found, seconds, *_said(stored))


def read_tile_nuclei(path: Path) -> "KeptTile":
    """Read what `write_tile_file` wrote, column by column.

    Raises
    ------
    OutputError
        Missing or damaged.
    """
    with _opened(path) as stored:
        masks, boxes = stored["masks"].astype(MASK), stored["boxes"]
        nuclei = Nuclei.of_masks(int(stored["index"]), masks, stored["bits"], boxes)
        return KeptTile(nuclei, json.loads(stored["seconds"].tobytes()), *_said(stored))


def read_notices(path: Path) -> tuple[str, ...]:
    """Read of a tile's file only what the model said to the user.

    Raises
    ------
    OutputError
        Missing or damaged.
    """
    with _opened(path) as stored:
        return _said(stored)[1]


def _said(stored: Any) -> tuple[str, tuple[str, ...]]:
    """Device and notices; nothing in files of earlier versions."""
    device, notices = json.loads(stored["said"].tobytes()) if "said" in stored else ("", ())
    return device, tuple(notices)


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    try:
        with np.load(path, allow_pickle=False) as stored:
            yield stored
    except (OSError, ValueError, KeyError, zipfile.BadZipFile, SessionError) as problem:
        raise OutputError(
            f"{path}: expected a tile of this run, got damage ({problem}); remove the file and run "
            "the same command again"
        ) from None


def _together(masks: dict[int, InstanceMask], boxes: npt.NDArray[Any]) -> tuple[FoundNucleus, ...]:
    return tuple(
        FoundNucleus(mask, (y0, x0, y1, x1))
        for mask, (y0, x0, y1, x1) in zip(masks.values(), boxes.tolist(), strict=True)
    )
