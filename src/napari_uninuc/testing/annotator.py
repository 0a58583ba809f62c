"""An annotator without torch: dark blobs, discs and no surprises."""

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from napari_uninuc.core.geometry import Field, label_boxes, plan_fields
from napari_uninuc.core.instances import InstanceMask
from napari_uninuc.core.outline import common_part, keep_meant, tight_crop
from napari_uninuc.core.prompts import Answer, MaskLogits, Prompt
from napari_uninuc.core.shapes import (
    N_NEIGHBOURS,
    N_SHAPES,
    Places,
    measure_neighbours,
    measure_shapes,
    middles_of,
)
from napari_uninuc.core.tile import Tile
from napari_uninuc.engine.owners import field_of, owned_by, place_of
from napari_uninuc.engine.protocol import FoundNucleus
from napari_uninuc.errors import PromptError
from napari_uninuc.testing.tissue import EOSIN, HAEMATOXYLIN, ellipse

__all__ = ["FakeAnnotator", "FakeCard"]

Step = Literal["encode", "segment", "answer"]
Blobs = npt.NDArray[np.int32]

_DARK_RED = (EOSIN[0] + HAEMATOXYLIN[0]) / 2
"""Red value below which a pixel of a synthetic tile is nucleus: halfway between both stains."""
_SMALLEST_BLOB_PX = 9
_REACH_PX = 64
"""Blobs are known this far around a prompt."""


@dataclass(frozen=True, slots=True)
class FakeCard:
    """What `FakeAnnotator` says it is."""

    id: str = "fake"
    mpp: float | None = 0.25
    licence: str = "BSD-3-Clause"
    commercial_use: bool = True
    attribution: tuple[str, ...] = ()
    sha256: str = ""
    learnt: str = ""
    learnt_sha256: str = ""
    score_threshold: float = 0.4
    flips: bool = False
    classes: tuple[str, ...] = ("nucleus",)


class FakeAnnotator:
    """An `Annotator` that outlines dark blobs; deterministic, and as slow or broken as you like.

    An inside click adds the blob under it and a disc; an outside click cuts a disc out; a box
    takes the blobs in it or, where there are none, its ellipse. Clicks work in their order, on
    the previous mask where there is one. Scores lie in [0.5, 1]. It is a `Describer` too.

    Parameters
    ----------
    card : identity, scale, classes
    field_size, halo : px of the tile, as `plan_fields` has them
    click_radius_px : of the discs
    delays : seconds to sleep in each step, by name; in ``encode`` only where it computes

    Attributes
    ----------
    calls : steps in the order they began; ``encode`` only where something was computed
    closed : `close` was called
    described : nuclei that `describe` has looked at
    notice : as in `Annotator`; `fail_next` does not call it
    """

    def __init__(
        self,
        card: FakeCard | None = None,
        *,
        field_size: int = 512,
        halo: int = 32,
        click_radius_px: float = 5.0,
        delays: dict[Step, float] | None = None,
    ) -> None:
        self.card = FakeCard() if card is None else card
        self.device_name = "CPU (fake)"
        self.notice: Callable[[str], None] | None = None
        self.calls: list[Step] = []
        self.closed = False
        self.described = 0
        self.delays: dict[Step, float] = dict(delays or {})
        self._field_size, self._halo, self._radius = field_size, halo, click_radius_px
        self._failures: dict[Step, deque[BaseException]] = {}
        self._gates: dict[Step, threading.Event] = {}
        self._blobs: dict[tuple[str, tuple[int, int, int, int]], Blobs] = {}

    def fail_next(self, step: Step, error: BaseException) -> None:
        """Let the next call of a step raise; several wait for their turn."""
        self._failures.setdefault(step, deque()).append(error)

    @contextmanager
    def held(self, step: Step) -> Iterator[None]:
        """Let every call of a step wait (in its own thread) until the block is left."""
        self._gates[step] = threading.Event()
        try:
            yield
        finally:
            self._gates.pop(step).set()

    def close(self) -> None:
        """Say that nobody needs it any more."""
        self.closed = True

    def fields(self, tile: Tile) -> list[Field]:
        """Cover a tile with fields."""
        return plan_fields(tile.shape, self._field_size, self._halo)

    def encode(self, tile: Tile, field: Field) -> float:
        """Find the blobs of a field; seconds, 0.0 where they were known."""
        began = time.perf_counter()
        if (tile.digest, field.outer_yxyx) in self._blobs:
            return 0.0
        self._begin("encode")
        self._blobs[tile.digest, field.outer_yxyx] = _dark_blobs(tile, field)
        return time.perf_counter() - began

    def segment_field(self, tile: Tile, field: Field, score_threshold: float) -> list[FoundNucleus]:
        """Outline the blobs the field answers for, best score first.

        Raises
        ------
        PromptError
            A threshold outside [0, 1].
        """
        if not 0 <= score_threshold <= 1:
            raise PromptError(f"score threshold must lie in 0..1, got {score_threshold}")
        self.encode(tile, field)
        self._begin("segment")
        blobs = self._blobs[tile.digest, field.outer_yxyx]
        ids, boxes = label_boxes(blobs)
        origin = np.array(field.outer_yxyx[:2] * 2)
        owned = owned_by(field, (boxes + origin).astype(np.float32), np.ones(2))
        found = [_found(blobs == number, field.outer_yxyx[:2]) for number in ids[owned].tolist()]
        kept = [one for one in found if one.mask.score >= score_threshold]
        return sorted(kept, key=lambda one: (-one.mask.score, one.mask.origin_yx))

    def segment_steps(
        self, tile: Tile, field: Field, score_threshold: float
    ) -> Generator[None, None, list[FoundNucleus]]:
        """Do as `segment_field`, in two steps."""
        self.encode(tile, field)
        yield
        return self.segment_field(tile, field, score_threshold)

    def answer(self, tile: Tile, prompt: Prompt) -> Answer:
        """Outline by clicks, see the class."""
        field = field_of(self.fields(tile), place_of(prompt))
        self.encode(tile, field)
        self._begin("answer")
        (y0, x0, y1, x1), (top, left) = _window(prompt, tile.shape), field.outer_yxyx[:2]
        blobs = np.zeros((y1 - y0, x1 - x0), np.int32)
        known = self._blobs[tile.digest, field.outer_yxyx]
        here, there = common_part((top - y0, left - x0), known.shape, blobs.shape)
        blobs[here] = known[there]
        raw, meant = _drawn(_moved(prompt, (y0, x0)), blobs, self._radius)
        mask, drawn = (
            InstanceMask(*tight_crop(part, (y0, x0)), 1.0, 0, 0.9) for part in (meant, raw)
        )
        return Answer(mask, MaskLogits.from_mask(drawn))

    def features(self, tile: Tile, masks: Sequence[InstanceMask]) -> npt.NDArray[np.float32]:
        """Mean colour and root of the area of each mask."""
        rows = []
        for mask in masks:
            (y0, x0, y1, x1), inside = mask.box_yxyx, mask.mask
            colour = tile.rgb[y0:y1, x0:x1][inside].mean(axis=0)
            rows.append([*colour, math.sqrt(mask.area)])
        return np.array(rows, np.float32).reshape(len(masks), 4)

    def describe(
        self,
        tile: Tile,
        masks: Sequence[InstanceMask],
        earlier: npt.NDArray[np.float32] | None = None,
    ) -> npt.NDArray[np.float32]:
        """What `measure_shapes` and `measure_neighbours` measure, and nothing else.

        `described` counts the nuclei that were looked at.
        """
        mpp = tile.mpp or 0.25
        wide = np.full((len(masks), N_SHAPES + N_NEIGHBOURS), np.nan, np.float32)
        rows = wide if earlier is None else earlier.copy()
        new = np.isnan(rows).any(axis=1)
        chosen = [masks[k] for k in np.flatnonzero(new).tolist()]
        self.described += len(chosen)
        inside = Places.inside(chosen, tile.shape)
        around = Places.around(chosen, tile.shape, 5)
        rows[new, :N_SHAPES] = measure_shapes(tile.rgb, inside, around, mpp)
        rows[:, N_SHAPES:] = measure_neighbours(middles_of(masks) * mpp)
        return rows

    @property
    def description(self) -> int:
        """Version of `describe`."""
        return 1

    @property
    def names_from(self) -> str:
        """Tissue of nobody; see `engine.protocol.Namer`."""
        return "made-up tissue"

    @property
    def names(self) -> tuple[str, ...]:
        """What can be asked for: `small` and `large`; see `engine.protocol.Namer`."""
        return ("small", "large")

    def shares(
        self, tile: Tile, masks: Sequence[InstanceMask], name: str
    ) -> npt.NDArray[np.float64]:
        """How many of the masks are not larger than each, or not smaller, as a share."""
        if name not in self.names:
            raise PromptError(f"expected one of {', '.join(self.names)}, got {name!r}")
        areas = np.array([mask.area for mask in masks], np.float64)
        above = (areas[:, None] > areas[None]).mean(axis=1)
        return above if name == "large" else 1 - above

    def memory_bytes(self) -> int:
        """Bytes of the blobs found so far."""
        return sum(blobs.nbytes for blobs in list(self._blobs.values()))

    def _begin(self, step: Step) -> None:
        self.calls.append(step)
        gate = self._gates.get(step)
        if gate is not None:
            gate.wait()
        time.sleep(self.delays.get(step, 0.0))
        if self._failures.get(step):
            raise self._failures[step].popleft()


def _dark_blobs(tile: Tile, field: Field) -> Blobs:
    y0, x0, y1, x1 = field.outer_yxyx
    red = ndimage.uniform_filter(tile.rgb[y0:y1, x0:x1, 0].astype(np.float32), 3)
    pieces, _ = ndimage.label(ndimage.binary_fill_holes(red < _DARK_RED))
    small = np.bincount(pieces.ravel()) < _SMALLEST_BLOB_PX
    blobs: Blobs = np.where(small[pieces], 0, pieces).astype(np.int32)
    return blobs


def _found(mask: npt.NDArray[np.bool_], origin_yx: tuple[int, int]) -> FoundNucleus:
    """Score, predicted IoU and detected box follow from place and size alone."""
    origin, crop = tight_crop(mask, origin_yx)
    seed = [*origin, int(crop.sum())]
    rng = np.random.default_rng(seed)
    score, iou = rng.uniform(0.5, 1, 2).tolist()
    instance = InstanceMask(origin, crop, score, 0, iou)
    y0, x0, y1, x1 = (np.array(instance.box_yxyx) + rng.uniform(-2, 2, 4)).tolist()
    return FoundNucleus(instance, (y0, x0, y1, x1))


def _window(prompt: Prompt, shape: tuple[int, int]) -> tuple[int, int, int, int]:
    """Everything a prompt can change, half-open px of the tile: work there and nowhere else."""
    corners = [*prompt.points_yx]
    boxes = [] if prompt.box_yxyx is None else [prompt.box_yxyx]
    if prompt.previous is not None:
        boxes.append(prompt.previous.box_yxyx)
    for y0, x0, y1, x1 in boxes:
        corners += [(y0, x0), (y1, x1)]
    low = np.floor(np.min(corners, axis=0)).astype(int) - _REACH_PX
    high = np.ceil(np.max(corners, axis=0)).astype(int) + _REACH_PX
    (top, left), (bottom, right) = np.clip(low, 0, shape), np.clip(high, 0, shape)
    return int(top), int(left), int(bottom), int(right)


def _moved(prompt: Prompt, origin_yx: tuple[int, int]) -> Prompt:
    """The prompt in px of a window that begins at `origin_yx`."""
    dy, dx = origin_yx
    points = tuple((y - dy, x - dx) for y, x in prompt.points_yx)
    box, previous = prompt.box_yxyx, prompt.previous
    if box is not None:
        box = (box[0] - dy, box[1] - dx, box[2] - dy, box[3] - dx)
    if previous is not None:
        y, x = previous.origin_yx
        previous = MaskLogits((y - dy, x - dx), previous.logits)
    return Prompt(points, prompt.inside, box, previous)


def _drawn(
    prompt: Prompt, blobs: Blobs, radius: float
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """What a prompt draws over the blobs of a window: as it comes, and as it is meant."""
    before = _previous(prompt, blobs.shape)
    raw = _boxed(prompt, blobs) if before is None else before.copy()
    clicks: dict[bool, list[tuple[float, float]]] = {True: [], False: []}
    for point, inside in zip(prompt.points_yx, prompt.inside, strict=True):
        clicks[bool(inside)].append(point)
        disc = ellipse(blobs.shape, point, np.full(2, radius))
        raw = (raw | disc | _blob_at(blobs, point)) if inside else (raw & ~disc)
    return raw, keep_meant(raw, clicks[True], clicks[False], before)


def _previous(prompt: Prompt, shape: tuple[int, ...]) -> npt.NDArray[np.bool_] | None:
    if prompt.previous is None:
        return None
    mask = np.zeros(shape, np.bool_)
    here, there = common_part(prompt.previous.origin_yx, prompt.previous.logits.shape, shape)
    mask[here] = prompt.previous.logits[there] > 0
    return mask


def _boxed(prompt: Prompt, blobs: Blobs) -> npt.NDArray[np.bool_]:
    """The blobs inside the prompt's box, else the box's ellipse; nothing without a box."""
    mask = np.zeros(blobs.shape, np.bool_)
    if prompt.box_yxyx is None:
        return mask
    y0, x0, y1, x1 = prompt.box_yxyx
    window = (slice(max(round(y0), 0), round(y1)), slice(max(round(x0), 0), round(x1)))
    mask[window] = blobs[window] > 0
    if mask.any():
        return mask
    radii = np.array([max(y1 - y0, 1), max(x1 - x0, 1)]) / 2
    return ellipse(blobs.shape, ((y0 + y1 - 1) / 2, (x0 + x1 - 1) / 2), radii)


def _blob_at(blobs: Blobs, point_yx: tuple[float, float]) -> npt.NDArray[np.bool_]:
    y, x = (math.floor(coordinate + 0.5) for coordinate in point_yx)
    inside = 0 <= y < blobs.shape[0] and 0 <= x < blobs.shape[1]
    number = int(blobs[y, x]) if inside else 0
    hit: npt.NDArray[np.bool_] = (blobs == number) & (number > 0)
    return hit
