"""Packed ids come back, and bytes that are none are refused before they take room."""

import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_uninuc.core.packing import pack_ids, unpack_ids
from napari_uninuc.errors import LabelsError

crops = hnp.arrays(
    np.int32,
    st.tuples(st.integers(0, 9), st.integers(0, 9)),
    elements=st.sampled_from([0, 1, 2, 2**31 - 1]),
)


@given(crops)
def test_ids_come_back(crop):
    back = unpack_ids(pack_ids(crop), crop.shape)
    assert back.dtype == np.int32
    np.testing.assert_array_equal(back, crop)


@given(crops, st.integers(1, 9))
def test_another_shape_is_refused(crop, more):
    with pytest.raises(LabelsError, match="must be"):
        unpack_ids(pack_ids(crop), (crop.shape[0] + more, crop.shape[1] + 1))


@given(st.binary(max_size=60))
def test_other_bytes_are_refused(raw):
    for packed in (raw, zlib.compress(raw)):
        try:
            ids = unpack_ids(packed, (3, 4))
        except LabelsError:
            continue
        assert ids.shape == (3, 4)


def test_a_bomb_is_not_unpacked():
    with pytest.raises(LabelsError, match="must be 8 x 8"):
        unpack_ids(zlib.compress(bytes(3 * 10**7), 9), (8, 8))
