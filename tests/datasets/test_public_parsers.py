"""Files cut short or changed anywhere end in one line; drawn splits keep their promises."""

import io
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from layouts import LABELS, imagescope, mat

from napari_uninuc.datasets.public.arrays import as_labels, pieces, read_mat, read_npy
from napari_uninuc.datasets.public.consep import classes_of_map
from napari_uninuc.datasets.public.listing import held_out, seeded_split
from napari_uninuc.datasets.public.pannuke import merge_channels
from napari_uninuc.datasets.public.polygons import read_imagescope
from napari_uninuc.errors import DatasetError

changed = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])


def readers(folder):
    stream = io.BytesIO()
    np.save(stream, LABELS)
    mat(folder / "labels.mat", inst_map=LABELS, type_map=LABELS)
    imagescope(folder / "outlines.xml", ("a", "b"))
    return {
        "labels.npy": (stream.getvalue(), lambda path: as_labels(path, read_npy(path))),
        "mapped.npy": (stream.getvalue(), lambda path: np.asarray(read_npy(path, mapped=True))),
        "labels.mat": (
            (folder / "labels.mat").read_bytes(),
            lambda path: as_labels(path, read_mat(path, "inst_map", "type_map")["inst_map"]),
        ),
        "outlines.xml": (
            (folder / "outlines.xml").read_bytes(),
            lambda path: read_imagescope(path, LABELS.shape)[0],
        ),
    }


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return readers(tmp_path_factory.mktemp("whole"))


@pytest.mark.parametrize("name", ["labels.npy", "mapped.npy", "labels.mat", "outlines.xml"])
@changed
@given(cut=st.floats(0, 1, exclude_max=True))
def test_files_cut_anywhere_are_refused_in_one_line(name, cut, files, tmp_path):
    whole, read = files[name]
    path = tmp_path / name
    path.write_bytes(whole[: int(cut * len(whole))])
    with pytest.raises(DatasetError) as caught:
        read(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["labels.npy", "mapped.npy", "labels.mat", "outlines.xml"])
@changed
@given(place=st.floats(0, 1, exclude_max=True), byte=st.integers(0, 255))
@example(place=0.0032, byte=0)  # the head of an array: NumPy raises a TokenError
def test_a_changed_byte_is_read_or_refused(name, place, byte, files, tmp_path):
    whole, read = files[name]
    damaged = bytearray(whole)
    damaged[int(place * len(whole))] = byte
    path = tmp_path / name
    path.write_bytes(bytes(damaged))
    with suppress(DatasetError):
        assert read(path).ndim <= 3


@given(
    st.sets(st.text(min_size=1, max_size=8), min_size=3, max_size=60), st.randoms(), st.text("ab")
)
def test_drawn_splits_take_their_shares_whatever_the_order(names, random, salt):
    shuffled = sorted(names)
    random.shuffle(shuffled)
    splits = seeded_split(shuffled, {"test": 0.2, "val": 0.12}, salt)
    assert splits == seeded_split(names, {"test": 0.2, "val": 0.12}, salt)
    assert splits.keys() == names
    numbers = {split: list(splits.values()).count(split) for split in ("train", "val", "test")}
    assert numbers["test"] == max(1, round(0.2 * len(names)))
    assert numbers["val"] == max(1, round(0.12 * len(names)))
    assert sum(numbers.values()) == len(names)


def test_another_data_set_gets_another_draw():
    names = [f"image_{k}" for k in range(40)]
    assert held_out(names, "a") != held_out(names, "b")
    assert len(held_out(names, "a")) == 8


@given(st.integers(0, 2**32 - 1))
def test_channels_become_one_picture_with_the_later_on_top(seed):
    rng = np.random.default_rng(seed)
    masks = rng.integers(0, 4, (6, 7, 6)) * (rng.random((6, 7, 6)) < 0.4)
    labels, classes = merge_channels("masks.npy", masks.astype(float))
    order = ("neoplastic", "inflammatory", "connective", "dead", "epithelial")
    assert set(np.unique(labels[labels > 0]).tolist()) == classes.keys()
    for y, x in np.ndindex(6, 7):
        top = [channel for channel in range(5) if masks[y, x, channel]]
        assert (labels[y, x] > 0) == bool(top)
        if top:
            assert classes[int(labels[y, x])] == order[top[-1]]
            same = (labels == labels[y, x]) & (masks[..., top[-1]] > 0)
            assert len(set(masks[..., top[-1]][same].tolist())) == 1


def test_regions_beside_the_picture_or_covered_leave_nothing(tmp_path):
    path = tmp_path / "outlines.xml"
    imagescope(path, ("a", "b"))
    labels, classes = read_imagescope(path, (10, 12))  # the second nucleus lies outside
    assert (set(np.unique(labels).tolist()), classes) == ({0, 1}, {1: "a"})
    assert (labels == 1).sum() == 36
    labels, classes = read_imagescope(path, LABELS.shape, frozenset({"a"}))
    assert classes == {2: "b"}
    assert (labels == 2).sum() == 32


def test_pieces_that_touch_at_a_corner_are_two():
    assert pieces(np.eye(3)).max() == 3


def test_the_class_of_most_pixels_wins_and_unnamed_ones_have_none():
    labels = np.array([[1, 1, 1, 2, 3]])
    kinds = np.array([[4, 4, 2, 9, 0]])
    assert classes_of_map(labels, kinds, {2: "b", 4: "d"}) == {1: "d"}
    assert classes_of_map(labels * 0, kinds, {4: "d"}) == {}
