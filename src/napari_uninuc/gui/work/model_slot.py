"""The model in use: which one, where it computes, and the loading of it in the worker."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any, cast

from psygnal import Signal

from napari_uninuc.client.address import ServerAddress
from napari_uninuc.core.geometry import Field
from napari_uninuc.core.prompts import Answer, Prompt
from napari_uninuc.core.tile import Tile
from napari_uninuc.engine.protocol import Annotator
from napari_uninuc.errors import ModelNotFoundError
from napari_uninuc.gui.window.preferences import preferences
from napari_uninuc.gui.work.jobs import Worker

__all__ = ["InState", "Loader", "ModelSlot", "OnServer", "load_bundled"]


@dataclass(frozen=True, slots=True)
class InState:
    """A model in a state that was learnt from corrections: its id or path, and the state's file."""

    model: str
    adapter: Path

    def __str__(self) -> str:
        return f"{Path(self.model).name} as {self.adapter.stem}"


@dataclass(frozen=True, slots=True)
class OnServer:
    """A server's model in a state that it offers by name; empty is the model as it came."""

    address: ServerAddress
    learnt: str

    def __str__(self) -> str:
        return f"{self.address} ({self.learnt or 'as it came'})"


Model = str | Path | ServerAddress | InState | OnServer
"""An id, a path, either of them in a learnt state, or a server that has one, in a state or not."""
Loader = Callable[[Model, str], Annotator]
"""Makes an annotator of a model and a device; called in the worker."""


def load_bundled(model: Model, device: str) -> Annotator:
    """Load a model on torch, imported only now; or reach a server, without torch.

    Raises
    ------
    ModelNotFoundError
        What it takes is not installed; or the model is not free for commercial use, and napari's
        preferences ask for that.
    ServerError
        See `napari_uninuc.client.annotator.connect`.
    """
    if isinstance(model, ServerAddress | OnServer):
        loaded = _connected(model)
    else:
        loaded = _loaded(model, device)
    if preferences().commercial_use and not loaded.card.commercial_use:
        loaded.close()
        raise ModelNotFoundError(
            f"{loaded.card.id} is not for commercial use ({loaded.card.licence}), and only models "
            "that are were asked for; choose uninuc-o, or change the preference"
        )
    return loaded


def _loaded(model: str | Path | InState, device: str) -> Annotator:
    with _without_triton():
        try:
            from napari_uninuc.engine.annotator import load_annotator
        except ModuleNotFoundError as problem:
            raise ModelNotFoundError(
                f"no model can compute here, {problem.name} is not installed; choose a server "
                "under Model, or pip install 'napari-uninuc[all]'"
            ) from None

        learnt = model if isinstance(model, InState) else None
        name = model if isinstance(model, str | Path) else model.model
        adapter = None if learnt is None else learnt.adapter
        kept = None if preferences().embeddings else 0
        return load_annotator(name, device, embeddings_gb=kept, adapter=adapter)


def _connected(model: ServerAddress | OnServer) -> Annotator:
    try:
        from napari_uninuc.client.annotator import connect
    except ModuleNotFoundError as problem:
        raise ModelNotFoundError(
            f"a server needs {problem.name}: pip install 'napari-uninuc[client]'"
        ) from None
    if isinstance(model, OnServer):
        return connect(model.address, learnt=model.learnt)
    return connect(model)


@contextmanager
def _without_triton() -> Iterator[None]:
    """Let torch be imported without its compiler where that would end the process.

    The compiler's library has LLVM in it. Loaded into a process whose window is drawn by Mesa,
    which has another LLVM, it ends the process with a segmentation fault (seen with llvmpipe).
    Where a graphics card draws, other plugins find the compiler as ever.
    """
    if "triton" in sys.modules or not _has_llvm():
        yield
        return
    sys.modules["triton"] = None  # type: ignore[assignment]  # what `import` takes for "not there"
    try:
        yield
    finally:
        del sys.modules["triton"]


def _has_llvm() -> bool:
    """Whether LLVM is in this process already, as Mesa brings it; only Linux tells."""
    try:
        return "libLLVM" in Path("/proc/self/maps").read_text(errors="replace")
    except OSError:
        return False


class _Timed:
    """An annotator that remembers how long its last answers took."""

    def __init__(self, annotator: Annotator, seconds: dict[str, float]) -> None:
        self._annotator, self._seconds = annotator, seconds

    def __getattr__(self, name: str) -> Any:
        return getattr(self._annotator, name)

    def encode(self, tile: Tile, field: Field) -> float:
        seconds = self._annotator.encode(tile, field)
        if seconds > 0:
            self._seconds["encode"] = seconds
        return seconds

    def answer(self, tile: Tile, prompt: Prompt) -> Answer:
        began = perf_counter()
        answer = self._annotator.answer(tile, prompt)
        self._seconds["click"] = perf_counter() - began
        return answer


class ModelSlot:
    """Holds at most one model; a new one takes its place once it is loaded.

    Parameters
    ----------
    worker : where loading and computing happen
    load : makes the annotator
    on_problem : told when a model cannot be loaded; the one before stays then

    Attributes
    ----------
    changed : a model is being loaded, was loaded, or failed to
    loading_what : what is being done for the one wanted last, in words
    notices : what the model said and nobody has read yet
    seconds : "encode" and "click": how long the last one took
    wanted : (model, device) asked for last, None where that failed, its device was full or its
        server away since
    """

    changed = Signal()

    def __init__(
        self,
        worker: Worker,
        load: Loader,
        *,
        on_problem: Callable[[Exception], None],
    ) -> None:
        self._worker, self._load, self._on_problem = worker, load, on_problem
        self._annotator: Annotator | None = None
        self.seconds: dict[str, float] = {}
        self.notices: list[str] = []
        self.wanted: tuple[str | ServerAddress | InState | OnServer, str] | None = None
        self._loading = 0
        self.loading_what = ""
        self._source: str | None = None
        self._loaded_as: tuple[str, str] | None = None  # name and device, while it is there

    @property
    def loading(self) -> bool:
        """The model wanted last is not there yet."""
        return self._loading > 0

    @property
    def annotator(self) -> Annotator | None:
        """The model, None before one was loaded."""
        return self._annotator

    @property
    def source(self) -> str | None:
        """Id or path of the model in use, whatever its learnt state; None for one on a server."""
        return self._source

    def require(self) -> Annotator:
        """Give the model, from the worker's thread.

        Raises
        ------
        ModelNotFoundError
            None could be loaded.
        """
        if self._annotator is None:
            raise ModelNotFoundError("no model is loaded; choose one under Model")
        return self._annotator

    def use(self, model: Model = "uninuc-n", device: str = "auto") -> None:
        """Load a model in the worker, unless it is the one wanted last and still where it was."""
        on_server = isinstance(model, ServerAddress | OnServer)
        wanted = (str(model) if isinstance(model, str | Path) else model, device)
        if wanted == self.wanted:
            return
        self.wanted = wanted
        # A click may wait, in the worker, for a server that is away.
        getattr(self._annotator, "hurry", lambda: None)()

        adapter = model.adapter if isinstance(model, InState) else None
        name = model.model if isinstance(model, InState) else str(model)
        loaded_as = None if on_server else (name, device)

        def work() -> None:
            if loaded_as is not None and loaded_as == self._loaded_as:
                # It keeps what it has prepared, and to build one takes the window's time too.
                change = getattr(self._annotator, "change_state", None)
                if change is not None:
                    change(adapter)
                    return
            annotator, before = self._load(model, device), self._annotator
            annotator.notice = self._on_notice
            self._annotator = cast(Annotator, _Timed(annotator, self.seconds))
            self._loaded_as = loaded_as
            if before is not None:
                before.close()

        self._loading += 1
        words = f"Connecting to {model}" if on_server else f"Loading {Path(str(model)).name}"
        self.loading_what = words
        self._worker.submit(
            words,
            work,
            on_done=lambda _: self._loaded(model),
            on_error=lambda problem: self._failed(problem, model, device),
            holds_live=True,
        )
        self.changed.emit()

    def close(self) -> None:
        """Let the model do nothing more."""
        if self._annotator is not None:
            self._annotator.close()

    def take_notices(self) -> list[str]:
        """Give what the model said since last asked."""
        said, self.notices[:] = list(self.notices), []
        return said

    def _on_notice(self, text: str) -> None:
        """Keep what a model says, from any thread: its device was full, it may be loaded again."""
        self.notices.append(text)
        self.wanted = None
        self._loaded_as = None

    def _loaded(self, model: Model) -> None:
        if isinstance(model, InState):
            self._source = model.model
        else:
            self._source = str(model) if isinstance(model, str | Path) else None
        self._ended()

    def _ended(self) -> None:
        self._loading -= 1
        self.changed.emit()

    def _failed(self, problem: Exception, model: Model, device: str) -> None:
        """Say why; without any model, one whose learnt state cannot be had is taken as it came."""
        self.wanted = None
        self._on_problem(problem)
        self._ended()
        if isinstance(model, InState) and self._annotator is None:
            self.use(model.model, device)
