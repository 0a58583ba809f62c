"""Several batches to a step, and several processes to a run: the same step as one would make."""

import os
import socket
import subprocess
import sys
from contextlib import ExitStack

import pytest
import torch
from running import recipe_of

import children
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


def words_of(folder, nuclei, name, steps):
    recipe = folder / f"{name}.toml"
    recipe.write_text(RECIPE.format(output=folder / name, steps=steps, nuclei=nuclei))
    return ["train", str(recipe), "--device", "cpu"]


def launch(words):
    """Train as a person would, with torch's launcher."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc-per-node", "2", "-m", "napari_uninuc.cli.app", *words]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=1800)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("model saved") == 1


def train(words, processes):
    """Train in processes that are told what torch's launcher tells."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    with ExitStack() as stack:
        started = []
        for rank in range(processes):
            told = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": processes}
            told = place | {name: str(number) for name, number in told.items()}
            child = children.start(children.COMMAND, *words, env=told if processes > 1 else None)
            started.append(stack.enter_context(child))
        done = [child.communicate(timeout=1800) for child in started]
        assert [child.returncode for child in started] == [0] * processes, done
    assert "".join(out for out, _ in done).count("model saved") == 1


@pytest.mark.slow
def test_two_processes_make_the_steps_of_one(nuclei, tmp_path):
    """Without clicks, whose chance is each process' own; and a run of two goes on as two."""
    alone, both = tmp_path / "alone", tmp_path / "both"
    train(words_of(tmp_path, nuclei, "alone", 2), processes=1)
    launch(words_of(tmp_path, nuclei, "both", 1))
    train([*words_of(tmp_path, nuclei, "both", 2), "--resume"], processes=2)
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
