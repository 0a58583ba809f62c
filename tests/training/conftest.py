"""Two small labelled pictures, and sums that come in one order."""

from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    """Sums over threads come in any order; of the module, as finished runs are."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def nuclei(tmp_path_factory) -> Path:
    """Two labelled pictures of 128 x 140 with discs of 18 px."""
    folder = tmp_path_factory.mktemp("nuclei")
    (folder / "images").mkdir()
    (folder / "labels").mkdir()
    rng = np.random.default_rng(0)
    ys, xs = np.mgrid[:128, :140]
    for name in ("a", "b"):
        rgb = np.full((128, 140, 3), (236, 214, 226), float)
        labels = np.zeros((128, 140), np.uint16)
        for k, (y, x) in enumerate(
            [(y, x) for y in range(20, 128, 30) for x in range(20, 140, 30)]
        ):
            inside = (ys - y) ** 2 + (xs - x) ** 2 <= 81
            rgb[inside], labels[inside] = (96, 70, 140), k + 1
        rgb += rng.normal(0, 6, rgb.shape)
        Image.fromarray(rgb.clip(0, 255).astype(np.uint8)).save(folder / "images" / f"{name}.png")
        tifffile.imwrite(folder / "labels" / f"{name}.tif", labels)
    return folder
