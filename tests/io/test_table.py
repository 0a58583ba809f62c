import csv

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.spatial import ConvexHull
from skimage.color import rgb2hed
from skimage.measure import regionprops, regionprops_table

from napari_uninuc.core.segmentation import Segmentation
from napari_uninuc.core.tile import Tile
from napari_uninuc.io import outlines
from napari_uninuc.io.table import measure_nuclei, write_csv, write_parquet

PICTURES = hnp.arrays(
    np.int32, hnp.array_shapes(min_dims=2, max_dims=2, max_side=12), elements=st.integers(0, 3)
)


def test_measurements_are_those_of_scikit_image(two_nuclei):
    table = measure_nuclei(two_nuclei, mpp=0.5)
    for row, region in zip(table.itertuples(), regionprops(two_nuclei.labels), strict=True):
        assert row.id == region.label
        assert (row.centroid_y_px, row.centroid_x_px) == pytest.approx(region.centroid)
        assert row.centroid_y_um == pytest.approx(region.centroid[0] * 0.5)
        assert row.centroid_x_um == pytest.approx(region.centroid[1] * 0.5)
        assert row.area_px == region.area
        assert row.area_um2 == pytest.approx(region.area * 0.25)
        assert (row.y0, row.x0, row.y1, row.x1) == region.bbox


@given(PICTURES)
def test_shapes_are_those_of_scikit_image(labels):
    table = measure_nuclei(Segmentation.from_labels(labels))
    names = ("label", "area", "perimeter", "eccentricity")
    expected = regionprops_table(labels, properties=names) if labels.any() else {"label": []}
    assert table["id"].tolist() == list(expected["label"])
    if len(table):
        np.testing.assert_allclose(table["perimeter_px"], expected["perimeter"], atol=1e-9)
        # A line of pixels: the square root near 0 makes 1e-7 of 1e-14.
        np.testing.assert_allclose(table["eccentricity"], expected["eccentricity"], atol=1e-6)


@given(PICTURES)
def test_solidity_is_by_the_hull_of_the_pixels_squares(labels):
    for row in measure_nuclei(Segmentation.from_labels(labels)).itertuples():
        pixels = np.argwhere(labels == row.id)
        corners = np.concatenate([pixels + corner for corner in np.ndindex(2, 2)])
        assert row.solidity == pytest.approx(len(pixels) / ConvexHull(corners).volume)


def test_how_nuclei_are_packed_makes_no_difference(monkeypatch):
    labels = np.random.default_rng(5).integers(0, 9, (30, 40)).astype(np.int32)
    rgb = np.random.default_rng(6).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    segmentation, tile = Segmentation.from_labels(labels), Tile.from_array(rgb)
    whole = measure_nuclei(segmentation, 0.5, tile)
    monkeypatch.setattr(outlines, "BATCH_AREA", 40)
    monkeypatch.setattr(outlines, "_CANVAS_WIDTH", 40)
    pd.testing.assert_frame_equal(measure_nuclei(segmentation, 0.5, tile), whole)


def test_colours_are_means_over_the_nucleus(two_nuclei, tile_40x60):
    rgb = np.maximum(tile_40x60.rgb, 1)  # black has no logarithm; there each has its own way
    table = measure_nuclei(two_nuclei, tile=Tile.from_array(rgb))
    density = np.maximum(rgb2hed(rgb), 0) * 6  # scikit-image divides by log10(1e-6)
    for row in table.itertuples():
        own = two_nuclei.labels == row.id
        assert (row.mean_red, row.mean_green, row.mean_blue) == pytest.approx(rgb[own].mean(axis=0))
        stains = (row.mean_haematoxylin_od, row.mean_eosin_od, row.mean_dab_od)
        assert stains == pytest.approx(density[own].mean(axis=0))
    assert "mean_red" not in measure_nuclei(two_nuclei)


def test_more_brown_is_more_dab_and_more_blue_is_more_haematoxylin(two_nuclei):
    rgb = np.full((40, 60, 3), 255, np.uint8)
    rgb[two_nuclei.labels == 2] = (110, 60, 30)
    rgb[two_nuclei.labels == 7] = (70, 60, 130)
    brown, blue = measure_nuclei(two_nuclei, tile=Tile.from_array(rgb)).itertuples()
    assert brown.mean_dab_od > 2 * brown.mean_haematoxylin_od
    assert blue.mean_haematoxylin_od > 2 * blue.mean_dab_od
    white = measure_nuclei(two_nuclei, tile=Tile.from_array(np.full((40, 60, 3), 255, np.uint8)))
    assert white[["mean_haematoxylin_od", "mean_eosin_od", "mean_dab_od"]].eq(0).all(axis=None)


def test_a_parquet_reads_back(two_nuclei, tile_40x60, tmp_path):
    status = Segmentation(two_nuclei.labels, two_nuclei.table.assign(status=["reviewed", ""]), {})
    write_parquet(status, tmp_path / "a.parquet", 0.25, tile_40x60)
    stored = pd.read_parquet(tmp_path / "a.parquet")
    pd.testing.assert_frame_equal(stored, measure_nuclei(status, 0.25, tile_40x60))
    assert stored["status"].tolist() == ["reviewed", ""]


def test_types_of_a_parquet_for_polars_and_others(two_nuclei, tmp_path):
    """Ids are whole numbers, classes text, and what is unknown null, not NaN."""
    named = two_nuclei.table.assign(score=[0.5, np.nan], **{"class": ["1", "NA"]})
    write_parquet(Segmentation(two_nuclei.labels, named, {}), tmp_path / "a.parquet")
    stored = pq.read_table(tmp_path / "a.parquet")
    whole = ("id", "area_px", "y0", "x0", "y1", "x1")
    assert {str(stored.schema.field(name).type) for name in whole} == {"int64"}
    assert stored["class"].to_pylist() == ["1", "NA"]
    assert stored["score"].to_pylist() == [0.5, None]
    assert stored["centroid_y_um"].null_count == 2
    write_parquet(Segmentation.from_labels(0 * two_nuclei.labels), tmp_path / "none.parquet")
    assert pq.read_schema(tmp_path / "none.parquet").types == stored.schema.types


def test_rows_keep_their_order_and_ids_without_pixels_their_row(two_nuclei):
    table = two_nuclei.table.iloc[::-1].copy()
    table.loc[0, "id"] = 99
    measured = measure_nuclei(Segmentation(two_nuclei.labels, table, {}))
    assert measured["id"].tolist() == [7, 99]
    assert measured["area_px"].tolist() == [8, 0]
    assert np.isnan(measured["centroid_y_px"][1])


def test_a_csv_reads_back(two_nuclei, tmp_path):
    write_csv(two_nuclei, tmp_path / "a.csv", mpp=0.25)
    with (tmp_path / "a.csv").open(encoding="utf-8", newline="") as file:
        first, second = csv.DictReader(file)
    expected = {
        "id": "2",
        "class": "epithelial",
        "score": "0.75",
        "status": "",
        "centroid_y_px": "11.5",
        "centroid_x_px": "22.5",
        "centroid_y_um": "2.875",
        "centroid_x_um": "5.625",
        "area_px": "24",
        "area_um2": "1.5",
        "perimeter_px": "16",
        "perimeter_um": "4",
        "solidity": "1",
        "eccentricity": "0.755929",
        "y0": "10",
        "x0": "20",
        "y1": "14",
        "x1": "26",
    }
    assert {name: first[name] for name in expected} == expected
    assert second["id"] == "7"


def test_unknown_values_are_empty(tmp_path):
    labels = np.array([[0, 3]], dtype=np.int32)
    write_csv(Segmentation.from_labels(labels), tmp_path / "a.csv")
    with (tmp_path / "a.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert row["score"] == row["centroid_y_um"] == row["area_um2"] == ""
    write_csv(Segmentation.from_labels(labels * 0), tmp_path / "none.csv")
    assert (tmp_path / "none.csv").read_text().count("\n") == 1
