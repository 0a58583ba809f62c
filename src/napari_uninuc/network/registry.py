"""Where models are found on this machine, and how the official ones get here.

Looked for, in this order: the models inside the installed package, ``models/`` beside ``src`` of
a checkout, and the user's model folder (``$UNINUC_MODELS``, or the platform's data folder).
Finding a model loads no torch.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from urllib.parse import urlsplit

from platformdirs import user_data_path

from napari_uninuc.errors import CheckpointError, ModelNotFoundError
from napari_uninuc.network.card import (
    CARD_NAME,
    WEIGHTS_NAME,
    ModelCard,
    read_card,
    sha256_of,
)
from napari_uninuc.network.config import PRESETS, HieraConfig
from napari_uninuc.network.download import download

OFFICIAL_BASE = "https://dl.fbaipublicfiles.com/segment_anything_2/092824"
OFFICIAL_CHECKPOINTS = {
    "uninuc-s": "sam2.1_hiera_small.pt",
    "uninuc-b": "sam2.1_hiera_base_plus.pt",
    "uninuc-l": "sam2.1_hiera_large.pt",
}
"""SAM 2.1 checkpoints (Apache-2.0; facebookresearch/sam2, checkpoints/download_ckpts.sh)."""
NO_WEIGHTS = "no such weights file beside its card; get the model again"


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """A model on this machine: its card and its weights file."""

    card: ModelCard
    weights_path: Path


def user_models() -> Path:
    """The user's model folder; `fetch` writes there. It may not exist yet."""
    chosen = os.environ.get("UNINUC_MODELS")
    if chosen:
        return Path(chosen).expanduser()
    return user_data_path("napari-uninuc", appauthor=False) / "models"


def model_folders() -> dict[str, Path]:
    """Model folders on this machine by id (the folder's name); nothing in them is checked."""
    package = Path(__file__).resolve().parents[1]
    roots = [package / "models", user_models()]
    if package.parent.name == "src":
        roots.insert(1, package.parent.parent / "models")
    found: dict[str, Path] = {}
    for root in roots:
        for card in sorted(root.glob(f"*/{CARD_NAME}")):
            found.setdefault(card.parent.name, card.parent)
    return found


def list_models(tell: Callable[[CheckpointError], None]) -> list[ModelFiles]:
    """All models on this machine whose cards can be read; weights are not hashed.

    Parameters
    ----------
    tell : told of each card that cannot be read; the other models are listed all the same

    Examples
    --------
    >>> from napari_uninuc.network.registry import list_models
    >>> "uninuc-n" in [model.card.id for model in list_models(tell=print)]
    True
    """
    found = []
    for folder in model_folders().values():
        try:
            found.append(ModelFiles(read_card(folder), folder / WEIGHTS_NAME))
        except CheckpointError as problem:
            tell(problem)
    return found


def find_model(model: str | Path) -> ModelFiles:
    """Find a model and check its weights against its card.

    Parameters
    ----------
    model : id of a model on this machine, a model folder, or a ``.safetensors`` file with its
        ``card.toml`` beside it. A `str` that is an id is never read as a path.

    Raises
    ------
    ModelNotFoundError
        No such id and nothing at that path.
    CheckpointError
        No card, no weights, not a model file, or not the weights the card was written for.

    Examples
    --------
    >>> from napari_uninuc.network.registry import find_model
    >>> files = find_model("uninuc-n")
    >>> files.weights_path.name, files.card.id
    ('model.safetensors', 'uninuc-n')
    """
    path = _weights_of(model)
    if path.name != WEIGHTS_NAME and path.suffix != ".safetensors":
        raise CheckpointError(
            f"{path}: expected a .safetensors file or a model folder, got another file; "
            "an official SAM 2.1 .pt is converted by: uninuc models convert"
        )
    card = read_card(path)
    if not path.is_file():
        raise CheckpointError(f"{path}: {NO_WEIGHTS}")
    _compare(path, card, _hash_once(path))
    return ModelFiles(card, path)


def _weights_of(model: str | Path) -> Path:
    """Where the weights of an id, a folder, a card or a weights file are; they may be missing.

    Raises
    ------
    ModelNotFoundError
        No such id and nothing at that path.
    """
    folders = model_folders()
    path = folders[model] if isinstance(model, str) and model in folders else Path(model)
    if path.is_dir():
        return path / WEIGHTS_NAME
    if not path.exists():
        raise ModelNotFoundError(_not_found(str(model), sorted(folders)))
    return path.with_name(WEIGHTS_NAME) if path.name == CARD_NAME else path


def verify(model: str | Path) -> str:
    """Hash a model's weights anew and compare them with the card; returns the sha256.

    Parameters
    ----------
    model : as of `find_model`

    Raises
    ------
    ModelNotFoundError
        No such id and nothing at that path.
    CheckpointError
        A file is missing or unreadable, or the weights are not those of the card.
    """
    weights = _weights_of(model)
    card = read_card(weights)
    if not weights.exists():
        raise CheckpointError(f"{weights}: {NO_WEIGHTS}")
    digest = sha256_of(weights)
    _compare(weights, card, digest)
    return digest


def fetch(
    model_id: str,
    source: str | Path | None = None,
    *,
    sha256: str | None = None,
    progress: Callable[[int, int | None], None] | None = None,
) -> ModelFiles:
    """Get an official SAM 2.1 checkpoint and convert it into the user's model folder.

    A model that is already here and whole is returned as it is, unless ``source`` is given.
    An interrupted download goes on where it stopped. Proxies are those of the environment.

    Parameters
    ----------
    model_id : uninuc-s, uninuc-b or uninuc-l
    source : a checkpoint already on this machine; None takes it from ``$UNINUC_MIRROR`` (a base
        URL or a folder), else from the official address
    sha256 : of the checkpoint, where the caller knows it; Meta publishes none
    progress : called with bytes done and bytes in all (None where the server does not say)

    Raises
    ------
    ModelNotFoundError
        No such model to fetch.
    CheckpointError
        Not reachable, interrupted, or not the checkpoint it should be.
    OutputError
        The user's model folder cannot be written.
    """
    if source is None and model_id in model_folders():
        return find_model(model_id)
    if model_id not in OFFICIAL_CHECKPOINTS:
        how = f"; {_origin(model_id)}" if model_id in PRESETS else ""
        raise ModelNotFoundError(
            f"no model {model_id!r} to fetch; expected one of "
            f"{', '.join(OFFICIAL_CHECKPOINTS)}{how}"
        )
    checkpoint = _local_checkpoint(model_id, source)
    if checkpoint is not None:
        return _convert(model_id, checkpoint, sha256)
    checkpoint = _downloaded(OFFICIAL_CHECKPOINTS[model_id], progress)
    try:
        files = _convert(model_id, checkpoint, sha256)
    except CheckpointError:
        checkpoint.unlink(missing_ok=True)  # else the next try would meet it again
        raise
    checkpoint.unlink(missing_ok=True)
    return files


def _local_checkpoint(model_id: str, source: str | Path | None) -> Path | None:
    """The checkpoint where it needs no download; None where it does."""
    if source is not None:
        return Path(source)
    mirror = os.environ.get("UNINUC_MIRROR")
    if mirror and urlsplit(mirror).scheme not in ("http", "https"):
        return Path(mirror).expanduser() / OFFICIAL_CHECKPOINTS[model_id]
    return None


def _downloaded(name: str, progress: Callable[[int, int | None], None] | None) -> Path:
    """A checkpoint from the mirror or the official address, downloaded if it was not before."""
    target = user_models() / "downloads" / name
    base = os.environ.get("UNINUC_MIRROR") or OFFICIAL_BASE
    return target if target.exists() else download(f"{base.rstrip('/')}/{name}", target, progress)


def _convert(model_id: str, checkpoint: Path, sha256: str | None) -> ModelFiles:
    from napari_uninuc.network.sam2_checkpoint import convert_sam2  # loads torch

    if sha256 is not None and sha256_of(checkpoint) != sha256.lower():
        raise CheckpointError(
            f"{checkpoint}: sha256 is not the expected {sha256.lower()}; get the file again"
        )
    folder = user_models() / model_id
    card = convert_sam2(checkpoint, model_id, folder)
    return ModelFiles(card, folder / WEIGHTS_NAME)


def _compare(weights: Path, card: ModelCard, digest: str) -> None:
    if not card.sha256:
        raise CheckpointError(
            f"{weights}: its card has no sha256, so the weights cannot be checked; "
            f'if you trust them add: sha256 = "{digest}"'
        )
    if digest != card.sha256:
        raise CheckpointError(
            f"{weights}: sha256 is {digest}, its card expects {card.sha256}; "
            "the file is damaged or of another model, get it again"
        )


def _hash_once(path: Path) -> str:
    """Hash a file unless its path, time and size were seen before in this process."""
    state = path.stat()
    return _hash_state(path.resolve(), state.st_mtime_ns, state.st_size)


@lru_cache(maxsize=64)
def _hash_state(path: Path, mtime_ns: int, size: int) -> str:
    return sha256_of(path)


def _not_found(model: str, here: list[str]) -> str:
    known = ", ".join(here) or "none"
    if model in PRESETS:
        return f"{model} is not on this machine (here: {known}); {_origin(model)}"
    return (
        f"no model {model!r}; expected an id (here: {known}), a model folder "
        "or a .safetensors file; see: uninuc models list"
    )


def _origin(model_id: str) -> str:
    """How to come by the model of a preset that is not here."""
    if model_id in OFFICIAL_CHECKPOINTS:
        return f"get it: uninuc models fetch {model_id}"
    if isinstance(PRESETS[model_id].encoder, HieraConfig):
        checkpoint = _checkpoint_for(model_id)
        return (
            f"{model_id} has no weights of its own; make them of SAM 2.1's: "
            f"uninuc models convert {checkpoint} --architecture {model_id} --output FOLDER, or "
            "train it"
        )
    return f"{model_id} comes with napari-uninuc; install it again"


def _checkpoint_for(model_id: str) -> str:
    """The official checkpoint whose encoder a preset has."""
    encoder = PRESETS[model_id].encoder
    same = (name for name in OFFICIAL_CHECKPOINTS if PRESETS[name].encoder == encoder)
    return OFFICIAL_CHECKPOINTS[next(same)]
