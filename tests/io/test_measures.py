"""The data dictionary says what the table has; measures have the numbers of ImageJ."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.distance import pdist
from skimage.draw import disk

from napari_uninuc.core.segmentation import FOUND_COLUMNS, Segmentation
from napari_uninuc.core.tile import Tile
from napari_uninuc.io.measures import MEASURES, data_dictionary
from napari_uninuc.io.neighbours import circularity, neighbourhood
from napari_uninuc.io.table import measure_nuclei

PAGE = Path(__file__).parents[2] / "docs" / "measurements.md"


def test_the_page_is_what_the_code_says():
    assert data_dictionary() in PAGE.read_text(encoding="utf-8")


def test_every_column_is_explained_in_its_order(two_nuclei, tile_40x60):
    listed = [name for each in MEASURES for name in each.columns]
    assert len(set(listed)) == len(listed)
    told = two_nuclei.table.assign(class_probability=0.5, class_by="examples", stain_said=2.0)
    told[[*FOUND_COLUMNS]] = told[["y0", "x0", "y1", "x1"]].to_numpy(float)
    nuclei = replace(two_nuclei, table=told)
    found = list(measure_nuclei(nuclei, 0.25, tile_40x60).columns)
    assert found == [name for name in listed if not name.startswith("slide_")]


def test_a_block_by_hand():
    labels = np.zeros((40, 60), np.int32)
    labels[10:14, 20:26] = 3
    (row,) = measure_nuclei(Segmentation.from_labels(labels), 0.5).itertuples()
    assert (row.outline_px, row.outline_um, row.solidity) == (20, 10, 1)
    assert row.feret_px == pytest.approx(np.hypot(4, 6))
    assert (row.min_feret_px, row.min_feret_um) == (4, 2)
    assert np.isnan(row.nearest_px)


def test_holes_have_an_outline_too():
    labels = np.ones((5, 5), np.int32)
    labels[2, 2] = 0
    (row,) = measure_nuclei(Segmentation.from_labels(labels)).itertuples()
    assert row.outline_px == 20 + 4


def test_feret_diameters_of_any_shape():
    """Against all corners of all pixels, and all angles in steps of a hundredth of a degree."""
    rng = np.random.default_rng(0)
    labels = np.zeros((200, 200), np.int32)
    for k in range(9):
        y, x = 20 + 60 * (k // 3), 20 + 60 * (k % 3)
        labels[y : y + 25, x : x + 25] = np.where(rng.random((25, 25)) < 0.05, k + 1, 0)
    table = measure_nuclei(Segmentation.from_labels(labels)).set_index("id")
    turn = np.deg2rad(np.arange(0, 180, 0.01))
    for k, row in table.iterrows():
        pixels = np.argwhere(labels == k)
        corners = np.concatenate([pixels + shift for shift in ((0, 0), (0, 1), (1, 0), (1, 1))])
        assert row["feret_px"] == pytest.approx(pdist(corners).max())
        along = corners @ np.stack([np.sin(turn), np.cos(turn)])
        narrowest = (along.max(axis=0) - along.min(axis=0)).min()
        assert row["min_feret_px"] <= narrowest + 1e-9
        assert row["min_feret_px"] == pytest.approx(narrowest, abs=0.01)


def test_circularity_of_a_disc_is_near_one():
    labels = np.zeros((120, 120), np.int32)
    labels[disk((60, 60), 50)] = 1
    (row,) = measure_nuclei(Segmentation.from_labels(labels)).itertuples()
    assert 0.9 < row.circularity <= 1
    assert np.isnan(circularity(np.array([1]), np.array([0.0]))[0])


def test_neighbours_are_counted_within_50_um():
    y, x = np.array([100.0, 100.0, 100.0, np.nan]), np.array([100.0, 130.0, 800.0, np.nan])
    found = neighbourhood(y, x, (1000, 1000), 0.5)
    assert found["nearest_px"][:3].tolist() == [30, 30, 670]
    assert found["nearest_um"][:3].tolist() == [15, 15, 335]
    assert found["neighbours_50um"][:3].tolist() == [1, 1, 0]
    disc_mm2 = np.pi * 0.05**2
    assert found["density_50um_per_mm2"][0] == pytest.approx(2 / disc_mm2, rel=1e-2)
    assert all(np.isnan(values[3]) for values in found.values())


def test_what_lies_outside_the_picture_holds_no_nuclei():
    """Half a disc at a side, a quarter in a corner, the whole picture where it is small."""
    place = np.array([500.0, -0.5, -0.5]), np.array([-0.5, -0.5, 500.0])
    found = neighbourhood(*place, (1000, 1000), 0.5)["density_50um_per_mm2"]
    disc_mm2 = np.pi * 0.05**2
    np.testing.assert_allclose(found, np.array([2, 4, 2]) / disc_mm2, rtol=1e-3)
    small = neighbourhood(np.array([4.5]), np.array([4.5]), (10, 10), 0.5)
    np.testing.assert_allclose(small["density_50um_per_mm2"], 1 / (5e-3**2), rtol=2e-2)


def test_without_a_scale_only_px_are_known(two_nuclei):
    table = measure_nuclei(two_nuclei, tile=Tile.from_array(np.zeros((40, 60, 3), np.uint8)))
    assert table["nearest_px"].notna().all()
    assert table[["nearest_um", "neighbours_50um", "density_50um_per_mm2"]].isna().all(axis=None)
