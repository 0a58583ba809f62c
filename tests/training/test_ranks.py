"""Several batches to a step, and several processes to a run: the same step as one would make."""

import os
import subprocess
import sys

import pytest
import torch
from running import recipe_of

from napari_uninuc.errors import CheckpointError, RecipeError
from napari_uninuc.network.card import read_card
from napari_uninuc.network.checkpoint import read_weights
from napari_uninuc.training.loop import Trainer
from napari_uninuc.training.ranks import ALONE, Ranks
from napari_uninuc.training.recipe import CorrectionsSection, CropsSection
from napari_uninuc.training.run import begin

CPU = torch.device("cpu")
RECIPE = """
architecture = "uninuc-n"
output = "{output}"
steps = {steps}
checkpoint_every = 1

[crops]
size = 64
batch = 2
workers = 0
accumulate = 2

[losses]
interactive = 0

[optimiser]
warmup_steps = 2

[[datasets]]
name = "discs"
path = "{nuclei}"
"""


def test_the_launcher_says_who_we_are(monkeypatch):
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    assert Ranks.launched() is ALONE
    monkeypatch.setenv("RANK", "5")
    monkeypatch.setenv("WORLD_SIZE", "8")
    monkeypatch.setenv("LOCAL_RANK", "1")
    ranks = Ranks.launched()
    assert (ranks.rank, ranks.count, ranks.is_first) == (5, 8, False)
    assert ranks.device(torch.device("cuda")) == torch.device("cuda:1")
    assert ranks.device(torch.device("cuda:3")) == torch.device("cuda:3")
    assert ranks.device(CPU) == CPU


def test_gradients_of_several_batches_add_up_to_their_mean(nuclei, tmp_path, monkeypatch):
    crops = CropsSection(size=64, batch=2, workers=0, accumulate=2)
    trainer = Trainer(recipe_of(nuclei, tmp_path / "run", crops=crops, steps=1), CPU)
    weight = next(trainer.model.parameters())
    losses = iter([1.0, 4.0])

    def loss(_crops):
        value = next(losses)
        return weight.sum() * value, {"mask": value} if value > 1 else {}

    monkeypatch.setattr(trainer, "_loss", loss)
    monkeypatch.setattr(trainer.optimiser, "step", lambda: None)
    log = trainer._update([[], []])
    assert log["grad"] == pytest.approx(2.5 * weight.numel() ** 0.5, rel=1e-5)
    assert log["mask"] == 4


def launch(folder, nuclei, name, *, processes, steps=2, resume=False):
    """Train as a person would, with or without torch's launcher."""
    recipe = folder / f"{name}.toml"
    recipe.write_text(RECIPE.format(output=folder / name, steps=steps, nuclei=nuclei))
    command = [sys.executable, "-m"]
    if processes > 1:
        command += ["torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
        command += ["-m"]
    command += ["napari_uninuc.cli.app", "train", str(recipe), "--device", "cpu"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    command += ["--resume"] if resume else []
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=1800)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("model saved") == 1
    return folder / name


def test_two_processes_make_the_steps_of_one(nuclei, tmp_path):
    """Without clicks, whose chance is each process' own; and a run of two goes on as two."""
    alone = launch(tmp_path, nuclei, "alone", processes=1)
    launch(tmp_path, nuclei, "both", processes=2, steps=1)
    both = launch(tmp_path, nuclei, "both", processes=2, resume=True)
    assert read_card(both / "model").id == "both"
    states = [
        torch.load(run / "checkpoint.pt", weights_only=True)["model"] for run in (alone, both)
    ]
    buffers = ("running_mean", "running_var", "num_batches_tracked")
    for name in [name for name in states[0] if not name.endswith(buffers)]:
        torch.testing.assert_close(states[1][name], states[0][name], atol=2e-4, rtol=1e-2)
    assert read_weights(both / "model" / "model.safetensors").keys() == states[0].keys()


def test_a_run_goes_on_with_as_many_processes(nuclei, tmp_path):
    recipe = recipe_of(nuclei, tmp_path / "run", steps=1)
    Trainer(recipe, CPU).run()
    with pytest.raises(CheckpointError, match="1 processes"):
        Trainer(recipe, CPU, resume=True, ranks=Ranks(0, 2))


def test_corrections_are_taught_by_one_process(nuclei, tmp_path):
    recipe = recipe_of(nuclei, tmp_path / "run", corrections=CorrectionsSection(rounds=1))
    with pytest.raises(RecipeError, match="expected one process, got 2"):
        begin(recipe, CPU, ranks=Ranks(0, 2))
