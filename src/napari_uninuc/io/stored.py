"""What a label file holds, whatever its format."""

from dataclasses import dataclass

from napari_uninuc.core.segmentation import Segmentation

__all__ = ["StoredSegmentation"]


@dataclass(frozen=True, slots=True, eq=False)
class StoredSegmentation:
    """A label file as it was written.

    Attributes
    ----------
    segmentation : class, score, status and colours where the file names them; else "nucleus",
        NaN, no column and no classes
    mpp : micrometres per px; None where the file does not say
    origin_yx_slide : first pixel on the slide, px; (0, 0) where the file does not say
    notice : one line a person should read: what was left out of the file or changed; empty
        where nothing was
    """

    segmentation: Segmentation
    mpp: float | None
    origin_yx_slide: tuple[int, int] = (0, 0)
    notice: str = ""
