"""Language priors: names of classes as vectors that the detector's queries see (appendix A.1).

A text encoder is needed once, when a model is trained; its vectors travel with the weights. The
names are those that a data set may hold, the same for every picture: never what is on it.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional

from napari_uninuc.network.card import LanguageNote
from napari_uninuc.network.language_encoders import EncoderName, TextEncoder, encoder_named
from napari_uninuc.network.places import cache_folder

TEMPLATES = (
    "{name} nuclei",
    "a histology image of {name} nuclei",
    "nuclei-level {name} in {context} pathology",
)
"""Sentences a name is put into; their mean is less a matter of wording than each alone. The last is
PathSegmentor's (facts 8), "{context} " left out where there is none."""

_TENSOR = "vectors"


@dataclass(frozen=True, slots=True, eq=False)
class LanguagePrior:
    """Names and what a text encoder makes of them.

    Attributes
    ----------
    note : goes onto the card
    vectors : (T, D) float32 of length 1, one a name
    """

    note: LanguageNote
    vectors: Tensor

    @property
    def shape(self) -> tuple[int, int]:
        """T and D."""
        tokens, dim = self.vectors.shape
        return tokens, dim


def text_vectors(
    sentences: Sequence[str],
    encoder: EncoderName | TextEncoder = "minilm",
    *,
    folder: Path | None = None,
) -> tuple[str, Tensor]:
    """Embed sentences as they are, or take them from the cache.

    Parameters
    ----------
    sentences : S of them
    encoder, folder : as `language_prior`

    Returns
    -------
    tag : names the encoder
    vectors : (S, D) float32 of length 1

    Raises
    ------
    CheckpointError
        The encoder's package or weights are not there.
    """
    source = encoder_named(encoder) if isinstance(encoder, str) else encoder
    key = json.dumps([source.tag, "as they are", list(sentences)]).encode()
    kept_in = cache_folder() / "language" if folder is None else folder
    path = kept_in / f"{hashlib.blake2b(key, digest_size=16).hexdigest()}.safetensors"
    vectors = _read(path, len(sentences))
    if vectors is None:
        vectors = functional.normalize(source.encode(list(sentences)).float(), dim=-1)
        _keep(path, vectors)
    return source.tag, vectors


def language_prior(
    names: Sequence[str],
    encoder: EncoderName | TextEncoder = "minilm",
    context: str = "",
    *,
    folder: Path | None = None,
) -> LanguagePrior:
    """Embed names, or take them from the cache: then no encoder is loaded.

    Parameters
    ----------
    names : T classes that may be there
    encoder : one of `ENCODERS`, or an encoder
    context : what else is known of all the pictures, a tissue for instance ("colon")
    folder : of the cache; None takes ``language`` in `cache_folder`
        What cannot be kept there is made each time.

    Raises
    ------
    CheckpointError
        The encoder's package or weights are not there.
    """
    source = encoder_named(encoder) if isinstance(encoder, str) else encoder
    sentences = [sentences_of(name, context) for name in names]
    key = json.dumps([source.tag, sentences]).encode()
    name = hashlib.blake2b(key, digest_size=16).hexdigest()
    kept_in = cache_folder() / "language" if folder is None else folder
    path = kept_in / f"{name}.safetensors"
    vectors = _read(path, len(names))
    if vectors is None:
        each = source.encode([one for group in sentences for one in group]).float()
        vectors = _mean_directions(each.reshape(len(names), len(TEMPLATES), -1))
        _keep(path, vectors)
    note = LanguageNote(encoder=source.tag, dim=vectors.shape[1], texts=tuple(names))
    return LanguagePrior(note, vectors)


def sentences_of(name: str, context: str = "") -> list[str]:
    """Put a name into every template."""
    made = [template.format(name=name, context=context) for template in TEMPLATES]
    return [" ".join(sentence.split()) for sentence in made]


def _mean_directions(each: Tensor) -> Tensor:
    """Mean direction of the S sentences of a name, (T, S, D) -> (T, D) of length 1."""
    return functional.normalize(functional.normalize(each, dim=-1).mean(dim=1), dim=-1)


def _read(path: Path, count: int) -> Tensor | None:
    """Vectors of an earlier run; None where there are none, or no whole ones."""
    try:
        vectors = load_file(str(path))[_TENSOR]
    except (OSError, SafetensorError, KeyError, ValueError):
        return None
    whole = vectors.ndim == 2 and len(vectors) == count and vectors.dtype == torch.float32
    return vectors if whole and bool(torch.isfinite(vectors).all()) else None


def _keep(path: Path, vectors: Tensor) -> None:
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file({_TENSOR: vectors}, str(partial))
        os.replace(partial, path)
    except (OSError, SafetensorError):  # a cache that cannot be written costs seconds, no more
        with suppress(OSError):
            partial.unlink()
