"""CPU seconds of outlining a tile: another build with its own model against this one, by turns.

python benchmarks/automatic_cost.py DATA BEFORE [--rounds 2] [--threads 1]

DATA is the folder of labelled pictures, BEFORE a checkout of another build. Each round starts a
process for each build, in the precision it chooses here and, on x86, once more with a laptop's
instructions (AVX2, no bfloat16). A process outlines one MoNuSeg tile to warm up and then two
others, of 1,000 px, each once. The best of the rounds counts: other programs only add.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import click
from validation_tiles import VALIDATION

_HERE = Path(__file__).resolve().parents[1]
_LAPTOP = {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2"}
_ONE_RUN = """
import json, sys, time
from pathlib import Path
import torch
from napari_uninuc.datasets.folder import read_folder
from napari_uninuc.engine.automatic import find_in_field
from napari_uninuc.engine.loading import load_engine

data, model, threads, names = json.loads(sys.argv[1])
torch.set_num_threads(threads)
engine = load_engine(Path(model))
told = []
for image in read_folder(Path(data) / "monuseg" / "train", names):
    tile = image.read(0.25).tile
    began = time.process_time()
    threshold = engine.card.score_threshold
    count = sum(len(find_in_field(engine, tile, each, threshold)) for each in engine.fields(tile))
    told.append((time.process_time() - began, count))
print(json.dumps([str(engine.dtype).removeprefix("torch."), told[1:]]))
"""


def one_run(tree: Path, data: Path, threads: int, more: dict[str, str]) -> tuple[str, list]:
    """Precision, and seconds and nuclei of each tile."""
    arguments = json.dumps([str(data), str(tree / "models" / "uninuc-n"), threads, VALIDATION[:3]])
    command = [sys.executable, "-W", "ignore", "-c", _ONE_RUN, arguments]
    environment = {**os.environ, **more, "PYTHONPATH": str(tree / "src")}
    done = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    precision, tiles = json.loads(done.stdout.splitlines()[-1])
    return precision, tiles


@click.command(help=__doc__)
@click.argument("data", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("before", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--rounds", default=2, show_default=True)
@click.option("--threads", default=1, show_default=True)
def main(data: Path, before: Path, rounds: int, threads: int) -> None:
    """Print the table."""
    print("| instructions, precision | before | now | ratio |\n|---|---|---|---|")
    for name, more in (("all", {}), ("AVX2", _LAPTOP)):
        seen: dict[Path, list[list]] = {before: [], _HERE: []}
        for _ in range(rounds):
            for tree, tiles in seen.items():
                precision, found = one_run(tree, data, threads, more)
                tiles.append(found)
        cells, best = [], []
        for tiles in seen.values():
            best.append([min(each[k][0] for each in tiles) for k in range(2)])
            said = zip(best[-1], tiles[0], strict=True)
            cells.append(", ".join(f"{least:.2f} s ({one[1]} nuclei)" for least, one in said))
        ratios = ", ".join(f"{now / then:.2f}" for then, now in zip(*best, strict=True))
        print(f"| {name}, {precision} | {cells[0]} | {cells[1]} | {ratios} |", flush=True)


if __name__ == "__main__":
    main()
