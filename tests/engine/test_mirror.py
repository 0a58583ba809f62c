"""Boxes there and back through the mirror."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_uninuc.core.detections import Detections
from napari_uninuc.core.geometry import Field
from napari_uninuc.core.tile import Tile
from napari_uninuc.engine.mirror import Mirror, fused

SIDE = st.integers(0, 60)


def detections(*rows: tuple[float, ...]) -> Detections:
    table = np.array(rows, np.float32).reshape(-1, 5)
    return Detections(table[:, :4], table[:, 4], np.zeros(len(table), np.int64))


@pytest.fixture
def mirror() -> Mirror:
    rgb = np.random.default_rng(0).integers(0, 255, (50, 70, 3), np.uint8)
    return Mirror.of(Tile.from_array(rgb, 0.5), Field(3, (10, 20, 45, 68), (12, 22, 40, 60)))


def test_pixels_lie_where_boxes_say(mirror):
    rgb = np.random.default_rng(0).integers(0, 255, (50, 70, 3), np.uint8)
    y0, x0, y1, x1 = mirror.boxes_in(np.array([[15, 30, 20, 33]], np.float32))[0].astype(int)
    assert np.array_equal(mirror.tile.rgb[y0:y1, x0:x1], rgb[15:20, 30:33][:, ::-1])
    assert mirror.tile.mpp == 0.5
    assert mirror.field.outer_yxyx == (0, 0, 35, 48)


@given(hnp.arrays(np.float32, (3, 4), elements=st.integers(-20, 90)))
@settings(max_examples=30, deadline=None)
def test_boxes_come_back(boxes):
    whole = Field(0, (0, 0, 4, 9), (0, 0, 4, 9))
    mirror = Mirror(Tile.from_array(np.zeros((4, 9, 3), np.uint8)), whole, (5, 7))
    assert np.array_equal(mirror.boxes_out(mirror.boxes_in(boxes)), boxes)


def test_boxes_of_both_views_are_averaged_and_others_lose_half():
    one = detections((0, 0, 10, 10, 0.6), (50, 50, 60, 60, 0.8))
    found = fused(one, detections((0, 1, 10, 11, 0.2), (90, 90, 99, 99, 0.9)))
    assert found.scores.tolist() == pytest.approx([0.4, 0.4])
    assert found.boxes_yxyx[0].tolist() == pytest.approx([0, 0.25, 10, 10.25])
    assert found.boxes_yxyx[1].tolist() == [50, 50, 60, 60]
    assert fused(one, detections()).scores.tolist() == pytest.approx([0.3, 0.4])
    assert len(fused(detections(), one)) == 0


def test_a_second_poor_box_of_a_nucleus_does_not_share_in_the_score_of_the_good_one():
    boxes = detections((0, 0, 10, 10, 0.8), (0, 0, 11, 11, 0.1))
    others = detections((0, 0, 10, 10, 0.8))
    assert fused(boxes, others).scores.tolist() == pytest.approx([0.8, 0.05])
