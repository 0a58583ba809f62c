"""A whole slide of real tissue through ``uninuc slide``, with a memory limit.

    python benchmarks/slide_run.py --side 20000 --memory-gb 4
    python benchmarks/slide_run.py --side 3000 --check
    python benchmarks/slide_run.py --picture tile.png
    python benchmarks/slide_run.py --side 3000 --rounds-only

Makes a pyramid of scikit-image's immunohistochemistry tile or of pictures of yours at 0.25 um a
pixel, mirrored where they repeat, with a rim of glass, and segments it in a process of its own.
Prints what it took: seconds of wall and of CPU, tiles a second, peak memory and bytes of every
output. Before that some tiles are done in rounds, by turns bare (pixels in memory, `segment_field`
alone) and as tiles of the slide (read, outlined, kept), and the medians compared: what else the
machine does meets both. Seconds of CPU of the whole run can be compared on a busy machine, seconds
of wall cannot.
``--check`` compares the nuclei with those of one run over the whole picture.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from time import perf_counter, process_time

import numpy as np
import numpy.typing as npt

GLASS = 243
RIM = 0.1
"""Of the side is glass, all around."""
TILE = 512
SAMPLE = 3
"""Tiles of a round."""


def main() -> None:
    """Read the words, make the slide and run it in another process."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--side", type=int, default=20_000, help="px of the square slide")
    parser.add_argument("--memory-gb", type=float, default=4.0)
    parser.add_argument(
        "--picture", type=Path, action="append", help="of tissue; several lie by turns"
    )
    parser.add_argument("--model", default="uninuc-n")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--rounds", type=int, default=4, help="of each way to do tiles")
    parser.add_argument("--rounds-only", action="store_true", help="not the whole slide")
    parser.add_argument("--check", action="store_true", help="against one run over the whole")
    parser.add_argument("--folder", type=Path, help="kept; must be empty. Default: a temporary one")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    words = parser.parse_args()
    if words.child:
        print(json.dumps(measure(words)))
        return
    with tempfile.TemporaryDirectory() as scratch:
        words.folder = words.folder or Path(scratch)
        began = perf_counter()
        write_slide(words.folder / "slide.ome.tif", words.side, tissue(words.picture or ()))
        print(f"slide of {words.side} px a side written in {perf_counter() - began:.1f} s")
        found = json.loads(run_child(words))
        report_rounds(found)
        if words.rounds_only:
            return
        report(found, words.memory_gb)
        if words.check:
            check(words)


def run_child(words: argparse.Namespace) -> str:
    """Run this file once more; the last line it prints is what it measured."""
    names = ("side", "model", "device", "folder", "rounds")
    given = [f"--{name}={getattr(words, name)}" for name in names]
    given += [f"--memory-gb={words.memory_gb}", "--child"]
    given += ["--rounds-only"] * words.rounds_only
    done = subprocess.run(
        [sys.executable, __file__, *given], stdout=subprocess.PIPE, text=True, check=True
    )
    return done.stdout.splitlines()[-1]


def measure(words: argparse.Namespace) -> dict[str, object]:
    """Do tiles in rounds, then segment the slide."""
    from napari_uninuc.cli.messages import progress_bar
    from napari_uninuc.cli.slide import ModelSource
    from napari_uninuc.slides.opening import open_slide
    from napari_uninuc.slides.run import segment_slide

    limit = int(words.memory_gb * 2**30)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    source = ModelSource(words.model, words.device)
    slide = open_slide(words.folder / "slide.ome.tif")
    found: dict[str, object] = {"rounds": in_rounds(slide, source, words.rounds)}
    if words.rounds_only:
        return found
    wall, cpu = perf_counter(), process_time()
    with progress_bar("slide", "tile") as progress:
        summary = segment_slide(slide, source, words.folder / "out", progress=progress)
    wall, cpu = perf_counter() - wall, process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return found | {
        "tiles": summary.tiles,
        "tiles_of_slide": summary.tiles_of_slide,
        "nuclei": summary.count,
        "wall": wall,
        "cpu": cpu,
        "peak": peak,
        "seconds": dict(summary.seconds),
        "bytes": {each.name: size_of(each) for each in (words.folder / "out").iterdir()},
    }


def in_rounds(slide: object, source: object, rounds: int) -> dict[str, list[float]]:
    """Seconds of wall and of CPU a tile, of each round bare and on the slide; who begins changes.

    A round on the slide opens it, reads its tiles while one is outlined, and keeps each in a file.
    """
    from napari_uninuc.slides.jobs import TileJob, held_annotator, run_here
    from napari_uninuc.slides.plan import plan_slide
    from napari_uninuc.slides.tiles import outline_tile, read_tile
    from napari_uninuc.slides.tissue import find_tissue

    annotator = held_annotator(source)
    plan = plan_slide(slide, find_tissue(slide), annotator)
    chosen = np.linspace(0, len(plan.tiles) - 1, min(SAMPLE, len(plan.tiles))).astype(int)
    fields = [plan.fields[plan.tiles[place]] for place in chosen]
    level, mpp, brown, threshold = plan.level, plan.level_mpp, plan.brown, plan.score_threshold
    tiles = [read_tile(slide, level, mpp, field, brown=brown) for field in fields]
    seconds: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as kept:
        job = TileJob(
            slide.path, plan.fingerprint, plan.mpp, level, mpp, brown, threshold,
            plan.model_sha256, source, Path(kept),
        )  # fmt: skip

        def bare() -> None:
            for tile, field in zip(tiles, fields, strict=True):
                outline_tile(annotator, tile, field, threshold)

        def of_slide() -> None:
            run_here(job, fields, lambda index: None)

        bare()  # warm
        ways = {"bare": bare, "slide": of_slide}
        for turn in range(rounds):
            for name in sorted(ways, reverse=turn % 2 == 1):
                wall, cpu = perf_counter(), process_time()
                ways[name]()
                spent = perf_counter() - wall, process_time() - cpu
                for clock, value in zip(("wall", "cpu"), spent, strict=True):
                    seconds.setdefault(f"{name} {clock}", []).append(value / len(tiles))
    return seconds


def report_rounds(found: dict[str, object]) -> None:
    """Print medians of the rounds, and how much more a tile of a slide takes."""
    medians = {name: float(np.median(values)) for name, values in found["rounds"].items()}
    for clock in ("wall", "cpu"):
        bare, slide = medians[f"bare {clock}"], medians[f"slide {clock}"]
        pairs = np.divide(found["rounds"][f"slide {clock}"], found["rounds"][f"bare {clock}"]) - 1
        print(
            f"seconds of {clock:4} a tile, median of {len(pairs)} rounds: bare {bare:.3f}, of a "
            f"slide {slide:.3f}; {100 * (slide / bare - 1):+.1f} % (single pairs "
            f"{100 * pairs.min():+.1f} to {100 * pairs.max():+.1f})"
        )


def report(found: dict[str, object], limit_gb: float) -> None:
    """Print what was measured, one thing a line."""
    tiles, nuclei = found["tiles"], max(1, found["nuclei"])
    print(f"{tiles} of {found['tiles_of_slide']} tiles hold tissue, {found['nuclei']} nuclei")
    print(
        f"slide path  {found['wall'] / tiles:.3f} s wall, {found['cpu'] / tiles:.3f} s CPU a tile"
    )
    medians = {name: np.median(values) for name, values in found["rounds"].items()}
    together = found["seconds"]["put together"] / tiles
    lost = (medians["slide cpu"] + together) / medians["bare cpu"] - 1
    print(
        f"putting together {together:.3f} s a tile, {1000 * together * tiles / nuclei:.2f} ms a "
        f"nucleus; with it a slide's tile takes {100 * lost:+.1f} % more than a bare one; "
        f"{tiles / found['wall']:.3f} tiles a second"
    )
    print(f"peak memory {found['peak'] / 2**20:.0f} MiB of {limit_gb * 1024:.0f}")
    for step, seconds in found["seconds"].items():
        print(f"  {step:14}{seconds:9.2f} s")
    for name, size in sorted(found["bytes"].items()):
        print(f"  {name:20}{size:12,} bytes{size / nuclei:9.1f} a nucleus")


def check(words: argparse.Namespace) -> None:
    """Compare with `Predictor.segment` over the whole picture."""
    import zarr

    from napari_uninuc import load_predictor
    from napari_uninuc.slides.opening import open_slide

    slide = open_slide(words.folder / "slide.ome.tif")
    predictor = load_predictor(words.model, device=words.device)
    predictor.set_image(slide.read(0, (0, 0, *slide.levels[0].shape)), mpp=slide.mpp)
    whole = predictor.segment().labels
    root = zarr.open_group(str(words.folder / "out" / "labels.ome.zarr"), mode="r")
    ours = np.asarray(root["0"][...])
    pairs, counts = np.unique(
        np.stack([whole, ours], -1).reshape(-1, 2), axis=0, return_counts=True
    )
    areas = [np.bincount(labels.ravel()) for labels in (whole, ours)]
    real = (pairs > 0).all(axis=1)
    both = counts[real]
    union = areas[0][pairs[real, 0]] + areas[1][pairs[real, 1]] - both
    iou = both / union
    print(
        f"whole picture {whole.max()} nuclei, slide {ours.max()}; {int((iou == 1).sum())} equal to "
        f"the pixel, {int((iou > 0.9).sum())} with IoU above 0.9"
    )


def tissue(pictures: Sequence[Path]) -> npt.NDArray[np.uint8]:
    """One picture that can be repeated without seams, (H, W, 3)."""
    from PIL import Image
    from skimage import data

    pieces = [np.asarray(Image.open(path).convert("RGB")) for path in pictures]
    side = min((min(piece.shape[:2]) for piece in pieces), default=None)
    row = [piece[:side, :side] for piece in pieces or [data.immunohistochemistry()]]
    piece = np.concatenate([half for one in row for half in (one, one[:, ::-1])], axis=1)
    return np.concatenate([piece, piece[::-1]], axis=0)


def write_slide(path: Path, side: int, piece: npt.NDArray[np.uint8], rim: float = RIM) -> None:
    """Write a pyramid block by block; levels are every second pixel of the one before.

    ``piece`` is repeated, but for a rim of glass, a share of the side.
    """
    import tifffile

    sides = [side]
    while sides[-1] > 1024:
        sides.append(-(-sides[-1] // 2))
    layout = {"tile": (TILE, TILE), "photometric": "rgb", "compression": "deflate"}
    with tifffile.TiffWriter(path, bigtiff=True, ome=True) as writer:
        for place, length in enumerate(sides):
            kind = {"subfiletype": 1} if place else {"subifds": len(sides) - 1}
            scale = {"axes": "YXS", "PhysicalSizeX": 0.25, "PhysicalSizeY": 0.25}
            writer.write(
                blocks(side, length, 2**place, piece, rim),
                shape=(length, length, 3),
                dtype=np.uint8,
                metadata=None if place else scale,
                **kind,
                **layout,
            )


def blocks(
    side: int, length: int, step: int, piece: npt.NDArray[np.uint8], rim: float
) -> Iterator[npt.NDArray[np.uint8]]:
    """Tiles of a level, row by row."""
    low, high = rim * side, (1 - rim) * side
    for y in range(0, length, TILE):
        for x in range(0, length, TILE):
            ys, xs = (np.arange(first, min(first + TILE, length)) * step for first in (y, x))
            block = piece[np.ix_(ys % piece.shape[0], xs % piece.shape[1])].copy()
            block[(ys < low) | (ys >= high)] = GLASS
            block[:, (xs < low) | (xs >= high)] = GLASS
            yield block


def size_of(path: Path) -> int:
    """Bytes of a file, or of all files in a folder."""
    if path.is_file():
        return path.stat().st_size
    return sum(each.stat().st_size for each in path.rglob("*") if each.is_file())


if __name__ == "__main__":
    main()
