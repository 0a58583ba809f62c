"""What dense decoders paint on CoNSeP's test tiles: Dice by name, other words, cost.

python benchmarks/dense_decoders.py DATA [--semantic FILE] [--words FILE] [--phrase NAME=TEXT]...

DATA holds ``consep``. Without a FILE, those beside the bundled weights are taken. Dice is of the
pixels of all tiles: of the map in which each pixel has one class, and of each name by itself, where
pixels may have several. A phrase is asked as it is typed, with the text encoder that the decoder
was taught with (pip install ".[language]"), and set against the true pixels of every class. Cost is
CPU seconds of one thread for one tile, by turns, and operations beside those of the encoder.
"""

import statistics
import time
from pathlib import Path

import click
import numpy as np
import torch

from napari_uninuc.core.geometry import label_boxes
from napari_uninuc.core.instances import InstanceMask
from napari_uninuc.core.names import NUCLEUS, Name
from napari_uninuc.datasets.folder import LabelledTile, read_folder
from napari_uninuc.engine.dense_parts import MapSource, WordSource, map_of
from napari_uninuc.engine.loading import load_engine
from napari_uninuc.engine.torch_engine import TorchEngine
from napari_uninuc.evaluation.class_pixels import (
    added_up,
    class_pixels_of,
    weighted_dice,
)
from napari_uninuc.network.cost import encoder_cost
from napari_uninuc.network.dense_files import SEMANTIC_NAME, WORDS_NAME, load_dense
from napari_uninuc.network.language import text_vectors

MPP = 0.25
_ROUNDS = 5


def tokens_of(text: str) -> torch.Tensor:
    """Tokens (1, 4, D) of a phrase, said without a region."""
    _, vectors = text_vectors(list(Name(text).levels))
    return vectors[None]


def alone(engine: TorchEngine, source: WordSource, tile: LabelledTile, texts: torch.Tensor):
    """Where each of T texts is above one half, (H, W) bool in turn; of a tile of one field."""
    (field,) = engine.fields(tile.tile)
    likely = torch.sigmoid(source.asked(engine.embed(tile.tile, field), texts))
    for k in range(len(texts)):
        one = torch.cat([1 - likely[:, [k]], likely[:, [k]]], dim=1)
        yield map_of(engine, tile.tile, lambda _, one=one: one) > 0


def cpu_seconds(call) -> float:
    """Median CPU seconds of some rounds."""
    spent = []
    for _ in range(_ROUNDS):
        began = time.process_time()
        call()
        spent.append(time.process_time() - began)
    return statistics.median(spent)


def tell_cost(engine: TorchEngine, source: MapSource, tile: LabelledTile) -> None:
    """Print what the decoder costs beside the encoder."""
    (field,) = engine.fields(tile.tile)
    embedding = engine.embed(tile.tile, field)

    def encode():
        engine._encode(tile.tile, embedding.frame, embedding.key)

    def paint():
        source._last = None
        source.painted(embedding)

    encoding, painting = cpu_seconds(encode), cpu_seconds(paint)
    config = source._stored.decoder.config
    weights = sum(p.numel() for p in source._stored.decoder.parameters())
    print(f"encoder {encoding:.2f} s, decoder {painting:.3f} s ({painting / encoding:.1%}) a tile")
    print(f"{weights:,} weights, width {config.width}")
    print(f"encoder {encoder_cost(engine.config).macs / 1e9:.2f} GMACs of 1024 x 1024 px")


@click.command()
@click.argument("data", type=click.Path(path_type=Path))
@click.option("--semantic", type=click.Path(path_type=Path))
@click.option("--words", type=click.Path(path_type=Path))
@click.option("--phrase", multiple=True, help="NAME=TEXT: a text, and the name that it stands for.")
def main(data: Path, semantic: Path | None, words: Path | None, phrase: tuple[str, ...]) -> None:
    """Measure, and print."""
    torch.set_num_threads(1)
    engine = load_engine("uninuc-n", "cpu")
    assert engine.folder is not None
    sources: dict[str, MapSource | WordSource] = {}
    path = semantic or engine.folder / SEMANTIC_NAME
    if path.is_file():
        sources["semantic"] = MapSource(engine, load_dense(path, engine.card.sha256))
    path = words or engine.folder / WORDS_NAME
    by_word = None
    if path.is_file():
        by_word = WordSource(engine, load_dense(path, engine.card.sha256))
        sources["words"] = by_word
    tiles = [image.read(MPP) for image in read_folder(data / "consep", ("test_*",))]
    counts = {name: [] for name in sources}
    asked = {}
    if by_word is not None:
        note = by_word._stored.note
        known = dict(zip(note.names, by_word._stored.texts, strict=True))
        asked = {f"{name} (known)": (name, text[None]) for name, text in known.items()}
        for each in phrase:
            name, _, text = each.partition("=")
            asked[text] = (name, tokens_of(text))
    sums = {text: {} for text in asked}
    named: dict[str, list[tuple[str, str]]] = {name: [] for name in sources}
    for labelled in tiles:
        masks, true_names = masks_of(labelled)
        for name, source in sources.items():
            best = source.probabilities(labelled.tile, masks).argmax(axis=1).tolist()
            said = [source.palette.names[k] for k in best]
            named[name] += list(zip(true_names, said, strict=True))
            painted = source.class_map(labelled.tile)
            counts[name].append(class_pixels_of(labelled, painted, source.palette.names))
        tokens = torch.cat([tokens for _, tokens in asked.values()]) if asked else torch.zeros(0)
        painted = alone(engine, by_word, labelled, tokens) if asked else ()
        for text, found in zip(asked, painted, strict=True):
            for kind in (*by_word.palette.names, NUCLEUS):
                true = truth_of(labelled, kind)
                total = sums[text].setdefault(kind, np.zeros(3))
                total += (true.sum(), found.sum(), (true & found).sum())
        engine.cache.clear()
        print(labelled.tile.name, flush=True)
    for name, images in counts.items():
        classes = added_up(images)
        each = ", ".join(f"{one.name} {one.dice:.4f}" for one in classes)
        print(f"{name}, one class a pixel: {each}; weighted {weighted_dice(classes):.4f}")
        accuracy, macro_f1 = accuracy_of(named[name])
        print(f"{name}, true outlines: accuracy {accuracy:.4f}, macro F1 {macro_f1:.4f}")
    for text, (name, _) in asked.items():
        dice = {kind: 2 * both / (true + found) for kind, (true, found, both) in sums[text].items()}
        others = ", ".join(f"{kind} {value:.3f}" for kind, value in dice.items())
        print(f"{text!r} for {name}: {others}")
    if "semantic" in sources:
        tell_cost(engine, sources["semantic"], tiles[0])


def masks_of(labelled: LabelledTile) -> tuple[list[InstanceMask], list[str]]:
    """True outlines whose class is known, and their classes."""
    known, labels = labelled.classes or {}, labelled.labels
    ids, boxes = label_boxes(labels)
    there = [(k, box) for k, box in zip(ids.tolist(), boxes.tolist(), strict=True) if k in known]
    masks = [
        InstanceMask((y0, x0), labels[y0:y1, x0:x1] == k, 1.0, 0, 1.0)
        for k, (y0, x0, y1, x1) in there
    ]
    return masks, [known[k] for k, _ in there]


def accuracy_of(pairs: list[tuple[str, str]]) -> tuple[float, float]:
    """Share of nuclei named right, and the mean of the F1 of each class."""
    names = sorted({true for true, _ in pairs})
    f1 = []
    for name in names:
        both = sum(true == said == name for true, said in pairs)
        either = sum(true == name for true, _ in pairs) + sum(said == name for _, said in pairs)
        f1.append(2 * both / either)
    return sum(true == said for true, said in pairs) / len(pairs), float(np.mean(f1))


def truth_of(labelled: LabelledTile, kind: str) -> np.ndarray:
    """Pixels of nuclei of a class, or of all, (H, W) bool."""
    if kind == NUCLEUS:
        return labelled.labels > 0
    ids = [id_ for id_, name in (labelled.classes or {}).items() if name == kind]
    return np.isin(labelled.labels, ids)


if __name__ == "__main__":
    main()
