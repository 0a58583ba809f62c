"""How right classes are that a few clicks have taught, on CoNSeP's test tiles.

python benchmarks/classes_from_clicks.py DATA [--model ID|PATH] [--device NAME] [--cache FILE]

DATA is the folder with ``images``, ``labels`` and ``classes``. Outlines are the true ones, a
simulated reader answers with the true class, and every figure is the mean of 5 draws of 7 tiles
to take examples from and 7 to test on. "Queue" begins with one example a class, has as many
examples in all as "random", and asks for whatever `core.classifier.next_to_ask` offers.
"""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
import numpy.typing as npt
from PIL import Image

from napari_uninuc.core.classifier import (
    Classifier,
    Examples,
    Scale,
    next_to_ask,
    ranked_by_likeness,
)
from napari_uninuc.core.geometry import label_boxes
from napari_uninuc.core.instances import InstanceMask
from napari_uninuc.core.shapes import N_MEASURED
from napari_uninuc.core.tile import Tile
from napari_uninuc.engine.describing import describe_nuclei
from napari_uninuc.engine.loading import load_engine

MPP, DRAWS = 0.25, 5
FLOORS = {("queue", 20): 0.68, ("random", 100): 0.76}

Rows, Ids = npt.NDArray[np.float32], npt.NDArray[np.int64]


def described(data: Path, model: str, device: str) -> tuple[dict[str, Rows], dict[str, list[str]]]:
    """Features and class names of every nucleus, by tile."""
    engine = load_engine(model, device)
    features, classes = {}, {}
    for path in sorted((data / "images").glob("test_*")):
        labels = np.asarray(Image.open(data / "labels" / f"{path.stem}.png")).astype(np.int32)
        tile = Tile.from_array(np.asarray(Image.open(path).convert("RGB")), MPP)
        names = json.loads((data / "classes" / f"{path.stem}.json").read_text())
        ids, boxes = label_boxes(labels)
        masks = [
            InstanceMask((y0, x0), labels[y0:y1, x0:x1] == id_, 1.0, 0, 1.0)
            for id_, (y0, x0, y1, x1) in zip(ids.tolist(), boxes.tolist(), strict=True)
        ]
        began = time.perf_counter()
        features[path.stem] = describe_nuclei(engine, tile, masks)
        classes[path.stem] = [names[str(id_)] for id_ in ids.tolist()]
        click.echo(
            f"{path.stem}: {len(ids)} nuclei in {time.perf_counter() - began:.1f} s", err=True
        )
    return features, classes


def scores(truth: Ids, said: Ids, n_classes: int) -> tuple[float, float]:
    """Accuracy, and the mean of the F1 of each class."""
    f1 = []
    for k in range(n_classes):
        both = ((truth == k) & (said == k)).sum()
        f1.append(2 * both / max((truth == k).sum() + (said == k).sum(), 1))
    return float((truth == said).mean()), float(np.mean(f1))


def at_random(truth: Ids, n_classes: int, each: int, rng: np.random.Generator) -> list[int]:
    """So many examples of each class."""
    return [
        int(place)
        for k in range(n_classes)
        for place in rng.permutation(np.flatnonzero(truth == k))[:each]
    ]


def by_queue(
    rows: Rows, truth: Ids, names: tuple[str, ...], each: int, rng: np.random.Generator
) -> list[int]:
    """One example a class, then what the queue asks for, a few at a time as a person goes on."""
    scale, told = Scale.of(rows), at_random(truth, len(names), 1, rng)
    while len(told) < each * len(names):
        classifier = Classifier.learnt(Examples(rows[told], truth[told], names), scale)
        known = np.zeros(len(rows), np.bool_)
        known[told] = True
        ask = min(max(1, len(told) // 16), each * len(names) - len(told))
        told += next_to_ask(rows, classifier.probabilities(rows), scale, known, ask)
    return told


def calibration(likely: npt.NDArray[np.float64], right: npt.NDArray[np.bool_]) -> float:
    """Expected calibration error, ten bins."""
    sure = likely.max(axis=1)
    bins = np.minimum((sure * 10).astype(int), 9)
    return sum(
        float(abs(sure[bins == b].mean() - right[bins == b].mean()) * (bins == b).mean())
        for b in range(10)
        if (bins == b).any()
    )


def average_precision(truth: npt.NDArray[np.bool_], likeness: npt.NDArray[np.float64]) -> float:
    """Area under precision over recall, as a sum of steps."""
    hits = truth[np.argsort(-likeness, kind="stable")]
    return float((np.cumsum(hits) / np.arange(1, len(hits) + 1))[hits].mean())


@dataclass(frozen=True)
class Draw:
    """Nuclei to take examples from and nuclei to test on: features and classes."""

    names: tuple[str, ...]
    own: tuple[Rows, Ids]
    other: tuple[Rows, Ids]

    def rows(self, rng: np.random.Generator) -> Iterator[tuple[tuple[str, int], tuple[float, ...]]]:
        """Scores by way of choosing and examples a class."""
        rows, truth = self.own
        for each in (5, 20, 100):
            chosen = at_random(truth, len(self.names), each, rng)
            yield ("random", each), self.score(chosen)
            alone = slice(-N_MEASURED, None)
            yield ("random, shape and stain alone", each), self.score(chosen, alone)
            yield ("queue", each), self.score(by_queue(rows, truth, self.names, each, rng))
        most = np.full(len(self.other[1]), np.bincount(truth).argmax())
        yield ("majority class", 0), (*scores(self.other[1], most, len(self.names)), float("nan"))

    def score(self, told: list[int], columns: slice = slice(None)) -> tuple[float, ...]:
        """Accuracy, macro F1 and calibration error of what these examples teach."""
        (own, truth), (other, test) = self.own, self.other
        taught = Examples(own[told, columns], truth[told], self.names)
        classifier = Classifier.learnt(taught, Scale.of(own[:, columns]))
        likely = classifier.probabilities(other[:, columns])
        said = likely.argmax(axis=1)
        return (*scores(test, said, len(self.names)), calibration(likely, said == test))


def joined(features: dict[str, Rows], truths: dict[str, Ids], tiles: list[str]) -> tuple[Rows, Ids]:
    """Features and classes of some tiles together."""
    return np.concatenate([features[t] for t in tiles]), np.concatenate([truths[t] for t in tiles])


@click.command()
@click.argument("data", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--model", default="uninuc-n", show_default=True, help="Model id or folder.")
@click.option("--device", default="auto", show_default=True)
@click.option("--cache", type=click.Path(path_type=Path), help="Keep features here (.npz).")
def main(data: Path, model: str, device: str, cache: Path | None) -> None:
    """Describe every nucleus once, draw examples, and print tables."""
    if cache is not None and cache.is_file():
        stored = np.load(cache)
        features = {name: stored[name] for name in stored.files if not name.startswith("class ")}
        classes = {name: stored[f"class {name}"].tolist() for name in features}
    else:
        features, classes = described(data, model, device)
        if cache is not None:
            kept = {f"class {name}": np.array(each) for name, each in classes.items()}
            np.savez(cache, **features, **kept)
    names = tuple(sorted({name for each in classes.values() for name in each}))
    truths = {t: np.array([names.index(n) for n in each]) for t, each in classes.items()}
    tiles = sorted(features)

    results: dict[tuple[str, int], list[tuple[float, ...]]] = {}
    likeness: list[float] = []
    for number in range(DRAWS):
        rng = np.random.default_rng(number)
        order = [tiles[k] for k in rng.permutation(len(tiles))]
        halves = order[: len(order) // 2], order[len(order) // 2 :]
        draw = Draw(names, *(joined(features, truths, half) for half in halves))
        for key, row in draw.rows(rng):
            results.setdefault(key, []).append(row)
        wanted = {t: truths[t] == names.index("inflammatory") for t in tiles}
        many = [t for t in tiles if wanted[t].sum() > 3]
        likeness.append(float(np.mean([alike(features[t], wanted[t], rng) for t in many])))
    print("| examples a class | chosen | accuracy | macro F1 | calibration error | floor |")
    print("|---|---|---|---|---|---|")
    for (way, each), found in sorted(results.items(), key=lambda item: item[0][::-1]):
        accuracy, f1, error = np.mean(found, axis=0)
        floor = FLOORS.get((way, each), "")
        print(f"| {each} | {way} | {accuracy:.3f} | {f1:.3f} | {error:.3f} | {floor} |")
    print(f"\nall like this, three inflammatory nuclei: average precision {np.mean(likeness):.3f}")
    print_speed(
        np.concatenate(list(features.values())), np.concatenate(list(truths.values())), names
    )


def alike(rows: Rows, wanted: npt.NDArray[np.bool_], rng: np.random.Generator) -> float:
    """Average precision on the other nuclei of a tile, from three that are wanted."""
    like = rng.permutation(np.flatnonzero(wanted))[:3].tolist()
    others = np.setdiff1d(np.arange(len(rows)), like)
    return average_precision(wanted[others], ranked_by_likeness(rows, Scale.of(rows), like)[others])


def print_speed(rows: Rows, truth: Ids, names: tuple[str, ...]) -> None:
    """How long it takes to learn and to class 5,000 nuclei, by examples a class."""
    rows, truth = rows[:5000], truth[:5000]
    for each in (5, 20, 100):
        told = at_random(truth, len(names), each, np.random.default_rng(0))
        scale = Scale.of(rows)
        taught = Examples(rows[told], truth[told], names)
        seconds = []
        for _ in range(5):
            began = time.perf_counter()
            Classifier.learnt(taught, scale).probabilities(rows)
            seconds.append(time.perf_counter() - began)
        print(f"{each} examples a class, {len(rows)} nuclei: {1000 * min(seconds):.0f} ms")


if __name__ == "__main__":
    main()
