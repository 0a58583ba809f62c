"""Seconds and peak memory of writing and reading many nuclei in every format.

python benchmarks/export_formats.py [--nuclei N] [--suffix .geojson ...]

The picture is made here: bumpy ellipses of about 20 px on a grid, 2,500 different ones, some in
two pieces, some with a hole, on noise. Each format runs in a process of its own, which loads
picture and labels first; "before_mb" is what they take, the peaks are the most held while writing
and while reading. Linux.
"""

import json
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import click
import numpy as np
import pandas as pd

_PITCH = 28  # px from nucleus to nucleus
_DIFFERENT = 2500
_STATUSES = ("automatic", "edited", "reviewed")
_CLASSES = ("epithelial", "inflammatory", "connective")


def made(count: int) -> tuple[Any, Any]:
    """A segmentation of `count` nuclei, and its tile at 0.25 um/px, 1000 down on its slide."""
    from napari_uninuc.core.classes import ClassPalette
    from napari_uninuc.core.segmentation import Segmentation
    from napari_uninuc.core.tile import Tile

    rng = np.random.default_rng(0)
    side = int(np.ceil(np.sqrt(count)))
    labels = np.zeros((side * _PITCH, side * _PITCH), dtype=np.int32)
    yx = np.mgrid[:_PITCH, :_PITCH] - _PITCH / 2
    angle = np.arctan2(*yx)
    shapes = []
    for k in range(min(count, _DIFFERENT)):
        a, b, turn, phase = rng.uniform([7, 5, 0, 0], [13, 10, np.pi, 6])
        u = yx[0] * np.cos(turn) + yx[1] * np.sin(turn)
        v = yx[1] * np.cos(turn) - yx[0] * np.sin(turn)
        inside = np.hypot(u / a, v / b) < 1 + 0.08 * np.sin(5 * angle + phase)
        if k % 50 == 0:
            inside[14, 14] = False
        if k % 70 == 0:
            inside[:, 10] = False
        shapes.append(inside)
    for k in range(count):
        y, x = divmod(k, side)
        inside = shapes[k % len(shapes)]
        labels[y * _PITCH : (y + 1) * _PITCH, x * _PITCH : (x + 1) * _PITCH][inside] = k + 1
    bare = Segmentation.from_labels(labels)
    table = bare.table.copy()
    table["score"] = rng.random(count).round(4)
    table["class"] = pd.Series(np.array(_CLASSES)[rng.integers(0, 3, count)], dtype=str)
    table["status"] = pd.Series(np.array(_STATUSES)[rng.integers(0, 3, count)], dtype=str)
    rgb = rng.integers(60, 256, (*labels.shape, 3), dtype=np.uint8)
    tile = Tile.from_array(rgb, mpp=0.25, origin_yx_slide=(1000, 2000), name="made")
    return Segmentation(labels, table, {}, ClassPalette.of_names(_CLASSES)), tile


def load(folder: Path) -> tuple[Any, Any]:
    """The segmentation and tile that `made` made, from another process."""
    from napari_uninuc.core.classes import ClassPalette
    from napari_uninuc.core.segmentation import Segmentation
    from napari_uninuc.core.tile import Tile

    table = pd.read_pickle(folder / "table.pickle")  # written a minute ago by this script
    tile = Tile.from_array(np.load(folder / "rgb.npy", mmap_mode="r"), 0.25, (1000, 2000), "made")
    labels = np.load(folder / "labels.npy")
    return Segmentation(labels, table, {}, ClassPalette.of_names(_CLASSES)), tile


def save(folder: Path, count: int) -> None:
    """Put what `made` makes into a folder."""
    segmentation, tile = made(count)
    np.save(folder / "labels.npy", segmentation.labels)
    np.save(folder / "rgb.npy", tile.rgb)
    segmentation.table.to_pickle(folder / "table.pickle")


def one(suffix: str, made_folder: Path) -> dict[str, Any]:
    """Write, read and compare in one format."""
    from napari_uninuc.io.formats import write_segmentation
    from napari_uninuc.io.labels import read_segmentation

    segmentation, tile = load(made_folder)
    result: dict[str, Any] = {"suffix": suffix}
    _forget_peak()
    result["before_mb"] = _peak_mb()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"nuclei{suffix}"
        start = time.perf_counter()
        write_segmentation(segmentation, path, tile)
        result["write_s"] = time.perf_counter() - start
        files = [path] if path.is_file() else [each for each in path.rglob("*") if each.is_file()]
        result["megabytes"] = sum(each.stat().st_size for each in files) / 1e6
        result["peak_write_mb"] = _peak_mb()
        if suffix in (".csv", ".parquet"):
            return result
        _forget_peak()
        start = time.perf_counter()
        stored = read_segmentation(path)
        result["read_s"] = time.perf_counter() - start
        result["peak_read_mb"] = _peak_mb()
        result["labels_equal"] = bool(
            np.array_equal(stored.segmentation.labels, segmentation.labels)
        )
        result["table_equal"] = bool(stored.segmentation.table.equals(segmentation.table))
    return result


def _peak_mb() -> float:
    """Most memory the process held since the peak was last forgotten."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(re.search(r"VmHWM:\s+(\d+)", status).group(1)) / 1024


def _forget_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


@click.command()
@click.option("--nuclei", default=100_000, show_default=True)
@click.option("--suffix", "suffixes", multiple=True, help="Formats; all where none is named.")
@click.option("--one", "only", nargs=2, hidden=True, default=None)
def main(nuclei: int, suffixes: tuple[str, ...], only: tuple[str, str] | None) -> None:
    """Measure every format in a process of its own."""
    if only is not None:
        print(json.dumps(one(only[0], Path(only[1]))))
        return
    from napari_uninuc.io.formats import FORMATS

    with tempfile.TemporaryDirectory() as folder:
        save(Path(folder), nuclei)
        for suffix in suffixes or FORMATS:
            command = [sys.executable, __file__, "--one", suffix, folder]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            figures = json.loads(done.stdout).items()
            listed = (f"{k} {v:.1f}" if isinstance(v, float) else f"{k} {v}" for k, v in figures)
            print("  ".join(listed), flush=True)


if __name__ == "__main__":
    main()
