"""Where the tile lies: everywhere the same place as in the image layer."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from napari.layers import Image, Labels

from napari_uninuc.gui.layers.placement import Placement

PLACED = st.fixed_dictionaries(
    {
        "scale": st.tuples(st.floats(0.1, 8), st.floats(0.1, 8)),
        "translate": st.tuples(st.floats(-99, 99), st.floats(-99, 99)),
        "rotate": st.floats(-180, 180),
        "shear": st.floats(-1, 1).map(lambda value: [value]),
        "affine": st.sampled_from([np.eye(3), [[0, 2, 5], [-1, 0, 7], [0, 0, 1]]]),
    }
)
PIXEL = st.tuples(st.floats(0, 31), st.floats(0, 31))


@given(PLACED, PIXEL, st.integers(0, 9), st.sampled_from([1.0, 2.0, 4.0]))
def test_a_pixel_of_the_tile_lies_on_its_pixel_of_the_image(placed, place, origin, step):
    image = Image(np.zeros((64, 64, 3), dtype=np.uint8), rgb=True, **placed)
    placement = Placement.of(image, (origin, 2 * origin), step)
    nuclei = Labels(np.zeros((32, 32), dtype=np.int32), **placement.keywords())
    there = (origin + step * place[0], 2 * origin + step * place[1])
    np.testing.assert_allclose(
        nuclei.data_to_world(place), image.data_to_world(there), atol=1e-6, rtol=1e-6
    )
    np.testing.assert_allclose(placement.to_tile(there), place, atol=1e-9)
    np.testing.assert_allclose(
        placement.to_tile(image.world_to_data(nuclei.data_to_world(place))), place, atol=1e-6
    )


@given(PLACED)
def test_a_layer_is_moved_after_its_image(placed):
    image = Image(np.zeros((8, 8)), **placed)
    nuclei = Labels(np.zeros((8, 8), dtype=np.int32))
    Placement.of(image).apply_to(nuclei)
    np.testing.assert_allclose(nuclei.data_to_world((3, 5)), image.data_to_world((3, 5)))


def test_units_and_names_of_axes_are_taken_over():
    image = Image(np.zeros((8, 8)), units=("um", "um"), axis_labels=("y", "x"))
    nuclei = Labels(np.zeros((8, 8), dtype=np.int32), **Placement.of(image).keywords())
    assert nuclei.units == image.units
    assert nuclei.axis_labels == ("y", "x")


@pytest.mark.parametrize("rotate", [0, 25])
def test_a_plane_of_a_stack_lies_where_the_stack_shows_it(rotate):
    turn = np.eye(3)
    angle = np.deg2rad(rotate)
    turn[1:, 1:] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    stack = Image(np.zeros((4, 8, 8)), scale=(5, 2, 3), translate=(1, 7, 9), rotate=turn)
    nuclei = Labels(np.zeros((8, 8), dtype=np.int32), **Placement.of(stack).keywords())
    np.testing.assert_allclose(nuclei.data_to_world((3, 5)), stack.data_to_world((2, 3, 5))[1:])
