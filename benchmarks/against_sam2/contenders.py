"""What is compared: our public predictor and SAM 2's, on one trunk; and the pictures they see."""

from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

OURS, THEIRS, BUNDLED = "uninuc-b", "SAM 2 B+", "uninuc-n"


def picture(side: int, nuclei: int, number: int = 0) -> Any:
    """A synthetic H&E tile; ``number`` changes one pixel, which defeats caches."""
    from napari_uninuc.core.tile import Tile

    rgb = _pixels(side, nuclei).copy()
    rgb[0, 0, 0] = number % 256
    rgb[0, 1, 0] = number // 256 % 256
    return Tile.from_array(rgb, 0.25)


@lru_cache(maxsize=2)
def _pixels(side: int, nuclei: int) -> npt.NDArray[np.uint8]:
    """Made once: it takes as long as encoding."""
    from napari_uninuc.testing import make_tile

    return make_tile((side, side), nuclei, seed=1).tile.rgb


def nuclei_for(side: int) -> int:
    """As dense as 300 nuclei on a tile of 1,024 px."""
    return round(300 * (side / 1024) ** 2)


def grid_boxes(count: int, side: int) -> npt.NDArray[np.float32]:
    """Boxes of 30 px on a grid, (count, 4) xyxy px."""
    across = int(np.ceil(np.sqrt(count)))
    first = np.linspace(10, side - 45, across)
    xy = np.stack(np.meshgrid(first, first), axis=-1).reshape(-1, 2)[:count]
    return np.concatenate([xy, xy + 30], axis=1).astype(np.float32)


def make(name: str, device: str) -> Any:
    """A predictor by name, on a device."""
    if name == THEIRS:
        return _sam2(device)
    from napari_uninuc import load_predictor

    return load_predictor(name, device=device, weights=None if name == OURS else "default")


def _sam2(device: str) -> Any:
    """SAM2ImagePredictor on a Hiera-B+ of random weights, as sam2.1_hiera_b+.yaml has it."""
    import torch
    from sam2.modeling.backbones.hieradet import Hiera
    from sam2.modeling.backbones.image_encoder import FpnNeck, ImageEncoder
    from sam2.modeling.position_encoding import PositionEmbeddingSine
    from sam2.modeling.sam2_base import SAM2Base
    from sam2.sam2_image_predictor import SAM2ImagePredictor
    from torch import nn

    torch.manual_seed(0)
    neck = FpnNeck(
        position_encoding=PositionEmbeddingSine(256),
        d_model=256,
        backbone_channel_list=[896, 448, 224, 112],
        fpn_top_down_levels=[2, 3],
        fpn_interp_model="nearest",
    )
    model = SAM2Base(
        image_encoder=ImageEncoder(trunk=Hiera(embed_dim=112, num_heads=2), neck=neck, scalp=1),
        memory_attention=nn.Identity(),  # of videos
        memory_encoder=nn.Identity(),
        image_size=1024,
        directly_add_no_mem_embed=True,
        use_high_res_features_in_sam=True,
        multimask_output_in_sam=True,
        iou_prediction_use_sigmoid=True,
        use_obj_ptrs_in_encoder=True,
        pred_obj_scores=True,
        pred_obj_scores_mlp=True,
        fixed_no_obj_ptr=True,
        use_mlp_for_obj_ptr_proj=True,
        no_obj_embed_spatial=True,
    )
    return SAM2ImagePredictor(model.to(device).eval())


def ask_boxes(predictor: Any, boxes: npt.NDArray[np.float32], at_once: int) -> None:
    """Prompt with boxes; masks are dropped as they come."""
    for start in range(0, len(boxes), at_once):
        predictor.predict(box=boxes[start : start + at_once], multimask_output=False)
