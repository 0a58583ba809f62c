"""Public data sets in their own layouts: what is read, split, and refused."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from layouts import LABELS, RGB, SHAPE, WRITERS, array, mat

from napari_uninuc.datasets.public.registry import (
    LAYOUTS,
    checked_archives,
    count_problems,
    guess_layouts,
    list_layout,
    read_layout,
)
from napari_uninuc.errors import DatasetError

CLASSES = {
    "consep": {1: "epithelial", 2: "spindle"},
    "consep-7": {1: "malignant epithelial", 2: "muscle"},
    "lizard": {1: "neutrophil", 2: "connective"},
    "pannuke": {1: "neoplastic", 2: "epithelial"},
    "puma": {1: "tumor", 2: "plasma_cell"},
}
"""Class of the first and second nucleus of every picture."""

SIZES = {
    "cpm15": {"train": 9, "val": 2, "test": 4},
    "cpm17": {"train": 2, "test": 2},
    "consep": {"train": 5, "test": 2},
    "consep-7": {"train": 5, "test": 2},
    "cryonuseg": {"train": 4, "test": 1},
    "lizard": {"train": 1, "val": 1, "test": 1},
    "lynsec-he": {"all": 1},  # 34_l2 is one of those left out
    "lynsec-ihc": {"all": 2},
    "monusac": {"train": 1, "test": 1},
    "monuseg": {"train": 2, "test": 2},
    "nuclick": {"train": 1, "val": 1},
    "nuinsseg": {"all": 2},
    "pannuke": {"fold1": 2, "fold2": 2, "fold3": 2},
    "puma": {"train": 4, "val": 2, "test": 2},
    "tnbc": {"train": 6, "val": 2, "test": 2},
}


@pytest.fixture
def written(tmp_path):
    def write(name):
        WRITERS[name](tmp_path / "data")
        return tmp_path / "data"

    return write


def test_every_layout_is_tried():
    assert set(WRITERS) == set(LAYOUTS) == set(SIZES)


@pytest.mark.parametrize("name", LAYOUTS)
def test_pictures_labels_classes_and_splits(name, written):
    layout = LAYOUTS[name]
    images = read_layout(name, written(name), partial=True)
    sizes = {split: sum(image.split == split for image in images) for split in layout.splits}
    assert sizes == SIZES[name]
    assert len({image.name for image in images}) == len(images)
    for image in images:
        read = image.read(image.scale_mpp)
        np.testing.assert_array_equal(read.tile.rgb, RGB)
        assert (read.tile.name, read.tile.mpp) == (image.name, layout.mpp)
        if name == "monusac" and image.split == "test":  # the second region is ambiguous
            np.testing.assert_array_equal(read.labels, LABELS * (LABELS == 1))
            assert read.classes == {1: "neutrophil"}
            continue
        assert read.labels.dtype == np.int32
        np.testing.assert_array_equal(read.labels, LABELS)
        if name == "monusac":
            assert read.classes == {1: "epithelial", 2: "lymphocyte"}
        else:
            assert read.classes == CLASSES.get(name)
        assert set((read.classes or {}).values()) <= set(layout.classes)


@pytest.mark.parametrize("name", LAYOUTS)
def test_the_layout_is_guessed_from_the_folder_and_from_one_above(name, written):
    folder = written(name)
    expected = LAYOUTS[name].variant_of or name
    for place in (folder, folder.parent):
        guessed = [layout.name for layout in guess_layouts(place)]
        assert expected in guessed
        assert set(guessed) <= {"lynsec-he", "lynsec-ihc"} or guessed == [expected]


def test_data_sets_side_by_side_are_all_found(tmp_path):
    for name in LAYOUTS:
        if name not in ("consep-7", "lynsec-ihc"):
            WRITERS[name](tmp_path / name.removesuffix("-he"))
    guessed = {layout.name for layout in guess_layouts(tmp_path)}
    assert guessed == {layout.name for layout in LAYOUTS.values() if layout.variant_of is None}
    for layout in guess_layouts(tmp_path):
        images = read_layout(layout.name, tmp_path, partial=True)
        assert len(images) == sum(SIZES[layout.name].values())


def test_a_plain_folder_is_no_public_one(tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "labels").mkdir()
    (tmp_path / "images/a.png").touch()
    assert guess_layouts(tmp_path) == []


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_folder_of_something_else_names_files_and_source(name, tmp_path):
    layout = LAYOUTS[name]
    with pytest.raises(DatasetError) as caught:
        read_layout(name, tmp_path)
    line = str(caught.value)
    assert layout.expects in line
    assert layout.source in line
    assert "\n" not in line
    for archive in layout.archives:
        (tmp_path / archive).touch()
    if layout.archives:
        with pytest.raises(DatasetError, match=r"; unzip .*\.zip"):
            read_layout(name, tmp_path)


LABEL_FILES = {
    "cpm15": "cpm15/Labels/image_03.mat",
    "cpm17": "cpm17/test/Labels/image_01.mat",
    "consep": "CoNSeP/Train/Labels/train_2.mat",
    "cryonuseg": "Annotator 1 (biologist)/label masks modify/Human_Larynx_02.tif",
    "lizard": "lizard_labels/Lizard_Labels/Labels/dpath_1.mat",
    "monusac": "MoNuSAC_images_and_annotations/TCGA-5P-A9K0-01Z-00-DX1/"
    "TCGA-5P-A9K0-01Z-00-DX1_1.xml",
    "monuseg": "MoNuSeg 2018 Training Data/Annotations/TCGA-1.xml",
    "nuclick": "IHC_nuclick/IHC/masks/Train/ROI_1_0.npy",
    "nuinsseg": "mouse liver/label masks modify/mouse_liver_01.tif",
    "pannuke": "Fold 2/masks/fold2/masks.npy",
    "puma": "01_training_dataset_geojson_nuclei/training_set_primary_roi_002_nuclei.geojson",
    "tnbc": "TNBC_NucleiSegmentation/GT_03/03_1.png",
    "lynsec-ihc": "lynsec 1/1_l1.npy",
}


@pytest.mark.parametrize("name", sorted(set(LABEL_FILES) - {"monusac", "lynsec-ihc"}))
def test_missing_labels_are_named(name, written):
    missing = written(name) / LABEL_FILES[name]
    missing.unlink()
    with pytest.raises(DatasetError) as caught:
        read_layout(name, written_root(missing, name))
    line = str(caught.value)
    assert line.startswith(str(missing))
    assert "missing" in line or "got no file" in line
    assert "\n" not in line


def written_root(path: Path, name: str) -> Path:
    return path.parents[LABEL_FILES[name].count("/")]


def test_missing_pictures_are_named(written, tmp_path):
    folder = written("lizard")
    (folder / "lizard_images2/Lizard_Images2/dpath_2.png").unlink()
    with pytest.raises(DatasetError, match=r"the 3 pictures .* 1 are missing .*dpath_2\.png"):
        read_layout("lizard", folder)
    WRITERS["monusac"](tmp_path / "sac")
    next((tmp_path / "sac").rglob("*.tif")).unlink()
    with pytest.raises(DatasetError, match=r"1 of 2 are missing"):
        read_layout("monusac", tmp_path / "sac")


def problem_of(name: str, folder: Path) -> str:
    """The one line that listing or reading a data set ends with."""

    def read_all():
        for image in read_layout(name, folder, partial=True):
            image.read()

    with pytest.raises(DatasetError) as caught:
        read_all()
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("name", LABEL_FILES)
def test_labels_cut_short_are_named(name, written):
    folder = written(name)
    path = folder / LABEL_FILES[name]
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert str(path) in problem_of(name, folder)
    path.write_bytes(b"")
    assert str(path) in problem_of(name, folder)


@pytest.mark.parametrize("name", ["cpm17", "consep", "lizard"])
def test_labels_of_another_size_are_named(name, written):
    folder = written(name)
    path = folder / LABEL_FILES[name]
    ids = np.array([[1]])
    mat(path, inst_map=np.ones((5, 5)), type_map=np.ones((5, 5)), id=ids, **{"class": ids})
    line = problem_of(name, folder)
    assert line.startswith(f"{path}: labels must be {SHAPE}")
    assert "(5, 5)" in line


@pytest.mark.parametrize(
    ("stored", "says"),
    [
        (np.zeros((*SHAPE, 2)), "must be (H, W) integers"),
        (np.full(SHAPE, 0.5), "whole numbers"),
        (np.full(SHAPE, -1), "must lie in 0..2147483647"),
        (np.full(SHAPE, np.nan), "whole numbers"),
        (np.full(SHAPE, 2**40), "must lie in 0..2147483647"),
        (np.full(SHAPE, "a"), "must be (H, W) integers"),
        (np.array([{}], dtype=object), "damaged"),
    ],
)
def test_arrays_that_are_no_labels_are_named(stored, says, written):
    folder = written("nuclick")
    array(folder / LABEL_FILES["nuclick"], stored)
    assert says in problem_of("nuclick", folder)


def test_matlab_files_without_ids_and_of_version_7_3(written):
    folder = written("cpm17")
    path = folder / LABEL_FILES["cpm17"]
    mat(path, something=LABELS)
    assert "expected an array 'inst_map'" in problem_of("cpm17", folder)
    path.write_bytes(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\x00\x02IM")
    line = problem_of("cpm17", folder)
    assert "h5py" in line or "damaged" in line


def test_matlab_7_3_is_read_where_h5py_is(written):
    h5py = pytest.importorskip("h5py")
    folder = written("cpm17")
    path = folder / LABEL_FILES["cpm17"]
    with h5py.File(path, "w", userblock_size=512) as file:
        file["inst_map"] = LABELS.T.astype(float)
    with path.open("r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\x00\x02IM")
    for image in read_layout("cpm17", folder, partial=True):
        np.testing.assert_array_equal(image.read().labels, LABELS)


def test_pannuke_stacks_that_do_not_fit_are_named(written):
    folder = written("pannuke")
    masks = folder / LABEL_FILES["pannuke"]
    array(masks, np.zeros((1, *SHAPE, 6)))
    line = problem_of("pannuke", folder)
    assert line.startswith(str(masks))
    assert "(2, 24, 32, 6)" in line
    assert "(1, 24, 32, 6)" in line
    array(masks.parents[2] / "images/fold2/images.npy", np.zeros((2, 3)))
    assert "images.npy" in problem_of("pannuke", folder)


def test_pictures_know_their_tissue_where_the_data_set_says_it(written):
    def tissues(name):
        return sorted({image.tissue for image in read_layout(name, written(name), partial=True)})

    assert tissues("pannuke") == ["Bile-duct", "Breast"]
    assert "mouse liver" in tissues("nuinsseg")
    assert tissues("tnbc") == [""]


def test_pannuke_copies_that_count_from_0(tmp_path):
    WRITERS["pannuke"](tmp_path / "official")
    for k in range(3):
        fold = tmp_path / f"flat/fold{k}"
        fold.mkdir(parents=True)
        for path in (tmp_path / f"official/Fold {k + 1}").rglob("*.npy"):
            path.rename(fold / path.name)
    images = read_layout("pannuke", tmp_path / "flat", ["fold1"], partial=True)
    assert [image.name for image in images] == ["fold1/Breast/0000", "fold1/Bile-duct/0001"]
    assert images[0].image_path.parent.name == "fold0"


def test_pannuke_nuclei_under_a_later_class_go(written):
    folder = written("pannuke")
    path = folder / LABEL_FILES["pannuke"]
    masks = np.load(path)
    masks[..., 2] = np.where(LABELS == 1, 5, 0)  # connective, exactly on the neoplastic one
    array(path, masks)
    read = read_layout("pannuke", folder, ["fold2"], partial=True)[0].read()
    assert sorted(read.classes.items()) == [(2, "connective"), (3, "epithelial")]
    np.testing.assert_array_equal(read.labels, np.where(LABELS > 0, LABELS + 1, 0))


def test_damaged_tables_and_outlines_are_named(written, tmp_path):
    folder = written("lizard")
    info = folder / "lizard_labels/Lizard_Labels/info.csv"
    info.write_text("Filename,Source,Split\ndpath_0,dpath,9", encoding="utf-8")
    assert str(info) in problem_of("lizard", folder)
    WRITERS["monuseg"](tmp_path / "seg")
    outlines = tmp_path / "seg" / LABEL_FILES["monuseg"]
    for text in ("<Annotations/>", "<html>", outlines.read_text().replace('X="3.0"', 'X="far"')):
        outlines.write_text(text, encoding="utf-8")
        assert str(outlines) in problem_of("monuseg", tmp_path / "seg")


def test_partial_downloads_are_refused_unless_wanted(written):
    folder = written("consep")
    with pytest.raises(DatasetError, match=r"27 images in train, got 5; .*partial = true"):
        read_layout("consep", folder)
    with pytest.raises(DatasetError, match=r"14 images in test, got 2"):
        read_layout("consep", folder, ["test"])
    assert len(read_layout("consep", folder, ["test"], partial=True)) == 2
    whole = list_layout(LAYOUTS["cpm15"], written("cpm15"))
    assert count_problems(LAYOUTS["cpm15"], whole) == []
    assert count_problems(LAYOUTS["cpm15"], whole[1:]) == ["cpm15 has 15 images, got 14"]


def test_unknown_splits_are_named(written):
    folder = written("consep")
    for split in ("validation", "val", "test-", "fold1-val"):
        with pytest.raises(DatasetError, match=f"splits train, test, .*{split!r}"):
            read_layout("consep", folder, [split], partial=True)


def test_the_held_out_fifth_and_the_rest_make_the_whole(written):
    folder = written("consep")

    def names(*splits):
        return {image.name for image in read_layout("consep", folder, splits, partial=True)}

    assert len(names("train-val")) == 1
    assert len(names("train-fit")) == 4
    assert names("train-val", "train-fit") == names("train")
    assert names("train", "train-val") == names("train")


DRAWN = json.loads((Path(__file__).parent / "drawn_splits.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", DRAWN)
def test_drawn_splits_never_change(name, written):
    images = read_layout(name, written(name), partial=True)
    drawn = {split: sorted(i.name for i in images if i.split == split) for split in DRAWN[name]}
    assert drawn == DRAWN[name]


def test_tnbc_never_parts_a_patient(written):
    images = read_layout("tnbc", written("tnbc"), partial=True)
    patients = {(image.image_path.parent.name, image.split) for image in images}
    assert len(patients) == 5


def test_archives_are_compared_with_their_sha256(tmp_path):
    layout = replace(
        LAYOUTS["tnbc"],
        archives={
            "a.zip": hashlib.sha256(b"a").hexdigest(),
            "b.zip": "00",
            "c.zip": "00",
        },
    )
    (tmp_path / "a.zip").write_bytes(b"a")
    (tmp_path / "b.zip").write_bytes(b"b")
    assert dict(checked_archives(layout, tmp_path)) == {"a.zip": True, "b.zip": False}


def test_leftovers_of_macos_are_passed_over(written):
    folder = written("nuclick")
    for place in (folder / "IHC_nuclick/IHC/images/Train", folder / "__MACOSX/IHC/images/Train"):
        place.mkdir(parents=True, exist_ok=True)
        (place / "._ROI_1_0.png").write_bytes(b"no picture")
    assert len(read_layout("nuclick", folder)) == 2
