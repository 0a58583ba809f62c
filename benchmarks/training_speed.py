"""Crops a second of training: another build's recipe against recipes of this one, by turns.

python benchmarks/training_speed.py BEFORE_SRC BEFORE_RECIPE RECIPE... [--rounds 3] [--runs 2]

BEFORE_SRC is the ``src`` folder of the build to compare with (``git worktree add`` makes one).
Every recipe is run in a process of its own on the same machine, one after the other, in each
round; the first two steps of a process are not counted, and crops are made before the clock
starts. A ratio is the median over rounds of crops a second against BEFORE_RECIPE. With ``--runs 2``
each recipe of this build is run twice at once, on half of the threads each, as are those whose mean
is taken, and the crops of both count; BEFORE_RECIPE has all threads. UNINUC_DATA must be set.
Recipes that begin from earlier weights find them, or name others with ``--initial``.
"""

import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

import click

_SRC = Path(__file__).resolve().parents[1] / "src"
_ONE_RUN = """
import json, sys, tempfile, time
from pathlib import Path
import torch
from napari_uninuc.datasets.recipes import load_toml_recipe
from napari_uninuc.training.feed import batches
from napari_uninuc.training.loop import Trainer
from napari_uninuc.training.recipe import TrainRecipe

file, steps, threads, initial, precision = json.loads(sys.argv[1])
torch.set_num_threads(threads)
recipe = load_toml_recipe(file, TrainRecipe)
changes = {"output": Path(tempfile.mkdtemp()) / "run", "precision": precision}
if initial:
    changes.update(initial=Path(initial), averaged_with=())
recipe = recipe.model_copy(update={**changes, "steps": steps + 2})
trainer = Trainer(recipe, torch.device("cpu"))
drawn = list(batches(recipe, 0, smoke=True))
for step, parts in enumerate(drawn):
    if step == 2:
        began = time.perf_counter()
    trainer._update(parts)
    trainer.step += 1
seconds = time.perf_counter() - began
print(json.dumps(steps * recipe.crops.batch * recipe.crops.accumulate / seconds))
"""


def crops_a_second(src: Path, arguments: list[object], runs: int) -> float:
    """Of one recipe, as many times at once in processes of their own; their sum."""
    environment = {**os.environ, "PYTHONPATH": str(src)}
    command = [sys.executable, "-c", _ONE_RUN, json.dumps(arguments)]
    started = [
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
        for _ in range(runs)
    ]
    said = [each.communicate()[0] for each in started]
    if any(each.returncode for each in started):
        raise click.ClickException(f"{arguments[0]}: failed, see above")
    return sum(float(json.loads(text.splitlines()[-1])) for text in said)


@click.command(help=__doc__)
@click.argument("before_src", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.argument("before_recipe", type=click.Path(exists=True, dir_okay=False))
@click.argument("recipes", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False))
@click.option("--rounds", default=3, show_default=True)
@click.option("--steps", default=6, show_default=True, help="Counted steps of each run.")
@click.option("--threads", default=2, show_default=True)
@click.option("--runs", default=1, show_default=True, help="Of each recipe of this build at once.")
@click.option("--initial", default="", help="A model.safetensors that all begin with.")
@click.option("--precision", default="float32", show_default=True)
def main(
    before_src: Path,
    before_recipe: str,
    recipes: tuple[str, ...],
    rounds: int,
    steps: int,
    threads: int,
    runs: int,
    initial: str,
    precision: str,
) -> None:
    """Print crops a second of each recipe, and their ratios."""
    builds = [(before_src, before_recipe, 1), *[(_SRC, recipe, runs) for recipe in recipes]]
    seen: list[list[float]] = [[] for _ in builds]
    for number in range(rounds):
        for index, (src, recipe, count) in enumerate(builds):
            arguments = [recipe, steps, max(1, threads // count), initial, precision]
            rate = crops_a_second(src, arguments, count)
            seen[index].append(rate)
            click.echo(f"round {number + 1} {recipe}: {rate:.2f} crops/s", err=True)
    click.echo("| recipe | crops/s, median | ratio to the first, by rounds |\n|---|---|---|")
    for (_, recipe, _), rates in zip(builds, seen, strict=True):
        ratios = [rate / first for rate, first in zip(rates, seen[0], strict=True)]
        said = ", ".join(f"{ratio:.2f}" for ratio in ratios)
        middle = statistics.median(rates)
        click.echo(f"| {recipe} | {middle:.2f} | {statistics.median(ratios):.2f} ({said}) |")


if __name__ == "__main__":
    main()
