"""Time and memory of the bundled model beside SAM 2's own image predictor, in one run.

python benchmarks/automatic_run.py [--model ID|PATH] [--rounds N] [--threads N] [--side PX]

Both see the same picture of 1000 x 1000 px, made by mirroring scikit-image's tile. SAM 2 is
Hiera-B+ with random weights: speed does not depend on them, masks are not looked at. Rounds of
both alternate, so that whatever else the machine does strikes both. CPU only; Linux and macOS.
"""

import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import click
import numpy as np
import numpy.typing as npt

_N_BOXES = 64
_STEPS = ("encode", "click", "64 boxes", "automatic")
_CONTENDERS = ("ours", "sam2")


def picture(side: int, number: int) -> npt.NDArray[np.uint8]:
    """The (side, side, 3) uint8 picture; ``number`` changes one pixel, which defeats caches."""
    from skimage import data

    tile = data.immunohistochemistry()
    missing = side - tile.shape[0]
    rgb = np.pad(tile, ((0, missing), (0, missing), (0, 0)), mode="symmetric")
    rgb[0, 0, 0] = number
    return rgb


def boxes(side: int) -> npt.NDArray[np.float32]:
    """64 boxes of 40 px on a grid, (64, 4) xyxy px."""
    first = np.linspace(20, side - 80, 8)
    xy = np.stack(np.meshgrid(first, first), axis=-1).reshape(_N_BOXES, 2)
    return np.concatenate([xy, xy + 40], axis=1).astype(np.float32)


class Contender:
    """One predictor and the four steps that are measured."""

    def __init__(self, name: str, model: str, threads: int, side: int) -> None:
        import torch

        torch.set_num_threads(threads)
        self.name, self.side = name, side
        self.predictor: Any = _ours(model) if name == "ours" else _sam2()
        self.found = boxes(side)
        """Boxes of an automatic run: SAM 2 has no detector and is given ours."""

    def steps(self, number: int) -> dict[str, Callable[[], object]]:
        """The steps of a round, to be called in this order."""
        rgb, last = picture(self.side, number), picture(self.side, number + 128)
        point = np.full((1, 2), self.side / 2, np.float32)
        return {
            "encode": lambda: self.predictor.set_image(rgb),
            "click": lambda: self.predictor.predict(
                point_coords=point, point_labels=np.array([1]), multimask_output=False
            ),
            "64 boxes": lambda: self._boxes(boxes(self.side)),
            "automatic": lambda: self._automatic(last),
        }

    def _boxes(self, some: npt.NDArray[np.float32]) -> None:
        self.predictor.predict(box=some, multimask_output=False)

    def _automatic(self, rgb: npt.NDArray[np.uint8]) -> None:
        self.predictor.set_image(rgb)
        if self.name == "ours":
            table = self.predictor.segment().table
            self.found = table[["x0", "y0", "x1", "y1"]].to_numpy(np.float32, copy=True)
            return
        for start in range(0, len(self.found), _N_BOXES):
            self._boxes(self.found[start : start + _N_BOXES])


def _ours(model: str) -> Any:
    from napari_uninuc import load_predictor

    return load_predictor(model, device="cpu")


def _sam2() -> Any:
    from sam2.build_sam import build_sam2
    from sam2.sam2_image_predictor import SAM2ImagePredictor

    return SAM2ImagePredictor(
        build_sam2("configs/sam2.1/sam2.1_hiera_b+.yaml", ckpt_path=None, device="cpu")
    )


def time_rounds(contenders: list[Contender], rounds: int) -> dict[str, dict[str, list[float]]]:
    """Seconds by step and contender; an unmeasured round warms up."""
    seconds: dict[str, dict[str, list[float]]] = {
        step: {name: [] for name in _CONTENDERS} for step in _STEPS
    }
    for number in range(rounds + 1):
        for contender in contenders:
            if contender.name == "sam2":
                contender.found = contenders[0].found
            for step, do in contender.steps(number).items():
                if number == 0 and step == "automatic":
                    continue  # the others have warmed it up, and it is the longest
                began = time.perf_counter()
                do()
                if number:
                    seconds[step][contender.name].append(time.perf_counter() - began)
    return seconds


def peak_mib() -> float:
    """Most memory this process has held, MiB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10


def peaks_of(name: str, model: str, threads: int, side: int) -> dict[str, float]:
    """Peak memory up to each step, MiB, in a process that does nothing else."""
    values_of = {"--model": model, "--threads": threads, "--side": side, "--memory-of": name}
    command = [sys.executable, __file__, *(str(x) for pair in values_of.items() for x in pair)]
    answer = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    values: dict[str, float] = json.loads(answer.stdout.splitlines()[-1])
    return values


def _print_table(
    seconds: dict[str, dict[str, list[float]]], peaks: dict[str, dict[str, float]]
) -> None:
    print("| step | ours, s | SAM 2 B+, s | times faster | ours, MiB | SAM 2 B+, MiB |")
    print("|---|---|---|---|---|---|")
    for step in _STEPS:
        ours, sam2 = seconds[step]["ours"], seconds[step]["sam2"]
        ratio = statistics.median(b / a for a, b in zip(ours, sam2, strict=True))
        middle = [statistics.median(values) for values in (ours, sam2)]
        memory = [peaks[name][step] for name in _CONTENDERS]
        print(
            f"| {step} | {middle[0]:.3f} | {middle[1]:.3f} | {ratio:.1f} "
            f"| {memory[0]:.0f} | {memory[1]:.0f} |"
        )


@click.command()
@click.option("--model", default="uninuc-n", show_default=True, help="Model id or folder.")
@click.option("--rounds", default=5, show_default=True, type=click.IntRange(min=1, max=100))
@click.option("--threads", default=1, show_default=True, type=click.IntRange(min=1))
@click.option("--side", default=1000, show_default=True, type=click.IntRange(512, 1024))
@click.option("--memory-of", type=click.Choice(_CONTENDERS), hidden=True)
def main(model: str, rounds: int, threads: int, side: int, memory_of: str | None) -> None:
    """Measure both and print a table."""
    if memory_of:
        contender = Contender(memory_of, model, threads, side)
        peaks = {}
        for step, do in contender.steps(0).items():
            do()
            peaks[step] = peak_mib()
        print(json.dumps(peaks))
        return
    # First, while this process is small: a child inherits its parent's peak on Linux.
    memory = {name: peaks_of(name, model, threads, side) for name in _CONTENDERS}
    contenders = [Contender(name, model, threads, side) for name in _CONTENDERS]
    seconds = time_rounds(contenders, rounds)
    print(
        f"{side} px, {rounds} rounds, {threads} threads, "
        f"{len(contenders[0].found)} nuclei in automatic"
    )
    _print_table(seconds, memory)


if __name__ == "__main__":
    main()
