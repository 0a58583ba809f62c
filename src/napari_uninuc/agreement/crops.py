"""Where the pixels under two readings come from, crop by crop."""

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt

from napari_uninuc.agreement.reading import Reading
from napari_uninuc.core.extents import Box, slices
from napari_uninuc.errors import LabelsError
from napari_uninuc.io.images import read_image
from napari_uninuc.slides.opening import open_slide

__all__ = ["Crops", "lent_crops"]

Crops = Callable[[Box], npt.NDArray[np.uint8]]
"""Reads a half-open box, px of the readings: (h, w, 3) uint8."""

_PAPER = 255


@contextmanager
def lent_crops(like: Path | None, a: Reading, b: Reading) -> Iterator[Crops]:
    """Lend the picture that two readings are of, white paper where there is none.

    Parameters
    ----------
    like : picture or slide; None takes what a session has saved with it
    a, b : of the same pixels, see `common_part`

    Raises
    ------
    ImageError, LabelsError
        A picture that cannot be read, or of another size.
    """
    saved = a.picture or b.picture
    if like is not None and a.slide is not None:
        with closing(open_slide(like)) as slide:
            (y, x), level = a.origin_yx, a.slide[1]
            yield lambda box: slide.read(level, (box[0] + y, box[1] + x, box[2] + y, box[3] + x))
    elif like is not None or saved is not None:
        rgb = (read_image(like) if like is not None else saved()).rgb  # type: ignore[misc]
        if rgb.shape[:2] != a.shape:
            raise LabelsError(
                f"{like or a.name}: expected a picture of {a.shape[0]} x {a.shape[1]} px like the "
                f"nuclei, got {rgb.shape[0]} x {rgb.shape[1]} px; name the right picture"
            )
        yield lambda box: rgb[slices(box)]
    else:
        yield lambda box: np.full((box[2] - box[0], box[3] - box[1], 3), _PAPER, np.uint8)
