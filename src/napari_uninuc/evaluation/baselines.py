"""Two baselines without any learning, behind the face of a predictor.

They say what a score means: automatic masks must beat `OtsuWatershed`, and a mask drawn from a
box must beat `BoxEllipse`, which looks at no pixel.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage
from skimage.color import rgb2hed
from skimage.feature import peak_local_max
from skimage.filters import threshold_otsu
from skimage.segmentation import watershed

from napari_uninuc.core.segmentation import Segmentation
from napari_uninuc.errors import PromptError

_DEFAULT_MPP = 0.25
_STAIN_SIGMA_UM = 0.5
_DISTANCE_SIGMA_UM = 0.5
_SEED_DISTANCE_UM = 1.75
_MIN_AREA_UM2 = 7.5
_LOGIT = 10.0


class OtsuWatershed:
    """Segment nuclei as dark haematoxylin, split at the waists of the shape.

    Haematoxylin by colour deconvolution, Otsu's threshold over the whole image, distance
    transform, watershed from its peaks. Sizes are in micrometres; an unknown mpp counts as 0.25.
    """

    def __init__(self) -> None:
        self._rgb = np.zeros((1, 1, 3), np.uint8)
        self._mpp = _DEFAULT_MPP

    def set_image(self, rgb: np.ndarray, mpp: float | None = None) -> None:
        """Take an (H, W, 3) uint8 image."""
        self._rgb, self._mpp = rgb, mpp or _DEFAULT_MPP

    def segment(self) -> Segmentation:
        """Segment the image; scores are unknown (NaN), the one class is "nucleus"."""
        stain = ndimage.gaussian_filter(rgb2hed(self._rgb)[..., 0], _STAIN_SIGMA_UM / self._mpp)
        if stain.min() == stain.max():  # one colour: no threshold exists
            return Segmentation.from_labels(np.zeros(stain.shape, np.int32))
        dark = ndimage.binary_fill_holes(stain > threshold_otsu(stain))
        dark = _without_small(dark, _MIN_AREA_UM2 / self._mpp**2)
        distance = ndimage.gaussian_filter(
            ndimage.distance_transform_edt(dark), _DISTANCE_SIGMA_UM / self._mpp
        )
        seeds = np.zeros(dark.shape, np.int32)
        spacing = max(1, round(_SEED_DISTANCE_UM / self._mpp))
        peaks = peak_local_max(
            distance, min_distance=spacing, labels=dark.astype(np.int32), exclude_border=False
        )
        seeds[tuple(peaks.T)] = np.arange(1, len(peaks) + 1)
        return Segmentation.from_labels(watershed(-distance, seeds, mask=dark).astype(np.int32))


class BoxEllipse:
    """Answer each box with the ellipse inscribed in it; points and mask prompts change nothing."""

    def __init__(self) -> None:
        self._shape = (1, 1)

    def set_image(self, rgb: np.ndarray, mpp: float | None = None) -> None:
        """Take the size of an (H, W, 3) image; its pixels are not looked at."""
        self._shape = rgb.shape[:2]

    def predict(
        self,
        point_coords: np.ndarray | None = None,
        point_labels: np.ndarray | None = None,
        box: np.ndarray | None = None,
        mask_input: np.ndarray | None = None,
        multimask_output: bool = False,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Draw the ellipses.

        Parameters
        ----------
        box : (B, 4) xyxy, half-open, px

        Returns
        -------
        masks : (B, 1, H, W) bool
        iou : (B, 1) float32, all 1: it has no opinion of itself
        low_res_logits : (B, 1, 256, 256) float32, 10 inside and -10 outside, the image
            stretched to that square

        Raises
        ------
        PromptError
            No (B, 4) boxes.
        """
        if box is None or np.ndim(box) != 2 or np.shape(box)[1] != 4:
            raise PromptError(
                f"box must be (B, 4) xyxy, got {None if box is None else np.shape(box)}; "
                "this baseline needs boxes"
            )
        height, width = self._shape
        boxes = np.asarray(box, dtype=np.float64)
        masks = np.stack([_ellipse(one, self._shape) for one in boxes])
        scale = np.array([256 / width, 256 / height] * 2)
        small = np.stack([_ellipse(one * scale, (256, 256)) for one in boxes])
        logits = np.where(small, _LOGIT, -_LOGIT).astype(np.float32)
        return masks[:, None], np.ones((len(boxes), 1), np.float32), logits[:, None]


def _without_small(mask: np.ndarray, min_area_px: float) -> np.ndarray:
    pieces, _ = ndimage.label(mask)
    return mask & (np.bincount(pieces.ravel()) >= min_area_px)[pieces]


def _ellipse(box_xyxy: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Mark the pixels whose centre lies in the ellipse inscribed in a half-open box."""
    x0, y0, x1, y1 = box_xyxy
    ys = (np.arange(shape[0]) + 0.5 - (y0 + y1) / 2) / max((y1 - y0) / 2, 0.5)
    xs = (np.arange(shape[1]) + 0.5 - (x0 + x1) / 2) / max((x1 - x0) / 2, 0.5)
    return ys[:, None] ** 2 + xs[None, :] ** 2 <= 1.0
