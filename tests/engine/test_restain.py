"""Immunohistochemistry is recognised and shown as H&E where that helps."""

import numpy as np
import pytest
from scipy import ndimage
from skimage import data
from skimage.color import rgb_from_hed

from napari_uninuc.core.geometry import Field
from napari_uninuc.core.instances import InstanceMask
from napari_uninuc.core.tile import Tile
from napari_uninuc.engine.annotator import load_annotator
from napari_uninuc.engine.restain import (
    StainViews,
    is_immunohistochemistry,
    marks_nuclei,
    may_be_brown,
    restained,
)
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


def test_orange_eosin_is_no_brown():
    """As in NuInsSeg: by amounts of stains it has more DAB than eosin."""
    haematoxylin, orange = np.array([0.65, 0.70, 0.29]), np.array([0.35, 0.62, 0.54])
    rng = np.random.default_rng(0)
    amounts = np.stack(
        [
            rng.uniform(0.1, 0.5, (64, 64)) * (rng.random((64, 64)) < 0.2),
            rng.uniform(0.2, 0.5, (64, 64)),
        ],
        -1,
    )
    density = amounts @ np.stack([haematoxylin, orange])
    rgb = np.rint(255 * np.power(10, -density)).clip(0, 255).astype(np.uint8)
    assert may_be_brown(rgb.reshape(-1, 3))
    assert not is_immunohistochemistry(Tile.from_array(rgb))


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


def painted(labels, nuclei, rest):
    """H&E-like haematoxylin in nuclei, and so much DAB in and around them, as a tile."""
    amounts = np.zeros((*labels.shape, 3))
    amounts[..., 0] = np.where(labels > 0, 0.05, 0.02)
    amounts[..., 2] = np.where(labels > 0, nuclei, rest)
    rgb = np.rint(255 * np.power(10, -(amounts @ rgb_from_hed))).clip(0, 255).astype(np.uint8)
    return Tile.from_array(rgb, 0.25)


def masks_of(labels):
    """Each nucleus as a mask of the picture."""
    return [
        InstanceMask((rows.start, columns.start), labels[rows, columns] == id_, 0.9, 0, 0.9)
        for id_, (rows, columns) in enumerate(ndimage.find_objects(labels), start=1)
    ]


@pytest.mark.parametrize(
    ("nuclei", "rest", "marked"), [(0.6, 0.02, True), (0.02, 0.3, False), (0.1, 0.1, False)]
)
def test_brown_nuclei_are_told_from_brown_surroundings(nuclei, rest, marked):
    labels = make_tile((160, 200), 15).labels
    tile, masks = painted(labels, nuclei, rest), masks_of(labels)
    whole = Field(0, (0, 0, 160, 200), (0, 0, 160, 200))
    part = Field(1, (40, 60, 120, 160), (50, 70, 110, 150))
    assert marks_nuclei(tile, whole, masks) is marked
    assert marks_nuclei(tile, part, masks) is marked
    assert not marks_nuclei(tile, whole, [])


@pytest.fixture(scope="module")
def annotator():
    return load_annotator("uninuc-n", "cpu")


def test_brown_nuclei_are_looked_for_in_the_picture_alone(annotator, monkeypatch):
    tile = painted(make_tile((160, 200), 15).labels, 0.6, 0.02)
    assert len(annotator.engine.views.of(tile)) == 2
    looked_at, embed = [], annotator.engine.embed
    monkeypatch.setattr(
        annotator.engine, "embed", lambda *place: looked_at.append(place) or embed(*place)
    )
    (field,) = annotator.fields(tile)
    assert annotator.segment_field(tile, field, 0.35)
    assert [one for one, _ in looked_at] == [tile]


def test_where_nuclei_are_blue_the_view_is_taken_that_the_model_is_surer_of(annotator, brown):
    (field,) = annotator.fields(brown)
    found = annotator.segment_field(brown, field, 0.35)
    pale = restained(brown)
    alone = annotator.segment_field(pale, field, 0.35)
    assert [one.box_yxyx for one in found] == [one.box_yxyx for one in alone]
    assert len(found) > 150
