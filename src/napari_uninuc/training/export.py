"""A finished run -> a model folder: half-precision weights and a card that says what they are."""

from __future__ import annotations

import datetime
import hashlib
from pathlib import Path

from napari_uninuc.network.card import ModelCard, write_card
from napari_uninuc.network.checkpoint import save_weights
from napari_uninuc.training.run import TrainingRun


def export_model(run: TrainingRun) -> Path:
    """Write what a run has learnt as ``OUTPUT/model``; returns the folder."""
    recipe = run.recipe
    folder = recipe.output / "model"
    folder.mkdir(parents=True, exist_ok=True)
    weights = folder / "model.safetensors"
    save_weights(run.learnt, weights)
    config = run.learnt.config
    card = ModelCard(
        id=recipe.output.name,
        architecture=recipe.architecture,
        mpp=recipe.crops.mpp,
        mean=config.mean,
        std=config.std,
        classes=config.classes,
        language=None if run.prior is None else run.prior.note,
        correction=run.learnt.correction is not None,
        licence=recipe.licence,
        training_data=tuple(spec.name for spec in recipe.datasets),
        initialisation=run.start,
        sha256=hashlib.sha256(weights.read_bytes()).hexdigest(),
        created=datetime.date.today().isoformat(),
        training_hours=round(run.seconds / 3600, 2),
        metrics={},
        notes=f"{run.step} steps of {recipe.crops.batch} crops of {recipe.crops.size} px",
    )
    write_card(card, folder)
    return folder
