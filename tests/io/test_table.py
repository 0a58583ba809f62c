import csv

import numpy as np
import pytest
from skimage.measure import regionprops

from napari_uninuc.core.segmentation import Segmentation
from napari_uninuc.io.table import measure_nuclei, write_csv


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
    assert first == {
        "id": "2",
        "class": "epithelial",
        "score": "0.75",
        "centroid_y_px": "11.5",
        "centroid_x_px": "22.5",
        "centroid_y_um": "2.875",
        "centroid_x_um": "5.625",
        "area_px": "24",
        "area_um2": "1.5",
        "y0": "10",
        "x0": "20",
        "y1": "14",
        "x1": "26",
    }
    assert second["id"] == "7"


def test_unknown_values_are_empty(tmp_path):
    labels = np.array([[0, 3]], dtype=np.int32)
    write_csv(Segmentation.from_labels(labels), tmp_path / "a.csv")
    with (tmp_path / "a.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert row["score"] == row["centroid_y_um"] == row["area_um2"] == ""
    write_csv(Segmentation.from_labels(labels * 0), tmp_path / "none.csv")
    assert (tmp_path / "none.csv").read_text().count("\n") == 1
