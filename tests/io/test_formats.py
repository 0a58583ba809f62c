import numpy as np
import pandas as pd
import pytest
import tifffile
import zarr

from napari_uninuc.errors import OutputError
from napari_uninuc.io import formats
from napari_uninuc.io.formats import FORMATS, suffix_of, write_segmentation


def ids_in(path) -> list[int]:
    """Ids of a file, by another reader than ours."""
    if path.name.endswith(".csv"):
        return pd.read_csv(path)["id"].tolist()
    if path.name.endswith(".zarr"):
        labels = zarr.open_group(path, mode="r")["labels/nuclei/0"][...]
    else:
        labels = tifffile.imread(path)
    return [int(label) for label in np.unique(labels) if label]


@pytest.mark.parametrize("suffix", FORMATS)
def test_ids_are_the_same_in_every_format(two_nuclei, tile_40x60, tmp_path, suffix):
    path = write_segmentation(two_nuclei, str(tmp_path / "new" / f"a{suffix}"), tile_40x60)
    assert path == tmp_path / "new" / f"a{suffix}"
    assert ids_in(path) == [2, 7]


def test_the_scale_is_the_tiles_unless_given(two_nuclei, tile_40x60, tmp_path):
    for mpp, area in ((None, 24 / 16), (0.5, 24 / 4)):
        path = write_segmentation(two_nuclei, tmp_path / "a.csv", tile_40x60, mpp)
        assert pd.read_csv(path)["area_um2"][0] == area


@pytest.mark.parametrize(
    ("name", "suffix"),
    [
        ("a.tif", ".tif"),
        ("a.b.TIFF", ".tiff"),
        ("a.ome.tif", ".ome.tif"),
        ("a.OME.Zarr", ".ome.zarr"),
        ("ome.tif", ".tif"),
    ],
)
def test_the_longest_suffix_counts(name, suffix):
    assert suffix_of(f"folder.csv/{name}") == suffix


@pytest.mark.parametrize("name", ["a", "a.xyz", "a.zarr", "", ".csv", "csv"])
def test_unknown_suffixes_are_refused(name):
    with pytest.raises(OutputError, match=r"\.ome\.zarr, .*\.csv"):
        suffix_of(name)


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_failure_keeps_the_old_result(two_nuclei, tile_40x60, tmp_path, suffix, monkeypatch):
    path = write_segmentation(two_nuclei, tmp_path / f"a{suffix}", tile_40x60)

    def fail(*arguments, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tifffile.TiffWriter, "write", fail)
    monkeypatch.setattr(pd.DataFrame, "to_csv", fail)
    monkeypatch.setattr(zarr.Group, "create_array", fail)
    with pytest.raises(OutputError, match="No space left"):
        formats.write_segmentation(two_nuclei, path, tile_40x60)
    monkeypatch.undo()
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]
    assert ids_in(path) == [2, 7]


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_file_where_a_folder_should_be_is_one_clear_line(two_nuclei, tmp_path, suffix):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError) as caught:
        write_segmentation(two_nuclei, tmp_path / "file" / f"a{suffix}")
    assert "\n" not in str(caught.value)
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]
