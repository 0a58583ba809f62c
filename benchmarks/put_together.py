"""Putting a slide together, by turns with an earlier tree of this program; no model is needed.

    python benchmarks/put_together.py BEFORE/src [--side 20000] [--rounds 3] [--workers 2]

Makes a slide whose tiles are done already: rounded nuclei of known places, some of them outlined
by two tiles, in the files that tiles are kept in. Then segments it with both trees by turns, each
time in a process of its own, whose tiles only have to be taken over. Prints seconds by the clock
and of CPU (processes that were started counted too), peak memory, and whether every file says the
same: byte by byte, or what is different. Ratios are of medians; seconds of CPU can be compared on
a busy machine, seconds by the clock cannot.
"""

import argparse
import gzip
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from functools import partial
from importlib import import_module
from inspect import signature
from pathlib import Path
from time import perf_counter, sleep, thread_time
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from slide_run import write_slide

if TYPE_CHECKING:
    from napari_uninuc.core.geometry import Field
    from napari_uninuc.engine.protocol import FoundNucleus

TISSUE = np.full((1, 1, 3), (200, 140, 180), np.uint8)
"""Of one colour."""
TILE = 512
RIM = 0.03
"""Of the side is glass, all around."""
PER_MM2 = 6200
"""Nuclei, as many as in the slide of docs/slides.md."""
KINDS = 3000
"""Different outlines; what is different between nuclei beyond these is their place."""
SEEN_TWICE = 0.5
"""Share of nuclei near a seam that stay where they fell: the other tile may have them too."""
FIELD, HALO = 1024, 64


def main() -> None:
    """Read the words, make the slide, run both trees by turns."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("before", type=Path, nargs="?", help="src folder of the earlier tree")
    parser.add_argument("--side", type=int, default=20_000, help="px of the square slide")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=0, help="processes; 0: this one alone")
    parser.add_argument("--folder", type=Path, help="kept, and used again; default: temporary")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    words = parser.parse_args()
    if words.child:
        print(json.dumps(measure(words.folder, words.child, words.workers)))
        return
    with tempfile.TemporaryDirectory() as scratch:
        folder = words.folder or Path(scratch)
        count = make(folder, words.side)
        print(f"{count} nuclei in files of tiles, a slide of {words.side} px a side")
        now = Path(__file__).resolve().parent.parent / "src"
        trees = {"before": words.before, "now": now} if words.before else {"now": now}
        found: dict[str, list[dict[str, float]]] = {name: [] for name in trees}
        for turn in range(words.rounds):
            for name in sorted(trees, reverse=turn % 2 == 1):
                found[name].append(run_child(trees[name], folder, name, words.workers))
                print(name, found[name][-1], flush=True)
        report(found)
        if words.before:
            compare(folder / "before", folder / "now")


def run_child(tree: Path, folder: Path, name: str, workers: int) -> dict[str, float]:
    """Put the slide together with one tree, in a new process."""
    shutil.rmtree(folder / name, ignore_errors=True)
    words = [f"--folder={folder}", f"--child={folder / name}", f"--workers={workers}"]
    done = subprocess.run(
        [sys.executable, __file__, *words],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        env=os.environ | {"PYTHONPATH": str(tree.resolve()), "OMP_NUM_THREADS": "1"},
    )
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def source() -> "partial[object]":
    """Make what stands for the model; never asked to outline anything."""
    from napari_uninuc.testing import FakeAnnotator, FakeCard

    return partial(FakeAnnotator, FakeCard(mpp=0.25), field_size=FIELD, halo=HALO)


def measure(folder: Path, output: Path, workers: int) -> dict[str, float]:
    """Take the tiles over and put them together; what is measured begins after the last tile."""
    from napari_uninuc.slides.cluster import on_processes
    from napari_uninuc.slides.opening import open_slide
    from napari_uninuc.slides.run import segment_slide
    from napari_uninuc.slides.tiles import tile_path

    slide, watch = open_slide(folder / "slide.ome.tif"), Watch()
    began: dict[str, float] = {}

    def take_over(job: object, fields: object, done: object) -> None:
        for field in fields:
            place = tile_path(job.folder, field.index)
            place.parent.mkdir(exist_ok=True)
            os.link(tile_path(folder / "tiles", field.index), place)
            done(field.index)
        began.update(wall=perf_counter(), cpu=family_cpu(), watch=watch.cpu)

    with ExitStack() as stack:
        more = {}
        if workers:
            cluster = stack.enter_context(on_processes(workers))
            cluster.client.wait_for_workers(workers)
            cluster.client.run(import_module, "napari_uninuc.slides.run")  # as after their tiles
            if "each" in signature(segment_slide).parameters:  # an earlier tree does it alone
                more["each"] = cluster.each
        segment_slide(slide, source(), output, runner=take_over, **more)
        wall, spent = perf_counter() - began["wall"], family_cpu() - began["cpu"]
        watch.stop()
    slide.close()
    return {"wall": wall, "cpu": spent - watch.cpu + began["watch"], "mib": watch.most}


def family() -> list[int]:
    """Ids of this process and all below it."""
    found, waiting = [], [os.getpid()]
    while waiting:
        pid = waiting.pop()
        with suppress(OSError):
            for task in Path(f"/proc/{pid}/task").iterdir():
                waiting += map(int, (task / "children").read_text().split())
            found.append(pid)
    return found


def family_cpu() -> float:
    """Seconds of CPU of this process and those below it, as far as they live."""
    total = 0
    for pid in family():
        with suppress(OSError):
            cells = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            total += int(cells[11]) + int(cells[12])
    return total / os.sysconf("SC_CLK_TCK")


def family_mib() -> float:
    """Memory of this process and those below it, shared pages divided (PSS)."""
    total = 0
    for pid in family():
        with suppress(OSError):
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
            total += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total / 1024


class Watch:
    """The most memory of this process and those below it until it is stopped, MiB.

    Attributes
    ----------
    most : MiB
    cpu : seconds that looking took
    """

    def __init__(self) -> None:
        """Begin to look, twice a second."""
        self.most, self.cpu, self._going = 0.0, 0.0, True
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop looking."""
        self._going = False
        self._thread.join()

    def _look(self) -> None:
        while self._going:
            self.most = max(self.most, family_mib())
            self.cpu = thread_time()
            sleep(0.5)


def report(found: dict[str, list[dict[str, float]]]) -> None:
    """Print medians, and ratios of the first tree to the second."""
    medians = {
        name: {key: float(np.median([each[key] for each in runs])) for key in runs[0]}
        for name, runs in found.items()
    }
    for name, values in medians.items():
        print(f"{name:8}" + "".join(f"{key} {value:10.2f}   " for key, value in values.items()))
    if len(medians) == 2:
        ratios = {key: medians["before"][key] / medians["now"][key] for key in medians["now"]}
        print("before / now: " + "  ".join(f"{key} {ratio:.2f}" for key, ratio in ratios.items()))


def compare(before: Path, now: Path) -> None:
    """Say of every file whether it is the same."""
    names = sorted(
        {str(p.relative_to(f)) for f in (before, now) for p in f.rglob("*") if p.is_file()}
    )
    same = [name for name in names if digest(before / name) == digest(now / name)]
    print(f"{len(same)} of {len(names)} files are equal byte by byte")
    for name in names:
        if name not in same:
            print(f"  {name}: {difference(before / name, now / name)}")


def digest(path: Path) -> str:
    """Know the bytes of a file again; empty where there is none."""
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else ""


def difference(before: Path, now: Path) -> str:
    """What is not the same of two files, in words."""
    if not (before.exists() and now.exists()):
        return "only in one of both"
    if before.suffix == ".gz":
        texts = [gzip.decompress(path.read_bytes()) for path in (before, now)]
        return "unpacked equal" if texts[0] == texts[1] else "unpacked different"
    if before.suffix == ".tif":
        import tifffile

        first, second = (tifffile.imread(path) for path in (before, now))
        return (
            "pixels equal, the time of writing is not" if (first == second).all() else "different"
        )
    if before.name in ("run.json", "report.html"):
        return "has the seconds in it"
    return f"{before.stat().st_size} and {now.stat().st_size} bytes"


def make(folder: Path, side: int) -> int:
    """Write the slide and the files of its tiles, unless they are there; returns the nuclei."""
    if not (folder / "made.json").exists():
        write_slide(folder / "slide.ome.tif", side, TISSUE, RIM)
        count = write_tiles(folder, side)
        (folder / "made.json").write_text(json.dumps({"side": side, "nuclei": count}))
    made = json.loads((folder / "made.json").read_text())
    if made["side"] != side:
        raise SystemExit(f"{folder} holds a slide of {made['side']} px; name another folder")
    return int(made["nuclei"])


def write_tiles(folder: Path, side: int) -> int:
    """Write what each tile found; returns how many nuclei in all."""
    from napari_uninuc.slides.opening import open_slide
    from napari_uninuc.slides.plan import plan_slide
    from napari_uninuc.slides.tiles import TileResult, tile_path, write_tile_file
    from napari_uninuc.slides.tissue import find_tissue

    slide = open_slide(folder / "slide.ome.tif")
    plan = plan_slide(slide, find_tissue(slide), source()())
    slide.close()
    rng = np.random.default_rng(23)
    outlines = [outline(rng) for _ in range(KINDS)]
    (folder / "tiles").mkdir(exist_ok=True)
    total = 0
    for index in plan.tiles:
        found = nuclei_of(plan.fields[index], side, rng, outlines)
        total += len(found)
        result = TileResult(index, tuple(found), {"read": 0.1, "outline": 1.0}, "CPU (made up)")
        write_tile_file(result, tile_path(folder / "tiles", index))
    return total


def outline(rng: np.random.Generator) -> npt.NDArray[np.bool_]:
    """Make a rounded, lengthy outline, some with a dent; tight."""
    long = float(np.clip(rng.lognormal(np.log(11.5), 0.28), 4, 45))
    short = long * rng.uniform(0.5, 1.0)
    turn = rng.uniform(0, np.pi)
    half = int(np.ceil(long * 1.4)) + 1
    y, x = np.mgrid[-half : half + 1, -half : half + 1]
    u, v = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
    angle = np.arctan2(v / short, u / long)
    waves = sum(
        rng.normal(0, 0.10 / k) * np.cos(k * angle + rng.uniform(0, 6.3)) for k in (2, 3, 4, 5, 7)
    )
    mask = np.hypot(u / long, v / short) < 1 + waves
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def nuclei_of(
    field: "Field", side: int, rng: np.random.Generator, outlines: Sequence[npt.NDArray[np.bool_]]
) -> "list[FoundNucleus]":
    """Make what a tile finds: nuclei around its inner part, as close as in dense tissue."""
    from napari_uninuc.core.instances import InstanceMask
    from napari_uninuc.engine.protocol import FoundNucleus

    (y0, x0, y1, x1), (top, left, bottom, right) = field.inner_yxyx, field.outer_yxyx
    low, high = RIM * side, (1 - RIM) * side
    sides = [(max(a, low), min(b, high)) for a, b in ((y0, y1), (x0, x1))]
    apart = (1e6 / PER_MM2) ** 0.5 / 0.25
    grid = [np.arange(a + apart / 2, b, apart) for a, b in sides]
    found = []
    for place in ((y, x) for y in grid[0] for x in grid[1]):
        mask = outlines[int(rng.integers(len(outlines)))]
        centre = [c + rng.normal(0, 0.22 * apart) for c in place]
        if rng.random() > SEEN_TWICE:
            centre = [min(max(c, a), b) for c, (a, b) in zip(centre, sides, strict=True)]
        y, x = (int(c - length / 2) for c, length in zip(centre, mask.shape, strict=True))
        at = max(y, top), max(x, left)
        crop = mask[at[0] - y : max(bottom - y, 0), at[1] - x : max(right - x, 0)]
        if crop.any():
            score, iou = (float(np.float32(value)) for value in (rng.beta(5, 2), rng.random()))
            one = InstanceMask(at, crop, score, 0, iou)
            box = np.array(one.box_yxyx) + rng.normal(0, 0.8, 4)
            found.append(FoundNucleus(one, tuple(map(float, box.astype(np.float32)))))
    return sorted(found, key=lambda each: -each.mask.score)


if __name__ == "__main__":
    main()
