import pickle

import numpy as np
import pytest

from napari_uninuc.core.segmentation import Segmentation
from napari_uninuc.errors import LabelsError, OutputError
from napari_uninuc.io.formats import write_segmentation
from napari_uninuc.io.labels import read_labels

MASKS = np.random.default_rng(2).integers(0, 300, (20, 30))


def save(path, stored, **options):
    np.save(path, stored, allow_pickle=True, **options)


def layout(masks):
    """What cellpose 4.2.1.1 writes."""
    return {
        "outlines": masks,
        "masks": masks,
        "chan_choose": [0, 0],
        "ismanual": np.zeros(3, bool),
        "filename": "tile.png",
        "flows": [np.zeros((1, 4, 5, 3), np.uint8), [], np.zeros((3, 4, 5), np.float32)],
        "diameter": np.nan,
    }


@pytest.mark.parametrize("dtype", [np.uint16, np.uint32, np.int32, ">u2"])
def test_masks_are_read(tmp_path, dtype):
    save(tmp_path / "a_seg.npy", layout(MASKS.astype(dtype)))
    np.testing.assert_array_equal(read_labels(tmp_path / "a_seg.npy"), MASKS)
    save(tmp_path / "b_seg.npy", layout(np.asfortranarray(MASKS.astype(dtype))[None]))
    np.testing.assert_array_equal(read_labels(tmp_path / "b_seg.npy"), MASKS)


def test_a_plain_array_is_read(tmp_path):
    np.save(tmp_path / "a_seg.npy", MASKS)
    np.testing.assert_array_equal(read_labels(tmp_path / "a_seg.npy"), MASKS)


class _Danger:
    def __reduce__(self):
        return (open, ("/tmp/formats_must_not_be_made", "w"))


@pytest.mark.parametrize(
    "stored",
    [
        layout(MASKS) | {"more": _Danger()},
        layout(MASKS) | {"more": pytest.approx},
        {"outlines": MASKS},
        [1, 2],
        layout(MASKS[None, None, :2, :3].repeat(2, axis=0)),
        layout("text"),
        layout(np.array([{}], dtype=object)),
    ],
)
def test_everything_else_is_refused_in_one_line(tmp_path, stored, monkeypatch):
    path = tmp_path / "a_seg.npy"
    save(path, np.array(stored, dtype=object) if isinstance(stored, dict) else stored)
    monkeypatch.setattr(pickle, "loads", None)
    with pytest.raises(LabelsError) as caught:
        read_labels(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("cut", [20, 60, 110, 400])
def test_a_file_cut_short_is_one_clear_line(tmp_path, cut):
    save(tmp_path / "a_seg.npy", layout(MASKS))
    path = tmp_path / "cut_seg.npy"
    path.write_bytes((tmp_path / "a_seg.npy").read_bytes()[:cut])
    with pytest.raises(LabelsError) as caught:
        read_labels(path)
    assert "\n" not in str(caught.value)


def test_what_cellpose_reads(two_nuclei, tile_40x60, tmp_path):
    path = write_segmentation(two_nuclei, tmp_path / "a_seg.npy", tile_40x60)
    stored = np.load(path, allow_pickle=True).item()
    np.testing.assert_array_equal(stored["masks"], two_nuclei.labels)
    assert stored["masks"].dtype == np.uint16
    inner = stored["outlines"] == 0
    assert (two_nuclei.labels[inner] > 0).sum() == 2 * 4 + 1  # of the 4 x 6 block and of the 3 x 3
    np.testing.assert_array_equal(stored["img"], tile_40x60.rgb)


def test_more_than_65535_ids_survive_but_for_png(tmp_path):
    nuclei = Segmentation.from_labels(np.arange(70_000).reshape(200, 350))
    path = write_segmentation(nuclei, tmp_path / "a_seg.npy")
    np.testing.assert_array_equal(read_labels(path), nuclei.labels)
    with pytest.raises(OutputError, match=r"write \.tif"):
        write_segmentation(nuclei, tmp_path / "a.png")
