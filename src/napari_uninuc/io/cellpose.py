"""cellpose's ``_seg.npy``: written as its window opens it, read without unpickling any object.

The file is a pickled dict. It is read by a stack machine that knows plain values alone and keeps
arrays as their bytes: nothing that the file names is ever imported or called.
"""

import math
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Self

import numpy as np
import numpy.typing as npt
from numpy.lib import format as npy

from napari_uninuc.core.segmentation import Segmentation
from napari_uninuc.core.tile import Tile
from napari_uninuc.errors import LabelsError
from napari_uninuc.io.ome_zarr_labels import StoredLabels
from napari_uninuc.io.sources import DECODING_ERRORS, reason_of, require_sides
from napari_uninuc.io.targets import replacing

__all__ = ["read_cellpose", "write_cellpose"]

_NAMES = ("filename", "masks", "outlines")


def write_cellpose(segmentation: Segmentation, path: Path, tile: Tile | None = None) -> None:
    """Write what cellpose's window opens beside the picture, or alone where the picture is known.

    Parameters
    ----------
    segmentation : ids are kept; classes and scores have no place in such a file
    path : replaced whole or not at all; cellpose looks for ``PICTURE_seg.npy``
    tile : the picture; its pixels and name go into the file

    Raises
    ------
    OutputError
        The file cannot be written.

    Examples
    --------
    >>> from pathlib import Path
    >>> import numpy as np
    >>> from napari_uninuc import Segmentation
    >>> from napari_uninuc.io.cellpose import read_cellpose, write_cellpose
    >>> nuclei = Segmentation.from_labels(np.eye(8, dtype=np.int32))
    >>> write_cellpose(nuclei, Path("tile_seg.npy"))
    >>> read_cellpose(Path("tile_seg.npy")).pixels.dtype
    dtype('uint16')
    """
    masks = segmentation.narrow_labels(np.uint32)
    count = int(masks.max(initial=0))
    stored: dict[str, Any] = {
        "outlines": masks * _inner_borders(segmentation.labels),
        "masks": masks,
        "chan_choose": [0, 0],
        "ismanual": np.zeros(count, dtype=np.bool_),
        "filename": tile.name if tile is not None and tile.name else path.name[: -len("_seg.npy")],
        "flows": [],
        "diameter": np.nan,
    }
    if tile is not None:
        stored["img"] = tile.rgb
    with replacing(path) as part, part.open("wb") as file:
        np.save(file, np.array(stored, dtype=object), allow_pickle=True)


def _inner_borders(labels: npt.NDArray[np.int32]) -> npt.NDArray[np.bool_]:
    """Find the pixels of nuclei that have a neighbour of another id, or none."""
    around = np.pad(labels, 1)
    borders = np.zeros(labels.shape, dtype=np.bool_)
    for dy, dx in ((0, 1), (2, 1), (1, 0), (1, 2)):
        borders |= around[dy : dy + labels.shape[0], dx : dx + labels.shape[1]] != labels
    return borders & (labels > 0)


def read_cellpose(path: Path) -> StoredLabels:
    """Read the masks of a ``_seg.npy``; a plain ``.npy`` of labels is read as well.

    Returns
    -------
    stored : pixels (H, W) as the file has them, ids kept; neither scale nor place is in it

    Raises
    ------
    LabelsError
        Damaged, without masks of one plane, or with anything but plain values and arrays in it.
    """
    try:
        with path.open("rb") as file:
            return StoredLabels(_masks(path, file), None, {}, {})
    except (pickle.UnpicklingError, *DECODING_ERRORS) as problem:
        if isinstance(problem, LabelsError):
            raise
        raise LabelsError(
            f"{path}: expected a cellpose file of arrays, got {reason_of(problem)}; save it again, "
            "or save the masks as TIFF"
        ) from None


def _masks(path: Path, file: BinaryIO) -> npt.NDArray[Any]:
    version = npy.read_magic(file)
    read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, by_columns, dtype = read(file)
    if not dtype.hasobject:
        found = _Array()
        found.__setstate__((1, shape, dtype.str, by_columns, file.read()))
        return found.pixels(path)
    stored = _PlainUnpickler(file).load()
    if isinstance(stored, _Array):  # of no dimension, around the dict
        stored = stored.only()
    masks = stored.get("masks") if isinstance(stored, dict) else None
    if not isinstance(masks, _Array):
        raise LabelsError(
            f"{path}: expected a cellpose file with masks, got none; save it from cellpose again"
        )
    return masks.pixels(path)


class _Array:
    """Stands for an array: what the file says of it, nothing made of it yet."""

    def __init__(self) -> None:
        self._shape: Any = ()
        self._dtype: Any = None
        self._by_columns, self._raw = False, b""

    def __setstate__(self, state: Any) -> None:
        _, self._shape, self._dtype, self._by_columns, self._raw = state

    def only(self) -> Any:
        """Return the one object of an array of objects."""
        return self._raw[0] if isinstance(self._raw, list) and len(self._raw) == 1 else None

    def pixels(self, path: Path) -> npt.NDArray[Any]:
        """Make the array, (H, W) of numbers, if it is one; singular axes before are dropped."""
        kind = self._dtype.text if isinstance(self._dtype, _DType) else str(self._dtype)
        dtype = np.dtype(kind)
        sides = [int(side) for side in self._shape]
        while len(sides) > 2 and sides[0] == 1:
            sides = sides[1:]
        raw = self._raw
        if len(sides) != 2 or dtype.kind not in "buif" or not isinstance(raw, bytes):
            raise LabelsError(
                f"{path}: labels must be (H, W) integers, got {tuple(self._shape)} {kind[:20]}; "
                "save one plane"
            )
        require_sides(path, (sides[0], sides[1]), LabelsError)
        if math.prod(sides) * dtype.itemsize != len(raw):
            raise ValueError(f"{len(raw)} bytes for {sides[0]} x {sides[1]} {dtype}")
        order: Any = "F" if self._by_columns else "C"
        return np.frombuffer(raw, dtype).reshape(sides, order=order)


@dataclass
class _DType:
    """Stands for a dtype: its letters, and the order of its bytes."""

    text: str

    @classmethod
    def of(cls, text: Any, *_: Any) -> Self:
        return cls(str(text))

    def __setstate__(self, state: Any) -> None:
        order = str(state[1])
        self.text = (order if order in "<>" else "") + self.text.lstrip("<>=|")


def _reconstructed(*_: Any) -> _Array:
    return _Array()


def _scalar(*_: Any) -> None:
    return None  # the diameter, which we do not need


_KNOWN: dict[str, Callable[..., Any]] = {
    "_reconstruct": _reconstructed,
    "ndarray": _Array,
    "dtype": _DType.of,
    "scalar": _scalar,
}
"""What files of arrays name, of ``numpy`` and ``numpy.[_]core.multiarray``."""

_PLAIN = (
    *("PROTO", "FRAME", "STOP", "MARK", "NONE", "NEWTRUE", "NEWFALSE", "POP"),
    *("BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "EMPTY_DICT", "EMPTY_LIST"),
    *("EMPTY_TUPLE", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "APPEND", "APPENDS", "SETITEM"),
    *("SETITEMS", "SHORT_BINUNICODE", "BINUNICODE", "SHORT_BINBYTES", "BINBYTES", "BINBYTES8"),
    *("MEMOIZE", "BINPUT", "LONG_BINPUT", "BINGET", "LONG_BINGET", "GLOBAL", "STACK_GLOBAL"),
    *("REDUCE", "BUILD"),
)


class _Operations(dict[int, Callable[..., Any]]):
    def __missing__(self, key: int) -> Any:
        raise pickle.UnpicklingError("more than plain values and arrays")


class _PlainUnpickler(pickle._Unpickler):
    """Knows the operations that plain values and arrays need; the interpreter in C knows all."""

    dispatch = _Operations(
        (getattr(pickle, name)[0], pickle._Unpickler.dispatch[getattr(pickle, name)[0]])
        for name in _PLAIN
    )

    def find_class(self, module_name: str, global_name: str) -> Any:
        numpys = module_name.split(".")[0] == "numpy"
        if not numpys or global_name not in _KNOWN:
            raise pickle.UnpicklingError(f"an object of {module_name}.{global_name}"[:100])
        return _KNOWN[global_name]
