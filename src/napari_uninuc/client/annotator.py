"""An annotator whose model computes on a server: the same calls, no torch."""

import io
import time
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from PIL import Image
from pydantic import BaseModel, TypeAdapter

from napari_uninuc.client.address import ServerAddress
from napari_uninuc.client.connection import Connection
from napari_uninuc.core.geometry import Field
from napari_uninuc.core.instances import InstanceMask
from napari_uninuc.core.prompts import Answer, Prompt
from napari_uninuc.core.steps import result_of
from napari_uninuc.core.tile import Tile
from napari_uninuc.engine.protocol import AnnotatorCard, FoundNucleus
from napari_uninuc.errors import ImageError, PromptError, ServerAwayError, ServerError
from napari_uninuc.io.classifiers import SavedClassifier, read_classifier
from napari_uninuc.wire.constants import (
    ANSWER,
    CLASSIFIER,
    DESCRIBE,
    ENCODE,
    FIELDS,
    PATIENCE_S,
    PICTURE_PX,
    RETRY_S,
    SEGMENT,
    TILE,
)
from napari_uninuc.wire.messages import (
    AnswerMessage,
    AskMessage,
    CardMessage,
    DescribeMessage,
    EncodeMessage,
    FieldMessage,
    InfoMessage,
    PromptMessage,
    SegmentMessage,
)

__all__ = ["RemoteAnnotator", "connect"]

_FIELDS: TypeAdapter[tuple[FieldMessage, ...]] = TypeAdapter(tuple[FieldMessage, ...])
_UNKNOWN = 404


def connect(
    address: ServerAddress,
    *,
    notice: Callable[[str], None] | None = None,
    patience_s: float = PATIENCE_S,
    learnt: str | None = None,
) -> "RemoteAnnotator":
    """Reach a server and ask what it is.

    Parameters
    ----------
    notice : see `napari_uninuc.engine.protocol.Annotator`
    patience_s : how long a click waits for a server that went away
    learnt : name of a state that the server offers; None is what it uses where nobody chooses,
        empty the model as it came

    Raises
    ------
    ServerError
        Not there, no server of ours, the key is wrong, or it offers no such state.
    """
    return RemoteAnnotator(address, notice, patience_s, learnt)


class RemoteAnnotator:
    """An `Annotator` on a server.

    A picture is sent when the server does not know it, also after it was started anew. A click
    waits some seconds for a server that went away; an automatic run waits on, between its steps,
    and goes on with the field it was at.

    Parameters
    ----------
    address, notice, patience_s, learnt : see `connect`

    Attributes
    ----------
    classifiers : names of those the server offers
    learnt_states : of the states it offers, by name, what was measured when they were learnt; the
        first is used where nobody chooses
    state : name of the one that answers here; empty is the model as it came
    address : of the server
    """

    def __init__(
        self,
        address: ServerAddress,
        notice: Callable[[str], None] | None = None,
        patience_s: float = PATIENCE_S,
        learnt: str | None = None,
    ) -> None:
        self.notice, self.address = notice, address
        self._closed = False
        self._connection = Connection(address, self._tell, patience_s, self._recognise)
        self._known_fields: dict[tuple[object, ...], list[Field]] = {}
        self._known = True
        try:
            told = self._connection.info()
            self._card = _card_in(told, learnt, address)
        except BaseException:
            self._connection.close()
            raise
        self.learnt_states = {each.name: each.told for each in told.learnt}
        self.state = next(iter(self.learnt_states), "") if learnt is None else learnt
        self._memory = told.memory_bytes
        self._description = told.description
        self.classifiers = tuple(each.name for each in told.classifiers)
        self.device_name = f"{told.device} at {address}"

    @property
    def card(self) -> AnnotatorCard:
        """What the model is and what it may be used for."""
        return self._card

    def fields(self, tile: Tile) -> list[Field]:
        """Cover a tile with fields; asked once for each size and scale."""
        return self._fields(tile, patient=True)

    def _fields(self, tile: Tile, *, patient: bool) -> list[Field]:
        key = (tile.shape, tile.mpp)
        if key not in self._known_fields:
            message = EncodeMessage(field=0, **_view_of(tile))
            told = self._about(tile, FIELDS, message, patient=patient)
            found = _FIELDS.validate_json(told)
            self._known_fields[key] = [message.value() for message in found]
        return list(self._known_fields[key])

    def encode(self, tile: Tile, field: Field) -> float:
        """Let the server encode a field; the seconds it took there."""
        told = self._about(tile, ENCODE, EncodeMessage(field=field.index, **_view_of(tile)))
        answer = TypeAdapter(dict[str, float]).validate_json(told)
        self._memory = int(answer["memory_bytes"])
        return answer["seconds"]

    def segment_field(self, tile: Tile, field: Field, score_threshold: float) -> list[FoundNucleus]:
        """Find the nuclei of a field, best score first; see `Annotator`."""
        return result_of(self.segment_steps(tile, field, score_threshold))

    def segment_steps(
        self, tile: Tile, field: Field, score_threshold: float
    ) -> Generator[None, None, list[FoundNucleus]]:
        """Do as `segment_field`, step by step; a server that is away is waited for."""
        if not 0 <= score_threshold <= 1:
            raise PromptError(f"score threshold must lie in 0..1, got {score_threshold}")
        message = SegmentMessage(
            field=field.index,
            score_threshold=score_threshold,
            learnt=self.state,
            **_view_of(tile),
        )
        while True:
            try:
                return (yield from self._streamed(tile, message))
            except ServerAwayError:
                if self._closed:
                    raise
                self._connection.wait(time.monotonic() + 2 * RETRY_S)
            yield  # whoever outlines may cancel here, or ask for a click

    def answer(self, tile: Tile, prompt: Prompt) -> Answer:
        """Outline what a prompt means; see `Annotator`."""
        asked = PromptMessage.of(prompt)
        message = AskMessage(prompt=asked, learnt=self.state, **_view_of(tile))
        return AnswerMessage.model_validate_json(self._about(tile, ANSWER, message)).value()

    def features(self, tile: Tile, masks: Sequence[InstanceMask]) -> npt.NDArray[np.float32]:
        """What the embedding holds under each mask; see `engine.protocol.Describer`."""
        return self._rows(tile, masks, "features")

    def describe(
        self,
        tile: Tile,
        masks: Sequence[InstanceMask],
        earlier: npt.NDArray[np.float32] | None = None,
    ) -> npt.NDArray[np.float32]:
        """What nuclei look like, all of them anew; see `engine.protocol.Describer`.

        Raises
        ------
        ServerAwayError
            At once where the server does not answer: nobody waits for a click.
        """
        return self._rows(tile, masks, "description")

    def classifier(self, name: str) -> SavedClassifier:
        """Get one of `classifiers`, as it was saved.

        Raises
        ------
        PromptError
            The server does not offer it (any more).
        ServerError
            The server refuses or does not answer.
        CheckpointError
            What came is no classifier.
        """
        response = self._connection.ask("GET", CLASSIFIER.format(name=name), patient=False)
        with TemporaryDirectory() as folder:
            path = Path(folder) / f"{name}.safetensors"
            path.write_bytes(response.content)
            return read_classifier(path)

    @property
    def description(self) -> int:
        """Version of what the columns of `describe` are.

        Raises
        ------
        ServerError
            The server describes no nuclei.
        """
        if not self._description:
            raise ServerError(
                f"the server at {self.address} is of an older version, which does not "
                "tell what nuclei look like; update it, or load a model here"
            )
        return self._description

    def hurry(self) -> None:
        """Let no click wait for a server that is away: another model is wanted. From any thread."""
        self._connection.hurry()

    def close(self) -> None:
        """Ask nothing more; what is under way ends."""
        self._closed = True
        self._connection.close()

    def memory_bytes(self) -> int:
        """Bytes of weights and cached embeddings on the server, as it last said."""
        return self._memory

    def _streamed(
        self, tile: Tile, message: SegmentMessage
    ) -> Generator[None, None, list[FoundNucleus]]:
        self._send(tile, patient=False)
        path = SEGMENT.format(digest=tile.digest)
        for line in self._connection.lines(path, message.model_dump_json().encode()):
            if line.kind == "found":
                return [each.value() for each in line.found]
            if line.kind == "failed":
                raise ServerError(f"the server could not outline ({line.status}): {line.detail}")
            yield
        raise ServerAwayError("the stream ended early")

    def _rows(
        self, tile: Tile, masks: Sequence[InstanceMask], what: Literal["features", "description"]
    ) -> npt.NDArray[np.float32]:
        """Ask what nuclei look like; fields are encoded before, one by one, for others wait too."""
        if not masks:
            return np.zeros((0, 0), np.float32)
        for field in self._fields(tile, patient=False):
            message = EncodeMessage(field=field.index, **_view_of(tile))
            self._about(tile, ENCODE, message, patient=False)
        asked = DescribeMessage.of(masks, what, tile.mpp, tile.brown)
        told = self._about(tile, DESCRIBE, asked, patient=False)
        if not told or len(told) % (4 * len(masks)):
            raise ServerError(f"{self.address} describes no nuclei; update it")
        return np.frombuffer(told, "<f4").astype(np.float32).reshape(len(masks), -1)

    def _about(self, tile: Tile, path: str, message: BaseModel, *, patient: bool = True) -> bytes:
        """Ask about a tile; it is sent first where the server does not know it."""
        where, body = path.format(digest=tile.digest), message.model_dump_json().encode()
        response = self._connection.ask("POST", where, body, known=(_UNKNOWN,), patient=patient)
        if response.status_code == _UNKNOWN:
            self._send(tile, patient=patient)
            response = self._connection.ask("POST", where, body, patient=patient)
        return response.content

    def _send(self, tile: Tile, *, patient: bool = True) -> None:
        """Send a picture, unless the server knows it."""
        if tile.rgb.size > 3 * PICTURE_PX:
            raise ImageError(
                f"a server takes pictures of {PICTURE_PX} px, got {tile.shape[0]} x "
                f"{tile.shape[1]}; work at a region of it"
            )
        path = TILE.format(digest=tile.digest)
        known = self._connection.ask("GET", path, known=(_UNKNOWN,), patient=patient)
        if known.status_code == _UNKNOWN:
            stream = io.BytesIO()
            Image.fromarray(tile.rgb).save(stream, "PNG", compress_level=1)
            self._connection.ask("PUT", path, stream.getvalue(), patient=patient)

    def _recognise(self, told: InfoMessage) -> None:
        """Refuse a server that was started anew and is not what it was: records name a model."""
        served = told.card_in(self.state)
        if served == self._card and told.description == self._description:
            self._known = True
            return
        at = self.address
        if self._known:
            self._known = False
            self._tell(f"The server at {at} was started anew, and not with what it had before.")
        raise ServerError(
            f"the server at {at} has another model, learnt state or classes than before; choose it "
            "again under Model, and work goes on with those"
        )

    def _tell(self, text: str) -> None:
        if self.notice is not None:
            self.notice(text)


def _card_in(told: InfoMessage, state: str | None, address: ServerAddress) -> CardMessage:
    card = told.card_in(state)
    if card is None:
        here = ", ".join(each.name for each in told.learnt) or "none"
        raise ServerError(
            f"the server at {address} offers no learnt state of the name {state!r} (it offers: "
            f"{here}); choose one of those, or the model as it came"
        )
    return card


def _view_of(tile: Tile) -> dict[str, Any]:
    return {"mpp": tile.mpp, "brown": tile.brown}
