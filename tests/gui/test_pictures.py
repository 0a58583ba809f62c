"""From image layers of every kind to the tile that is corrected."""

import dask.array as da
import numpy as np
import pytest
from napari.layers import Image

from napari_uninuc.errors import ImageError
from napari_uninuc.gui.layers import pictures
from napari_uninuc.gui.layers.pictures import layer_mpp, picture_source

RNG = np.random.default_rng(0)


def grey(*shape):
    return RNG.integers(0, 256, shape, dtype=np.uint8)


def tile_of(layer, step=None, displayed=None, mpp=None):
    step = step or (0,) * layer.ndim
    displayed = displayed or tuple(range(len(step)))[-2:]
    return picture_source(layer, step, displayed, mpp).read()


@pytest.mark.parametrize("channels", [3, 4])
def test_colour_pictures_are_taken_as_they_are(channels):
    pixels = grey(20, 30, channels)
    pixels[..., 3:] = 255
    tile = tile_of(Image(pixels, rgb=True))
    np.testing.assert_array_equal(tile.rgb, pixels[..., :3])


def test_the_plane_shown_is_taken_from_a_stack():
    stack = grey(5, 20, 30)
    tile = tile_of(Image(stack), step=(3, 0, 0))
    np.testing.assert_array_equal(tile.rgb[..., 0], stack[3])


def test_a_flat_picture_beside_a_stack_has_no_plane():
    pixels = grey(20, 30)
    tile = tile_of(Image(pixels), step=(4, 0, 0))
    np.testing.assert_array_equal(tile.rgb[..., 1], pixels)


def test_colour_stacks_and_dask_are_read_plane_by_plane():
    stack = grey(4, 20, 30, 3)
    tile = tile_of(Image(da.from_array(stack, chunks=(1, 20, 30, 3)), rgb=True), step=(2, 0, 0))
    np.testing.assert_array_equal(tile.rgb, stack[2])


def test_sixteen_bits_become_eight():
    tile = tile_of(Image(np.full((8, 8), 65535, np.uint16)))
    assert tile.rgb.dtype == np.uint8
    assert tile.rgb.max() == 255


def test_the_finest_level_of_a_pyramid_is_taken():
    fine = grey(64, 64, 3)
    tile = tile_of(Image([fine, fine[::2, ::2]], rgb=True, multiscale=True))
    np.testing.assert_array_equal(tile.rgb, fine)


def test_of_what_is_too_large_the_part_in_view_is_taken(monkeypatch):
    monkeypatch.setattr(pictures, "MAX_PIXELS", 40 * 40)
    pixels = grey(100, 120)
    layer = Image(pixels, scale=(0.5, 0.5), translate=(7, 9))
    layer.corner_pixels = np.array([[10, 20], [39, 49]])
    source = picture_source(layer, (0, 0), (0, 1))
    tile = source.read()
    np.testing.assert_array_equal(tile.rgb[..., 0], pixels[10:40, 20:50])
    assert tile.origin_yx_slide == (10, 20)
    np.testing.assert_allclose(source.placement.translate, layer.data_to_world((10, 20)))


def test_too_large_in_view_says_what_to_do(monkeypatch):
    monkeypatch.setattr(pictures, "MAX_PIXELS", 40 * 40)
    layer = Image(grey(100, 120))
    layer.corner_pixels = np.array([[0, 0], [99, 119]])
    with pytest.raises(ImageError, match="zoom in"):
        picture_source(layer, (0, 0), (0, 1))


@pytest.mark.parametrize("displayed", [(0, 1, 2), (0, 2)])
def test_views_that_are_not_flat_are_refused(displayed):
    with pytest.raises(ImageError, match="seen flat"):
        picture_source(Image(grey(5, 20, 30)), (0, 0, 0), displayed)


@pytest.mark.parametrize(
    ("scale", "units", "expected"),
    [
        ((0.25, 0.25), ("um", "um"), 0.25),
        ((250, 250), ("nm", "nm"), 0.25),
        ((1, 1), None, None),
        ((0.25, 0.5), ("um", "um"), None),
        ((0.25, 0.25), ("um", "nm"), None),
    ],
)
def test_micrometres_come_from_scale_and_unit(scale, units, expected):
    found = layer_mpp(Image(grey(8, 8), scale=scale, units=units))
    assert found == (None if expected is None else pytest.approx(expected))
