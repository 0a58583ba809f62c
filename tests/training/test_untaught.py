"""A loss of weight 0 leaves its part as it was, and what teaches nothing is refused or let be."""

import pytest
import torch
from PIL import Image
from pydantic import ValidationError
from running import recipe_of

from napari_uninuc.datasets.recipes import DatasetSpec
from napari_uninuc.errors import RecipeError
from napari_uninuc.network.uninuc import UniNuc
from napari_uninuc.training.loop import Trainer
from napari_uninuc.training.recipe import LossesSection, OptimiserSection

CPU = torch.device("cpu")
HASTY = OptimiserSection(lr=0.1, weight_decay=1.0, warmup_steps=0, ema=0.0)
"""Decay alone would take a tenth of a weight that gets a gradient of 0."""
PARTS = {
    "detector.": {"detection": 0.0},
    "sam_": {"interactive": 0.0},
    "dense_head.": {"maps": 0.0},
    "detector.class_heads.": {"classification": 0.0, "interactive": 0.0},
    "detector.dense_class.": {"classification": 0.0, "interactive": 0.0},
    # Of the last layer: the boxes of the one before say where it looks, and learn by that.
    "detector.box_heads.1.": {"giou": 0.0, "l1": 0.0, "interactive": 0.0},
    "detector.dense_box.": {"giou": 0.0, "l1": 0.0, "interactive": 0.0},
}


def run_once(nuclei, output, **changes):
    """The weights before and after a step, and what it logged."""
    recipe = recipe_of(nuclei, output, steps=1, optimiser=HASTY, **changes)
    trainer, log = Trainer(recipe, CPU), {}
    before = {name: value.clone() for name, value in trainer.model.state_dict().items()}
    trainer.run(lambda _step, _steps, values: log.update(values))
    return before, trainer, log


@pytest.mark.parametrize("part", PARTS)
def test_a_part_of_weight_0_is_left_as_it_is(part, nuclei, tmp_path):
    losses = LossesSection(**PARTS[part])
    before, trainer, _ = run_once(nuclei, tmp_path / "run", losses=losses)
    weights = [name for name, _ in trainer.model.named_parameters()]
    mine = [name for name in weights if name.startswith(part)]
    assert mine
    for state in (trainer.model.state_dict(), trainer.learnt.state_dict()):
        assert all(torch.equal(state[name], before[name]) for name in mine)
        others = [n for n in weights if n.startswith("image_encoder") and before[n].ndim > 1]
        assert not any(torch.equal(state[name], before[name]) for name in others)


def test_a_detector_of_weight_0_gives_boxes_and_learns_nothing(nuclei, tmp_path, monkeypatch):
    detect, learning = UniNuc.detect, []

    def asked(self, *inputs, **options):
        learning.append(torch.is_grad_enabled())
        return detect(self, *inputs, **options)

    monkeypatch.setattr(UniNuc, "detect", asked)
    losses = LossesSection(detection=0.0)
    before, trainer, log = run_once(nuclei, tmp_path / "run", losses=losses)
    assert set(learning) == {False}
    assert not {"cls", "giou", "l1", "dense"} & set(log)
    assert log["mask"] > 0
    for name, value in trainer.model.named_parameters():
        assert torch.equal(value, before[name]) or not name.startswith("detector")


def test_without_clicks_a_detector_of_weight_0_is_not_asked(nuclei, tmp_path, monkeypatch):
    monkeypatch.setattr(UniNuc, "detect", lambda *_, **__: pytest.fail("it was computed"))
    losses = LossesSection(detection=0.0, interactive=0.0)
    _, _, log = run_once(nuclei, tmp_path / "run", losses=losses)
    assert log["maps"] > 0


@pytest.mark.parametrize(
    "losses", [{"detection": 0.0, "maps": 0.0}, {"interactive": 0.0}, {"interactive": 1.0}]
)
def test_crops_that_teach_nothing_change_nothing(losses, tmp_path):
    """Glass whose labels are not all there: neither masks nor a detector could be learnt."""
    for name, colour in (("images", (240, 235, 240)), ("labels", 0)):
        (tmp_path / "glass" / name).mkdir(parents=True)
        mode = "RGB" if name == "images" else "L"
        Image.new(mode, (100, 100), colour).save(tmp_path / "glass" / name / "a.png")
    spec = DatasetSpec(name="glass", path=tmp_path / "glass", exhaustive=False)
    before, trainer, log = run_once(
        tmp_path / "glass", tmp_path / "run", datasets=(spec,), losses=LossesSection(**losses)
    )
    assert log["loss"] == log["grad"] == 0
    for name, value in trainer.model.named_parameters():
        assert torch.equal(value, before[name])


def test_losses_must_teach_something():
    with pytest.raises(ValidationError, match="interactive, detection, maps must be above 0"):
        LossesSection(interactive=0, detection=0, maps=0)
    with pytest.raises(ValidationError, match="set detection = 0"):
        LossesSection(classification=0, giou=0, l1=0)
    LossesSection(detection=0, classification=0, giou=0, l1=0)


def test_maps_alone_need_an_architecture_that_has_them(nuclei, tmp_path):
    alone = LossesSection(interactive=0, detection=0)
    recipe = recipe_of(nuclei, tmp_path / "run", architecture="uninuc-b", losses=alone)
    with pytest.raises(RecipeError, match="uninuc-b has no maps to teach"):
        Trainer(recipe, CPU)
    _, _, log = run_once(nuclei, tmp_path / "maps", losses=alone)
    assert log["loss"] == pytest.approx(log["maps"])
