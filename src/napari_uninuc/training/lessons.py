"""What is taught, ready to be taught: examples on embeddings that stay as they are.

A picture is seen as `uninuc segment` sees it: field by field, in its mirror where the card says so,
and restained where it is brown. Of each view the windows around the examples are kept, with the box
by which the detector finds each, so that the picture need not be encoded again, and a step of
teaching costs a fraction of a second.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from napari_uninuc.core.examples import Corrections, Example
from napari_uninuc.core.geometry import Field
from napari_uninuc.core.tile import Tile
from napari_uninuc.engine.appearance import Appearance, appearance_of
from napari_uninuc.engine.embedding import TileEmbedding
from napari_uninuc.engine.mirror import Mirror
from napari_uninuc.engine.torch_engine import TorchEngine
from napari_uninuc.network.mask_decoder import WindowFeatures
from napari_uninuc.network.windows import FILL, cut_windows, place_windows
from napari_uninuc.training.losses import pair_iou

__all__ = ["Lesson", "View", "Windows", "lessons_of", "views_of"]

_WINDOW_SIDES = 2
"""Sizes of windows that examples are taught in: the smallest and its double. Larger nuclei teach
nothing."""
_FOUND = 0.5
"""IoU of a nucleus' box and one of the detector's, from which the detector has found it."""


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """A field of a picture as the model is shown it, and the picture it is of."""

    tile: Tile
    field: Field
    mirror: Mirror | None

    def embedded(self, engine: TorchEngine) -> TileEmbedding:
        """Encode it, or take it from the cache."""
        if self.mirror is None:
            return engine.embed(self.tile, self.field)
        return engine.embed(self.mirror.tile, self.mirror.field)


@dataclass(frozen=True, slots=True, eq=False)
class Windows:
    """n nuclei of one view, each in a window of ``side`` input px.

    Shapes
    ------
    which           (n,) positions among the picture's examples
    maps            n windows of the embedding
    truth           (n, side, side) float32
    boxes_xyxy      (n, 4) window px, the nucleus' own
    proposals_xyxy  (n, 4) window px, the prompt by which outlining finds it: the detector's box
                    with the card's margin; its own where the detector has none
    """

    side: int
    which: Tensor
    maps: WindowFeatures
    truth: Tensor
    boxes_xyxy: Tensor
    proposals_xyxy: Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Lesson:
    """The examples of one view.

    Attributes
    ----------
    which : (E,) positions of its examples among those of the picture
    windows : of those that are nuclei, for each size of window
    looks : how the field looks
    """

    which: Tensor
    windows: tuple[Windows, ...]
    looks: Appearance


def views_of(engine: TorchEngine, tile: Tile, centres_yx: np.ndarray) -> list[View]:
    """The views of those fields that hold a place.

    Parameters
    ----------
    centres_yx : (N, 2) px of the tile
    """
    found = []
    for view in engine.views.of(tile):
        for field in engine.fields(tile):
            if _inside(field, centres_yx).any():
                found.append(View(view, field, None))
                if engine.card.flips:
                    found.append(View(view, field, Mirror.of(view, field)))
    return found


def _inside(field: Field, centres_yx: np.ndarray) -> np.ndarray:
    """Which places (N, 2) lie in a field's inner part."""
    y0, x0, y1, x1 = field.inner_yxyx
    inside: np.ndarray = np.all((centres_yx >= (y0, x0)) & (centres_yx < (y1, x1)), axis=1)
    return inside


def lessons_of(engine: TorchEngine, corrections: Corrections) -> Iterator[Lesson]:
    """Make the lessons of one picture, one a view; encodes what no cache holds."""
    centres = np.array([each.centre_yx for each in corrections.examples]).reshape(-1, 2)
    for view in views_of(engine, corrections.tile, centres):
        which = np.flatnonzero(_inside(view.field, centres))
        examples = [corrections.examples[k] for k in which.tolist()]
        yield _lesson(engine, view, which, examples)


@torch.no_grad()
def _lesson(
    engine: TorchEngine, view: View, which: np.ndarray, examples: Sequence[Example]
) -> Lesson:
    embedding = view.embedded(engine)
    boxes = np.array([each.box_yxyx for each in examples], np.float32)
    if view.mirror is not None:
        boxes = view.mirror.boxes_in(boxes)
    own = _xyxy(embedding, boxes)
    found = engine.propose(embedding)
    proposals = _proposals(own, _xyxy(embedding, found.boxes_yxyx), engine.card.box_margin)
    nucleus = torch.tensor([each.is_nucleus for each in examples])
    masks = [each.mask if view.mirror is None else each.mask[:, ::-1] for each in examples]
    positions = torch.from_numpy(which)
    return Lesson(
        positions.to(engine.device),
        tuple(_windows(engine, embedding, positions, nucleus, own, proposals, masks)),
        appearance_of(embedding),
    )


def _xyxy(embedding: TileEmbedding, boxes_yxyx: np.ndarray) -> Tensor:
    """Boxes (N, 4) in px of the picture, as xyxy in input px."""
    yxyx = torch.from_numpy(embedding.frame.boxes_to_input(boxes_yxyx)).float()
    return yxyx[:, [1, 0, 3, 2]]


def _proposals(own: Tensor, found: Tensor, margin: float) -> Tensor:
    """For each nucleus (E, 4) the box found (F, 4) that is most like it, else its own."""
    if len(own) == 0 or len(found) == 0:
        return own
    iou, _ = pair_iou(own[:, None], found[None])  # (E, F)
    best, where = iou.max(dim=1)
    grown = found[where] + margin * own.new_tensor([-1, -1, 1, 1])
    return torch.where((best >= _FOUND)[:, None], grown, own)


def _windows(
    engine: TorchEngine,
    embedding: TileEmbedding,
    which: Tensor,
    nucleus: Tensor,
    own: Tensor,
    proposals: Tensor,
    masks: Sequence[np.ndarray],
) -> Iterator[Windows]:
    stride = engine.config.coarse_stride
    height, width = embedding.frame.input_hw
    extent = (own[:, 2:] - own[:, :2]).amax(dim=1) if len(own) else own.new_zeros(0)
    waiting = nucleus.clone()
    for size in range(_WINDOW_SIDES):
        side = (engine.config.mask.window or 64) << size
        chosen = torch.nonzero(waiting & (extent <= FILL * side))[:, 0]
        if len(chosen) == 0 or side > min(height, width):
            continue
        waiting[chosen] = False
        boxes, cells = own[chosen], side // stride
        centres = (boxes[:, :2] + boxes[:, 2:]).flip(1) / 2
        corners = place_windows(centres, side, (height, width), stride)
        offset = (corners * stride).flip(1).repeat(1, 2)  # (n, 4) xyxy
        local = boxes - offset
        pairs = zip(chosen.tolist(), local.tolist(), strict=True)
        truth = torch.stack([_drawn(masks[k], box, side) for k, box in pairs])
        levels = WindowFeatures(*[level.clone() for level in embedding.embedding.maps])
        index = torch.zeros(len(chosen), dtype=torch.long, device=engine.device)
        maps = cut_windows(levels, index, corners.to(engine.device), (cells, cells))
        prompts = proposals[chosen] - offset
        parts = (each.to(engine.device) for each in (truth, local, prompts))
        yield Windows(side, which[chosen].to(engine.device), maps, *parts)


def _drawn(mask: np.ndarray, box_xyxy: Sequence[float], side: int) -> Tensor:
    """A mask laid over its box of a window of ``side`` input px: (side, side) float32."""
    x0, y0, x1, y1 = box_xyxy
    height, width = mask.shape
    ys = ((np.arange(side) + 0.5 - y0) / max(y1 - y0, 1e-6) * height).astype(np.int64)
    xs = ((np.arange(side) + 0.5 - x0) / max(x1 - x0, 1e-6) * width).astype(np.int64)
    rows = (np.arange(side) + 0.5 >= y0) & (np.arange(side) + 0.5 < y1)
    columns = (np.arange(side) + 0.5 >= x0) & (np.arange(side) + 0.5 < x1)
    drawn = mask[np.ix_(ys.clip(0, height - 1), xs.clip(0, width - 1))]
    return torch.from_numpy((drawn & rows[:, None] & columns).astype(np.float32))
