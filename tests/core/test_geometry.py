from unittest import mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from skimage.measure import regionprops

from napari_uninuc.core import geometry
from napari_uninuc.core.geometry import (
    box_iou,
    clip_boxes,
    label_boxes,
    plan_fields,
    xyxy_from_yxyx,
)
from napari_uninuc.errors import ImageError, LabelsError, PromptError, RecipeError

coordinates = st.integers(-1000, 1000)
boxes = st.lists(
    st.tuples(coordinates, coordinates, st.integers(0, 99), st.integers(0, 99)), max_size=6
).map(lambda rows: np.array([(y, x, y + h, x + w) for y, x, h, w in rows]).reshape(-1, 4))


@given(boxes)
def test_axes_swapped_twice_are_as_before(boxes_yxyx):
    np.testing.assert_array_equal(xyxy_from_yxyx(xyxy_from_yxyx(boxes_yxyx)), boxes_yxyx)


def test_axes_of_a_box_are_swapped():
    box = np.array([1, 2, 5, 12], dtype=np.float32)
    np.testing.assert_array_equal(xyxy_from_yxyx(box), [2, 1, 12, 5])
    assert xyxy_from_yxyx(box).dtype == np.float32


def test_boxes_of_three_numbers_are_refused():
    with pytest.raises(PromptError, match="four numbers"):
        xyxy_from_yxyx([1, 2, 3])


@given(boxes, st.tuples(st.integers(1, 50), st.integers(1, 50)))
def test_clipped_boxes_lie_inside_and_clip_again_to_themselves(boxes_yxyx, shape):
    clipped = clip_boxes(boxes_yxyx, shape)
    assert (clipped >= 0).all()
    assert (clipped <= [*shape, *shape]).all()
    assert (clipped[:, :2] <= clipped[:, 2:]).all()
    np.testing.assert_array_equal(clip_boxes(clipped, shape), clipped)


@given(boxes, boxes)
def test_iou_counts_pixels(first, second):
    def pixels(box):
        return {(y, x) for y in range(box[0], box[2]) for x in range(box[1], box[3])}

    first, second = first[:2] // 40, second[:2] // 40
    iou = box_iou(first, second)
    assert iou.shape == (len(first), len(second))
    for i, a in enumerate(first):
        for j, b in enumerate(second):
            union = pixels(a) | pixels(b)
            expected = len(pixels(a) & pixels(b)) / len(union) if union else 0
            assert iou[i, j] == pytest.approx(expected)


@given(
    hnp.arrays(
        np.int32, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=st.integers(0, 5)
    )
)
def test_label_boxes_are_those_of_scikit_image(labels):
    ids, boxes_yxyx = label_boxes(labels)
    expected = regionprops(labels)
    assert ids.tolist() == [region.label for region in expected]
    assert boxes_yxyx.tolist() == [list(region.bbox) for region in expected]
    huge_ids, huge_boxes = label_boxes(labels.astype(np.int64) * 10**12)
    np.testing.assert_array_equal(huge_ids, ids * 10**12)
    np.testing.assert_array_equal(huge_boxes, boxes_yxyx)


@given(
    hnp.arrays(
        np.int32, st.tuples(st.integers(1, 40), st.integers(1, 9)), elements=st.integers(0, 5)
    ),
    st.integers(1, 60),
)
def test_label_boxes_are_the_same_band_by_band(labels, band_px):
    whole = label_boxes(labels)
    with mock.patch.object(geometry, "_BAND_PX", band_px):
        bands = label_boxes(labels)
    for one, other in zip(bands, whole, strict=True):
        np.testing.assert_array_equal(one, other)
        assert one.dtype == other.dtype


@pytest.mark.parametrize(
    "labels", [np.zeros((2, 2)), np.zeros((2, 2, 3), dtype=int), np.full((2, 2), -1)]
)
def test_what_is_not_a_label_image_is_refused(labels):
    with pytest.raises(LabelsError, match="label"):
        label_boxes(labels)


@given(
    st.tuples(st.integers(1, 90), st.integers(1, 90)),
    st.integers(0, 12),
    st.integers(1, 30),
)
def test_fields_partition_the_picture_and_keep_their_halo(shape, halo, stride):
    size = 2 * halo + stride
    fields = plan_fields(shape, size, halo)
    owners = np.zeros(shape, dtype=int)
    assert [field.index for field in fields] == list(range(len(fields)))
    for field in fields:
        y0, x0, y1, x1 = field.inner_yxyx
        owners[y0:y1, x0:x1] += 1
        assert y0 < y1
        assert x0 < x1
        for axis, side in enumerate(shape):
            start, stop = field.outer_yxyx[axis], field.outer_yxyx[axis + 2]
            assert stop - start == min(size, side)
            assert 0 <= start <= max(field.inner_yxyx[axis] - halo, 0)
            assert min(field.inner_yxyx[axis + 2] + halo, side) <= stop <= side
    assert (owners == 1).all()


def test_fields_are_as_few_as_can_be():
    assert len(plan_fields((512, 512), 512, 64)) == 1
    assert len(plan_fields((513, 512), 512, 64)) == 2
    # Two fields of 512 with a halo of 64 reach 2 * (512 - 64) = 896 px, three 1280.
    assert len(plan_fields((896, 1), 512, 64)) == 2
    assert len(plan_fields((897, 1), 512, 64)) == 3


def test_impossible_plans_are_refused():
    with pytest.raises(RecipeError, match="halo"):
        plan_fields((100, 100), 64, 32)
    with pytest.raises(RecipeError, match="halo"):
        plan_fields((100, 100), 64, -1)
    with pytest.raises(ImageError, match="at least one pixel"):
        plan_fields((0, 100), 64, 8)
