"""The bundled model, a model of chance, and pictures of discs in the colours of H&E."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from scipy import ndimage

from napari_uninuc import load_predictor
from napari_uninuc.engine.cache import EmbeddingCache
from napari_uninuc.engine.predictor import Predictor

GLASS, HAEMATOXYLIN = (236, 214, 226), (96, 70, 140)


@dataclass(frozen=True, slots=True)
class Discs:
    """A picture (H, W, 3) uint8 and who is who in it: (H, W) int, id i + 1 is centre i."""

    rgb: np.ndarray
    labels: np.ndarray
    centres_yx: list[tuple[float, float]]


def paint_discs(shape, centres_yx, radius, seed=0):
    ys, xs = np.mgrid[: shape[0], : shape[1]]
    rgb = np.full((*shape, 3), GLASS, float)
    labels = np.zeros(shape, int)
    for index, (y, x) in enumerate(centres_yx):
        inside = (ys - y) ** 2 + (xs - x) ** 2 <= radius**2
        rgb[inside], labels[inside] = HAEMATOXYLIN, index + 1
    rgb += np.random.default_rng(seed).normal(0, 4, rgb.shape)
    rgb = ndimage.gaussian_filter(rgb, (0.7, 0.7, 0))
    return Discs(rgb.clip(0, 255).astype(np.uint8), labels, list(centres_yx))


@pytest.fixture(scope="session", autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def _bundled() -> Predictor:
    loaded = load_predictor("uninuc-n", device="cpu")
    # What is tested here is one look at a field; test_mirror looks at two.
    loaded.engine.card = replace(loaded.engine.card, flips=False)
    return loaded


@pytest.fixture
def predictor(_bundled: Predictor):
    """The bundled model with an empty cache; what a test changes is put back."""
    engine = _bundled.engine
    config, dtype, at_once = engine.config, engine.dtype, engine._pixels_at_once
    engine.cache = EmbeddingCache(engine.cache.max_bytes)
    yield _bundled
    engine.config, engine.dtype, engine._pixels_at_once = config, dtype, at_once
    _bundled.reset_predictor()


@pytest.fixture(scope="session")
def discs() -> Discs:
    """Twelve nuclei of 20 px in a picture of 150 x 120."""
    centres = [(y, x) for y in (20, 56, 92, 128) for x in (22, 60, 98)]
    return paint_discs((150, 120), centres, 10)


@pytest.fixture(scope="session")
def dense() -> Discs:
    """Nuclei of 18 px every 36 px, in a picture of 288 x 324."""
    centres = [(y, x) for y in range(18, 288, 36) for x in range(18, 324, 36)]
    return paint_discs((288, 324), centres, 9)


@pytest.fixture(scope="session")
def paint():
    """`paint_discs`, for tests that place nuclei themselves."""
    return paint_discs


@pytest.fixture
def small_fields(predictor: Predictor):
    """Make the model see 160 px at once, with a halo of 40."""
    predictor.engine.config = replace(predictor.engine.config, input_size=160, halo=40)
    return predictor


@pytest.fixture
def count_encodes(predictor: Predictor, monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """Shapes of what the image encoder was given, call by call."""
    calls: list[tuple[int, ...]] = []
    encode = predictor.engine.model.encode

    def counted(image, **options):
        calls.append(tuple(image.shape))
        return encode(image, **options)

    monkeypatch.setattr(predictor.engine.model, "encode", counted)
    return calls
