"""Boxes of nuclei that were written down one after the other (NuNext), from a field's embedding.

A point says where a nucleus is, not how large. Its box is the one that the detector's first stage
gives the cell in which it lies: prompts of boxes do far better here than clicks.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from napari_uninuc.core.detections import Detections
from napari_uninuc.engine.embedding import TileEmbedding
from napari_uninuc.engine.torch_engine import TorchEngine
from napari_uninuc.errors import CheckpointError
from napari_uninuc.network.next_point import NextPointConfig, PointDecoder
from napari_uninuc.network.point_files import POINTS_NAME, load_points
from napari_uninuc.network.point_writing import PointWriter

__all__ = ["NextPointProposer", "WrittenPoints", "write_points"]

_WINDOWS_AT_ONCE = 64
"""All of a field of 1024 px; what they see and say takes up to 250 MB in float32."""
_LONGEST = 64
"""Nuclei in a window at which writing ends."""
_SEAM = 4.0
"""Input px by which two windows may see one nucleus apart: those so close to a cut are compared."""
_SAME = 12.0
"""Input px between two points of different windows that are one nucleus."""


class WrittenPoints(NamedTuple):
    """N points of one field.

    Attributes
    ----------
    points_yx : (N, 2) float32, input px, pixel centres at integers
    scores : (N,) float32 in [0, 1]
    """

    points_yx: npt.NDArray[np.float32]
    scores: npt.NDArray[np.float32]


class NextPointProposer:
    """What a decoder of next points finds, see `napari_uninuc.network.next_point`.

    Parameters
    ----------
    engine : whose features it reads; the decoder lies beside its weights

    Raises
    ------
    CheckpointError
        No decoder beside the weights, or one taught on others.
    """

    def __init__(self, engine: TorchEngine) -> None:
        self.engine, self.decoder = engine, decoder_of(engine)

    @torch.inference_mode()
    def points(self, embedding: TileEmbedding) -> WrittenPoints:
        """All points, in px of the model's input; in the precision of the encoder."""
        features, engine = embedding.embedding, self.engine
        with engine.low_precision():
            return write_points(self.decoder, features.detection, features.auxiliary, engine.dtype)

    @torch.inference_mode()
    def propose(self, embedding: TileEmbedding) -> Detections:
        """All points as boxes, in px of the tile, best score first; class 0."""
        found = self.points(embedding)
        levels = embedding.embedding.detection
        height, width = levels[0].shape[-2:]
        cell = embedding.frame.input_hw[1] // width
        rows, columns = (found.points_yx / cell).astype(np.int64).T
        cells = [
            torch.from_numpy(at.clip(0, most - 1)).to(self.engine.device)
            for at, most in ((rows, height), (columns, width))
        ]
        with self.engine.low_precision():
            boxes = self.engine.model.detector.boxes_at(levels, *cells).float().cpu().numpy()
        centre, size = np.split(boxes, 2, axis=1)  # xy
        corners = np.concatenate([centre - size / 2, centre + size / 2], axis=1)[:, [1, 0, 3, 2]]
        order = np.argsort(-found.scores, kind="stable")
        yxyx = embedding.frame.boxes_to_picture(corners[order]).astype(np.float32)
        return Detections(yxyx, found.scores[order], np.zeros(len(order), np.int64))


def decoder_of(engine: TorchEngine) -> PointDecoder:
    """The decoder beside an engine's weights, on its device; read once."""
    if engine.folder is None:
        raise CheckpointError(
            f"{engine.card.id}: expected weights with a decoder of next points beside them, got "
            "weights of no file; use another proposer"
        )
    if engine.point_decoder is None:
        engine.point_decoder, _ = load_points(engine.folder / POINTS_NAME, engine.card.sha256)
    return engine.point_decoder.to(engine.device)


def write_points(
    decoder: PointDecoder,
    levels: tuple[Tensor, ...],
    auxiliary: Tensor | None,
    dtype: torch.dtype = torch.float32,
) -> WrittenPoints:
    """Write down the nuclei of one field, window by window.

    Parameters
    ----------
    levels : (1, C, h, w) each, what the detector reads, finest first
    auxiliary : (1, 3, H, W) logits of the dense maps, or None
    dtype : of the large products, see `PointWriter`

    Returns
    -------
    points : of all windows; each writes what lies in its inner part, or close to it, and of two
        that are one nucleus the better stays
    """
    config, writer = decoder.config, PointWriter(decoder, dtype)
    projected = decoder.project(levels, auxiliary)
    height, width = projected.shape[-2:]
    corners = _corners((height, width), config).to(projected.device)
    rows_px = writer.grammar.px_of(torch.arange(config.bins))
    last_row = int((rows_px < config.window - config.margin + _SEAM - 0.5).sum()) - 1
    places, scores, window = [], [], []
    for first in range(0, len(corners), _WINDOWS_AT_ONCE):
        some = corners[first : first + _WINDOWS_AT_ONCE]
        index = torch.zeros(len(some), dtype=torch.long, device=some.device)
        memory = decoder.remember(projected, index, some)
        written = writer.write(memory, _LONGEST, last_row=last_row)
        for k, (said, sure) in enumerate(zip(written.tokens.tolist(), written.scores, strict=True)):
            points = decoder.grammar.parse(said).points_yx
            places.append(points + some[k].cpu() * config.stride)
            scores.append(sure[: len(points)].cpu())
            window.append(np.full(len(points), first + k))
    points_yx = torch.cat(places).numpy()
    sure, origin = torch.cat(scores).numpy(), np.concatenate(window)
    inside = (points_yx >= -0.5) & (points_yx < np.array([height, width]) * config.stride - 0.5)
    low = corners.cpu().numpy()[origin] * config.stride + config.margin - 0.5
    within = points_yx - low
    inner = config.window - 2 * config.margin
    owned = ((within >= -_SEAM) & (within < inner + _SEAM)).all(axis=1) & inside.all(axis=1)
    points_yx, sure, origin, within = points_yx[owned], sure[owned], origin[owned], within[owned]
    reach = _SEAM + _SAME
    close = ((within < reach) | (within >= inner - reach)).any(axis=1)
    kept = _once(points_yx, sure, origin, close)
    return WrittenPoints(points_yx[kept], sure[kept])


def _corners(cells_hw: tuple[int, int], config: NextPointConfig) -> Tensor:
    """First cells (N, 2) of windows whose inner parts cover a field."""
    edge = config.margin // config.stride
    inner = config.cells - 2 * edge
    ys, xs = (torch.arange(-edge, max(1, extent - edge), inner) for extent in cells_hw)
    return torch.cartesian_prod(ys, xs).reshape(-1, 2)


def _once(
    points_yx: npt.NDArray[np.float32],
    scores: npt.NDArray[np.float32],
    origin: npt.NDArray[np.int64],
    close: npt.NDArray[np.bool_],
) -> npt.NDArray[np.int64]:
    """Which points to keep: of two of different windows close to a cut, the better."""
    kept = np.ones(len(points_yx), bool)
    rows = np.flatnonzero(close)
    rows = rows[np.argsort(-scores[rows], kind="stable")]
    for at, row in enumerate(rows):
        if not kept[row]:
            continue
        later = rows[at + 1 :]
        near = np.abs(points_yx[later] - points_yx[row]).max(axis=1) < _SAME
        kept[later[near & (origin[later] != origin[row])]] = False
    return np.flatnonzero(kept)
