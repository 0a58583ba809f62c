"""Values of the domain as JSON and back: our own protocol's requests and answers.

Masks travel as run lengths (COCO's, of the crop alone), logits as packed float32. What comes from
the other side is checked before anything is made of it.
"""

from collections.abc import Sequence
from typing import Annotated, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from napari_uninuc.core import geometry
from napari_uninuc.core.instances import InstanceMask
from napari_uninuc.core.prompts import Answer, MaskLogits, Prompt
from napari_uninuc.engine.protocol import AnnotatorCard, FoundNucleus
from napari_uninuc.errors import LabelsError, PromptError
from napari_uninuc.io.rle import crop_of_runs, packed_runs, runs_of
from napari_uninuc.wire.constants import (
    MASKS,
    MASKS_PX,
    MAX_MPP,
    MIN_MPP,
    NAME,
    POINTS,
    PREVIOUS_PX,
)
from napari_uninuc.wire.packing import pack, unpack

__all__ = [
    "AnswerMessage",
    "AskMessage",
    "CardMessage",
    "ClassifierMessage",
    "DescribeMessage",
    "EncodeMessage",
    "FieldMessage",
    "FoundMessage",
    "InfoMessage",
    "LearntMessage",
    "LineMessage",
    "LogitsMessage",
    "MaskMessage",
    "PromptMessage",
    "SegmentMessage",
    "TileMessage",
]

Finite = Annotated[float, Field(allow_inf_nan=False, ge=-1e7, le=1e7)]
Share = Annotated[float, Field(ge=0, le=1)]
Place = Annotated[int, Field(ge=-(2**20), le=2**20)]
Side = Annotated[int, Field(ge=0, le=2**16)]
Box = tuple[Finite, Finite, Finite, Finite]


class _Message(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class TileMessage(_Message):
    """How the pixels of a digest are to be looked at: `Tile.mpp` and `Tile.brown`."""

    mpp: Annotated[float, Field(ge=MIN_MPP, le=MAX_MPP)] | None = None
    brown: bool | None = None


class LogitsMessage(_Message):
    """`MaskLogits`: float32 logits of a crop, deflated, as base64."""

    origin_yx: tuple[Place, Place]
    shape: tuple[Side, Side]
    packed: str

    @classmethod
    def of(cls, logits: MaskLogits) -> "LogitsMessage":
        """Write logits, to the last bit."""
        height, width = logits.logits.shape
        return cls(origin_yx=logits.origin_yx, shape=(height, width), packed=pack(logits.logits))

    def value(self) -> MaskLogits:
        """Read logits; never more than their shape says is unpacked.

        Raises
        ------
        PromptError
            Too large, or damaged.
        """
        height, width = self.shape
        if height * width > PREVIOUS_PX:
            raise PromptError(
                f"a mask to start from may have {PREVIOUS_PX} px, got {height} x {width}; cut it"
            )
        return MaskLogits(self.origin_yx, unpack(self.packed, (height, width), np.float32))


class MaskMessage(_Message):
    """`InstanceMask`: run lengths of the crop."""

    origin_yx: tuple[Place, Place]
    shape: tuple[Side, Side]
    runs: str
    score: Share
    class_id: Annotated[int, Field(ge=0, le=2**16)]
    iou: Annotated[float, Field(ge=0, le=1)]

    @classmethod
    def of(cls, mask: InstanceMask) -> "MaskMessage":
        """Write a mask."""
        height, width = mask.mask.shape
        runs = packed_runs(runs_of(mask.mask, (0, 0), (height, width))) if mask.mask.size else ""
        return cls(
            origin_yx=mask.origin_yx,
            shape=(height, width),
            runs=runs,
            score=mask.score,
            class_id=mask.class_id,
            iou=mask.predicted_iou,
        )

    def value(self) -> InstanceMask:
        """Read a mask.

        Raises
        ------
        LabelsError
            Runs that do not fill the shape, or a shape of more than `PREVIOUS_PX`.
        """
        if self.shape[0] * self.shape[1] > PREVIOUS_PX:
            raise LabelsError(f"expected a nucleus of at most {PREVIOUS_PX} px, got {self.shape}")
        mask = np.zeros(self.shape, np.bool_)
        crop = crop_of_runs(self.runs, self.shape) if mask.size else None
        if crop is not None:
            (y, x), pixels = crop
            mask[y : y + pixels.shape[0], x : x + pixels.shape[1]] = pixels
        return InstanceMask(self.origin_yx, mask, self.score, self.class_id, self.iou)


class PromptMessage(_Message):
    """`Prompt`: px of the tile, pixel centres at integers, boxes half-open."""

    points_yx: Annotated[tuple[tuple[Finite, Finite], ...], Field(max_length=POINTS)] = ()
    inside: Annotated[tuple[bool, ...], Field(max_length=POINTS)] = ()
    box_yxyx: Box | None = None
    previous: LogitsMessage | None = None

    @classmethod
    def of(cls, prompt: Prompt) -> "PromptMessage":
        """Write a prompt."""
        return cls(
            points_yx=prompt.points_yx,
            inside=prompt.inside,
            box_yxyx=prompt.box_yxyx,
            previous=None if prompt.previous is None else LogitsMessage.of(prompt.previous),
        )

    def value(self) -> Prompt:
        """Read a prompt.

        Raises
        ------
        PromptError
            What `Prompt` refuses, or one that says nothing.
        """
        previous = None if self.previous is None else self.previous.value()
        prompt = Prompt(self.points_yx, self.inside, self.box_yxyx, previous)
        if not prompt:
            raise PromptError("a prompt needs a point, a box or a mask, got none; pass one")
        return prompt


class EncodeMessage(TileMessage):
    """A field to be encoded, by its number in `Annotator.fields`."""

    field: Annotated[int, Field(ge=0, le=2**20)]


class _Outlined(TileMessage):
    """What is outlined, by the model in which state.

    Attributes
    ----------
    learnt : name of a state that `InfoMessage` lists; None is the first of them, empty the model as
        it came
    """

    learnt: Annotated[str, Field(max_length=200)] | None = None


class SegmentMessage(EncodeMessage, _Outlined):
    """A field to be outlined.

    Attributes
    ----------
    classifier : name of one that `InfoMessage` lists: class ids are places in its classes; None
        is the first of them, empty the model's own classes
    """

    score_threshold: Share
    classifier: Annotated[str, Field(max_length=200)] | None = None


class AskMessage(_Outlined):
    """A prompt on a tile."""

    prompt: PromptMessage


class DescribeMessage(TileMessage):
    """Nuclei of a tile, to be told what they look like: see `engine.protocol.Describer`.

    The answer is float32, little endian, row by row, and nothing else.

    Attributes
    ----------
    what : `Describer.features` or `Describer.describe`
    count : of nuclei, N
    boxes : packed int32 (N, 4), yxyx, half-open, px of the tile
    pixels : packed bits of the masks in their boxes, one after the other, filled up to a byte
    """

    what: Literal["features", "description"]
    count: Annotated[int, Field(ge=1, le=MASKS)]
    boxes: str
    pixels: str

    @classmethod
    def of(
        cls,
        masks: Sequence[InstanceMask],
        what: Literal["features", "description"],
        mpp: float | None,
        brown: bool | None,
    ) -> "DescribeMessage":
        """Write masks, of one or more nuclei."""
        boxes = np.array([mask.box_yxyx for mask in masks], np.int32)
        bits = np.packbits(np.concatenate([mask.mask.ravel() for mask in masks]))
        return cls(
            what=what,
            count=len(masks),
            boxes=pack(boxes),
            pixels=pack(bits),
            mpp=mpp,
            brown=brown,
        )

    def value(self, shape: tuple[int, int]) -> list[InstanceMask]:
        """Read masks of a tile of (H, W) px.

        Raises
        ------
        PromptError
            Damaged, beyond the tile, without a pixel, or of more than `MASKS_PX` in all.
        """
        boxes = unpack(self.boxes, (self.count, 4), np.int32).astype(np.int64)
        low, high = boxes[:, :2], boxes[:, 2:]
        if (low < 0).any() or (low >= high).any() or (high > shape).any():
            raise PromptError("expected nuclei inside the picture, got others; send its own")
        sizes = (high - low).prod(axis=1)
        total = int(sizes.sum())
        if total > MASKS_PX:
            raise PromptError(
                f"the boxes of all nuclei may have {MASKS_PX} px, got {total}; send fewer"
            )
        bits = unpack(self.pixels, (-(-total // 8),), np.uint8)
        planes = np.split(np.unpackbits(bits, count=total).astype(np.bool_), sizes.cumsum()[:-1])
        if not all(plane.any() for plane in planes):
            raise PromptError("expected nuclei of one px or more, got one without; leave it out")
        return [
            InstanceMask((y0, x0), plane.reshape(y1 - y0, x1 - x0), 1.0, 0, 1.0)
            for plane, (y0, x0, y1, x1) in zip(planes, boxes.tolist(), strict=True)
        ]


class FieldMessage(_Message):
    """`core.geometry.Field`."""

    index: int
    outer_yxyx: tuple[Place, Place, Place, Place]
    inner_yxyx: tuple[Place, Place, Place, Place]

    @classmethod
    def of(cls, field: geometry.Field) -> "FieldMessage":
        """Write a field."""
        return cls(index=field.index, outer_yxyx=field.outer_yxyx, inner_yxyx=field.inner_yxyx)

    def value(self) -> geometry.Field:
        """Read a field."""
        return geometry.Field(self.index, self.outer_yxyx, self.inner_yxyx)


class FoundMessage(_Message):
    """`FoundNucleus`."""

    mask: MaskMessage
    box_yxyx: Box

    @classmethod
    def of(cls, found: FoundNucleus) -> "FoundMessage":
        """Write a nucleus."""
        return cls(mask=MaskMessage.of(found.mask), box_yxyx=found.box_yxyx)

    def value(self) -> FoundNucleus:
        """Read a nucleus."""
        return FoundNucleus(self.mask.value(), self.box_yxyx)


class AnswerMessage(_Message):
    """`Answer`: the changed crop and what the next prompt starts from."""

    mask: MaskMessage
    logits: LogitsMessage

    @classmethod
    def of(cls, answer: Answer) -> "AnswerMessage":
        """Write an answer."""
        return cls(mask=MaskMessage.of(answer.mask), logits=LogitsMessage.of(answer.logits))

    def value(self) -> Answer:
        """Read an answer."""
        return Answer(self.mask.value(), self.logits.value())


class CardMessage(_Message):
    """`AnnotatorCard`; has its attributes, so it is one."""

    id: str
    sha256: str
    mpp: float | None
    licence: str
    commercial_use: bool
    attribution: tuple[str, ...]
    score_threshold: Share
    flips: bool
    classes: tuple[str, ...]
    learnt: str = ""
    learnt_sha256: str = ""

    @classmethod
    def of(cls, card: AnnotatorCard) -> "CardMessage":
        """Write a card."""
        return cls(
            id=card.id,
            sha256=card.sha256,
            mpp=card.mpp,
            licence=card.licence,
            commercial_use=card.commercial_use,
            attribution=tuple(card.attribution),
            score_threshold=card.score_threshold,
            flips=card.flips,
            classes=tuple(card.classes),
            learnt=card.learnt,
            learnt_sha256=card.learnt_sha256,
        )


class ClassifierMessage(_Message):
    """A classifier that is offered; its file is at `wire.constants.CLASSIFIER`."""

    name: Annotated[str, Field(pattern=f"^{NAME}$")]
    classes: tuple[str, ...]


class LearntMessage(_Message):
    """A learnt state that is offered.

    Attributes
    ----------
    name : which it is asked for by
    card : of the model in this state
    told : what was measured when it was learnt, for people
    """

    name: Annotated[str, Field(pattern=f"^{NAME}$")]
    card: CardMessage
    told: str = ""


class InfoMessage(_Message):
    """What a server is and how it stands.

    Attributes
    ----------
    card : of what answers where no state is named
    description : `Describer.description`; 0 of a server that describes no nuclei
    classifiers : the first is in force where nobody names one, and all cards have its classes then
    learnt : states; the first is in force where nobody names one
    as_it_came : card of the model in none of its states; None where there are none
    """

    protocol: Literal[1]
    version: str
    card: CardMessage
    device: str
    memory_bytes: int
    description: int = 0
    classifiers: tuple[ClassifierMessage, ...] = ()
    learnt: tuple[LearntMessage, ...] = ()
    as_it_came: CardMessage | None = None

    def card_in(self, state: str | None) -> CardMessage | None:
        """Find the card of the model in a state, as `learnt` of a request names it.

        None where no such state is offered.
        """
        if state is None or (state == "" and self.as_it_came is None):
            return self.card
        cards = {each.name: each.card for each in self.learnt}
        return cards.get(state) if state else self.as_it_came


class LineMessage(_Message):
    """One line of the stream that answers a `SegmentMessage`.

    A stream ends with "found" or "failed"; one that ends without either broke.

    Attributes
    ----------
    kind : "step" after each step, "waiting" while others come first
    found : of "found"
    detail, status : of "failed", as a response of its own would have had them
    """

    kind: Literal["step", "waiting", "found", "failed"]
    found: tuple[FoundMessage, ...] = ()
    detail: str = ""
    status: int = 200
