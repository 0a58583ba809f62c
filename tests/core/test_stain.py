import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_uninuc.core.segmentation import Segmentation
from napari_uninuc.core.stain import (
    Levels,
    StainScore,
    StainVectors,
    background_dab,
    dab_density,
    score_classes,
    score_nuclei,
)
from napari_uninuc.core.tile import Tile
from napari_uninuc.errors import ImageError
from napari_uninuc.io.table import measure_nuclei

VECTORS = StainVectors()


def painted(amounts):
    """RGB of (..., 2) amounts of haematoxylin and DAB."""
    density = np.asarray(amounts) @ np.array([VECTORS.haematoxylin, VECTORS.dab])
    return np.rint(255 * 10**-density).astype(np.uint8)


def tissue(dab=(0.0, 0.3, 0.5, 0.8)):
    """A picture of four nuclei of known brown on pale blue."""
    amounts = np.full((40, 160, 2), [0.05, 0.0])
    labels = np.zeros((40, 160), np.int32)
    for k, brown in enumerate(dab):
        place = np.s_[10:30, 40 * k + 10 : 40 * k + 30]
        amounts[place], labels[place] = [0.3, brown], k + 1
    return Tile.from_array(painted(amounts), 0.25), Segmentation.from_labels(labels)


def test_density_is_what_was_painted_and_what_the_table_has():
    tile, nuclei = tissue()
    table = measure_nuclei(nuclei, 0.25, tile)
    score = score_nuclei(tile, nuclei, Levels())
    assert np.allclose(table["mean_dab_od"], [0, 0.3, 0.5, 0.8], atol=0.02)
    assert score.counts == (1, 1, 1, 1)
    assert score.index == 75
    assert score.h_score == 150
    assert score.allred == 5 + 2
    assert score.area_mm2 == pytest.approx(40 * 160 * 0.25**2 / 1e6)
    assert score.density_per_mm2 == pytest.approx(4 / score.area_mm2)


def test_what_a_person_said_stands_at_every_threshold_and_is_counted():
    tile, nuclei = tissue()
    told = nuclei.table.assign(stain_said=[3, np.nan, 0, np.nan])
    nuclei = Segmentation(nuclei.labels, told, {})
    for weak, counts in ((0.2, (1, 1, 0, 2)), (0.35, (2, 0, 0, 2)), (1.0, (3, 0, 0, 1))):
        score = score_nuclei(tile, nuclei, Levels.from_weak(weak))
        assert (score.counts, score.overruled) == (counts, 2)
        assert "2 overruled" in str(score)
        assert score.cells()[-1] == "2"


def test_classes_are_scored_beside_all():
    tile, nuclei = tissue()
    table = nuclei.table.assign(**{"class": ["a", "b", "b", "a"]})
    scored = dict(
        score_classes(tile, Segmentation(nuclei.labels, table, {}), Levels(), ["a", "b", "c"])
    )
    assert {name: score.counts for name, score in scored.items()} == {
        "all": (1, 1, 1, 1),
        "a": (1, 0, 0, 1),
        "b": (0, 1, 1, 0),
        "c": (0, 0, 0, 0),
    }
    assert scored["c"].cells()[:3] == ["0", "0", "undefined"]
    assert len(scored["a"].cells()) == len(StainScore.HEADINGS)


def test_the_background_is_that_of_tissue_beside_nuclei():
    amounts, labels = np.full((60, 60, 2), [0.3, 0.12]), np.zeros((60, 60), np.int32)
    amounts[:, 40:] = 0  # glass
    amounts[5:25, 5:25], labels[5:25, 5:25] = [0.3, 0.9], 1
    assert background_dab(painted(amounts), labels) == pytest.approx(0.12, abs=0.02)
    assert math.isnan(background_dab(painted(np.zeros((30, 30, 2))), np.zeros((30, 30), np.int32)))


def test_a_brown_ring_is_seen_around_a_nucleus_that_is_not_brown():
    amounts, labels = np.full((40, 40, 2), [0.05, 0.0]), np.zeros((40, 40), np.int32)
    amounts[4:36, 4:36] = [0.05, 0.6]
    amounts[10:30, 10:30], labels[10:30, 10:30] = [0.4, 0.0], 1
    tile = Tile.from_array(painted(amounts), 0.25)
    nuclei = Segmentation.from_labels(labels)
    for where, count in (("nucleus", 0), ("ring", 1), ("both", 1)):
        assert score_nuclei(tile, nuclei, Levels(), where=where).positive == count


def test_without_nuclei_the_index_is_undefined_and_said_so():
    tile, nuclei = tissue()
    none = StainScore.of(np.zeros(0, np.int64), Levels(), 1.0)
    assert all(map(math.isnan, (none.index, none.index_low, none.h_score, none.allred)))
    assert none.density_per_mm2 == 0
    assert "undefined" in str(none)
    empty = Segmentation.from_labels(np.zeros_like(nuclei.labels))
    assert math.isnan(score_nuclei(tile, empty, Levels()).index)


def test_a_grey_picture_has_no_brown():
    tile, nuclei = tissue()
    grey = Tile.from_array(tile.rgb[..., 0], 0.25)
    with pytest.raises(ImageError, match="grey"):
        score_nuclei(grey, nuclei, Levels())


def test_wilson_interval_of_a_textbook_case():
    # Newcombe 1998, table I: 81 of 263 is 0.2553 to 0.3662.
    score = StainScore.of(np.repeat([0, 1], [182, 81]), Levels())
    assert (score.index_low, score.index_high) == pytest.approx((25.53, 36.62), abs=0.01)


@given(st.lists(st.integers(0, 3), min_size=1, max_size=200))
def test_scores_stay_in_their_ranges(levels):
    score = StainScore.of(np.array(levels), Levels())
    assert 0 <= score.index_low <= score.index <= score.index_high <= 100
    assert 0 <= score.h_score <= 300
    assert score.index <= score.h_score <= 3 * score.index
    assert score.allred in (0, 2, 3, 4, 5, 6, 7, 8)


@pytest.mark.parametrize(
    ("share", "proportion"), [(0, 0), (5, 1), (50, 2), (200, 3), (500, 4), (900, 5)]
)
def test_allred_proportions(share, proportion):
    score = StainScore.of(np.repeat([0, 1], [1000 - share, share]), Levels())
    assert score.allred == (proportion + 1 if proportion else 0)


@pytest.mark.parametrize("values", [(0, 0.1, 0.2), (0.3, 0.2, 0.4), (0.1, 0.2, math.nan)])
def test_thresholds_that_cannot_be(values):
    with pytest.raises(ImageError):
        Levels(*values)


def test_stain_vectors_are_found_in_the_picture():
    rng = np.random.default_rng(0)
    amounts = np.zeros((120, 120, 2))
    amounts[:60, :, 0] = rng.uniform(0.4, 1.0, (60, 120))
    amounts[60:, :, 1] = rng.uniform(0.4, 1.0, (60, 120))
    found = StainVectors.estimated(painted(amounts))
    for seen, true in ((found.haematoxylin, VECTORS.haematoxylin), (found.dab, VECTORS.dab)):
        assert np.dot(seen, true) / np.linalg.norm(true) > 0.99
    with pytest.raises(ImageError, match="almost none"):
        StainVectors.estimated(np.full((50, 50, 3), (250, 249, 251), np.uint8))


def test_vectors_of_one_colour_are_refused():
    tile, _ = tissue()
    same = StainVectors((0.65, 0.7, 0.29), (0.65, 0.7, 0.29), None)
    with pytest.raises(ImageError, match="differ"):
        dab_density(tile.rgb, [], vectors=same)
