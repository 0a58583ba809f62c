"""Seconds of each step, both contenders by turns in one process."""

import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from contenders import (
    BUNDLED,
    OURS,
    THEIRS,
    ask_boxes,
    grid_boxes,
    make,
    nuclei_for,
    picture,
)

SIDE = 1024
AT_ONCE = {OURS: 256, THEIRS: 64}
"""Boxes in one call: SAM 2 with more needs gigabytes."""
Step = Callable[[Any, int], object]


@dataclass
class Row:
    """Seconds of one step by contender, one value a round; ``ratios`` are ours / SAM 2's."""

    step: str
    seconds: dict[str, list[float]] = field(default_factory=dict)
    note: str = ""

    def median(self, name: str) -> float:
        """Of the rounds."""
        return statistics.median(self.seconds[name])

    @property
    def ratio(self) -> float | None:
        """Median of each round's first contender divided by its second."""
        if len(self.seconds) < 2:
            return None
        first, second = self.seconds.values()
        return statistics.median(a / b for a, b in zip(first, second, strict=True))


def paired(step: str, do: dict[str, Callable[[int], object]], rounds: int, device: str) -> Row:
    """Time A, B, A, B ...; the first round is not counted where there are several to come."""
    row = Row(step, {name: [] for name in do})
    warm = 1 if rounds > 1 else 0
    for number in range(rounds + warm):
        for name, work in do.items():
            _wait(device)
            began = time.perf_counter()
            work(number)
            _wait(device)
            if number >= warm:
                row.seconds[name].append(time.perf_counter() - began)
    return row


def same_trunk(device: str, rounds: int, box_counts: tuple[int, ...]) -> Iterator[Row]:
    """Hiera-B+ on both sides: encode, clicks, boxes."""
    both = {name: make(name, device) for name in (OURS, THEIRS)}
    yield _encode(both, rounds, device)
    rng = np.random.default_rng(0)
    places = rng.uniform(60, SIDE - 60, (1000, 2)).astype(np.float32)
    low = {name: each.predict(**_point(places[0]))[2] for name, each in both.items()}
    clicks: dict[str, Step] = {
        "click, point": lambda name, k: both[name].predict(**_point(places[k])),
        "click, box": lambda name, k: both[name].predict(**_box(places[k])),
        "click, point and mask": lambda name, k: both[name].predict(
            **_point(places[0]), mask_input=low[name]
        ),
    }
    for step, do in clicks.items():
        yield paired(step, {name: _bound(do, name) for name in both}, 10 * rounds, device)
    for count in box_counts:
        boxes = grid_boxes(count, SIDE)
        work = {
            name: _bound(lambda name, k, b=boxes: ask_boxes(both[name], b, AT_ONCE[name]), name)
            for name in both
        }
        if count > 64:  # SAM 2 needs a minute for 256 on two cores: one round, both warm
            ask_boxes(both[OURS], boxes, AT_ONCE[OURS])
        yield paired(f"{count} boxes", work, rounds if count <= 64 else 1, device)


def _encode(both: dict[str, Any], rounds: int, device: str) -> Row:
    picture(SIDE, 300)

    def encode(name: str, number: int) -> None:
        tile = picture(SIDE, 300, number)
        both[name].set_image(tile if name == OURS else tile.rgb)

    return paired("encode", {name: _bound(encode, name) for name in both}, rounds, device)


def bundled_against(device: str, rounds: int) -> Row:
    """A new tile of 300 nuclei to outlines; SAM 2 encodes and is given the boxes ours found."""
    ours, theirs = make(BUNDLED, device), make(THEIRS, device)
    found: list[Any] = []

    def automatic(number: int) -> None:
        ours.set_image(picture(SIDE, 300, number))
        found[:] = [ours.segment().table[["x0", "y0", "x1", "y1"]].to_numpy(np.float32)]

    def prompted(number: int) -> None:
        theirs.set_image(picture(SIDE, 300, number).rgb)
        ask_boxes(theirs, found[0], AT_ONCE[THEIRS])

    automatic(999)
    row = paired("automatic, 1024 px", {BUNDLED: automatic, THEIRS: prompted}, 1, device)
    more = paired("", {BUNDLED: automatic}, rounds, device)
    row.note = (
        f"{len(found[0])} nuclei; SAM 2 once; ours alone, {rounds} rounds: "
        f"median {more.median(BUNDLED):.2f} s"
    )
    return row


def click_by_side(device: str, rounds: int, sides: tuple[int, ...]) -> Row:
    """One click on the largest tile and on one of 1,024 px, by turns."""
    from napari_uninuc.engine.predictor import Predictor

    engine = make(BUNDLED, device).engine
    work = {}
    for side in (max(sides), SIDE):
        predictor = Predictor(engine)
        predictor.set_image(picture(side, nuclei_for(side)))
        at = np.array([side / 2 - 40, side / 2 - 40], np.float32)
        work[f"{side} px"] = lambda k, each=predictor, xy=at: each.predict(**_point(xy + k % 7))
    return paired(f"click, {max(sides)} / {SIDE} px", work, 10 * rounds, device)


def scaling(device: str, rounds: int, sides: tuple[int, ...]) -> Iterator[Row]:
    """The bundled model alone: automatic and a click, by the tile's side; then by nuclei."""
    predictor = make(BUNDLED, device)
    for side in sides:
        nuclei = nuclei_for(side)

        picture(side, nuclei)  # makes it, outside of what is timed

        def automatic(number: int, side: int = side, nuclei: int = nuclei) -> None:
            predictor.set_image(picture(side, nuclei, number))
            predictor.segment()

        yield paired(
            f"automatic, {side} px", {BUNDLED: automatic}, rounds if side <= 1024 else 1, device
        )
        middle = np.array([side / 2 - 40, side / 2 - 40], np.float32)
        click = _bound(lambda name, k, at=middle: predictor.predict(**_point(at + k % 7)), BUNDLED)
        yield paired(f"click on {side} px", {BUNDLED: click}, 10 * rounds, device)
    for nuclei in (50, 150, 300, 600):
        picture(SIDE, nuclei)

        def some(number: int, nuclei: int = nuclei) -> None:
            predictor.set_image(picture(SIDE, nuclei, number))
            predictor.segment()

        yield paired(f"automatic, {nuclei} nuclei", {BUNDLED: some}, rounds, device)


def _bound(do: Step, name: str) -> Callable[[int], object]:
    return lambda number: do(name, number)


def _point(xy: np.ndarray) -> dict[str, Any]:
    return {"point_coords": xy[None], "point_labels": np.array([1]), "multimask_output": False}


def _box(xy: np.ndarray) -> dict[str, Any]:
    return {"box": np.concatenate([xy - 15, xy + 15]), "multimask_output": False}


def _wait(device: str) -> None:
    if device.startswith("cuda"):
        import torch

        torch.cuda.synchronize()
