"""The correction is taught by clicking: it learns, it resumes, and what it learns is exported."""

from itertools import pairwise
from pathlib import Path

import pytest
import torch
from PIL import Image
from pydantic import ValidationError
from running import Interrupted, recipe_of, stop_after

from napari_uninuc import load_predictor
from napari_uninuc.core.instances import InstanceMask
from napari_uninuc.core.prompts import MaskLogits, Prompt
from napari_uninuc.engine.anchors import with_anchors
from napari_uninuc.errors import CheckpointError, RecipeError
from napari_uninuc.network.build import build_model
from napari_uninuc.network.card import read_card
from napari_uninuc.network.config import configured
from napari_uninuc.network.correction import FEATURES
from napari_uninuc.network.prompt_encoder import (
    BOX_BOTTOM_RIGHT,
    BOX_TOP_LEFT,
    NEGATIVE,
    PADDING,
    POSITIVE,
)
from napari_uninuc.network.uninuc import UniNuc
from napari_uninuc.training.corrections import CorrectionTrainer, fit_correction
from napari_uninuc.training.export import export_model
from napari_uninuc.training.interactive import Targets
from napari_uninuc.training.loop import Trainer
from napari_uninuc.training.recipe import CorrectionsSection, OptimiserSection
from napari_uninuc.training.rollouts import STARTS, Rollouts, Rows, _with_anchors
from napari_uninuc.training.run import begin

CPU = torch.device("cpu")
SMALL = CorrectionsSection(rounds=2, epochs=2, batch=64)


@pytest.fixture(scope="module")
def first_stage(nuclei, tmp_path_factory) -> Path:
    """Weights of a whole network that was hardly taught."""
    trainer = Trainer(recipe_of(nuclei, tmp_path_factory.mktemp("runs") / "first", steps=1), CPU)
    trainer.run()
    return export_model(trainer) / "model.safetensors"


def corrections_recipe(nuclei, output, first_stage, **changes):
    return recipe_of(nuclei, output, initial=first_stage, corrections=SMALL, **changes)


@pytest.fixture(scope="module")
def finished(nuclei, first_stage, tmp_path_factory) -> CorrectionTrainer:
    output = tmp_path_factory.mktemp("runs") / "corrections"
    run = begin(corrections_recipe(nuclei, output, first_stage), CPU)
    assert isinstance(run, CorrectionTrainer)
    run.run()
    return run


def test_only_the_correction_learns(finished, first_stage):
    before = load_predictor(first_stage, device="cpu").engine.model.state_dict()
    after = finished.learnt.state_dict()
    taught = {name for name in after if name not in before}
    assert {name.split(".")[0] for name in taught} == {"correction"}
    for name, value in before.items():
        torch.testing.assert_close(after[name].float(), value.float())
    assert after["correction.layers.6.weight"].abs().max() > 0


def test_a_run_is_logged(finished):
    header, *rows = (finished.output / "log.csv").read_text().splitlines()
    assert header == "step,seconds,bce,iou_first,iou_last"
    assert [row.split(",")[0] for row in rows] == ["2", "4"]
    assert all(0 < float(row.split(",")[2]) < 5 for row in rows)
    assert not (finished.output / "checkpoint.pt.partial").exists()


def test_the_export_corrects(finished):
    folder = export_model(finished)
    predictor = load_predictor(folder, device="cpu")
    assert predictor.card.correction
    kept = predictor.engine.model.correction
    assert kept is not None
    for name, value in finished.learnt.correction.state_dict().items():
        torch.testing.assert_close(kept.state_dict()[name], value.half().float())


def test_the_whole_network_can_be_taught_on(finished, nuclei, tmp_path):
    """A later stage keeps the correction as it is, which still fits well enough."""
    weights = export_model(finished) / "model.safetensors"
    trainer = Trainer(recipe_of(nuclei, tmp_path / "on", initial=weights, steps=1), CPU)
    trainer.run()
    assert read_card(export_model(trainer)).correction
    for name, value in finished.learnt.correction.state_dict().items():
        torch.testing.assert_close(
            trainer.learnt.correction.state_dict()[name], value.half().float()
        )


def test_a_correction_that_is_there_is_taught_on(finished, nuclei, tmp_path):
    weights = export_model(finished) / "model.safetensors"
    trainer = CorrectionTrainer(corrections_recipe(nuclei, tmp_path / "on", weights), SMALL, CPU)
    for name, value in finished.learnt.correction.state_dict().items():
        torch.testing.assert_close(
            trainer.learnt.correction.state_dict()[name], value.half().float()
        )


def test_a_resumed_run_is_the_same_run(finished, nuclei, first_stage, tmp_path):
    recipe = corrections_recipe(nuclei, tmp_path / "again", first_stage, checkpoint_every=1)
    with pytest.raises(Interrupted):
        CorrectionTrainer(recipe, SMALL, CPU).run(stop_after(3))
    torch.rand(100)
    resumed = CorrectionTrainer(recipe, SMALL, CPU, resume=True)
    assert resumed.step == 3
    resumed.run()
    for name, value in finished.learnt.correction.state_dict().items():
        torch.testing.assert_close(resumed.learnt.correction.state_dict()[name], value)


def test_a_checkpoint_of_another_kind(nuclei, first_stage, tmp_path, finished):
    recipe = recipe_of(nuclei, tmp_path / "whole", steps=1)
    Trainer(recipe, CPU).run()
    other = corrections_recipe(nuclei, tmp_path / "whole", first_stage)
    with pytest.raises(CheckpointError, match="no checkpoint of this recipe"):
        CorrectionTrainer(other, SMALL, CPU, resume=True)


def test_nothing_to_click_on(first_stage, tmp_path):
    for name in ("images", "labels"):
        (tmp_path / "glass" / name).mkdir(parents=True)
    Image.new("RGB", (100, 100), (240, 235, 240)).save(tmp_path / "glass/images/a.png")
    Image.new("L", (100, 100), 0).save(tmp_path / "glass/labels/a.png")
    recipe = corrections_recipe(tmp_path / "glass", tmp_path / "run", first_stage)
    with pytest.raises(RecipeError, match="expected nuclei to click on"):
        CorrectionTrainer(recipe, SMALL, CPU).run()


def test_recipes_that_cannot_be(nuclei, tmp_path):
    with pytest.raises(ValidationError, match=r"corrections\.rounds"):
        recipe_of(nuclei, tmp_path / "a", steps=1, corrections=SMALL)
    with pytest.raises(ValidationError, match="must be above 0"):
        CorrectionsSection(centre=0, inside=0, tight_box=0, loose_box=0, outline=0)
    recipe = recipe_of(nuclei, tmp_path / "b", architecture="uninuc-s", corrections=SMALL)
    with pytest.raises(RecipeError, match="draws clicks"):
        CorrectionTrainer(recipe, SMALL, CPU)


def rows_of(n: int) -> Rows:
    """The truth lies where the answer before was above 0, whatever the new one says."""
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(n, FEATURES, generator=generator)
    before, answer = features[:, 2] * 2, torch.randn(n, generator=generator)
    return Rows(features.half(), (before > 0).float(), before, answer)


def test_what_rows_say_is_learnt():
    rows = rows_of(20_000)
    fitted, loss = fit_correction(
        rows,
        CorrectionsSection(epochs=6, batch=256),
        OptimiserSection(lr=3e-3),
        CPU,
        torch.Generator().manual_seed(0),
    )
    corrected = fitted(rows.features.float(), rows.before, rows.answer)
    assert ((corrected > 0) == (rows.truth > 0.5)).float().mean() > 0.97
    assert loss < 0.1


@pytest.fixture(scope="module")
def targets() -> Targets:
    """Two discs of 18 px in windows of 64."""
    place = torch.arange(64.0)
    truth = (torch.hypot(place[:, None] - 30, place[None] - 28) < 9).float().expand(2, -1, -1)
    boxes = torch.tensor([[20.0, 22.0, 37.0, 39.0]]).expand(2, -1)
    corner = torch.zeros(2, 2, dtype=torch.long)
    return Targets(torch.zeros(2, dtype=torch.long), corner, 64, truth, boxes, boxes)


@pytest.fixture
def model() -> UniNuc:
    return build_model(configured("uninuc-n", ["nucleus"], correction=True), seed=0).eval()


@pytest.mark.parametrize("start", STARTS)
@pytest.mark.parametrize("by_hand", [False, True])
def test_every_start_is_clicked_through(model, targets, start, by_hand, monkeypatch):
    seen = []
    decode = model.decode_uncorrected

    def watched(embedding, prompts, shift):
        seen.append(prompts)
        return decode(embedding, prompts, shift)

    monkeypatch.setattr(model, "decode_uncorrected", watched)
    generator = torch.Generator().manual_seed(1)
    rollouts = Rollouts(model, 3, by_hand, 20, 0.1, torch.no_grad, generator)
    with torch.no_grad():
        embedding = model.encode(torch.rand(1, 3, 64, 64), detection=False)
    rows, log = rollouts.rows(embedding, targets, start)
    has_outline = start == "outline"
    answers = 4 if has_outline else 3
    assert 0 < len(rows.truth) <= 2 * 20 * answers
    assert rows.features.shape == (len(rows.truth), FEATURES)
    assert rows.features.dtype == torch.float16
    assert ((rows.truth >= 0) & (rows.truth <= 1)).all()
    assert 0 <= log["iou_last"] <= 1
    assert [prompts.masks is not None for prompts in seen] == [has_outline, True, True, True]
    assert all(prompts.tight == (start == "tight_box") for prompts in seen)
    clicked = [int(((p.labels[0] == POSITIVE) | (p.labels[0] == NEGATIVE)).sum()) for p in seen]
    more = [b - a for a, b in pairwise(clicked)]
    if by_hand and start in ("centre", "inside"):
        more[0] -= 1  # now there is an outline, and it brings a click
    assert more == [1 if by_hand else 2] * 3
    boxes = [bool((p.labels == BOX_TOP_LEFT).any()) for p in seen]
    own = start in ("tight_box", "loose_box")
    assert boxes == [own or (by_hand and p.masks is not None) for p in seen]


def test_by_hand_people_click_in_what_is_wrong(model, targets):
    truth = targets.truth > 0.5
    seen = torch.zeros_like(truth)
    seen[0], seen[1] = truth[0].roll(4, dims=1), truth[1]
    seen[0, 2, 2] = True
    for seed in range(12):
        generator = torch.Generator().manual_seed(seed)
        rollouts = Rollouts(model, 1, True, 20, 0.0, torch.no_grad, generator)
        clicks, labels = rollouts._clicks(seen, truth, targets.boxes_xyxy)
        assert clicks.shape == (2, 1, 2)
        (x, y), (other_x, other_y) = clicks[:, 0].long().tolist()
        assert seen[0, y, x] != truth[0, y, x]
        assert labels[0, 0] == (POSITIVE if truth[0, y, x] else NEGATIVE)
        assert truth[1, other_y, other_x]  # nothing is wrong
        assert labels[1, 0] == POSITIVE


def test_an_outline_brings_what_the_window_tells_of_it():
    """The same box and click as `engine.anchors`, and nothing where there is no outline."""
    place = torch.arange(64.0)
    disc = torch.hypot(place[:, None] - 30, place[None] - 25) < 9
    outlines = torch.stack([disc, disc, torch.zeros_like(disc)])
    points = torch.tensor([[25.0, 26.0], [40.0, 30.0], [5.0, 5.0]])[:, None]
    labels = torch.tensor([[NEGATIVE], [POSITIVE], [POSITIVE]])
    told, kinds = _with_anchors(points, labels, outlines)
    for k in range(2):
        logits = MaskLogits.from_mask(InstanceMask((0, 0), disc.numpy(), 1.0, 0, 1.0))
        x, y = points[k, 0].tolist()
        clicked = Prompt(previous=logits).with_point((y, x), bool(labels[k, 0]))
        prompt = with_anchors(clicked, click=True)
        y0, x0, y1, x1 = prompt.box_yxyx
        assert told[k, :2].flatten().tolist() == [x0, y0, x1, y1]
        assert told[k, 2].flip(0).tolist() == list(prompt.points_yx[0])
        assert kinds[k].tolist() == [BOX_TOP_LEFT, BOX_BOTTOM_RIGHT, POSITIVE, labels[k, 0]]
    assert kinds[2].tolist() == [PADDING, PADDING, PADDING, POSITIVE]
    assert torch.equal(told[:, 3:], points)
