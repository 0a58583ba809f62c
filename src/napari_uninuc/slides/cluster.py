"""A run on many processes or machines, with dask.distributed; the result is the same."""

import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

from napari_uninuc.core.geometry import Field
from napari_uninuc.errors import DeviceError, OutputError
from napari_uninuc.slides.jobs import Done, TileJob, do_tile, in_turn
from napari_uninuc.slides.tiles import is_done, tile_path

__all__ = ["Cluster", "on_cluster", "on_processes"]

_PATIENCE_S = 20
"""How long a scheduler may take to answer."""
_ALONE_S = 60
"""How long a run waits for workers where all have gone; a queue may start others."""
_Job = TypeVar("_Job")
_Result = TypeVar("_Result")

_LOOK_S, _POLL_S = 5, 0.05
"""Between two looks at who works, and at what is done."""


class Cluster:
    """Does tiles, and puts them together, on whatever workers a dask client has.

    Parameters
    ----------
    client : a ``distributed.Client``; not closed here
    """

    def __init__(self, client: Any) -> None:
        self.client = client

    def run(self, job: TileJob, fields: Sequence[Field], done: Done) -> None:
        """Do tiles in any order, those of a lost worker again; a `Runner`.

        Raises
        ------
        DeviceError
            No worker, or none any more; a scheduler that goes away, or a tile that ends every
            worker it is given to.
        OutputError
            Workers write somewhere else than this process reads.
        ImageError, CheckpointError
            As `do_tile`.
        """
        as_completed = _distributed("a cluster").as_completed
        self._require_workers()
        futures = self.client.map(do_tile, [job] * len(fields), fields, pure=False)
        try:
            for future in self._completed(as_completed(futures, loop=self.client.loop)):
                index = int(self._awaited(future))
                if not is_done(tile_path(job.folder, index)):
                    raise OutputError(
                        f"{job.folder}: expected a tile that a worker wrote, got nothing; workers "
                        "must see this folder under the same path"
                    )
                done(index)
        finally:
            if self.client.status == "running":
                self.client.cancel(futures)

    def each(
        self, function: Callable[[_Job], _Result], jobs: Iterable[_Job]
    ) -> Generator[_Result, None, None]:
        """Do a function of each job, those of a lost worker again; an `Each`.

        Raises
        ------
        DeviceError
            As `run`.
        """
        self._require_workers()
        most = 2 * max(1, sum(self.client.nthreads().values()))
        yield from in_turn(
            lambda job: self.client.submit(function, job, pure=False), jobs, most, self._awaited
        )

    def _awaited(self, future: Any) -> Any:
        """Wait for one result, for as long as somebody works at it.

        One that is done can be lost still, with the worker that holds it: then it is done again.
        """
        watch = _Watch(self._has_workers)
        while True:
            if future.done():
                with suppress(_NotYetError):
                    return self._result(future)
            else:
                time.sleep(_POLL_S)
            watch.look()

    def _completed(self, completed: Any) -> Iterator[Any]:
        """Futures as they are done, for as long as somebody works at them."""
        watch = _Watch(self._has_workers)
        while not completed.is_empty():
            batch = completed.next_batch(block=False)
            yield from batch
            if batch:
                watch = _Watch(self._has_workers)
                continue
            time.sleep(_POLL_S)
            watch.look()

    def _has_workers(self) -> bool:
        """Whether anybody works; a scheduler that does not answer speaks through its futures."""
        try:
            return bool(self.client.nthreads())
        except (OSError, TimeoutError):
            return True

    def _require_workers(self) -> None:
        with suppress(TimeoutError):
            self.client.wait_for_workers(1, timeout=_PATIENCE_S)
            return
        raise DeviceError(
            f"expected a worker within {_PATIENCE_S} s, got none; start some with: dask worker "
            "ADDRESS"
        )

    def _result(self, future: Any) -> Any:
        """Fetch what is done; `_NotYetError` where it takes too long."""
        from distributed import CancelledError, KilledWorker

        try:
            return future.result(timeout=_LOOK_S)
        except TimeoutError:
            if future.status == "error":  # it is the task's own
                raise
            raise _NotYetError from None
        except CancelledError:
            raise DeviceError(
                "expected the scheduler to stay, got none; tiles that were done are kept: run the "
                "same command again once it is back"
            ) from None
        except KilledWorker:
            raise DeviceError(
                "a task ended every worker it was given to, got no result; workers may have too "
                "little memory: start fewer of them, or larger ones"
            ) from None


class _NotYetError(Exception):
    """A result that was not fetched in time; it may have to be computed again."""


class _Watch:
    """Sees when nobody works any more.

    A local cluster whose workers were killed may start no others, and what waits for them then
    waits for ever (seen with distributed 2026.8).
    """

    def __init__(self, has_workers: Callable[[], bool]) -> None:
        self._has_workers = has_workers
        self._seen = self._looked = time.monotonic()

    def look(self) -> None:
        """Look, if it is time to; DeviceError where there was nobody for too long."""
        if (now := time.monotonic()) - self._looked < _LOOK_S:
            return
        self._looked = now
        if self._has_workers():
            self._seen = now
        elif now - self._seen > _ALONE_S:
            raise DeviceError(
                f"expected somebody to work, got no worker for {_ALONE_S} s; tiles that were "
                "done are kept: start workers and run the same command again"
            )


@contextmanager
def on_cluster(address: str) -> Iterator[Cluster]:
    """Use the workers of a running scheduler.

    Raises
    ------
    DeviceError
        It does not answer, or dask.distributed is not installed.
    """
    distributed = _distributed("--scheduler")
    try:
        client = distributed.Client(address, timeout=_PATIENCE_S, set_as_default=False)
    except (OSError, TimeoutError, ValueError) as problem:
        reason = " ".join(str(problem).split()) or "no answer"
        raise DeviceError(
            f"expected a dask scheduler at {address}, got {reason}; check the address and that it "
            "runs"
        ) from None
    try:
        yield Cluster(client)
    finally:
        client.close()


@contextmanager
def on_processes(count: int) -> Iterator[Cluster]:
    """Start workers on this machine, one model and one thread each; stopped in the end.

    Raises
    ------
    DeviceError
        dask.distributed is not installed.
    """
    distributed = _distributed("--workers")
    with (
        distributed.LocalCluster(
            n_workers=count,
            threads_per_worker=1,
            processes=True,
            # None would still ask for port 8787, which another cluster may have.
            dashboard_address="127.0.0.1:0",
            scheduler_kwargs={"dashboard": False},
            memory_limit=0,
            silence_logs=50,
        ) as workers,
        distributed.Client(workers, set_as_default=False) as client,
    ):
        yield Cluster(client)


def _distributed(option: str) -> Any:
    try:
        import distributed
    except ImportError:
        raise DeviceError(
            f"{option} needs the package distributed, got none; pip install "
            "'napari-uninuc[cluster]'"
        ) from None
    return distributed
