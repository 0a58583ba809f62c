"""Clicks until an outline is good enough, from counts worked out by hand."""

import pytest

from napari_uninuc.evaluation.effort import effort_of
from napari_uninuc.evaluation.interactive import InteractiveRow


def rows_of(prompt, n_truth, reached_by_round, image="a"):
    return [
        InteractiveRow("set", image, prompt, True, i, n_truth, 0.5, 0.5, 1.0, reached)
        for i, reached in enumerate(reached_by_round)
    ]


def test_clicks_are_those_of_each_nucleus_averaged():
    # IoU 0.8: two at once, one after one round, one after two; 0.9: nobody in two rounds.
    rows = rows_of("box", 4, [(2, 1, 0), (3, 1, 0), (4, 1, 0)])
    by_iou = {row.iou: row for row in effort_of(rows)}
    assert by_iou[0.8].clicks == pytest.approx((0 + 0 + 2 + 4) / 4)
    assert by_iou[0.85].clicks == pytest.approx((0 + 4 + 4 + 4) / 4)
    assert by_iou[0.9].clicks == 4
    assert [by_iou[iou].never for iou in (0.8, 0.85, 0.9)] == [0, 0.75, 1]


def test_a_first_click_counts():
    point = effort_of(rows_of("point", 1, [(1, 1, 0), (1, 1, 1)]))
    assert [row.clicks for row in point] == [1, 1, 3]


def test_nuclei_count_the_same_whatever_their_image():
    rows = rows_of("box", 9, [(9, 9, 9), (9, 9, 9)]) + rows_of(
        "box", 1, [(0, 0, 0), (0, 0, 0)], "b"
    )
    first = effort_of(rows)[0]
    assert (first.n_nuclei, first.never) == (10, pytest.approx(0.1))
    assert first.clicks == pytest.approx(0.2)


def test_protocols_are_kept_apart_and_images_without_nuclei_say_nothing():
    rows = rows_of("box", 1, [(1, 1, 1)]) + rows_of("point", 0, [(0, 0, 0)])
    assert {row.prompt for row in effort_of(rows)} == {"box"}
