"""A finished run -> what it has learnt, in half precision: a model folder, or a part beside one."""

from __future__ import annotations

import datetime
import hashlib
from pathlib import Path

from napari_uninuc.network.card import WEIGHTS_NAME, ModelCard, sha256_of, write_card
from napari_uninuc.network.checkpoint import save_weights
from napari_uninuc.network.dense_files import DenseNote, file_name_of, save_dense
from napari_uninuc.network.point_files import POINTS_NAME, PointsNote, save_points
from napari_uninuc.training.dense import DenseTrainer
from napari_uninuc.training.points import PointTrainer
from napari_uninuc.training.run import TrainingRun
from napari_uninuc.training.tuning import with_tuning


def export_learnt(run: TrainingRun) -> Path:
    """Write what a run has learnt; returns the model folder or, of a part, its file."""
    if isinstance(run, PointTrainer):
        return _export_points(run)
    return _export_dense(run) if isinstance(run, DenseTrainer) else export_model(run)


def _export_dense(run: DenseTrainer) -> Path:
    """Write the decoder alone or, where the encoder was taught, beside the model of it."""
    recipe = run.recipe
    folder = export_model(run) if run.settings.teach_encoder else recipe.output
    weights = sha256_of(folder / WEIGHTS_NAME) if run.settings.teach_encoder else run.weights
    words = run.settings.words
    note = DenseNote(
        weights=weights,
        config=run.kept.config,
        licence=recipe.licence,
        training_data=tuple(spec.name for spec in recipe.datasets),
        created=datetime.date.today().isoformat(),
        notes=f"{run.step} steps, {round(run.seconds / 3600, 2)} hours",
        encoder=run.texts.encoder,
        names=run.texts.names,
        region="" if words is None else words.region,
    )
    path = folder / file_name_of(note.config)
    save_dense(run.kept, note, path, run.texts.known() if words is not None else None)
    return folder if run.settings.teach_encoder else path


def _export_points(run: PointTrainer) -> Path:
    recipe = run.recipe
    note = PointsNote(
        weights=run.weights,
        config=run.config,
        licence=recipe.licence,
        training_data=tuple(spec.name for spec in recipe.datasets),
        created=datetime.date.today().isoformat(),
        notes=f"{run.step} steps, {round(run.seconds / 3600, 2)} hours"
        + (", reinforced" if run.settings.reinforcement is not None else ""),
    )
    path = recipe.output / POINTS_NAME
    save_points(run.kept, note, path)
    return path


def export_model(run: TrainingRun) -> Path:
    """Write what a run has learnt as ``OUTPUT/model``; returns the folder."""
    folder = run.recipe.output / "model"
    folder.mkdir(parents=True, exist_ok=True)
    weights = folder / "model.safetensors"
    save_weights(run.learnt, weights)
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    write_card(with_tuning(_card(run, digest), run.began.earlier, run.recipe), folder)
    return folder


def _card(run: TrainingRun, sha256: str) -> ModelCard:
    recipe, config, earlier = run.recipe, run.learnt.config, run.began.earlier
    seen = () if earlier is None else earlier.training_data
    taught = (spec.name for spec in recipe.datasets)
    licence = recipe.licence
    if earlier is not None and "licence" not in recipe.model_fields_set:
        licence = f"{licence}; weights it began from: {earlier.licence}"
    named = () if earlier is None else earlier.attribution
    return ModelCard(
        id=recipe.output.name,
        architecture=recipe.architecture,
        mpp=recipe.crops.mpp,
        mean=config.mean,
        std=config.std,
        classes=config.classes,
        language=run.began.language,
        correction=run.learnt.correction is not None,
        licence=licence,
        commercial_use=recipe.commercial_use and (earlier is None or earlier.commercial_use),
        attribution=tuple(dict.fromkeys((*named, *recipe.attribution))),
        training_data=tuple(dict.fromkeys((*seen, *taught))),
        initialisation=run.began.start,
        sha256=sha256,
        created=datetime.date.today().isoformat(),
        training_hours=round(run.seconds / 3600, 2),
        metrics={},
        notes=f"{run.step} steps of {recipe.crops.batch} crops of {recipe.crops.size} px",
    )
