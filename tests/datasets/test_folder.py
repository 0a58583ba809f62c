"""Folders of labelled images, complete and broken."""

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_uninuc.datasets.folder import read_folder
from napari_uninuc.errors import DatasetError

RGB = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)
LABELS = np.array([[0, 0, 300, 300, 0, 0], [0, 7, 7, 0, 0, 0]] * 2, np.uint16)


def add_image(folder: Path, name: str, *, labels: np.ndarray | None = LABELS) -> None:
    for part in ("images", "labels"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    Image.fromarray(RGB).save(folder / "images" / f"{name}.png")
    if labels is not None:
        Image.fromarray(labels).save(folder / "labels" / f"{name}.png")


@pytest.fixture
def folder(tmp_path):
    for name in ("test_2", "train_1", "test_1"):
        add_image(tmp_path, name)
    return tmp_path


def test_images_are_sorted_and_pixels_are_as_stored(folder):
    images = read_folder(folder)
    assert [image.name for image in images] == ["test_1", "test_2", "train_1"]
    labelled = images[0].read(mpp=0.25)
    assert np.array_equal(labelled.tile.rgb, RGB)
    assert labelled.tile.mpp == 0.25
    assert labelled.tile.name == "test_1"
    assert labelled.labels.dtype == np.int32
    assert np.array_equal(labelled.labels, LABELS)
    assert labelled.classes is None


def test_tiff_pictures_and_wide_ids_survive(tmp_path):
    add_image(tmp_path, "a")
    (tmp_path / "images" / "a.png").unlink()
    (tmp_path / "labels" / "a.png").unlink()
    wide = LABELS.astype(np.int32) * 1000
    tifffile.imwrite(tmp_path / "images" / "a.tif", RGB, photometric="rgb")
    tifffile.imwrite(tmp_path / "labels" / "a.tif", wide)
    labelled = read_folder(tmp_path)[0].read()
    assert np.array_equal(labelled.tile.rgb, RGB)
    assert np.array_equal(labelled.labels, wide)


def test_labels_that_imagej_keeps_as_floats_are_ids(tmp_path):
    add_image(tmp_path, "a", labels=None)
    path = tmp_path / "labels" / "a.tif"
    tifffile.imwrite(path, LABELS * np.float32(300), imagej=True)
    (image,) = read_folder(tmp_path)
    assert np.array_equal(image.read().labels, LABELS.astype(np.int32) * 300)
    tifffile.imwrite(path, LABELS / np.float32(300), imagej=True)
    with pytest.raises(DatasetError, match="whole numbers, got fractions"):
        image.read()


def test_classes_are_read_by_id(folder):
    (folder / "classes").mkdir()
    (folder / "classes" / "test_1.json").write_text(json.dumps({"7": "epithelial"}))
    first, second = (image.read() for image in read_folder(folder, "test_*"))
    assert first.classes == {7: "epithelial"}
    assert second.classes is None


def test_nested_folders_name_images_by_the_way_to_them(tmp_path):
    add_image(tmp_path / "site" / "train", "a")
    add_image(tmp_path / "site" / "test", "a")
    names = [image.name for image in read_folder(tmp_path)]
    assert names == ["site/test/a", "site/train/a"]
    assert [i.name for i in read_folder(tmp_path, "site/test/*")] == ["site/test/a"]
    assert len(read_folder(tmp_path, "a")) == 2


def test_include_and_exclude_take_names_and_patterns(folder):
    assert [i.name for i in read_folder(folder, "test_*", ["test_2"])] == ["test_1"]
    assert [i.name for i in read_folder(folder, exclude=["test_*"])] == ["train_1"]
    assert len(read_folder(folder, ["train_1", "test_1"])) == 2


def test_stray_files_are_passed_over(folder):
    (folder / "images" / "Thumbs.db").write_bytes(b"x")
    (folder / "images" / ".hidden.png").write_bytes(b"x")
    assert len(read_folder(folder)) == 3


@pytest.mark.parametrize(
    ("include", "exclude", "says"),
    [
        (None, ["test_9"], "'test_9' matches none"),
        ("val_*", (), r"'val_\*' matches none"),
        ("test_*", ["test_*"], "leave none"),
    ],
)
def test_patterns_that_go_wrong_are_refused(folder, include, exclude, says):
    with pytest.raises(DatasetError, match=says):
        read_folder(folder, include, exclude)


def test_missing_folder_is_named(tmp_path):
    with pytest.raises(DatasetError, match=r"nowhere: no such folder"):
        read_folder(tmp_path / "nowhere")


def test_folder_without_images_is_refused(tmp_path):
    with pytest.raises(DatasetError, match="no images found"):
        read_folder(tmp_path)


def test_image_without_labels_is_named(folder):
    add_image(folder, "alone", labels=None)
    with pytest.raises(DatasetError, match=r"alone\.png: has no labels; expected .*alone\.png"):
        read_folder(folder)


def test_folder_without_labels_folder_is_refused(tmp_path):
    (tmp_path / "images").mkdir()
    with pytest.raises(DatasetError, match="no labels/"):
        read_folder(tmp_path)


def test_two_pictures_of_one_name_are_refused(folder):
    Image.fromarray(RGB).save(folder / "images" / "test_1.bmp")
    with pytest.raises(DatasetError, match="second picture named 'test_1'"):
        read_folder(folder)


@pytest.mark.parametrize(
    ("labels", "says"),
    [
        (LABELS[:3], r"must be \(4, 6\)"),
        (np.zeros((4, 6, 3), np.uint8), "integers"),
    ],
)
def test_labels_of_wrong_shape_are_refused(tmp_path, labels, says):
    add_image(tmp_path, "a", labels=labels)
    with pytest.raises(DatasetError, match=says) as caught:
        read_folder(tmp_path)[0].read()
    assert "\n" not in str(caught.value)


def test_damaged_files_are_refused(folder):
    first, second, third = read_folder(folder)
    first.image_path.write_bytes(b"not a picture")
    second.labels_path.write_bytes(second.labels_path.read_bytes()[:40])
    third.labels_path.unlink()
    for image in (first, second, third):
        with pytest.raises(DatasetError, match=image.name):
            image.read()


@pytest.mark.parametrize("text", ["[1, 2]", "{", '{"one": "epithelial"}'])
def test_malformed_classes_are_refused(folder, text):
    (folder / "classes").mkdir()
    (folder / "classes" / "test_1.json").write_text(text)
    with pytest.raises(DatasetError, match=r"test_1\.json"):
        read_folder(folder)[0].read()
