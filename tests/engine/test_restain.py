"""Immunohistochemistry is recognised and shown a second time, as H&E."""

import numpy as np
import pytest
from skimage import data
from skimage.color import rgb_from_hed

from napari_uninuc.core.geometry import box_iou
from napari_uninuc.core.tile import Tile
from napari_uninuc.engine.annotator import load_annotator
from napari_uninuc.engine.restain import StainViews, is_immunohistochemistry, restained
from napari_uninuc.testing import make_tile


@pytest.fixture(scope="module")
def brown():
    return Tile.from_array(data.immunohistochemistry(), name="brown")


def test_brown_is_told_from_pink_blue_grey_and_white(brown):
    assert is_immunohistochemistry(brown)
    assert not is_immunohistochemistry(make_tile((128, 128), 20).tile)
    blue = np.full((64, 64, 3), (150, 160, 210), np.uint8)
    grey = np.linspace(0, 255, 64 * 64 * 3).astype(np.uint8).reshape(64, 64, 3)
    for pixels in (blue, grey, np.full((1, 1, 3), 255, np.uint8), np.zeros((3, 3, 3), np.uint8)):
        assert not is_immunohistochemistry(Tile.from_array(pixels))


def test_restained_is_brown_no_more_and_keeps_its_place(brown):
    tile = Tile.from_array(brown.rgb, 0.5, (10, 20), "brown")
    other = restained(tile)
    assert not is_immunohistochemistry(other)
    assert other.shape == tile.shape
    assert (other.mpp, other.origin_yx_slide, other.name) == (0.5, (10, 20), "brown")
    assert other.digest != tile.digest


def test_what_is_haematoxylin_and_eosin_only_stays_as_it_is():
    amounts = np.random.default_rng(0).uniform(0.02, 0.3, (32, 32, 3))
    amounts[..., 2] = 0
    rgb = np.rint(255 * np.power(10, -(amounts @ rgb_from_hed))).clip(0, 255).astype(np.uint8)
    tile = Tile.from_array(rgb)
    assert not is_immunohistochemistry(tile)
    assert np.abs(restained(tile).rgb.astype(int) - tile.rgb).max() <= 6


def test_views_are_made_once_for_a_tile(brown):
    views = StainViews()
    first = views.of(brown)
    assert len(first) == 2
    assert first[0] is brown
    assert views.of(brown)[1] is first[1]
    pink = make_tile((64, 64), 5).tile
    assert views.of(pink) == (pink,)


def doubles(found):
    """Share of nuclei whose box is nearly another's; overlaps are settled later."""
    boxes = np.array([one.mask.box_yxyx for one in found], float)
    overlaps = box_iou(boxes, boxes) - np.eye(len(boxes))
    return (overlaps.max(axis=1) > 0.5).mean()


def test_both_views_together_find_each_nucleus_once(brown):
    annotator = load_annotator("uninuc-n", "cpu")
    (field,) = annotator.fields(brown)
    both = annotator.segment_field(brown, field, 0.35)
    alone = annotator.segment_field(restained(brown), field, 0.35)
    assert len(both) >= len(alone) > 150
    assert doubles(both) <= doubles(alone) + 0.02
