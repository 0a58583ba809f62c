"""The annotator on torch: live answers from a cached embedding; the CPU when a GPU is full."""

from collections.abc import Callable, Generator, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch

from napari_uninuc.core.geometry import Field
from napari_uninuc.core.instances import InstanceMask
from napari_uninuc.core.names import region_of
from napari_uninuc.core.prompts import Answer, Prompt
from napari_uninuc.core.tile import Tile
from napari_uninuc.engine.automatic import Steps, find_in_field, steps_in_field
from napari_uninuc.engine.dense_parts import MapSource, WordSource, sources_beside
from napari_uninuc.engine.describing import DESCRIPTION_VERSION, describe_nuclei
from napari_uninuc.engine.device import device_name
from napari_uninuc.engine.features import pooled_features
from napari_uninuc.engine.full_device import where_it_fits
from napari_uninuc.engine.interactive import answer_prompt
from napari_uninuc.engine.loading import load_engine
from napari_uninuc.engine.prefetch import Prefetcher, neighbours_of
from napari_uninuc.engine.protocol import FoundNucleus
from napari_uninuc.engine.states import change_state, engine_beside, share_on
from napari_uninuc.engine.torch_engine import TorchEngine
from napari_uninuc.errors import CheckpointError, PromptError
from napari_uninuc.network.adapter import read_adapter
from napari_uninuc.network.card import ModelCard

__all__ = ["TorchAnnotator", "load_annotator"]

Result = TypeVar("Result")


def load_annotator(
    model: str | Path = "uninuc-n",
    device: str = "auto",
    *,
    notice: Callable[[str], None] | None = None,
    embeddings_gb: float | None = None,
    adapter: str | Path | None = None,
    proposer: str | None = None,
) -> "TorchAnnotator":
    """Load a model to correct nuclei with; takes seconds, so call it in the worker.

    Parameters
    ----------
    model : an id (``uninuc-n``), a model folder, or a ``.safetensors`` file with a card beside it
    device : auto, cpu, cuda, cuda:N or mps
    notice : see `napari_uninuc.engine.protocol.Annotator`
    embeddings_gb, adapter, proposer : see `load_engine`

    Raises
    ------
    ModelNotFoundError
        No such model.
    CheckpointError
        Its files are missing, damaged or belong to another architecture; or the learnt state is
        damaged or of other weights; or there is no decoder of next points beside them.
    PromptError
        No such proposer.
    DeviceError
        The device is not there.

    Examples
    --------
    Nuclei of one field, and the answer to a click, as the window asks for them:

    >>> from skimage import data
    >>> from napari_uninuc import Tile
    >>> from napari_uninuc.core.prompts import Prompt
    >>> from napari_uninuc.engine.annotator import load_annotator
    >>> tile = Tile.from_array(data.immunohistochemistry()[200:328, 100:228], mpp=0.25)
    >>> annotator = load_annotator("uninuc-n", device="cpu", embeddings_gb=0)
    >>> [field] = annotator.fields(tile)
    >>> found = annotator.segment_field(tile, field, annotator.card.score_threshold)
    >>> found[0].mask.score >= found[-1].mask.score >= annotator.card.score_threshold
    True
    >>> answer = annotator.answer(tile, Prompt().with_point((66, 71), inside=True))
    >>> y0, x0, y1, x1 = answer.mask.box_yxyx
    >>> y0 <= 66 < y1 and x0 <= 71 < x1
    True
    >>> annotator.close()
    """
    said: list[str] = []
    engine = load_engine(
        model,
        device,
        embeddings_gb=embeddings_gb,
        adapter=adapter,
        proposer=proposer,
        notice=said.append,
    )
    annotator = TorchAnnotator(engine, notice, ahead=True)
    for text in said:
        annotator.tell(text)
    return annotator


class TorchAnnotator:
    """An `Annotator` on a `TorchEngine`, which it owns and may move to the CPU.

    Parameters
    ----------
    engine : not to be used by anybody else
    notice : told when the device runs out of memory and the CPU takes over
    ahead : encode the fields beside the one that was last encoded while nothing is asked for
    """

    def __init__(
        self,
        engine: TorchEngine,
        notice: Callable[[str], None] | None = None,
        *,
        ahead: bool = False,
    ) -> None:
        self.engine = engine
        self._unheard: list[str] = []
        self.notice = notice
        self._sources: tuple[MapSource | WordSource, ...] = ()
        try:
            self._sources = sources_beside(engine)
        except CheckpointError as error:  # what lies beside a model never keeps it from working
            self.tell(f"{error}; nothing is found by name")
        self._ahead = Prefetcher() if ahead else None

    def beside(self, adapter: str | Path) -> "TorchAnnotator":
        """Make an annotator of the same model in a learnt state, beside this one.

        Both are to be used in one thread, and closing either lets both encode nothing ahead.

        Parameters
        ----------
        adapter : file of the state, see `napari_uninuc.network.adapter`

        Raises
        ------
        CheckpointError
            The state is damaged or of other weights.
        """
        made = TorchAnnotator(engine_beside(self.engine, read_adapter(Path(adapter))), self.notice)
        made._ahead = self._ahead
        return made

    @property
    def notice(self) -> Callable[[str], None] | None:
        """Who is told what a user should read; whoever comes first hears what was said before."""
        return self._notice

    @notice.setter
    def notice(self, listener: Callable[[str], None] | None) -> None:
        self._notice = listener
        if listener is not None:
            unheard, self._unheard = self._unheard, []
            for text in unheard:
                listener(text)

    def tell(self, text: str) -> None:
        """Say a line that a user should read, now or once somebody listens."""
        if self._notice is None:
            self._unheard.append(text)
        else:
            self._notice(text)

    @property
    def card(self) -> ModelCard:
        """What the model is and what it may be used for."""
        return self.engine.card

    @property
    def device_name(self) -> str:
        """Where it computes now, for people."""
        return device_name(self.engine.device)

    def fields(self, tile: Tile) -> list[Field]:
        """Cover a tile with fields; see `Annotator`."""
        return self.engine.fields(tile)

    def encode(self, tile: Tile, field: Field) -> float:
        """Encode a field; seconds, 0.0 where it was cached. See `Annotator`."""
        seconds = self._where_it_fits(lambda e: e.embed(tile, field).seconds, begin=False)
        if self._ahead is not None:
            fields = self.engine.fields(tile)
            others = [each for each in fields if each.index != field.index]
            # Once more at its end: the cache lets go first of what was not asked for longest.
            looked = (field, *others, field)
            self._ahead.plan(
                [
                    *(partial(self._look_ahead, tile, each) for each in looked),
                    *(partial(self._encode_ahead, tile, x) for x in neighbours_of(field, fields)),
                ]
            )
            self._ahead.go_on()
        return seconds

    def close(self) -> None:
        """Compute nothing more ahead."""
        if self._ahead is not None:
            self._ahead.close()

    def segment_field(self, tile: Tile, field: Field, score_threshold: float) -> list[FoundNucleus]:
        """Find the nuclei of a field, best score first; see `Annotator`."""
        return self._where_it_fits(lambda e: find_in_field(e, tile, field, score_threshold))

    def segment_steps(
        self, tile: Tile, field: Field, score_threshold: float
    ) -> Generator[None, None, list[FoundNucleus]]:
        """Do as `segment_field`, step by step; see `Annotator`.

        Examples
        --------
        Who takes no further step has cancelled; who takes them all gets the nuclei:

        >>> from skimage import data
        >>> from napari_uninuc import Tile
        >>> from napari_uninuc.engine.annotator import load_annotator
        >>> tile = Tile.from_array(data.immunohistochemistry()[200:328, 100:228], mpp=0.25)
        >>> annotator = load_annotator("uninuc-n", device="cpu", embeddings_gb=0)
        >>> [field] = annotator.fields(tile)
        >>> def outlined():
        ...     found = yield from annotator.segment_steps(tile, field, 0.5)
        ...     print("found some" if found else "found none")
        >>> for step in outlined():
        ...     pass  # look here whether it was cancelled
        found some
        >>> annotator.close()
        """
        begun: dict[torch.device, Steps[list[FoundNucleus]]] = {}

        def step(engine: TorchEngine) -> list[FoundNucleus] | None:
            if engine.device not in begun:  # the first, or the CPU in the place of a full device
                begun.clear()
                begun[engine.device] = steps_in_field(engine, tile, field, score_threshold)
            try:
                next(begun[engine.device])
            except StopIteration as end:
                found: list[FoundNucleus] = end.value
                return found
            except BaseException:
                begun.clear()  # an error ends a generator: what comes next begins again
                raise
            return None

        while (found := self._where_it_fits(step)) is None:
            yield
        return found

    def answer(self, tile: Tile, prompt: Prompt) -> Answer:
        """Outline what a prompt means; see `Annotator`."""
        return self._where_it_fits(lambda engine: answer_prompt(engine, tile, prompt))

    def features(self, tile: Tile, masks: Sequence[InstanceMask]) -> npt.NDArray[np.float32]:
        """What the embedding holds under each mask; see `engine.protocol.Describer`."""
        return self._where_it_fits(lambda engine: pooled_features(engine, tile, masks))

    def describe(
        self,
        tile: Tile,
        masks: Sequence[InstanceMask],
        earlier: npt.NDArray[np.float32] | None = None,
    ) -> npt.NDArray[np.float32]:
        """What nuclei look like, for telling classes apart; see `engine.protocol.Describer`."""
        return self._where_it_fits(lambda engine: describe_nuclei(engine, tile, masks, earlier))

    @property
    def description(self) -> int:
        """Version of what the columns of `describe` are."""
        return DESCRIPTION_VERSION

    @property
    def names(self) -> tuple[str, ...]:
        """What nuclei can be asked for by; see `engine.protocol.Namer`."""
        return tuple(dict.fromkeys(name for each in self._sources for name in each.palette.names))

    @property
    def names_from(self) -> str:
        """Which tissue the names were learnt on; see `engine.protocol.Namer`."""
        sets = dict.fromkeys(name for each in self._sources for name in each.taught_on)
        return ", ".join(dict.fromkeys(region_of(name, "") or name for name in sets))

    def shares(
        self, tile: Tile, masks: Sequence[InstanceMask], name: str
    ) -> npt.NDArray[np.float64]:
        """How much of each nucleus is what a name says; see `engine.protocol.Namer`."""
        if not masks:
            return np.zeros(0)
        source = next((each for each in self._sources if name in each.palette.names), None)
        if source is None:
            raise PromptError(
                f"expected one of {', '.join(self.names) or 'no name'}, got {name!r}; choose one"
            )
        likely = self._where_it_fits(lambda _: source.probabilities(tile, masks))
        column: npt.NDArray[np.float64] = likely[:, source.palette.names.index(name)]
        return column

    def change_state(self, adapter: Path | None) -> None:
        """Put the model into a learnt state, or into none; call it where answers are made.

        Raises
        ------
        CheckpointError
            The file is missing, damaged or of other weights; then it is as it was.
        """
        change_state(self.engine, None if adapter is None else read_adapter(adapter))

    def state_share(self, tile: Tile) -> float | None:
        """How much of a learnt state is used on a picture: `napari_uninuc.engine.in_state`."""
        return share_on(self.engine, tile)

    def memory_bytes(self) -> int:
        """Bytes of weights and cached embeddings."""
        model = self.engine.model
        weights = sum(t.nbytes for part in (model.parameters(), model.buffers()) for t in part)
        return weights + self.engine.cache.nbytes

    def _where_it_fits(
        self, work: Callable[[TorchEngine], Result], *, begin: bool = True
    ) -> Result:
        """Do it before all that is done ahead, which goes on afterwards with ``begin``."""
        if self._ahead is not None:
            self._ahead.interrupt()
        try:
            return where_it_fits(self.engine, work, self.tell, self._stop_ahead)
        finally:
            if self._ahead is not None and begin:
                self._ahead.go_on()

    def _stop_ahead(self) -> None:
        """Let nothing be encoded ahead while a device is full or changes; what is planned stays."""
        if self._ahead is not None:
            self._ahead.interrupt()
            self._ahead.join()

    def _encode_ahead(self, tile: Tile, field: Field) -> None:
        self.engine.embed(tile, field)
        self._look_ahead(tile, field)

    def _look_ahead(self, tile: Tile, field: Field) -> None:
        """What the detector sees of an encoded field, which has a say in first clicks."""
        if self.engine.hears_detector and self.engine.holds(tile, field):
            self.engine.propose(self.engine.embed(tile, field))
