"""The picture of a session, saved with it, so that a folder that is copied is complete."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import tifffile

from napari_uninuc.core.tile import Tile
from napari_uninuc.errors import ImageError, SessionError
from napari_uninuc.io.images import read_image
from napari_uninuc.io.targets import replacing
from napari_uninuc.journal.folder import SessionHeading
from napari_uninuc.journal.framing import open_regular

__all__ = ["read_picture", "write_picture"]

_PICTURE = "picture.tif"


def write_picture(folder: Path, rgb: npt.NDArray[np.uint8]) -> None:
    """Save the (H, W, 3) uint8 picture without loss, unless it is there; OutputError."""
    path = folder / _PICTURE
    if path.exists():
        return
    with replacing(path) as part:
        tifffile.imwrite(
            part,
            rgb,
            photometric="rgb",
            compression="zlib",
            compressionargs={"level": 1},
            predictor=True,
            tile=(256, 256),
            maxworkers=1,
            metadata=None,
        )


def read_picture(folder: Path, heading: SessionHeading) -> Tile:
    """Read the picture of a session.

    Raises
    ------
    SessionError
        Missing, damaged, or not the one that the session was made on.
    """
    path = folder / _PICTURE
    if not path.exists():
        raise SessionError(
            f"{folder}: the picture was not saved before the session was cut off; open the session "
            "together with its picture, or export it with --like"
        )
    open_regular(path).close()
    try:
        read = read_image(path, heading.mpp)
    except ImageError as problem:
        raise SessionError(f"{problem}, or open the session together with its picture") from None
    if read.digest != heading.digest:
        raise SessionError(f"{path}: not the picture of this session; open it with its own")
    return Tile(
        read.rgb,
        heading.mpp,
        heading.origin_yx_slide,
        heading.name,
        heading.digest,
        heading.slide,
    )
