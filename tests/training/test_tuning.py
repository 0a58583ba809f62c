"""What was chosen for the first weights, on the card of weights that were taught on from them."""

from dataclasses import fields, replace

import pytest
import torch
from running import recipe_of

from napari_uninuc.errors import RecipeError
from napari_uninuc.network.build import build_model
from napari_uninuc.network.card import (
    ExpectedIou,
    LanguageNote,
    ModelCard,
    card_for_preset,
    read_card,
    write_card,
)
from napari_uninuc.network.checkpoint import save_model
from napari_uninuc.network.config import configured
from napari_uninuc.training.corrections import CorrectionTrainer
from napari_uninuc.training.export import export_model
from napari_uninuc.training.recipe import CorrectionsSection, LanguageSection, LossesSection
from napari_uninuc.training.run import begin
from napari_uninuc.training.tuning import DECODED, TUNED, kept_from, with_tuning

CPU = torch.device("cpu")
TUNED_CARD = replace(
    card_for_preset("uninuc-n"),
    id="tuned",
    mpp=0.5,
    licence="CC BY-NC 4.0",
    training_data=("first", "discs"),
    score_threshold=0.3,
    logit_shift=0.1,
    proposer="both",
    flips=True,
    box_margin=0.25,
    decoding="whole",
    expected_iou=ExpectedIou(bias=0.1, score=0.7, predicted=0.2),
    metrics={"msa": 0.4},
)
FEW = CorrectionsSection(rounds=1, epochs=1, batch=64)


@pytest.fixture(scope="module")
def tuned(tmp_path_factory):
    """Weights of three classes and words, whose card was tuned."""
    names = ("a", "b", "c")
    folder = tmp_path_factory.mktemp("tuned") / "tuned"
    model = build_model(configured("uninuc-n", names, (3, 5)), seed=0)
    model.detector.prior.normal_()
    language = LanguageNote(encoder="made up", dim=5, texts=names)
    card = replace(TUNED_CARD, classes=names, language=language)
    save_model(model, card, folder, torch.float32)
    return folder / "model.safetensors"


def taught(nuclei, output, **changes):
    run = begin(recipe_of(nuclei, output, steps=1, **changes), CPU)
    run.run()
    return run, read_card(export_model(run))


def values(card):
    return {name: getattr(card, name) for name in TUNED}


def test_where_all_is_taught_values_stay_to_start_from_and_the_card_says_so(
    nuclei, tuned, tmp_path
):
    _, card = taught(nuclei, tmp_path / "mine", initial=tuned)
    assert values(card) == values(TUNED_CARD)
    assert all(name in card.notes for name in TUNED)
    assert "as in tuned, chosen for its weights" in card.notes
    assert (card.mpp, card.decoding) == (0.25, "local")  # as it was taught now
    assert card.training_data == ("first", "discs")
    assert card.licence == "unknown; weights it began from: CC BY-NC 4.0"
    assert card.initialisation.startswith("weights of model.safetensors of tuned, sha256 ")
    assert card.metrics == {}
    _, card = taught(nuclei, tmp_path / "licensed", initial=tuned, licence="mine")
    assert card.licence == "mine"


@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize("now", [True, False])
def test_free_for_commercial_use_is_what_began_and_went_on_so(nuclei, tuned, tmp_path, before, now):
    card = read_card(tuned)
    write_card(replace(card, commercial_use=before, attribution=("A et al.",)), tuned.parent)
    told = {"commercial_use": now, "attribution": ("B et al.", "A et al.")}
    _, card = taught(nuclei, tmp_path / "mine", initial=tuned, **told)
    assert card.commercial_use == (before and now)
    assert card.attribution == ("A et al.", "B et al.")


def test_where_the_correction_alone_is_taught_all_else_stays(nuclei, tuned, tmp_path):
    run, card = taught(nuclei, tmp_path / "mine", initial=tuned, corrections=FEW)
    first = read_card(tuned)
    assert values(card) == values(first)
    for name in ("mpp", "decoding", "classes", "language", "mean", "std"):
        assert getattr(card, name) == getattr(first, name)
    assert card.correction
    assert "only the correction was taught, all else is as in tuned" in card.notes
    assert run.logit_shift == 0.1
    state = build_model(configured("uninuc-n", first.classes, (3, 5)), seed=0).state_dict()
    for name, value in run.learnt.state_dict().items():
        if not name.startswith("correction.") and name != "detector.prior":
            assert torch.equal(value, state[name])


def test_a_correction_is_taught_at_the_shift_that_the_recipe_says(nuclei, tuned, tmp_path):
    recipe = recipe_of(nuclei, tmp_path / "run", initial=tuned)
    shifted = recipe.model_copy(
        update={"corrections": FEW.model_copy(update={"logit_shift": -0.2})}
    )
    card = with_tuning(card_for_preset("uninuc-n"), read_card(tuned), shifted)
    assert (card.logit_shift, card.flips) == (-0.2, True)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"classes": ("a", "b")}, "a, b, c"),
        ({"classes": ("a", "b"), "language": LanguageSection()}, "classes"),
    ],
)
def test_a_correction_brings_no_classes_and_no_words(nuclei, tuned, tmp_path, changes, told):
    recipe = recipe_of(nuclei, tmp_path / "run", initial=tuned, corrections=FEW, **changes)
    with pytest.raises(RecipeError, match=told):
        CorrectionTrainer(recipe, FEW, CPU)


def test_masks_that_were_not_taught_are_decoded_as_before(nuclei, tuned, tmp_path):
    recipe = recipe_of(nuclei, tmp_path / "run", losses=LossesSection(interactive=0))
    card = with_tuning(card_for_preset("uninuc-n"), read_card(tuned), recipe)
    assert card.decoding == "whole"


def test_what_becomes_of_each_key_of_a_card_is_decided():
    """A new key is either told by the run, or chosen for weights, or about decoding."""
    told = {"id", "architecture", "mpp", "mean", "std", "classes", "language", "correction"}
    told |= {"licence", "training_data", "initialisation", "sha256", "created", "training_hours"}
    told |= {"commercial_use", "attribution"}
    told |= {"metrics", "notes"}
    told |= {"learnt", "learnt_sha256"}  # of a state in use, never on a card that is written
    assert {each.name for each in fields(ModelCard)} == told | {*TUNED} | {*DECODED}


def test_weights_without_a_card_and_cards_nobody_tuned_leave_nothing(nuclei, tmp_path):
    fresh, recipe = card_for_preset("uninuc-n"), recipe_of(nuclei, tmp_path / "run")
    assert with_tuning(fresh, None, recipe) == fresh
    assert with_tuning(fresh, fresh, recipe) == fresh
    assert kept_from(fresh) == ""
