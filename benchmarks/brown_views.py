"""What showing brown pictures restained gives: as they are, restained, and as the engine chooses.

python benchmarks/brown_views.py DATA [--model ID|PATH] [--paintings 1]

DATA is the folder of labelled pictures. Scored are the block of EpCAM immunohistochemistry that no
model of ours was taught on, and MoNuSeg's four validation tiles painted as immunohistochemistry,
nuclei or membranes (`datasets.brown`, the painter of training, with tissue and chance it never
had). For each: mSA and PQ at the card's threshold, the best threshold of 0.25 to 0.6 and what it
has there.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import click
import numpy as np
import torch
from scipy import ndimage
from validation_tiles import MPP, VALIDATION

from napari_uninuc.core.instances import InstanceMask, paint_masks, resolve_overlaps
from napari_uninuc.core.tile import Tile
from napari_uninuc.datasets.brown import paint_brown
from napari_uninuc.datasets.folder import read_folder
from napari_uninuc.datasets.stains import amounts_of, shown
from napari_uninuc.engine.automatic import find_in_field
from napari_uninuc.engine.loading import load_engine
from napari_uninuc.engine.restain import restained
from napari_uninuc.engine.torch_engine import TorchEngine
from napari_uninuc.evaluation.metrics import mean_segmentation_accuracy, panoptic_quality

_THRESHOLDS = np.arange(0.25, 0.61, 0.05).round(2).tolist()
_MIN_AREA_PX = 16
_EPCAM_MPP = 0.5
_AROUND_PX = 8
_WAYS: dict[str, Callable[[Tile], tuple[Tile, ...]]] = {
    "as it is": lambda tile: (tile,),
    "restained": lambda tile: (restained(tile),),
    "as the engine chooses": lambda tile: (tile, restained(tile)),
}
Labelled = tuple[Tile, np.ndarray]


class _Views:
    """Stands in for `engine.restain.StainViews`."""

    def __init__(self, of: Callable[[Tile], tuple[Tile, ...]]) -> None:
        self.of = of


def pictures(data: Path, paintings: int) -> Iterator[tuple[str, list[Labelled]]]:
    """Each set's name and its tiles with their labels (H, W)."""
    epcam = [image.read(_EPCAM_MPP) for image in read_folder(data / "ihc_epcam", "16a_*")]
    yield "EpCAM", [(one.tile, one.labels) for one in epcam]
    found: dict[str, list[Labelled]] = {"painted, nuclei": [], "painted, membranes": []}
    for number, image in enumerate(read_folder(data / "monuseg" / "train", VALIDATION)):
        labelled, seed = image.read(MPP), 0
        while min(map(len, found.values())) < (number + 1) * paintings:
            tile, kind = _painted(labelled.tile, labelled.labels, seed)
            if len(found[kind]) < (number + 1) * paintings:
                found[kind].append((tile, labelled.labels))
            seed += 1
    yield from found.items()


def _painted(tile: Tile, labels: np.ndarray, seed: int) -> tuple[Tile, str]:
    """A tile as immunohistochemistry, and whether nuclei or membranes turned brown."""
    picture = torch.tensor(tile.rgb).permute(2, 0, 1).float() / 255
    rng = np.random.default_rng(seed)
    amounts = paint_brown(amounts_of(picture), labels, rng)
    brown, nuclei = amounts[2].numpy(), labels > 0
    around = ndimage.binary_dilation(nuclei, iterations=_AROUND_PX) & ~nuclei
    kind = "painted, nuclei"
    if brown[nuclei].mean() < 2 * brown[around].mean():
        kind = "painted, membranes"
    rgb = (shown(amounts).permute(1, 2, 0) * 255).round().byte().numpy()
    name = f"{tile.name} {seed}"
    return Tile.from_array(rgb, tile.mpp, tile.origin_yx_slide, name), kind


def outlines(engine: TorchEngine, tile: Tile) -> list[InstanceMask]:
    """All outlines above the lowest threshold."""
    return [
        one.mask
        for field in engine.fields(tile)
        for one in find_in_field(engine, tile, field, _THRESHOLDS[0])
    ]


def scores(
    labelled: Sequence[Labelled], found: Sequence[list[InstanceMask]], threshold: float
) -> tuple[float, float]:
    """Mean mSA and PQ of the outlines above a threshold."""
    values = []
    for (_, labels), masks in zip(labelled, found, strict=True):
        kept = [mask for mask in masks if mask.score >= threshold]
        shape = labels.shape
        painted = paint_masks(resolve_overlaps(kept, shape, min_area=_MIN_AREA_PX), shape)
        quality = panoptic_quality(labels, painted).pq
        values.append((mean_segmentation_accuracy(labels, painted), quality))
    msa, quality = np.mean(values, axis=0)
    return float(msa), float(quality)


@click.command(help=__doc__)
@click.argument("data", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--model", default="uninuc-n", show_default=True, help="Model id or folder.")
@click.option("--paintings", default=1, show_default=True, help="Of each kind, for each tile.")
def main(data: Path, model: str, paintings: int) -> None:
    """Print the table."""
    engine = load_engine(model)
    card = engine.card.score_threshold
    print("| pictures | shown | mSA, PQ at the card's threshold | best threshold |")
    print("|---|---|---|---|")
    for name, labelled in pictures(data, paintings):
        for way, views in _WAYS.items():
            engine.views = _Views(views)
            found = [outlines(engine, tile) for tile, _ in labelled]
            told = scores(labelled, found, card)
            best = max(_THRESHOLDS, key=lambda t: scores(labelled, found, t)[0])
            there = scores(labelled, found, best)
            print(
                f"| {name}, {len(labelled)} | {way} | {told[0]:.4f}, {told[1]:.4f} | {best:g}: "
                f"{there[0]:.4f}, {there[1]:.4f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
