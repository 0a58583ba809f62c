"""Outlines, lines and spots, and the layer of bytes that shows them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from napari.layers import Labels
from scipy import ndimage

from napari_uninuc.core.classes import ClassPalette
from napari_uninuc.core.instances import InstanceMask
from napari_uninuc.core.labels import LabelMap
from napari_uninuc.core.nuclei import Nucleus, Status
from napari_uninuc.gui.canvas.marks import Mark, Marks, outline_pixels, polyline_pixels, spot_pixels
from napari_uninuc.gui.layers.colours import ColourBy, NucleusColours
from napari_uninuc.gui.window.idle import IdleQueue
from napari_uninuc.testing import make_label_map


@pytest.fixture
def marks(qapp):
    idle = IdleQueue()
    made = Marks((60, 80), lambda array, colormap: Labels(array, colormap=colormap), idle)
    yield made
    idle.clear()


def at(*places):
    return np.array(places).reshape(-1, 2)


@given(arrays(bool, (9, 11)), st.integers(1, 3))
def test_an_outline_is_what_erosion_takes_away(mask, thickness):
    pixels = outline_pixels(InstanceMask((5, -7), mask, 1.0, 0, 1.0), thickness)
    core = ndimage.binary_erosion(mask, iterations=thickness, border_value=0)
    np.testing.assert_array_equal(pixels, np.argwhere(mask & ~core) + np.array([5, -7]))


@given(st.lists(st.tuples(st.integers(-9, 90), st.integers(-9, 90)), min_size=1, max_size=6))
def test_a_line_is_unbroken_and_passes_its_corners(corners):
    pixels = {tuple(pixel) for pixel in polyline_pixels(corners, closed=True)}
    assert set(corners) <= pixels
    _, pieces = ndimage.label(_drawn(pixels), np.ones((3, 3)))
    assert pieces == 1


def _drawn(pixels):
    array = np.zeros((110, 110), dtype=bool)
    for y, x in pixels:
        array[y + 10, x + 10] = True
    return array


def test_a_spot_is_round():
    assert len(spot_pixels((5.4, 6.6), 1)) == 5
    assert {tuple(pixel) for pixel in spot_pixels((5.4, 6.6), 0)} == {(5, 7)}


def test_the_higher_mark_is_on_top_and_the_lower_comes_back(marks):
    marks.make_layer()
    marks.show(Mark.HOVER, at((5, 5), (5, 6), (-1, 5), (5, 80)))
    marks.select(at((5, 4), (5, 5)))
    marks.show(Mark.IN_HAND, at((5, 5)))
    row = marks.layer.data[5]
    assert row[4:7].tolist() == [Mark.SELECTED, Mark.IN_HAND, Mark.HOVER]
    assert np.count_nonzero(marks.layer.data) == 3
    marks.hide(Mark.IN_HAND)
    assert row[5] == Mark.HOVER
    marks.hide(Mark.HOVER)
    assert row[4:7].tolist() == [Mark.SELECTED, Mark.SELECTED, 0]
    marks.unselect()
    assert not marks.layer.data.any()


def test_marks_survive_the_loss_of_their_layer(marks):
    marks.restore()
    assert marks.layer is None  # nobody needs it
    marks.show(Mark.HOVER, at((5, 5)))
    marks.select(at((7, 7)))
    before = marks.layer.data.copy()
    marks.layer = None
    marks.restore()
    np.testing.assert_array_equal(marks.layer.data, before)


@pytest.mark.parametrize("id_", [1, 255, 65_536, 3_000_000])
def test_colours_of_any_id(id_):
    labels = LabelMap((32, 32))
    colours = NucleusColours(labels, ClassPalette.of_names(("a", "b", "c")))
    layer = Labels(np.full((4, 4), id_, dtype=np.int32), colormap=colours.colormap)
    colours.colormap.set_slot(id_, 2)
    assert layer.get_color(id_)[:3] == pytest.approx((0, 200 / 255, 1), abs=1e-3)
    texture = colours.colormap._data_to_texture(np.array([0, id_, id_ + 1], dtype=np.int32))
    assert texture.dtype == np.uint8
    assert texture[1] != texture[2] != texture[0]
    assert layer.get_color(0) is None


@given(st.floats(0, 1) | st.just(np.nan), st.sampled_from(list(Status)), st.integers(0, 200))
def test_every_nucleus_has_a_colour(score, status, class_id):
    labels = make_label_map((32, 32), 3)
    colours = NucleusColours(labels, ClassPalette.of_names(("a",)))
    rows = {1: Nucleus(1, class_id, score, 0.5, status)}
    for by in ColourBy:
        colours.by = by
        labels._rows.update(rows)
        colours.by = by
        assert colours.colormap.map(1)[3] == 1
