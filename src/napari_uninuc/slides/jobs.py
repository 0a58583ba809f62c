"""The work of a run in pieces that any process can do, and doing them in this one."""

import os
import pickle
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Protocol, TypeVar

from napari_uninuc.core.geometry import Field
from napari_uninuc.core.tile import Tile
from napari_uninuc.engine.protocol import Annotator
from napari_uninuc.errors import CheckpointError
from napari_uninuc.slides.opening import open_slide
from napari_uninuc.slides.protocol import Slide
from napari_uninuc.slides.tiles import (
    TileResult,
    outline_tile,
    read_tile,
    tile_path,
    write_tile_file,
)

__all__ = [
    "Done",
    "Each",
    "Runner",
    "TileJob",
    "do_tile",
    "each_here",
    "held_annotator",
    "in_turn",
    "run_here",
]

_READ_AHEAD = 2

_MOST_THREADS = 4
"""Of `each_here`: what is left to Python is done by one at a time."""

_Job = TypeVar("_Job")
_Result = TypeVar("_Result")
_Future = TypeVar("_Future", bound="_Cancellable")


@dataclass(frozen=True, slots=True)
class TileJob:
    """What all tiles of a run share; travels to other processes.

    Attributes
    ----------
    slide : path that every worker sees
    fingerprint : of the slide, so that one that was replaced is opened anew
    mpp : micrometres per px of the slide at full resolution
    level, level_mpp : what is read
    brown : the stain, as found for the whole slide
    score_threshold : in [0, 1]
    model_sha256 : of the weights the plan was made for
    load : makes the annotator; called once a process, and picklable
    folder : where results of tiles go; every worker must see it
    """

    slide: Path
    fingerprint: str
    mpp: float
    level: int
    level_mpp: float
    brown: bool
    score_threshold: float
    model_sha256: str
    load: Callable[[], Annotator]
    folder: Path


Done = Callable[[int], None]
"""Called with the index of a tile once its file is there."""

Runner = Callable[[TileJob, Sequence[Field], Done], None]
"""Does tiles: `run_here`, or `napari_uninuc.slides.cluster.Cluster.run`."""


class _Cancellable(Protocol):
    def cancel(self) -> object: ...


class Each(Protocol):
    """Does a function of each job: `each_here`, or `napari_uninuc.slides.cluster.Cluster.each`."""

    def __call__(
        self, function: Callable[[_Job], _Result], jobs: Iterable[_Job]
    ) -> Generator[_Result, None, None]:
        """Yield results in the order of jobs, which are asked for a few at a time.

        Closing it lets go of jobs that were not begun.
        """
        ...


class _Bench:
    """What this process holds: one model and one slide, used by one thread at a time."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self._model: tuple[bytes, Annotator] | None = None
        self._slide: tuple[tuple[Path, str, float], Slide] | None = None

    def loaded(self, load: Callable[[], Annotator]) -> Annotator:
        key = pickle.dumps(load)
        if self._model is None or self._model[0] != key:
            self._model = None  # never two at once
            self._model = key, load()
        return self._model[1]

    def model(self, job: TileJob) -> Annotator:
        annotator = self.loaded(job.load)
        if annotator.card.sha256 != job.model_sha256:
            raise CheckpointError(
                f"expected the weights {job.model_sha256[:12]} on every worker, got "
                f"{annotator.card.sha256[:12]}; install one version everywhere"
            )
        return annotator

    def slide(self, job: TileJob) -> Slide:
        key = (job.slide, job.fingerprint, job.mpp)
        if self._slide is None or self._slide[0] != key:
            self.let_go()
            self._slide = key, open_slide(job.slide, job.mpp)
        return self._slide[1]

    def let_go(self) -> None:
        """Close the slide; the model stays."""
        if self._slide is not None:
            self._slide[1].close()
        self._slide = None


_BENCH = _Bench()


def held_annotator(load: Callable[[], Annotator]) -> Annotator:
    """Load a model, or take the one that this process holds; `run_here` uses the same."""
    with _BENCH.lock:
        return _BENCH.loaded(load)


def do_tile(job: TileJob, field: Field) -> int:
    """Read, outline and keep one tile, in whatever process this is; returns its index.

    Doing a tile twice does no harm: its file is replaced by the same.

    Raises
    ------
    ImageError, DeviceError, CheckpointError, OutputError
        As reading, the model and writing do.
    """
    with _BENCH.lock:
        tile, seconds = _read(_BENCH.slide(job), job, field)
        return _outline(_BENCH.model(job), job, field, tile, seconds)


def run_here(job: TileJob, fields: Sequence[Field], done: Done) -> None:
    """Do tiles one after the other; the next ones are read while one is outlined."""
    slide = open_slide(job.slide, job.mpp)
    with ThreadPoolExecutor(1) as reader:
        coming: deque[Future[tuple[Tile, float]]] = deque()
        try:
            for place, field in enumerate(fields):
                for ahead in fields[place + len(coming) : place + _READ_AHEAD]:
                    coming.append(reader.submit(_read, slide, job, ahead))
                tile, seconds = coming.popleft().result()
                with _BENCH.lock:
                    _outline(_BENCH.model(job), job, field, tile, seconds)
                done(field.index)
        finally:
            reader.shutdown(wait=True, cancel_futures=True)
            slide.close()


def each_here(
    function: Callable[[_Job], _Result], jobs: Iterable[_Job]
) -> Generator[_Result, None, None]:
    """Do jobs in some threads of this process, while the next ones are made; an `Each`."""
    threads = min(_MOST_THREADS, os.cpu_count() or 1)
    with ThreadPoolExecutor(threads) as pool:
        yield from in_turn(lambda job: pool.submit(function, job), jobs, 2 * threads, Future.result)


def in_turn(
    submit: Callable[[_Job], _Future],
    jobs: Iterable[_Job],
    most: int,
    result: Callable[[_Future], _Result],
) -> Iterator[_Result]:
    """Have at most so many jobs at work or done, and yield their results in order."""
    coming: deque[_Future] = deque()
    try:
        for job in jobs:
            coming.append(submit(job))
            if len(coming) >= most:
                yield result(coming.popleft())
        while coming:
            yield result(coming.popleft())
    finally:
        for future in coming:
            future.cancel()


def _read(slide: Slide, job: TileJob, field: Field) -> tuple[Tile, float]:
    began = perf_counter()
    tile = read_tile(slide, job.level, job.level_mpp, field, brown=job.brown)
    return tile, perf_counter() - began


def _outline(annotator: Annotator, job: TileJob, field: Field, tile: Tile, seconds: float) -> int:
    began = perf_counter()
    said: list[str] = []
    annotator.notice = said.append
    try:
        found = outline_tile(annotator, tile, field, job.score_threshold)
    finally:
        annotator.notice = None
    spent = {"read": seconds, "outline": perf_counter() - began}
    result = TileResult(field.index, found, spent, annotator.device_name, tuple(said))
    write_tile_file(result, tile_path(job.folder, field.index))
    return field.index
