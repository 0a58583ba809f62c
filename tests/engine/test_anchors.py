"""The box and the click a mask in hand implies."""

import numpy as np
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from napari_uninuc.core.instances import InstanceMask
from napari_uninuc.core.prompts import MaskLogits, Prompt
from napari_uninuc.engine.anchors import with_anchors

ORIGIN = (100, 200)


def start(mask):
    return Prompt(previous=MaskLogits.from_mask(InstanceMask(ORIGIN, mask, 1.0, 0, 1.0)))


def test_a_mask_implies_its_box_and_its_middle():
    mask = np.zeros((12, 14), bool)
    mask[2:9, 3:12] = True
    prompt = with_anchors(start(mask), click=True)
    assert prompt.box_yxyx == (102.0, 203.0, 109.0, 212.0)
    assert prompt.inside == (True,)
    assert prompt.points_yx[0][0] == 105
    assert 206 <= prompt.points_yx[0][1] <= 208


def test_the_box_grows_to_inside_clicks_only():
    clicked = (
        start(np.ones((5, 5), bool)).with_point((102, 212), True).with_point((120, 202), False)
    )
    prompt = with_anchors(clicked, click=True)
    assert prompt.box_yxyx == (100.0, 200.0, 105.0, 214.0)
    assert prompt.points_yx[1:] == clicked.points_yx  # the person's word comes last
    assert prompt.inside == (True, True, False)


def test_the_implied_click_keeps_clear_of_outside_clicks():
    prompt = with_anchors(start(np.ones((21, 21), bool)).with_point((110, 210), False), click=True)
    y, x = prompt.points_yx[0]
    assert np.hypot(y - 110, x - 210) > 6


def test_a_nucleus_too_small_to_keep_clear_still_has_a_click():
    prompt = with_anchors(start(np.ones((3, 3), bool)).with_point((101, 201), False), click=True)
    assert prompt.points_yx[0] == (101.0, 201.0)


def test_prompts_that_need_nothing_are_left_alone():
    boxed = start(np.ones((3, 3), bool)).with_box((99.0, 199.0, 110.0, 210.0))
    empty = start(np.zeros((3, 3), bool)).with_point((1, 1), True)
    new = Prompt().with_point((3, 4), True)
    for prompt in (boxed, empty, new):
        assert with_anchors(prompt, click=True) is prompt


@given(arrays.arrays(bool, arrays.array_shapes(min_dims=2, max_dims=2, max_side=12)), st.data())
def test_the_implied_click_lies_on_the_mask_and_in_the_box(mask, data):
    assume(mask.any())
    outside = data.draw(st.lists(st.tuples(st.integers(95, 115), st.integers(195, 215))))
    prompt = start(mask)
    for point in outside:
        prompt = prompt.with_point(point, False)
    anchored = with_anchors(prompt, click=True)
    y, x = anchored.points_yx[0]
    assert mask[int(y) - ORIGIN[0], int(x) - ORIGIN[1]]
    y0, x0, y1, x1 = anchored.box_yxyx
    assert y0 <= y < y1
    assert x0 <= x < x1


def test_each_anchor_can_be_left_out():
    bare = start(np.ones((5, 5), bool)).with_point((110, 210), False)
    full = with_anchors(bare, click=True)
    box, click = with_anchors(bare), with_anchors(bare, box=False, click=True)
    assert (box.points_yx, box.box_yxyx) == (bare.points_yx, full.box_yxyx)
    assert (click.points_yx, click.box_yxyx) == (full.points_yx, None)
    assert click.inside == full.inside
    assert with_anchors(bare, box=False) is bare
