"""What is taught, ready to be taught: examples on embeddings that stay as they are.

A picture is seen as `uninuc segment` sees it: field by field, in its mirror where the card says so,
and restained where it is brown. Of each view the detector's first stage and the windows around the
examples are kept, so that the picture need not be encoded again, and a step of teaching costs a
fraction of a second.
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
from napari_uninuc.engine.embedding import TileEmbedding
from napari_uninuc.engine.mirror import Mirror
from napari_uninuc.engine.torch_engine import TorchEngine
from napari_uninuc.network.detector import FirstStage
from napari_uninuc.network.mask_decoder import WindowFeatures
from napari_uninuc.network.uninuc import Embedding
from napari_uninuc.network.windows import FILL, cut_windows, place_windows
from napari_uninuc.training.interactive import Targets

__all__ = ["Lesson", "View", "lessons_of", "views_of"]

_WINDOW_SIDES = 2
"""Sizes of windows that examples are taught in: the smallest and its double. Larger nuclei teach
the detector alone."""


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
class Lesson:
    """The examples of one view.

    Attributes
    ----------
    which : (E,) positions of its examples among those of the picture
    is_nucleus : (E,) bool
    boxes_cxcywh : (E, 4) float32, input px
    exhaustive : what is no example of this view is background
    first : of the detector, in half precision
    targets : for each size of window: positions (n,) among the view's examples, the windows'
        features, and what is to be outlined in them
    """

    which: Tensor
    is_nucleus: Tensor
    boxes_cxcywh: Tensor
    exhaustive: bool
    first: FirstStage
    targets: tuple[tuple[Tensor, Embedding, Targets], ...]


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
        yield _lesson(engine, view, which, examples, corrections.exhaustive)


@torch.no_grad()
def _lesson(
    engine: TorchEngine,
    view: View,
    which: np.ndarray,
    examples: Sequence[Example],
    exhaustive: bool,
) -> Lesson:
    embedding = view.embedded(engine)
    parts = engine.with_detection(embedding)
    boxes = np.array([each.box_yxyx for each in examples], np.float32)
    if view.mirror is not None:
        boxes = view.mirror.boxes_in(boxes)
    yxyx = torch.from_numpy(embedding.frame.boxes_to_input(boxes)).float()
    xyxy = yxyx[:, [1, 0, 3, 2]].to(engine.device)
    nucleus = torch.tensor([each.is_nucleus for each in examples], device=engine.device)
    centre, size = (xyxy[:, :2] + xyxy[:, 2:]) / 2, xyxy[:, 2:] - xyxy[:, :2]
    first = engine.model.detector.look([level.float() for level in parts.detection])
    masks = [each.mask if view.mirror is None else each.mask[:, ::-1] for each in examples]
    return Lesson(
        torch.from_numpy(which).to(engine.device),
        nucleus,
        torch.cat([centre, size], dim=1),
        exhaustive,
        _halved(first),
        tuple(_targets(engine, embedding, xyxy, masks, nucleus)),
    )


def _halved(first: FirstStage) -> FirstStage:
    """The first stage without its dense maps, its levels in half precision."""
    nothing = first.seed.new_zeros(0)
    return FirstStage(
        [level.half() for level in first.levels],
        (nothing, nothing),
        first.seed.clone(),
        first.boxes.clone(),
        first.corner.clone(),
        first.valid.clone(),
    )


def _targets(
    engine: TorchEngine,
    embedding: TileEmbedding,
    xyxy: Tensor,
    masks: Sequence[np.ndarray],
    nucleus: Tensor,
) -> Iterator[tuple[Tensor, Embedding, Targets]]:
    """Windows around nuclei, with what is to be outlined in each."""
    stride = engine.config.coarse_stride
    height, width = embedding.frame.input_hw
    extent = (xyxy[:, 2:] - xyxy[:, :2]).amax(dim=1) if len(xyxy) else xyxy.new_zeros(0)
    waiting = nucleus.clone()
    for size in range(_WINDOW_SIDES):
        side = (engine.config.mask.window or 64) << size
        chosen = torch.nonzero(waiting & (extent <= FILL * side))[:, 0]
        if len(chosen) == 0 or side > min(height, width):
            continue
        waiting[chosen] = False
        boxes = xyxy[chosen]
        corners = place_windows(
            (boxes[:, :2] + boxes[:, 2:]).flip(1).cpu() / 2, side, (height, width), stride
        ).to(boxes.device)
        offset = (corners * stride).flip(1)  # (n, 2) xy
        local = boxes - offset.repeat(1, 2)
        truth = torch.stack(
            [
                _drawn(masks[k], box, side)
                for k, box in zip(chosen.tolist(), local.tolist(), strict=True)
            ]
        ).to(boxes.device)
        n = len(chosen)
        index = torch.zeros(n, dtype=torch.long, device=boxes.device)
        cells = side // stride
        levels = WindowFeatures(*[level.clone() for level in embedding.embedding.maps])
        windows = cut_windows(levels, index, corners, (cells, cells))
        own = torch.arange(n, device=boxes.device)
        nowhere = torch.zeros_like(corners)
        yield (
            chosen,
            Embedding(windows, (), None, (side, side)),
            Targets(own, nowhere, side, truth, local, local),
        )


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
