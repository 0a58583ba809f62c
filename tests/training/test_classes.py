"""Classes and words, from labelled pictures to a model that names nuclei."""

import numpy as np
import pytest
import torch
from PIL import Image

from napari_uninuc import load_predictor
from napari_uninuc.datasets.recipes import DatasetSpec
from napari_uninuc.errors import RecipeError
from napari_uninuc.network import language_encoders
from napari_uninuc.training.export import export_model
from napari_uninuc.training.loop import Trainer
from napari_uninuc.training.recipe import (
    CropsSection,
    LanguageSection,
    LossesSection,
    OptimiserSection,
    PromptsSection,
    TrainRecipe,
)

CPU = torch.device("cpu")
NAMES = ("dark", "pale")


@pytest.fixture(scope="module")
def nuclei(tmp_path_factory):
    """A picture of 128 px: dark discs above, pale ones below."""
    folder = tmp_path_factory.mktemp("nuclei")
    for part in ("images", "labels", "classes"):
        (folder / part).mkdir()
    ys, xs = np.mgrid[:128, :128]
    rgb, labels = np.full((128, 128, 3), (236, 214, 226), np.uint8), np.zeros((128, 128), np.uint16)
    names = {}
    for y in range(20, 128, 29):
        for x in range(20, 128, 29):
            inside = (ys - y) ** 2 + (xs - x) ** 2 <= 81
            labels[inside] = k = len(names) + 1
            names[k] = NAMES[y > 64]
            rgb[inside] = (70, 50, 120) if y <= 64 else (150, 130, 190)
    Image.fromarray(rgb).save(folder / "images" / "a.png")
    Image.fromarray(labels).save(folder / "labels" / "a.png")
    text = ", ".join(f'"{k}": "{name}"' for k, name in names.items())
    (folder / "classes" / "a.json").write_text(f"{{{text}}}", encoding="utf-8")
    return folder


@pytest.fixture
def wordless(monkeypatch, tmp_path):
    """A text encoder without weights; returns how often it was asked."""
    asked = []

    def read(sentences):
        asked.append(len(sentences))
        return torch.tensor([[float(len(s)), float(s.count("a")), 1.0] for s in sentences])

    monkeypatch.setenv("UNINUC_CACHE", str(tmp_path / "cache"))
    encoder = language_encoders.LazyEncoder("test", read)
    monkeypatch.setitem(language_encoders.ENCODERS, "minilm", encoder)
    return asked


def recipe_of(nuclei, output, **changes):
    values = {
        "architecture": "uninuc-n",
        "output": output,
        "steps": 2,
        "checkpoint_every": 1,
        "classes": NAMES,
        "datasets": (DatasetSpec(name="discs", path=nuclei),),
        "crops": CropsSection(size=64, batch=1, workers=0),
        "prompts": PromptsSection(nuclei_per_crop=1, corrections=1),
        "optimiser": OptimiserSection(warmup_steps=1),
    }
    return TrainRecipe(**{**values, **changes})


def test_a_model_with_words_is_trained_exported_and_names_nuclei(nuclei, tmp_path, wordless):
    recipe = recipe_of(nuclei, tmp_path / "worded", language=LanguageSection(context="colon"))
    trainer = Trainer(recipe, CPU)
    start = trainer.model.detector.text.weight.detach().clone()
    prior = trainer.model.detector.prior.clone()
    assert prior.shape == (2, 3)
    trainer.run()
    assert not torch.equal(trainer.model.detector.text.weight, start)  # the words are read
    assert torch.equal(trainer.model.detector.prior, prior)  # and stay what they were
    torch.testing.assert_close(trainer.average.model.detector.prior, prior)
    folder = export_model(trainer)
    assert len(wordless) == 1
    predictor = load_predictor(folder, device="cpu")
    assert (predictor.card.classes, predictor.card.language.texts) == (NAMES, NAMES)
    assert predictor.card.language.encoder == "test"
    predictor.set_image(np.full((64, 64, 3), 200, np.uint8))
    found = predictor.segment(score_threshold=0.0)
    assert set(found.table["class"]) <= set(NAMES)
    assert len(wordless) == 1
    resumed = Trainer(recipe.model_copy(update={"steps": 3}), CPU, resume=True)
    assert resumed.step == 2
    assert torch.equal(resumed.model.detector.prior, prior)


def test_classes_nobody_has_are_refused(nuclei, tmp_path):
    trainer = Trainer(recipe_of(nuclei, tmp_path / "run", classes=("dark", "pink")), CPU)
    with pytest.raises(RecipeError, match="got pink") as caught:
        trainer.run()
    assert "dark, pale" in str(caught.value)


def test_without_weight_the_prompts_cost_nothing(nuclei, tmp_path):
    log = {}
    recipe = recipe_of(nuclei, tmp_path / "run", steps=1, losses=LossesSection(interactive=0.0))
    Trainer(recipe, CPU).run(lambda _step, _steps, values: log.update(values))
    assert "mask" not in log
    assert log["cls"] > 0
