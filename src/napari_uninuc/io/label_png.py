"""Label images as PNG, the masks of cellpose and others."""

from pathlib import Path

import numpy as np
from PIL import Image

from napari_uninuc.core.segmentation import Segmentation
from napari_uninuc.errors import OutputError
from napari_uninuc.io.targets import replacing

__all__ = ["write_png"]

_MAX_ID = 2**16 - 1


def write_png(segmentation: Segmentation, path: Path) -> None:
    """Write the label image as one plane of 16 bits.

    Parameters
    ----------
    segmentation : ids up to 65,535, which is as many as a PNG holds
    path : replaced whole or not at all; folders above it are made

    Raises
    ------
    OutputError
        Higher ids, or the file cannot be written.

    Examples
    --------
    >>> from pathlib import Path
    >>> from napari_uninuc import Segmentation
    >>> from napari_uninuc.io.label_png import write_png
    >>> from napari_uninuc.io.labels import read_labels
    >>> from napari_uninuc.testing import make_tile
    >>> nuclei = Segmentation.from_labels(make_tile((64, 64), n_nuclei=3).labels)

    >>> write_png(nuclei, Path("nuclei.png"))
    >>> int(read_labels("nuclei.png").max())
    3
    """
    highest = int(segmentation.labels.max(initial=0))
    if highest > _MAX_ID:
        raise OutputError(
            f"{path}: a PNG holds ids up to {_MAX_ID}, got {highest}; write .tif instead"
        )
    with replacing(path) as part:
        Image.fromarray(segmentation.labels.astype(np.uint16)).save(part, format="PNG")
