"""Bodies of samapi, as QuPath's SAM extension writes them; unknown fields are ignored.

Coordinates are px of the picture sent, x right, y down, from the corner of the first pixel, cut to
whole numbers.
"""

from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from napari_uninuc.core.prompts import Prompt
from napari_uninuc.serve.refusals import Refusal
from napari_uninuc.wire.constants import POINTS

__all__ = ["AutomaskBody", "ModelName", "PromptBody", "SamBody", "WordsBody", "box_yxyx"]


def _cut(value: object) -> object:
    """Cut a float towards zero, as samapi does; anything else is judged by what follows."""
    if isinstance(value, float) and abs(value) < 2**53:
        return int(value)
    return value


Px = Annotated[int, BeforeValidator(_cut), Field(strict=True, ge=-(2**31), le=2**31)]
Four = tuple[Px, Px, Px, Px]
ModelName = Annotated[str, Field(max_length=64, pattern=r"^[\w.+:-]*$")]
Box = tuple[float, float, float, float]
Boxes = Annotated[tuple[Four, ...], Field(max_length=POINTS)]


class SamBody(BaseModel):
    """What every request has.

    Attributes
    ----------
    type : name of a model of SAM's; any is taken, one answers
    b64img : PNG in base64, as bytes: text of other characters would take four times its size
    checkpoint_url : of an entry of `weights/`, or any other, or none; nothing is fetched from it
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    type: ModelName = "vit_h"
    b64img: bytes
    checkpoint_url: Annotated[str, Field(max_length=4096)] | None = None


class PromptBody(SamBody):
    """Box, points, or both, of one nucleus."""

    bbox: Four | None = None
    point_coords: Annotated[tuple[tuple[Px, Px], ...], Field(max_length=POINTS)] | None = None
    point_labels: Annotated[tuple[Px, ...], Field(max_length=POINTS)] | None = None

    def prompt(self, shape: tuple[int, int]) -> Prompt | None:
        """Make a prompt on a picture of (H, W) px; None where nothing in it is meant.

        Boxes are put in order and cut to the picture, points outside it are left out.

        Raises
        ------
        Refusal
            422: points and labels that do not belong together.
        """
        points, labels = self.point_coords or (), self.point_labels or ()
        if len(points) != len(labels) or not set(labels) <= {0, 1}:
            raise Refusal(
                422, "point_labels must be 1 (inside) or 0 (outside), one for each of point_coords"
            )
        inside = [0 <= x < shape[1] and 0 <= y < shape[0] for x, y in points]
        kept = [
            ((float(y), float(x)), label == 1)
            for (x, y), label, on in zip(points, labels, inside, strict=True)
            if on
        ]
        box = None if self.bbox is None else box_yxyx(self.bbox, shape)
        if box is None and not any(label for _, label in kept):
            return None
        return Prompt(tuple(each for each, _ in kept), tuple(label for _, label in kept), box)


def box_yxyx(corners: Four, shape: tuple[int, int]) -> Box | None:
    """Put two corners (x, y, x, y) in order and cut them to a picture; None where that is empty.

    A box without width or height is one px wide there: somebody pressed and did not drag.
    """
    (x0, x1), (y0, y1) = sorted(corners[::2]), sorted(corners[1::2])
    x1, y1 = max(x1, x0 + 1), max(y1, y0 + 1)
    cut = (max(0, y0), max(0, x0), min(shape[0], y1), min(shape[1], x1))
    if cut[0] >= cut[2] or cut[1] >= cut[3]:
        return None
    return float(cut[0]), float(cut[1]), float(cut[2]), float(cut[3])


class AutomaskBody(SamBody):
    """All nuclei; what is about SAM's grid of points is ignored.

    Attributes
    ----------
    pred_iou_thresh : QuPath's default stands for the model's own choice; any other is the least
        predicted IoU
    min_mask_region_area : px; smaller nuclei are left out
    """

    pred_iou_thresh: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] = 0.88
    min_mask_region_area: Annotated[float, Field(ge=0, le=1e9, allow_inf_nan=False)] = 0

    @property
    def least_iou(self) -> float:
        """Predicted IoU below which nuclei are left out."""
        return 0.0 if self.pred_iou_thresh == 0.88 else self.pred_iou_thresh


class WordsBody(SamBody):
    """Nuclei of a name, or like some in boxes (x, y, width, height).

    Earlier requests are not remembered, whatever ``reset_prompts`` says: QuPath sends all boxes.
    """

    text_prompt: Annotated[str, Field(max_length=1000)] | None = None
    positive_bboxes: Boxes = ()
    negative_bboxes: Boxes = ()
    confidence_threshold: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] = 0.5

    def boxes(self, shape: tuple[int, int]) -> tuple[list[Box], list[Box]]:
        """Boxes (y0, x0, y1, x1) around examples and around counter-examples."""
        return _kept(self.positive_bboxes, shape), _kept(self.negative_bboxes, shape)


def _kept(boxes: tuple[Four, ...], shape: tuple[int, int]) -> list[Box]:
    corners = [(x, y, x + width, y + height) for x, y, width, height in boxes]
    return [box for each in corners if (box := box_yxyx(each, shape)) is not None]
