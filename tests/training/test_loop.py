"""A real run in seconds: learns, saves, exports, and goes on as if it had never stopped."""

import csv
import math

import numpy as np
import pytest
import torch
from PIL import Image
from running import Interrupted, recipe_of, stop_after

from napari_uninuc import load_predictor
from napari_uninuc.datasets.recipes import DatasetSpec
from napari_uninuc.errors import CheckpointError, DatasetError, ModelNotFoundError
from napari_uninuc.network.card import DEFAULT_SCORE_THRESHOLD
from napari_uninuc.training.export import export_model
from napari_uninuc.training.loop import Trainer

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def finished(nuclei, tmp_path_factory) -> Trainer:
    trainer = Trainer(recipe_of(nuclei, tmp_path_factory.mktemp("runs") / "discs"), CPU)
    trainer.run()
    return trainer


def logged_steps(trainer: Trainer) -> list[str]:
    with (trainer.output / "log.csv").open(newline="", encoding="utf-8") as file:
        return [row["step"] for row in csv.DictReader(file)]


def test_a_run_is_logged_and_saved(finished):
    assert finished.step == 4
    with (finished.output / "log.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["step"] for row in rows] == ["4"]
    assert {"loss", "cls", "giou", "l1", "dense", "maps", "mask", "iou_last", "grad"} <= set(
        rows[0]
    )
    assert all(math.isfinite(float(value)) for value in rows[0].values())
    assert (finished.output / "checkpoint.pt").is_file()
    assert not (finished.output / "checkpoint.pt.partial").exists()


def test_a_run_changes_all_that_learns(finished):
    untouched = Trainer(finished.recipe, CPU).model.state_dict()
    moved = finished.model.state_dict()
    weights = [name for name, p in finished.model.named_parameters() if p.ndim > 1]
    still = [name for name in weights if torch.equal(untouched[name], moved[name])]
    assert len(still) < 0.1 * len(weights)
    assert all(torch.isfinite(value).all() for value in moved.values())


def test_the_export_opens_as_a_model(finished):
    folder = export_model(finished)
    predictor = load_predictor(folder, device="cpu")
    assert predictor.card.id == "discs"
    assert predictor.card.training_data == ("discs",)
    assert predictor.card.initialisation == "random"
    predictor.set_image(np.full((64, 64, 3), 200, np.uint8))
    masks, _, _ = predictor.predict(np.array([[30, 30]]), np.array([1]))
    assert masks.shape == (1, 64, 64)
    assert predictor.card.score_threshold == DEFAULT_SCORE_THRESHOLD
    stored = predictor.engine.model.state_dict()
    for name, value in finished.average.model.state_dict().items():
        torch.testing.assert_close(stored[name].float(), value.half().float())


@pytest.mark.parametrize("disturbed", [False, True])
def test_a_resumed_run_is_the_same_run(finished, nuclei, tmp_path, disturbed):
    recipe = recipe_of(nuclei, tmp_path / "discs")
    with pytest.raises(Interrupted):
        Trainer(recipe, CPU).run(stop_after(2))  # the third step is lost, as when it is killed
    if disturbed:
        torch.rand(100)
    resumed = Trainer(recipe, CPU, resume=True)
    assert resumed.step == 2
    (tmp_path / "discs" / "log.csv").write_text("step,seconds,loss\n2,1.0,7\n3,1.5,7\n")
    resumed.run()
    assert resumed.step == 4
    assert logged_steps(resumed) == ["2", "4"]
    for part in ("model", "average"):
        whole = getattr(finished, part)
        mine = getattr(resumed, part)
        whole, mine = (x.model if part == "average" else x for x in (whole, mine))
        for name, value in whole.state_dict().items():
            torch.testing.assert_close(mine.state_dict()[name], value, rtol=0, atol=1e-6)


def test_a_seed_is_a_run(finished, nuclei, tmp_path):
    other = Trainer(recipe_of(nuclei, tmp_path / "other", seed=1, steps=1), CPU)
    same = Trainer(recipe_of(nuclei, tmp_path / "same", steps=1), CPU)
    start = Trainer(finished.recipe, CPU).model.state_dict()
    assert all(torch.equal(start[k], v) for k, v in same.model.state_dict().items())
    assert not all(torch.equal(start[k], v) for k, v in other.model.state_dict().items())


def test_crops_without_nuclei_train_too(tmp_path):
    for name in ("images", "labels"):
        (tmp_path / "glass" / name).mkdir(parents=True)
    Image.new("RGB", (100, 100), (240, 235, 240)).save(tmp_path / "glass/images/a.png")
    Image.new("L", (100, 100), 0).save(tmp_path / "glass/labels/a.png")
    log = {}
    trainer = Trainer(recipe_of(tmp_path / "glass", tmp_path / "run", steps=1), CPU)
    trainer.run(lambda _step, _steps, values: log.update(values))
    assert math.isfinite(log["loss"])
    assert "mask" not in log


def test_partly_labelled_data_teach_no_detection(nuclei, tmp_path):
    spec = DatasetSpec(name="some", path=nuclei, exhaustive=False)
    log = {}
    trainer = Trainer(recipe_of(nuclei, tmp_path / "run", datasets=(spec,), steps=1), CPU)
    trainer.run(lambda _step, _steps, values: log.update(values))
    assert log["cls"] == log["giou"] == log["dense"] == log["maps"] == 0
    assert log["mask"] > 0


def test_nothing_to_resume(nuclei, tmp_path):
    with pytest.raises(CheckpointError, match="nothing to resume"):
        Trainer(recipe_of(nuclei, tmp_path / "run"), CPU, resume=True)


@pytest.mark.parametrize("content", [b"no zip", b""])
def test_a_damaged_checkpoint(nuclei, tmp_path, content):
    (tmp_path / "checkpoint.pt").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"checkpoint\.pt") as caught:
        Trainer(recipe_of(nuclei, tmp_path), CPU, resume=True)
    assert "\n" not in str(caught.value)


def test_a_checkpoint_of_another_kind(nuclei, tmp_path):
    torch.save({"step": 3}, tmp_path / "checkpoint.pt")
    with pytest.raises(CheckpointError, match=r"checkpoint\.pt"):
        Trainer(recipe_of(nuclei, tmp_path), CPU, resume=True)


def test_missing_data(tmp_path):
    trainer = Trainer(recipe_of(tmp_path / "nowhere", tmp_path / "run"), CPU)
    with pytest.raises(DatasetError, match="nowhere"):
        trainer.run()


def test_unknown_architecture(nuclei, tmp_path):
    with pytest.raises(ModelNotFoundError):
        Trainer(recipe_of(nuclei, tmp_path, architecture="uninuc-z"), CPU)
