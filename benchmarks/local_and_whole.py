"""Masks decoded from a window around the prompt, against masks decoded from all of the field.

python benchmarks/local_and_whole.py DATA --output FOLDER [--side PX] [--nuclei N] [--model ID|PATH]

DATA is the folder that holds ``monuseg/test`` and ``consep``. Of each test tile the upper left
``side`` px are encoded once. Automatic outlines (the same boxes, no mirror) and simulated clicks on
the same nuclei, drawn at random, are then decoded both ways. What is done is kept tile by tile in
``local.json`` and ``whole.json``, which ``uninuc evaluate --compare`` reads too; called again, only
tiles that are missing are done.
"""

import json
import math
from collections.abc import Iterator
from dataclasses import asdict, replace
from itertools import zip_longest
from pathlib import Path
from typing import Any, Literal

import click
from validation_tiles import MPP

from napari_uninuc import load_predictor
from napari_uninuc.core.tile import Tile
from napari_uninuc.datasets.folder import LabelledTile, read_folder
from napari_uninuc.engine.predictor import Predictor
from napari_uninuc.evaluation.automatic import AutomaticRow, score_automatic
from napari_uninuc.evaluation.compare import compare_reports, comparison_text
from napari_uninuc.evaluation.interactive import (
    InteractiveProtocol,
    InteractiveRow,
    score_interactive,
)
from napari_uninuc.io.targets import replacing

_WAYS: tuple[Literal["local", "whole"], ...] = ("whole", "local")
_TEST_TILES = {"monuseg-test": ("monuseg/test", None), "consep-test": ("consep", "test_*")}

Rows = dict[str, Any]


def test_tiles(data: Path) -> Iterator[tuple[str, LabelledTile]]:
    """Yield every test tile with the name of its data set, the sets by turns."""
    sets = [
        [(name, image) for image in read_folder(data / folder, include)]
        for name, (folder, include) in _TEST_TILES.items()
    ]
    for together in zip_longest(*sets):
        for dataset, image in filter(None, together):
            yield dataset, image.read(MPP)


def cut(labelled: LabelledTile, side: int) -> LabelledTile:
    """The upper left ``side`` px of a tile; nuclei are cut where it ends."""
    tile = labelled.tile
    rgb, labels = tile.rgb[:side, :side], labelled.labels[:side, :side]
    small = Tile.from_array(rgb, mpp=tile.mpp, name=tile.name)
    return replace(labelled, tile=small, labels=labels, classes=None)


def score(
    predictor: Predictor,
    way: Literal["local", "whole"],
    labelled: LabelledTile,
    dataset: str,
    nuclei: int,
) -> tuple[AutomaticRow, list[InteractiveRow]]:
    """Score the picture that the predictor holds, decoded in one of the two ways."""
    predictor.engine.decoding = way
    found = predictor.segment(flips=False)
    automatic = score_automatic(labelled, found, found.timings["masks"], dataset)
    clicked: list[InteractiveRow] = []
    for prompt in ("point", "box"):
        protocol = InteractiveProtocol(prompt, max_nuclei=nuclei)
        clicked += score_interactive(predictor, labelled, protocol, dataset)
    return automatic, clicked


def plain(row: AutomaticRow | InteractiveRow) -> Rows:
    """A row as JSON has it: what is unknown is null, what no comparison reads is left out."""
    values = {key: value for key, value in asdict(row).items() if key != "reliability"}
    return {
        key: None if isinstance(value, float) and math.isnan(value) else value
        for key, value in values.items()
    }


def stored(path: Path, settings: Rows) -> Rows:
    """What an earlier call kept, if it was made with the same settings."""
    empty: Rows = {"settings": settings, "automatic": [], "interactive": []}
    if not path.is_file():
        return empty
    before: Rows = json.loads(path.read_text(encoding="utf-8"))
    return before if before["settings"] == settings else empty


@click.command()
@click.argument("data", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--output", required=True, type=click.Path(file_okay=False, path_type=Path))
@click.option("--side", default=512, show_default=True, type=click.IntRange(min=64))
@click.option("--nuclei", default=5, show_default=True, type=click.IntRange(min=1))
@click.option("--model", default="uninuc-n", show_default=True, help="Model id or folder.")
def main(data: Path, output: Path, side: int, nuclei: int, model: str) -> None:
    """Score every test tile both ways, and print the paired differences."""
    predictor = load_predictor(model, device="cpu")
    settings = {"sha256": predictor.card.sha256, "side": side, "nuclei": nuclei}
    files = {way: output / f"{way}.json" for way in _WAYS}
    rows = {way: stored(path, settings) for way, path in files.items()}
    for dataset, whole_tile in test_tiles(data):
        labelled = cut(whole_tile, side)
        predictor.set_image(labelled.tile.rgb, mpp=MPP)
        for way in _WAYS:
            if any(row["image"] == labelled.tile.name for row in rows[way]["automatic"]):
                continue
            automatic, clicked = score(predictor, way, labelled, dataset, nuclei)
            rows[way]["automatic"].append(plain(automatic))
            rows[way]["interactive"] += [plain(row) for row in clicked]
            with replacing(files[way]) as part:
                part.write_text(json.dumps(rows[way], indent=1), encoding="utf-8")
            print(f"{labelled.tile.name} {way}: mSA {automatic.msa:.4f}", flush=True)
    print(f"weights {predictor.card.sha256[:12]}, {side} px, {nuclei} nuclei a tile")
    print(comparison_text(compare_reports(files["local"], files["whole"]), "local", "whole"))


if __name__ == "__main__":
    main()
