"""Which px a dragged rectangle is, how large it may be, and where it lies on the slide."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_uninuc.core.place import SlidePlace
from napari_uninuc.errors import ImageError
from napari_uninuc.slides.regions import (
    LONGEST_SIDE,
    SMALLEST_SIDE,
    fitting_side,
    level_box,
    place_of,
    read_region,
    require_size,
)

PRINT = "0123456789abcdef" * 2


@given(st.integers(10**6, 10**12))
def test_what_is_said_to_fit_fits_and_a_little_more_does_not(free):
    side = fitting_side(free)
    assert SMALLEST_SIDE <= side <= LONGEST_SIDE
    require_size((0, 0, side, side), free)
    with pytest.raises(ImageError, match=f"up to {side:,} x {side:,} px fits"):
        require_size((0, 0, side + 1, side + 1), free)
    assert fitting_side(2 * free) >= side


@pytest.mark.parametrize("box", [(5, 5, 5, 500), (0, 0, 63, 500), (0, 0, 500, 10)])
def test_slips_of_the_hand_are_refused(box):
    with pytest.raises(ImageError, match="drag"):
        require_size(box, 10**12)


corner = st.floats(-500, 2000, allow_nan=False)


@given(st.tuples(corner, corner), st.tuples(corner, corner), st.sampled_from([0, 1, 2]))
def test_a_rectangle_is_the_px_it_touches_inside_the_level(first, last, level):
    class Slide:
        from napari_uninuc.slides.protocol import levels_of

        levels = levels_of([(801, 1203), (400, 601), (100, 150)])

    box, (height, width) = level_box(Slide, level, first, last), Slide.levels[level].shape
    step = Slide.levels[level].downsample
    assert 0 <= box[0] <= box[2] <= height
    assert 0 <= box[1] <= box[3] <= width
    assert box == level_box(Slide, level, last, first)
    for axis, side in enumerate((height, width)):
        low, high = sorted(((first[axis] + 0.5) / step, (last[axis] + 0.5) / step))
        inside = [place for place in range(side) if place + 1 > low and place < high]
        if inside:
            assert (box[axis], box[axis + 2]) == (inside[0], inside[-1] + 1)


def test_a_region_is_the_slides_px_and_knows_its_place(make_slide, opened, tissue):
    rgb = tissue(400, 600)
    slide = opened(make_slide("ome-tiff", rgb))
    place = place_of(slide, PRINT, 1, (20, 30, 120, 180))
    assert place == SlidePlace("slide.ome.tif", PRINT, 1, 2.0, (40, 60, 240, 360))
    tile = read_region(slide, (20, 30, 120, 180), place, "scan, Region 1")
    np.testing.assert_array_equal(tile.rgb, slide.read(1, (20, 30, 120, 180)))
    assert (tile.mpp, tile.origin_yx_slide, tile.downsample) == (0.5, (20, 30), 2.0)


@pytest.mark.parametrize(
    "wrong",
    [
        {"fingerprint": "../../etc"},
        {"downsample": 0.5},
        {"downsample": float("nan")},
        {"box_yxyx": (5, 5, 5, 9)},
        {"box_yxyx": (-1, 0, 5, 9)},
        {"level": -1},
        {"own_from": 0},
    ],
)
def test_a_place_that_cannot_be_is_refused(wrong):
    right = {"fingerprint": PRINT, "level": 0, "downsample": 1.0, "box_yxyx": (0, 0, 5, 9)}
    SlidePlace("a", **right)
    with pytest.raises(ImageError, match="cut the region again"):
        SlidePlace("a", **(right | wrong))
