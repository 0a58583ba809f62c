"""What the rest of the program may ask of an engine; no torch here."""

from collections.abc import Callable, Generator, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from napari_uninuc.core.detections import Detections
from napari_uninuc.core.geometry import Field
from napari_uninuc.core.instances import InstanceMask
from napari_uninuc.core.prompts import Answer, Prompt
from napari_uninuc.core.tile import Tile

__all__ = ["Annotator", "AnnotatorCard", "Describer", "FoundNucleus", "Namer", "Proposer"]


class Proposer(Protocol):
    """Turns an embedding into boxes worth prompting, in px of the tile."""

    def propose(self, embedding: Any) -> Detections:
        """All proposals with their scores, unthresholded, in px of the tile."""
        ...


class AnnotatorCard(Protocol):
    """The part of a model's card that correcting needs; `network.card.ModelCard` has it."""

    @property
    def id(self) -> str:
        """How commands call the model."""
        ...

    @property
    def sha256(self) -> str:
        """Of the weights, hexadecimal; empty where they are in no file."""
        ...

    @property
    def learnt(self) -> str:
        """Name of the learnt state that the model is in; empty for the weights as they are."""
        ...

    @property
    def learnt_sha256(self) -> str:
        """Of that state's file."""
        ...

    @property
    def mpp(self) -> float | None:
        """Micrometres per px the model was taught at; None where it knows no scale."""
        ...

    @property
    def licence(self) -> str:
        """Licence of the weights."""
        ...

    @property
    def commercial_use(self) -> bool:
        """Whether licences of weights and training data allow commercial use."""
        ...

    @property
    def attribution(self) -> Sequence[str]:
        """Who is to be named wherever the weights are offered, a line each."""
        ...

    @property
    def score_threshold(self) -> float:
        """In [0, 1], below which automatic nuclei are hidden by default."""
        ...

    @property
    def flips(self) -> bool:
        """Whether each field is looked at in a mirror too."""
        ...

    @property
    def classes(self) -> Sequence[str]:
        """Name of each class id."""
        ...


class FoundNucleus(NamedTuple):
    """A nucleus found without being asked for; unpacks as ``mask, box_yxyx``.

    Attributes
    ----------
    mask : tight, px of the tile, with score, class and predicted IoU
    box_yxyx : what the detector had proposed, half-open, px of the tile; may differ from the
        mask's own box, and how much it does says how sure the model is
    """

    mask: InstanceMask
    box_yxyx: tuple[float, float, float, float]


class Describer(Protocol):
    """Says what nuclei look like to the model, so that like ones can be found."""

    def features(self, tile: Tile, masks: Sequence[InstanceMask]) -> npt.NDArray[np.float32]:
        """What the embedding holds under each mask; encodes the fields it must.

        Parameters
        ----------
        masks : px of the tile, with at least one pixel inside it each

        Returns
        -------
        features : (N, C) float32; rows of one tile can be compared, those of two need not
        """
        ...

    def describe(
        self,
        tile: Tile,
        masks: Sequence[InstanceMask],
        earlier: npt.NDArray[np.float32] | None = None,
    ) -> npt.NDArray[np.float32]:
        """What nuclei look like, for telling classes apart; encodes the fields it must.

        Parameters
        ----------
        masks : all nuclei of the tile, for neighbours count; px of it, with a pixel inside each
        earlier : (N, D) what was found of the same masks before, NaN in rows of new ones

        Returns
        -------
        rows : (N, D) float32; rows of different tiles can be compared where the weights and
            `description` are the same
        """
        ...

    @property
    def description(self) -> int:
        """Version of what the columns of `describe` are."""
        ...


class Namer(Protocol):
    """Finds nuclei by what they are called; an annotator may be one."""

    @property
    def names(self) -> Sequence[str]:
        """What can be asked for; answers at once, from any thread. Empty where nothing can."""
        ...

    @property
    def names_from(self) -> str:
        """Which tissue the names were learnt on, in words; empty where that is not known."""
        ...

    def shares(
        self, tile: Tile, masks: Sequence[InstanceMask], name: str
    ) -> npt.NDArray[np.float64]:
        """How much of each nucleus is what ``name`` says, (N,) in [0, 1]; encodes if it must.

        Parameters
        ----------
        masks : px of the tile, with a pixel inside each
        name : one of `names`

        Raises
        ------
        PromptError
            Another name.
        """
        ...


class Annotator(Describer, Protocol):
    """A model at the side of a person: finds nuclei field by field and answers prompts live.

    Calls block until they are done; make them from one worker thread. `memory_bytes`, `card` and
    `device_name` answer at once, from any thread.

    Attributes
    ----------
    notice : called with one line a user should read (the GPU ran out of memory, ...), from the
        thread that computes; None drops it
    """

    notice: Callable[[str], None] | None

    @property
    def card(self) -> AnnotatorCard:
        """What the model is and what it may be used for."""
        ...

    @property
    def device_name(self) -> str:
        """Where it computes now, for people: ``CPU``, ``NVIDIA H100 (cuda:0)``."""
        ...

    def fields(self, tile: Tile) -> list[Field]:
        """Cover a tile with fields that can be encoded at once; cheap.

        Raises
        ------
        ImageError
            Pixels far too large to show nuclei.
        """
        ...

    def encode(self, tile: Tile, field: Field) -> float:
        """Compute all that does not depend on a prompt.

        Returns
        -------
        seconds : 0.0 where it had been done before

        Raises
        ------
        DeviceError
            Not enough memory, even on the CPU. So do `segment_field` and `answer`.
        """
        ...

    def segment_field(self, tile: Tile, field: Field, score_threshold: float) -> list[FoundNucleus]:
        """Find every nucleus the field answers for, best score first; encodes if it must.

        Masks may overlap, and a nucleus on the cut of two fields may be found by both: whoever
        adds them to a picture gives each pixel to one.

        Raises
        ------
        PromptError
            A threshold outside [0, 1].
        """
        ...

    def segment_steps(
        self, tile: Tile, field: Field, score_threshold: float
    ) -> Generator[None, None, list[FoundNucleus]]:
        """Do as `segment_field`, in steps of a second or less; nothing is owed between two.

        Yields
        ------
        nothing : after encoding, detecting, and each batch of outlines. Who asks no further has
            cancelled; other calls may be made before going on
        """
        ...

    def answer(self, tile: Tile, prompt: Prompt) -> Answer:
        """Outline the nucleus a prompt means; encodes the field if it must.

        The field is the one whose inner part holds the prompt's box centre or, without a box, its
        first point or, without points, the middle of its previous mask.

        Returns
        -------
        answer : mask (tight, inside the tile, score 1, class 0) and logits, both px of the tile
            One piece without holes, save what clicks ask for (`core.outline.keep_meant`). A
            mask without a pixel has a (0, 0) crop.

        Raises
        ------
        PromptError
            A prompt without point, box and previous mask.
        """
        ...

    def close(self) -> None:
        """Compute nothing more that nobody has asked for; may be called at any time."""
        ...

    def memory_bytes(self) -> int:
        """Bytes of weights and of cached embeddings, wherever they are."""
        ...
