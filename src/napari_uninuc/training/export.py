"""A finished run -> a model folder: half-precision weights and a card that says what they are."""

from __future__ import annotations

import datetime
import hashlib
from pathlib import Path

from napari_uninuc.network.card import ModelCard, write_card
from napari_uninuc.network.checkpoint import save_weights
from napari_uninuc.training.loop import Trainer


def export_model(trainer: Trainer) -> Path:
    """Write the moving average of a run as ``OUTPUT/model``; returns the folder."""
    recipe = trainer.recipe
    folder = recipe.output / "model"
    folder.mkdir(parents=True, exist_ok=True)
    weights = folder / "model.safetensors"
    save_weights(trainer.average.model, weights)
    config = trainer.model.config
    card = ModelCard(
        id=recipe.output.name,
        architecture=recipe.architecture,
        mpp=recipe.crops.mpp,
        mean=config.mean,
        std=config.std,
        classes=config.classes,
        language=None if trainer.prior is None else trainer.prior.note,
        licence=recipe.licence,
        training_data=tuple(spec.name for spec in recipe.datasets),
        initialisation=trainer.start,
        sha256=hashlib.sha256(weights.read_bytes()).hexdigest(),
        created=datetime.date.today().isoformat(),
        training_hours=round(trainer.seconds / 3600, 2),
        metrics={},
        notes=f"{trainer.step} steps of {recipe.crops.batch} crops of {recipe.crops.size} px",
    )
    write_card(card, folder)
    return folder
