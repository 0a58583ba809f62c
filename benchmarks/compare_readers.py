"""How long it takes to compare two readers, and how much memory on a slide.

python benchmarks/compare_readers.py                 10,000 nuclei a side
python benchmarks/compare_readers.py --slide 100     100 times as many, read as a slide is
"""

import argparse
import resource
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from napari_uninuc.agreement.comparison import compare
from napari_uninuc.agreement.reading import Reading

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "agreement"))
from planting import PLANTS, plant

_COLUMNS = 100
_CELLS = 10_000


def main() -> None:
    """Plant disagreements in every tenth nucleus, compare, and check what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--slide", type=int, default=1, help="copies of the picture, side by side")
    copies = parser.parse_args().slide
    plants = [PLANTS[k // 10 % len(PLANTS)] if k % 10 == 0 else "same" for k in range(_CELLS)]
    a, b, expected = plant(plants, _COLUMNS)
    if copies > 1:
        a, b = (_repeated(each, copies) for each in (a, b))
    start = time.perf_counter()
    found = compare(a, b)
    seconds = time.perf_counter() - start
    if len(found.disagreements) != copies * len(expected):
        raise SystemExit(f"{len(found.disagreements)} listed, {copies * len(expected)} planted")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{len(a.ids):,} and {len(b.ids):,} nuclei, {a.shape[0]:,} x {a.shape[1]:,} px, "
        f"{len(found.disagreements):,} disagreements: {seconds:.2f} s, peak {peak:,.0f} MiB"
    )


def _repeated(reading: Reading, copies: int) -> Reading:
    """Show a reading many times in a row, its pixels made when they are read."""
    height, width = reading.shape
    step = int(reading.ids[-1])
    numbers = np.arange(copies)

    def pixels(box: tuple[int, int, int, int]) -> np.ndarray:
        y0, x0, y1, x1 = box
        part = np.zeros((y1 - y0, x1 - x0), np.int32)
        for k in range(x0 // width, -(-x1 // width)):
            first, last = max(x0, k * width), min(x1, (k + 1) * width)
            own = reading.pixels((y0, first - k * width, y1, last - k * width))
            part[:, first - x0 : last - x0] = np.where(own > 0, own + k * step, 0)
        return part

    boxes = reading.boxes_yxyx + numbers[:, None, None] * np.array([0, width, 0, width])
    return replace(
        reading,
        shape=(height, width * copies),
        pixels=pixels,
        ids=(reading.ids + numbers[:, None] * step).ravel(),
        boxes_yxyx=boxes.reshape(-1, 4),
        classes=np.tile(reading.classes, copies),
    )


if __name__ == "__main__":
    main()
