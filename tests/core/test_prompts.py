import math

import numpy as np
import pytest

from napari_uninuc.core.instances import InstanceMask
from napari_uninuc.core.prompts import MaskLogits, Prompt
from napari_uninuc.errors import PromptError


def test_clicks_are_kept_in_order_and_prompts_are_values():
    empty = Prompt()
    prompt = empty.with_point((3, 4), True).with_point((5.5, 6), False)
    assert prompt.points_yx == ((3.0, 4.0), (5.5, 6.0))
    assert prompt.inside == (True, False)
    assert empty.points_yx == ()


def test_a_prompt_knows_whether_it_says_anything():
    logits = MaskLogits((0, 0), np.zeros((2, 2), dtype=np.float32))
    assert not Prompt()
    assert Prompt().with_point((0, 0), False)
    assert Prompt().with_box((0, 0, 1, 1))
    assert Prompt().with_previous(logits)
    assert not Prompt().with_previous(logits).with_previous(None)


@pytest.mark.parametrize(
    "fields",
    [
        {"points_yx": ((1, 2),)},
        {"points_yx": ((math.nan, 2),), "inside": (True,)},
        {"box_yxyx": (0, 0, 0, 5)},
        {"box_yxyx": (5, 0, 2, 5)},
        {"box_yxyx": (0, 0, math.inf, 5)},
    ],
)
def test_prompts_without_meaning_are_refused(fields):
    with pytest.raises(PromptError):
        Prompt(**fields)


def test_a_drawn_mask_is_certain():
    mask = InstanceMask((-1, 2), np.array([[True, False]]), 0.5, 0, 0.5)
    logits = MaskLogits.from_mask(mask)
    assert logits.box_yxyx == mask.box_yxyx == (-1, 2, 0, 4)
    assert logits.logits.dtype == np.float32
    np.testing.assert_array_equal(logits.logits, [[8, -8]])


@pytest.mark.parametrize(
    "plane",
    [np.zeros((2, 2)), np.zeros(4, dtype=np.float32), np.full((1, 1), np.nan, dtype=np.float32)],
)
def test_logits_that_are_not_a_finite_plane_are_refused(plane):
    with pytest.raises(PromptError):
        MaskLogits((0, 0), plane)
