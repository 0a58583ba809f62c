"""Automatic segmentation, above all where fields meet."""

from dataclasses import replace

import numpy as np
import pytest


def cuts_of(fields):
    """Where inner parts meet, (rows, columns) in px."""
    rows = sorted({field.inner_yxyx[0] for field in fields} - {0})
    columns = sorted({field.inner_yxyx[1] for field in fields} - {0})
    return rows, columns


def test_every_nucleus_on_a_seam_is_found_once_and_uncut(small_fields, paint):
    blank = np.full((256, 280, 3), 230, np.uint8)
    small_fields.set_image(blank)
    rows, columns = cuts_of(small_fields._pictures[0].fields)
    assert len(rows) >= 1
    assert len(columns) >= 1
    centres = [(y, x) for y in (40, *rows, 216) for x in (36, *columns, 240)]
    picture = paint((256, 280), centres, 10)
    small_fields.set_image(picture.rgb)
    result = small_fields.segment()
    assert len(result.table) == len(centres)
    for index in range(1, len(centres) + 1):
        truth = picture.labels == index
        ids, counts = np.unique(result.labels[truth], return_counts=True)
        best = ids[counts.argmax()]
        assert best > 0
        mine = result.labels == best
        assert (mine & truth).sum() / (mine | truth).sum() > 0.8


def test_fields_and_the_whole_agree(small_fields, dense):
    small_fields.set_image(dense.rgb)
    assert len(small_fields._pictures[0].fields) > 4
    in_fields = small_fields.segment()
    small_fields.engine.config = replace(small_fields.engine.config, input_size=1024)
    small_fields.set_image(dense.rgb)
    assert len(small_fields._pictures[0].fields) == 1
    at_once = small_fields.segment()
    assert len(at_once.table) == len(dense.centres_yx)
    assert abs(len(in_fields.table) - len(at_once.table)) <= 0.02 * len(at_once.table)
    assert ((in_fields.labels > 0) == (at_once.labels > 0)).mean() > 0.98


@pytest.mark.parametrize("shift", [1.5, -1.5])
def test_fields_that_disagree_on_a_centre_lose_and_double_nothing(
    small_fields, paint, monkeypatch, shift
):
    """Boxes moved towards, or away from, the cut in every other field."""
    small_fields.set_image(np.full((100, 280, 3), 230, np.uint8))
    _, columns = cuts_of(small_fields._pictures[0].fields)
    picture = paint((100, 280), [(50, x - 0.5) for x in columns], 10)
    propose = small_fields.engine.propose

    def moved(embedding):
        first = embedding.frame.origin_yx[1] == 0
        return propose(embedding).shifted(0, shift if first else -shift)

    monkeypatch.setattr(small_fields.engine, "propose", moved)
    small_fields.set_image(picture.rgb)
    assert len(small_fields.segment().table) == len(columns)


def test_nuclei_cut_by_the_border_stay_inside_the_picture(predictor, paint):
    picture = paint((90, 100), [(0, 50), (89, 30), (45, 0), (40, 99), (45, 50)], 10)
    predictor.set_image(picture.rgb)
    result = predictor.segment()
    assert result.labels.shape == (90, 100)
    assert result.labels[45, 50] > 0
    assert (result.table["y1"] <= 90).all()
    assert (result.table["x1"] <= 100).all()
    assert (result.table[["y0", "x0"]] >= 0).all(axis=None)


def test_glass_holds_nothing(predictor):
    predictor.set_image(np.full((100, 100, 3), 245, np.uint8))
    result = predictor.segment()
    assert len(result.table) == 0
    assert not result.labels.any()


def test_table_and_labels_tell_one_story(predictor, discs):
    predictor.set_image(discs.rgb)
    result = predictor.segment()
    assert len(result.table) == 12
    for row in result.table.itertuples():
        ys, xs = np.nonzero(result.labels == row.id)
        assert (row.y0, row.x0, row.y1, row.x1) == (ys.min(), xs.min(), ys.max() + 1, xs.max() + 1)
    assert set(result.timings) == {"encode", "detect", "masks"}
    assert all(seconds >= 0 for seconds in result.timings.values())


def test_encoding_is_told_once_and_not_for_what_was_cached(predictor, discs):
    predictor.set_image(discs.rgb)
    assert predictor.segment().timings["encode"] > 0
    assert predictor.segment().timings["encode"] == 0
    predictor.set_image(discs.rgb)
    assert predictor.segment().timings["encode"] == 0


def test_encoding_of_fields_is_told_once(small_fields, dense):
    small_fields.set_image(dense.rgb)
    assert small_fields.segment().timings["encode"] > 0
    assert small_fields.segment().timings["encode"] == 0


def test_progress_counts_fields(small_fields, dense):
    told = []
    small_fields.set_image(dense.rgb)
    small_fields.segment(progress=lambda done, total: told.append((done, total)))
    total = len(small_fields._pictures[0].fields)
    assert told == [(done, total) for done in range(1, total + 1)]


def test_a_higher_threshold_keeps_fewer(predictor, discs):
    predictor.set_image(discs.rgb)
    counts = [len(predictor.segment(score_threshold=t).table) for t in (0.05, 0.4, 1.0)]
    assert counts == sorted(counts, reverse=True)
    assert counts[-1] == 0


def test_small_nuclei_are_dropped_by_area(predictor, discs):
    predictor.set_image(discs.rgb, mpp=0.25)
    assert len(predictor.segment(min_area_um2=1).table) == 12  # they have about 20 um2
    assert len(predictor.segment(min_area_um2=40).table) == 0


def test_a_click_on_a_picture_of_fields_encodes_one_field(small_fields, dense, count_encodes):
    small_fields.set_image(dense.rgb)
    assert count_encodes == []
    y, x = dense.centres_yx[0]
    masks, _, _ = small_fields.predict(np.array([[x, y]]), np.array([1]))
    assert len(count_encodes) == 1
    truth = dense.labels == 1
    assert (masks[0] & truth).sum() / (masks[0] | truth).sum() > 0.75


def test_the_cache_stays_within_its_bytes(small_fields, dense):
    cache = small_fields.engine.cache
    small_fields.set_image(dense.rgb)
    small_fields.segment()
    one = cache.nbytes // len(cache)
    bound, cache.max_bytes = cache.max_bytes, 2 * one
    try:
        small_fields.set_image(dense.rgb[::-1])
        found = small_fields.segment()
        assert cache.nbytes <= 2 * one
        assert len(cache) == 2
        assert len(found.table) == len(dense.centres_yx)
    finally:
        cache.max_bytes = bound
