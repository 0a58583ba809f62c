"""Fixtures that more than one part of the tests needs."""

import gc
import itertools
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import settings

from napari_uninuc.core.segmentation import Segmentation
from napari_uninuc.core.tile import Tile

# Timings of a shared machine say nothing about the code.
settings.register_profile("uninuc", deadline=None, max_examples=50)
settings.load_profile("uninuc")

# napari reads and writes its settings nowhere: a person's own are not the tests', and each change
# of one would be a file.
os.environ["NAPARI_CONFIG"] = ""


def pytest_collection_modifyitems(items):
    """Files with slow tests come first: at the end one process would wait for the other."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


def pytest_collection_finish(session):
    """Modules and tests stay to the end: whoever collects rubbish need not go through them.

    Windows are looked for as rubbish three times a test, by napari and by us.
    """
    gc.collect()
    gc.freeze()


def pytest_unconfigure(config):
    """Else what is left at the end of the process looks like leaks to it."""
    gc.unfreeze()


@pytest.fixture(scope="session")
def _sessions_of_tests(tmp_path_factory) -> Iterator[Path]:
    """A folder for each test, made when needed: looking for a free name costs milliseconds."""
    folder = tmp_path_factory.mktemp("sessions")
    return (folder / str(number) for number in itertools.count())


@pytest.fixture(autouse=True)
def sessions_root(_sessions_of_tests, monkeypatch) -> Path:
    """Where sessions are kept in tests: never among a person's own."""
    root = next(_sessions_of_tests)
    monkeypatch.setenv("UNINUC_SESSIONS", str(root))
    return root


@pytest.fixture(scope="session")
def _cache_of_tests(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def cache_root(_cache_of_tests, monkeypatch) -> Path:
    """What tests keep to compute it once: never a person's own, and no embeddings unless asked."""
    monkeypatch.setenv("UNINUC_CACHE", str(_cache_of_tests))
    monkeypatch.setenv("UNINUC_EMBEDDINGS_GB", "0")
    return _cache_of_tests


@pytest.fixture
def two_nuclei() -> Segmentation:
    """Ids 2 and 7 in a picture of 40 x 60: a 4 x 6 block and a 3 x 3 block without a corner."""
    labels = np.zeros((40, 60), dtype=np.int32)
    labels[10:14, 20:26] = 2
    labels[30:33, 5:8] = 7
    labels[30, 5] = 0
    table = pd.DataFrame(
        {
            "id": [2, 7],
            "score": [0.75, 0.5],
            "class": ["epithelial", "inflammatory"],
            "y0": [10, 30],
            "x0": [20, 5],
            "y1": [14, 33],
            "x1": [26, 8],
        }
    )
    return Segmentation(labels, table, {})


@pytest.fixture
def tile_40x60() -> Tile:
    """Noise of 40 x 60 px at 0.25 um/px, 100 down and 200 right on its slide."""
    pixels = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    return Tile.from_array(pixels, mpp=0.25, origin_yx_slide=(100, 200), name="noise")
