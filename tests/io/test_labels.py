import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_uninuc.errors import LabelsError
from napari_uninuc.io.labels import read_labels

LABELS = np.random.default_rng(2).integers(0, 300, (20, 30))


def refuse(path, words):
    with pytest.raises(LabelsError, match=words) as caught:
        read_labels(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


def test_ids_survive_in_every_format(tmp_path):
    Image.fromarray(LABELS.astype(np.uint16)).save(tmp_path / "a.png")
    tifffile.imwrite(tmp_path / "a.tif", LABELS.astype(np.uint32))
    tifffile.imwrite(tmp_path / "a.ome.tif", LABELS.astype(np.int32))
    for name in ("a.png", "a.tif", "a.ome.tif"):
        labels = read_labels(tmp_path / name)
        assert labels.dtype == np.int32
        np.testing.assert_array_equal(labels, LABELS)


def test_the_indices_of_a_palette_are_the_ids(tmp_path):
    indices = (LABELS % 7).astype(np.uint8)
    picture = Image.fromarray(indices)
    picture.putpalette([255 - value for value in range(21)])
    assert picture.mode == "P"
    picture.save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_labels(tmp_path / "a.png"), indices)


def test_a_mask_is_one_object(tmp_path):
    Image.fromarray(LABELS > 150).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_labels(tmp_path / "a.png"), LABELS > 150)


def test_more_than_65535_ids_survive(tmp_path):
    many = np.arange(70_000, dtype=np.uint32).reshape(200, 350)
    tifffile.imwrite(tmp_path / "a.tif", many)
    np.testing.assert_array_equal(read_labels(tmp_path / "a.tif"), many)


def test_what_is_not_a_label_image_is_refused(tmp_path):
    Image.new("RGB", (4, 4)).save(tmp_path / "rgb.png")
    refuse(tmp_path / "rgb.png", "one channel")
    tifffile.imwrite(tmp_path / "float.tif", LABELS.astype(np.float32))
    refuse(tmp_path / "float.tif", "integers")
    tifffile.imwrite(tmp_path / "negative.tif", (LABELS - 5).astype(np.int16))
    refuse(tmp_path / "negative.tif", "relabel")
    tifffile.imwrite(tmp_path / "large.tif", np.full((2, 2), 2**31, dtype=np.uint32))
    refuse(tmp_path / "large.tif", "relabel")
    refuse(tmp_path / "none.png", "nothing there")
    (tmp_path / "text.png").write_text("text")
    refuse(tmp_path / "text.png", "readable")
