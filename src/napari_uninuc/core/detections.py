"""What a detector answers: boxes, how sure it is of them, and their classes."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from napari_uninuc.errors import PromptError

__all__ = ["Detections"]


@dataclass(frozen=True, slots=True, eq=False)
class Detections:
    """N proposed nuclei of one picture.

    Attributes
    ----------
    boxes_yxyx : (N, 4) float32, half-open, px of the picture; may reach past its border
    scores : (N,) float32 in [0, 1]
    class_ids : (N,) int64, from 0

    Raises
    ------
    PromptError
        Lengths that differ, boxes that are not (N, 4), or scores outside [0, 1].

    Examples
    --------
    >>> import numpy as np
    >>> from napari_uninuc.core.detections import Detections
    >>> boxes_yxyx = np.array([[10, 20, 14, 26], [30, 5, 33, 8]], np.float32)
    >>> found = Detections(boxes_yxyx, np.array([0.9, 0.4], np.float32), np.zeros(2, np.int64))
    >>> found.take(found.scores > 0.5).shifted(100, 200).boxes_yxyx.tolist()
    [[110.0, 220.0, 114.0, 226.0]]
    """

    boxes_yxyx: npt.NDArray[np.float32]
    scores: npt.NDArray[np.float32]
    class_ids: npt.NDArray[np.int64]

    def __post_init__(self) -> None:
        boxes = np.asarray(self.boxes_yxyx, dtype=np.float32)
        scores = np.asarray(self.scores, dtype=np.float32)
        class_ids = np.asarray(self.class_ids, dtype=np.int64)
        count = len(scores) if scores.ndim == 1 else -1
        if boxes.shape != (count, 4) or class_ids.shape != (count,):
            raise PromptError(
                "detections must be boxes (N, 4), scores (N,) and classes (N,), got "
                f"{boxes.shape}, {scores.shape} and {class_ids.shape}; pass one row a nucleus"
            )
        if not ((scores >= 0) & (scores <= 1)).all():
            raise PromptError(
                f"scores must lie in [0, 1], got {scores.min()}..{scores.max()}; "
                "pass probabilities, not logits"
            )
        object.__setattr__(self, "boxes_yxyx", boxes)
        object.__setattr__(self, "scores", scores)
        object.__setattr__(self, "class_ids", class_ids)

    @classmethod
    def empty(cls) -> Self:
        """Make detections of no nucleus."""
        return cls(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64))

    @classmethod
    def concatenate(cls, parts: Iterable["Detections"]) -> Self:
        """Join detections of one picture in the order given; no part makes none."""
        found = list(parts)
        if not found:
            return cls.empty()
        return cls(
            np.concatenate([part.boxes_yxyx for part in found]),
            np.concatenate([part.scores for part in found]),
            np.concatenate([part.class_ids for part in found]),
        )

    def __len__(self) -> int:
        return len(self.scores)

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays."""
        return self.boxes_yxyx.nbytes + self.scores.nbytes + self.class_ids.nbytes

    def shifted(self, dy: float, dx: float) -> Self:
        """Move every box by (dy, dx) px."""
        offset = np.asarray([dy, dx, dy, dx], dtype=np.float32)
        return type(self)(self.boxes_yxyx + offset, self.scores, self.class_ids)

    def scaled(self, factor: float) -> Self:
        """Multiply every coordinate by `factor`, about the picture's first corner."""
        return type(self)(self.boxes_yxyx * np.float32(factor), self.scores, self.class_ids)

    def take(self, index: npt.NDArray[Any] | slice) -> Self:
        """Pick rows by integers, by a (N,) bool mask or by a slice, in that order."""
        return type(self)(self.boxes_yxyx[index], self.scores[index], self.class_ids[index])
