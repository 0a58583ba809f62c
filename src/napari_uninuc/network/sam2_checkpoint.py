"""Official SAM 2.1 checkpoints -> our model folders.

Our parameters have SAM 2's names, so conversion is choosing: the image encoder, the prompt
encoder, the mask decoder and ``no_mem_embed`` are taken, the video parts are left. The detector
and the high-quality branch are not in SAM 2: the detector starts at seeded random values, the
high-quality branch at zero, so that masks are exactly those of SAM 2.1's predictor as its
`build_sam2` makes it by default; the card says so (``decoding``, ``dynamic_multimask``).
"""

from __future__ import annotations

import pickle
import warnings
from dataclasses import replace
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from napari_uninuc.errors import CheckpointError
from napari_uninuc.network.build import build_model
from napari_uninuc.network.card import ModelCard, card_for_preset, sha256_of
from napari_uninuc.network.checkpoint import check_names_and_shapes, save_model
from napari_uninuc.network.config import PRESETS, HieraConfig, preset
from napari_uninuc.network.uninuc import UniNuc

SAM2_PREFIXES = ("image_encoder.", "sam_prompt_encoder.", "sam_mask_decoder.", "no_mem_embed")
OUR_ADDITIONS = tuple(f"sam_mask_decoder.{name}" for name in ("hq_", "phi", "refine."))
"""Parameters of the mask decoder that SAM 2 does not have."""

_PATCHES = "image_encoder.trunk.patch_embed.proj.weight"
_LICENCE = "Apache-2.0 (SAM 2.1)"


def convert_sam2(
    checkpoint: Path,
    architecture: str | None,
    output: Path,
    *,
    detector_weights: Path | None = None,
    dtype: torch.dtype = torch.float32,
    seed: int = 0,
) -> ModelCard:
    """Convert an official SAM 2.1 checkpoint into a model folder.

    Parameters
    ----------
    checkpoint : ``sam2.1_hiera_{small,base_plus,large}.pt``
    architecture : uninuc-s, uninuc-b or uninuc-l; None tells by the shapes
    output : model folder, made where it is not there
    detector_weights : state dict of timm's ConvNeXt of the same size (``.safetensors`` or
        ``.pth``) for the detector's backbone; None leaves it random
    dtype : of the stored weights; float16 halves the file and moves logits by more than 1e-3
    seed : of the random values of what the files do not hold

    Raises
    ------
    CheckpointError
        Missing, truncated or pickled with code (nothing of it is run), of another architecture,
        or of a size we have no preset for.
    ModelNotFoundError
        No such architecture.
    OutputError
        The folder cannot be written.
    """
    checkpoint, output = Path(checkpoint), Path(output)
    state = sam2_state(checkpoint)
    name = architecture or guess_architecture(state, checkpoint)
    model = build_model(preset(name), seed=seed)
    load_sam2(model, state, checkpoint)
    detector = "random detector"
    if detector_weights is not None:
        load_convnext(model, Path(detector_weights))
        detector = f"detector backbone {Path(detector_weights).name}, detector head random"
    card = replace(
        card_for_preset(name),
        commercial_use=detector_weights is None,
        licence=_LICENCE if detector_weights is None else f"{_LICENCE}; see the detector's weights",
        training_data=("SA-1B", "SA-V"),
        initialisation=f"{checkpoint.name} (sha256 {sha256_of(checkpoint)}); {detector}",
        decoding="whole",
        dynamic_multimask=True,
        notes="Prompted masks are SAM 2.1's. The detector is not trained: "
        "automatic segmentation means nothing before training.",
    )
    return save_model(model, card, output, dtype)


def sam2_state(checkpoint: Path) -> dict[str, Tensor]:
    """Read the tensors of a SAM 2 checkpoint that segment images, under their official names.

    Raises
    ------
    CheckpointError
        See `convert_sam2`.
    """
    stored = _load_tensors(checkpoint)
    tensors = stored.get("model", stored)
    if not isinstance(tensors, dict) or _PATCHES not in tensors:
        raise CheckpointError(
            f"{checkpoint}: expected a SAM 2.1 checkpoint ({_PATCHES}), found no such tensor; "
            "get sam2.1_hiera_small.pt, _base_plus.pt or _large.pt"
        )
    return {
        name: value
        for name, value in tensors.items()
        if isinstance(value, Tensor) and name.startswith(SAM2_PREFIXES)
    }


def guess_architecture(state: dict[str, Tensor], checkpoint: Path) -> str:
    """Tell the preset by embedding width and number of blocks.

    Parameters
    ----------
    state : what `sam2_state` gave
    checkpoint : its file, for the error

    Raises
    ------
    CheckpointError
        No preset has that size.
    """
    width = state[_PATCHES].shape[0]
    blocks = len({key.split(".")[3] for key in state if key.startswith("image_encoder.trunk.bl")})
    known: dict[tuple[int, int], str] = {}
    for name, config in PRESETS.items():
        if isinstance(config.encoder, HieraConfig):
            # The first of a size: later ones are the paper's ablations of it.
            known.setdefault((config.encoder.embed_dim, sum(config.encoder.stages)), name)
    if (width, blocks) not in known:
        size = "tiny" if (width, blocks) == (96, 12) else f"of {blocks} blocks, width {width},"
        raise CheckpointError(
            f"{checkpoint}: a Hiera {size} has no preset; expected one of "
            "sam2.1_hiera_small.pt, _base_plus.pt, _large.pt"
        )
    return known[width, blocks]


def load_sam2(model: UniNuc, state: dict[str, Tensor], checkpoint: Path) -> None:
    """Put SAM 2's tensors into ``model``; all that SAM 2 and the model share must be there.

    Raises
    ------
    CheckpointError
        A tensor is missing, unknown or misshapen.
    """
    own = {
        name: value
        for name, value in model.state_dict().items()
        if name.startswith(SAM2_PREFIXES) and not name.startswith(OUR_ADDITIONS)
    }
    check_names_and_shapes(own, state, f"{checkpoint}: ", model.config.id)
    model.load_state_dict({k: v.float() for k, v in state.items()}, strict=False)


def load_convnext(model: UniNuc, weights: Path) -> None:
    """Put timm ConvNeXt weights into the detector's backbone; the classifier is left.

    Raises
    ------
    CheckpointError
        Not a state dict of timm's names, of another size, or the model has no such backbone.
    """
    if model.detector_backbone is None:
        raise CheckpointError(
            f"{model.config.id} has no detector backbone of its own; leave {weights} out"
        )
    body = model.detector_backbone.body
    state = {}
    for name, value in _load_tensors(weights).items():
        if isinstance(value, Tensor) and name.startswith(("stem.", "stages.")):
            part, index, rest = name.split(".", 2)
            state[f"{part}_{index}.{rest}"] = value.float()
    where = f"{weights}: as timm's {model.config.detector.backbone} "
    check_names_and_shapes(body.state_dict(), state, where, model.config.id)
    body.load_state_dict(state)


def _load_tensors(path: Path) -> dict[str, object]:
    """Read a file of tensors without running anything in it."""
    if not path.is_file():
        raise CheckpointError(f"{path}: no such checkpoint file; check the path")
    stored: object
    try:
        if path.suffix == ".safetensors":
            stored = load_file(str(path))
        else:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of odd pickles, which are refused below
                stored = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{path}: refused, it is not a file of plain tensors but pickled code or damaged; "
            "nothing in it was run; get the official file"
        ) from error
    except (OSError, RuntimeError, EOFError, ValueError, KeyError, SafetensorError) as error:
        raise CheckpointError(
            f"{path}: cannot be read as a checkpoint; it may be truncated, get it again"
        ) from error
    if not isinstance(stored, dict):
        raise CheckpointError(
            f"{path}: expected named tensors, got a {type(stored).__name__}; get the official file"
        )
    return stored
