"""Run by scripts/test_spatialdata.sh; what needs no library is tested everywhere."""

import json
from importlib.util import find_spec

import numpy as np
import pytest

from napari_uninuc.errors import OutputError
from napari_uninuc.io.formats import write_segmentation
from napari_uninuc.io.labels import read_segmentation

HERE = find_spec("spatialdata") is not None
WITH = pytest.mark.skipif(not HERE, reason="spatialdata is not installed")


@pytest.mark.skipif(HERE, reason="spatialdata is installed")
def test_the_missing_library_is_named(two_nuclei, tmp_path):
    with pytest.raises(OutputError, match=r'pip install "napari-uninuc\[spatialdata\]"'):
        write_segmentation(two_nuclei, tmp_path / "a.sd.zarr")
    assert not list(tmp_path.iterdir())


@WITH
@pytest.mark.filterwarnings("ignore")
def test_spatialdata_reads_what_is_written(two_nuclei, tile_40x60, tmp_path):
    import spatialdata

    path = write_segmentation(two_nuclei, tmp_path / "a.sd.zarr", tile_40x60)
    store = spatialdata.read_zarr(path)
    np.testing.assert_array_equal(store["nuclei"].data, two_nuclei.labels)
    np.testing.assert_array_equal(
        np.moveaxis(np.asarray(store["picture"].data), 0, -1), tile_40x60.rgb
    )
    assert store["outlines"].index.tolist() == [2, 7]
    assert store["outlines"].area.tolist() == [24, 8]
    table = store["measurements"]
    assert table.obs["instance_id"].tolist() == [2, 7]
    assert table.obs["class"].tolist() == ["epithelial", "inflammatory"]
    assert table[:, "area_px"].X.ravel().tolist() == [24, 8]
    # The tile's first px is (100, 200) on the slide; 0.25 um per px.
    for name, y, x in (("global", 110, 205), ("um", 27.5, 51.25)):
        extent = spatialdata.get_extent(store["outlines"], coordinate_system=name)
        assert (extent["y"][0], extent["x"][0]) == (y, x)


@WITH
@pytest.mark.filterwarnings("ignore")
def test_labels_carry_what_napari_needs_and_every_row_its_nucleus(two_nuclei, tmp_path):
    import spatialdata

    path = write_segmentation(two_nuclei, tmp_path / "a.sd.zarr", mpp=0.25)
    said = json.loads((path / "labels" / "nuclei" / "zarr.json").read_text(encoding="utf-8"))
    label = said["attributes"]["ome"]["image-label"]
    assert [each["label-value"] for each in label["colors"]] == [2, 7]
    assert [each["class"] for each in label["properties"]] == ["epithelial", "inflammatory"]
    store = spatialdata.read_zarr(path)
    middles = spatialdata.get_centroids(store["outlines"], coordinate_system="um").compute()
    np.testing.assert_allclose(
        middles[["x", "y"]].to_numpy()[0], store["measurements"].obsm["spatial"][0] * 0.25
    )
    _, table = spatialdata.join_spatialelement_table(
        sdata=store, spatial_element_names=["nuclei"], table_name="measurements", how="left"
    )
    assert table.obs["instance_id"].tolist() == [2, 7]


@WITH
@pytest.mark.filterwarnings("ignore")
def test_classes_and_scores_come_back(two_nuclei, tile_40x60, tmp_path):
    stored = read_segmentation(write_segmentation(two_nuclei, tmp_path / "a.sd.zarr", tile_40x60))
    np.testing.assert_array_equal(stored.segmentation.labels, two_nuclei.labels)
    assert stored.segmentation.table["class"].tolist() == ["epithelial", "inflammatory"]
    assert stored.segmentation.table["score"].tolist() == [0.75, 0.5]
    assert stored.origin_yx_slide == (100, 200)
