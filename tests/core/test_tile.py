import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_uninuc.core.tile import Tile, bits_of, over_white, to_rgb8
from napari_uninuc.errors import ImageError


@given(hnp.arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9), st.just(3))))
def test_rgb8_is_kept_and_equal_values_of_other_types_give_the_same(pixels):
    np.testing.assert_array_equal(to_rgb8(pixels), pixels)
    np.testing.assert_array_equal(to_rgb8(pixels.astype(np.int64)), pixels)
    np.testing.assert_array_equal(to_rgb8(pixels / 255.0), pixels)
    wide = pixels.astype(np.uint16) * 257
    if wide.max() >= 2**14:  # below, the values are those of a camera of 14 bits or fewer
        np.testing.assert_array_equal(to_rgb8(wide), pixels)


def test_grey_is_repeated_and_bool_spans_the_range():
    grey = np.array([[0, 7]], dtype=np.uint8)
    np.testing.assert_array_equal(to_rgb8(grey), [[[0] * 3, [7] * 3]])
    np.testing.assert_array_equal(to_rgb8(grey[..., None]), to_rgb8(grey))
    np.testing.assert_array_equal(to_rgb8(grey > 0), [[[0] * 3, [255] * 3]])


def test_transparent_pixels_become_white():
    rgba = np.array([[[10, 20, 30, 0], [10, 20, 30, 255], [0, 0, 0, 51]]], dtype=np.uint8)
    np.testing.assert_array_equal(to_rgb8(rgba), [[[255] * 3, [10, 20, 30], [204] * 3]])
    grey_alpha = np.array([[[40, 0], [40, 255]]], dtype=np.uint8)
    np.testing.assert_array_equal(to_rgb8(grey_alpha), [[[255] * 3, [40] * 3]])


@pytest.mark.parametrize(
    ("pixels", "words"),
    [
        (np.zeros((3, 8, 8)), "channels last"),
        (np.zeros((8, 8, 5)), "channels last"),
        (np.zeros(8), "channels last"),
        (np.zeros((2, 8, 8, 3)), "channels last"),
        (np.zeros((0, 8, 3)), "at least one pixel"),
        (np.full((2, 2), np.nan), "finite"),
        (np.full((2, 2), np.inf), "finite"),
        (np.full((2, 2), -1), "0..65535"),
        (np.full((2, 2), 70_000), "0..65535"),
        (np.full((2, 2), 256.0), "0..255"),
        (np.full((2, 2), 1j), "complex128"),
        (np.full((2, 2), "a"), "convert it"),
    ],
)
def test_what_is_not_a_picture_is_refused_in_one_line(pixels, words):
    with pytest.raises(ImageError, match=words) as caught:
        to_rgb8(pixels)
    assert "\n" not in str(caught.value)


def test_a_tile_owns_its_pixels():
    pixels = np.zeros((4, 5, 3), dtype=np.uint8)
    tile = Tile.from_array(pixels, mpp=0.5, origin_yx_slide=(1, 2), name="a")
    pixels[:] = 9
    assert tile.rgb.max() == 0
    assert (tile.shape, tile.mpp, tile.origin_yx_slide, tile.name) == ((4, 5), 0.5, (1, 2), "a")
    with pytest.raises(ValueError, match="read-only"):
        tile.rgb[0, 0, 0] = 1


def test_the_digest_tells_pixels_and_shapes_apart_and_nothing_else():
    pixels = np.arange(60, dtype=np.uint8).reshape(4, 5, 3)
    digest = Tile.from_array(pixels).digest
    assert Tile.from_array(pixels, mpp=1.0, name="other").digest == digest
    assert Tile.from_array(pixels.reshape(5, 4, 3)).digest != digest
    assert Tile.from_array(pixels[::-1]).digest != digest


@pytest.mark.parametrize("mpp", [0, -1.0, float("nan"), float("inf")])
def test_impossible_scales_are_refused(mpp):
    with pytest.raises(ImageError, match="mpp"):
        Tile.from_array(np.zeros((2, 2)), mpp=mpp)


@pytest.mark.parametrize(("bits", "highest"), [(10, 1023), (12, 4095), (14, 16383), (16, 65535)])
def test_whole_numbers_are_of_the_least_depth_that_cameras_have(bits, highest):
    deep = np.array([[[0, highest // 2, highest]]], np.uint16)
    assert bits_of(deep) == bits
    for kind in (np.uint16, np.int32, np.int64):
        assert to_rgb8(deep.astype(kind)).tolist() == [[[0, 127, 255]]]


def test_a_depth_that_is_said_counts_unless_the_values_need_more():
    dark = np.array([[[0, 100, 900]]], np.uint16)
    assert to_rgb8(dark, bits=12).tolist() == [[[0, 6, 56]]]
    assert to_rgb8(dark, bits=8).tolist() == to_rgb8(dark).tolist() == [[[0, 25, 224]]]
    assert to_rgb8(np.array([[0, 15]], np.uint8), bits=4)[0, :, 0].tolist() == [0, 255]


def test_colours_that_alpha_was_multiplied_into_are_not_darkened_twice():
    straight = np.array([[[200, 100, 0, 128], [9, 9, 9, 0], [1, 2, 3, 255]]], np.uint8)
    alpha = straight[..., 3:] / 255
    stored = np.concatenate([np.rint(straight[..., :3] * alpha), straight[..., 3:]], axis=-1)
    seen = over_white(stored.astype(np.uint8), premultiplied=True)
    np.testing.assert_allclose(seen, over_white(straight), atol=1)
    assert seen[0, 1].tolist() == [255] * 3
