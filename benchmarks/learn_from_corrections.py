"""What thirty corrections of a tile are worth on other pictures of the same tissue.

python benchmarks/learn_from_corrections.py DATA [--corrections N] [--pictures N] [--random N]

DATA holds ``nuinsseg``, ``ihc_epcam``, ``consep`` and ``monuseg`` as the recipes have them. Of each
set the reader of `simulated_corrector` corrects so many nuclei of the first tile in the order of
the review (of further tiles where one has not enough), the model learns from that, and others of
its pictures are outlined before and after. ``--random`` learns from corrections that mean nothing
instead: outlines moved anywhere, nuclei deleted and accepted by lot; none of these may be kept.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import click
import numpy as np
from simulated_corrector import corrected, outlined

from napari_uninuc.core.examples import Corrections, Example, Kind
from napari_uninuc.datasets.folder import LabelledImage, read_folder
from napari_uninuc.engine.annotator import TorchAnnotator
from napari_uninuc.engine.loading import load_engine
from napari_uninuc.engine.predictor import Predictor
from napari_uninuc.engine.states import in_state
from napari_uninuc.engine.torch_engine import TorchEngine
from napari_uninuc.errors import SessionError
from napari_uninuc.evaluation.metrics import panoptic_quality
from napari_uninuc.network.adapter_card import in_words
from napari_uninuc.training.learn_run import Learnt, learn

SETS = {
    "human cardia": ("nuinsseg", "human_cardia_*", 0.22),
    "human lung": ("nuinsseg", "human_lung_*", 0.22),
    "human tonsil": ("nuinsseg", "human_tonsile_*", 0.22),
    "mouse heart": ("nuinsseg", "mouse_heart_*", 0.22),
    "ihc epcam 16a": ("ihc_epcam", "16a_*", 0.5),
    "ihc epcam 4a": ("ihc_epcam", "4a_*", 0.5),
    "consep test": ("consep", "test_*", 0.25),
    "monuseg train": ("monuseg/train", None, 0.25),
}
"""Folder, pictures, um per px. The first five were kept out of the training of ``uninuc-n``, all
but the first four out of that of ``uninuc-o``."""
_UNSEEN = 5
REFERENCE = ("monuseg/test", 0.25)
_MOST_TILES = 12


@dataclass(frozen=True)
class Tiles:
    """Pictures of one kind."""

    name: str
    images: Sequence[LabelledImage]
    mpp: float

    def scores(self, engine: TorchEngine, threshold: float | None = None) -> np.ndarray:
        """Binary panoptic quality of each."""
        predictor = Predictor(engine)
        scores = []
        for image in self.images:
            labelled = image.read(self.mpp)
            predictor.set_image(labelled.tile)
            found = predictor.segment(score_threshold=threshold)
            scores.append(panoptic_quality(labelled.labels, found.labels).pq)
        return np.array(scores)


def corrections_of(engine: TorchEngine, tiles: Tiles, count: int) -> list[Corrections]:
    """Correct nuclei tile by tile, until there are enough; thirty of each at most."""
    annotator, said, left = TorchAnnotator(engine), list[Corrections](), count
    each = min(count, 30)
    for image in tiles.images[:_MOST_TILES]:
        if left <= 0:
            break
        labelled = image.read(tiles.mpp)
        found = corrected(labelled, outlined(annotator, labelled), min(each, left))
        left -= len(found.examples)
        said.append(found)
    return said


def at_random(said: Corrections, rng: np.random.Generator) -> Corrections:
    """The same number of corrections, which mean nothing."""
    height, width = said.tile.shape
    examples = []
    for example in said.examples:
        h, w = example.mask.shape
        kind = (Kind.ADDED, Kind.DELETED, Kind.REDRAWN)[int(rng.integers(3))]
        place = example.origin_yx
        if kind is not Kind.DELETED:
            place = int(rng.integers(0, height - h + 1)), int(rng.integers(0, width - w + 1))
        examples.append(Example(kind, place, example.mask))
    return replace(said, examples=tuple(examples))


def learnt(engine: TorchEngine, said: Sequence[Corrections]) -> tuple[Learnt, float]:
    """Learn, and the seconds of computing it took, on all cores together."""
    began = time.process_time()
    return learn(engine, said, "benchmark"), time.process_time() - began


@click.command()
@click.argument("data", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--model", default="uninuc-n", show_default=True)
@click.option("--corrections", default=30, show_default=True, help="Of each set.")
@click.option("--pictures", default=6, show_default=True, help="Of each set, to measure on.")
@click.option("--reference", default=14, show_default=True, help="MoNuSeg test pictures.")
@click.option("--random", "lots", default=0, help="Learn so often from what means nothing.")
@click.option(
    "--only", multiple=True, type=click.Choice(list(SETS)), help="Sets; else the first five."
)
def main(
    data: Path,
    model: str,
    corrections: int,
    pictures: int,
    reference: int,
    lots: int,
    only: tuple[str, ...],
) -> None:
    """Print a table."""
    engine = load_engine(model, "cpu", embeddings_gb=None)
    chosen = {name: SETS[name] for name in only or list(SETS)[:_UNSEEN]}
    sets = [
        Tiles(name, read_folder(data / folder, None if pattern is None else (pattern,)), mpp)
        for name, (folder, pattern, mpp) in chosen.items()
    ]
    if lots:
        rng, kept = np.random.default_rng(0), 0
        meant = [corrections_of(engine, tiles, corrections) for tiles in sets]
        for number in range(lots):
            said = [at_random(each, rng) for each in meant[number % len(sets)]]
            outcome, _ = learnt(engine, said)
            kept += outcome.adapter is not None
            click.echo(f"{number + 1}: {kept} kept; {in_words(outcome.proof)}")
        return
    folder, mpp = REFERENCE
    others = Tiles("MoNuSeg test", read_folder(data / folder)[:reference], mpp)
    untouched = others.scores(engine) if reference else np.zeros(0)
    print("| set | corrections | kept | CPU seconds | bPQ before | after | gain | MoNuSeg test |")
    print("|---|---|---|---|---|---|---|---|", flush=True)
    gains = []
    for tiles in sets:
        said = corrections_of(engine, tiles, corrections)
        rest = Tiles(tiles.name, tiles.images[len(said) :][-pictures:], tiles.mpp)
        before = rest.scores(engine)
        try:
            outcome, seconds = learnt(engine, said)
        except SessionError as problem:
            print(f"| {tiles.name} | {problem} | | | | | | |", flush=True)
            continue
        after, lost = before, 0.0
        if outcome.adapter is not None:
            with in_state(engine, outcome.adapter):
                after = rest.scores(engine)
                if reference:
                    lost = float(np.nanmean(others.scores(engine) - untouched))
        gains.append(float(np.nanmean(after - before)))
        count = sum(len(each.examples) for each in said)
        print(
            f"| {tiles.name} | {count} of {len(said)} tiles | "
            f"{'no' if outcome.adapter is None else 'yes'} | {seconds:.0f} | "
            f"{np.nanmean(before):.4f} | {np.nanmean(after):.4f} | "
            f"{gains[-1]:+.4f} | {lost:+.4f} |",
            flush=True,
        )
        click.echo(in_words(outcome.proof), err=True)
        if outcome.adapter is not None:
            click.echo(f"{len(outcome.adapter.to_bytes()) / 1e6:.2f} MB", err=True)
    if gains:
        print(f"\nmean gain {np.mean(gains):+.4f}, worst {min(gains):+.4f}")


if __name__ == "__main__":
    main()
