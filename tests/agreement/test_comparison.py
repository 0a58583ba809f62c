"""Planted disagreements are all listed, and none besides."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from planting import AGREED, PLANTS, plant

from napari_uninuc.agreement import comparison
from napari_uninuc.agreement.comparison import compare, fleiss_kappa
from napari_uninuc.agreement.kinds import Kind
from napari_uninuc.agreement.reading import reading_of
from napari_uninuc.core.segmentation import Segmentation
from napari_uninuc.errors import LabelsError


def listed(found):
    return [(each.kind, frozenset(each.a_ids), frozenset(each.b_ids)) for each in found]


@given(
    st.lists(st.sampled_from(PLANTS), max_size=40),
    st.integers(1, 9),
    st.integers(0, 2**32 - 1),
)
@settings(max_examples=150, deadline=None)
def test_every_planted_disagreement_is_listed_and_none_besides(plants, columns, seed):
    plants = plants or ["same"]
    a, b, expected = plant(plants, columns, seed)
    found = compare(a, b)
    assert len(found.disagreements) == len(expected)
    assert set(listed(found.disagreements)) == expected
    total = found.total
    agreed = sum(name in AGREED for name in plants)
    assert total[Kind.MATCHED] == len(found.a_ids) == agreed + total[Kind.CLASS_DIFFERS]
    for kind in Kind:
        if kind is not Kind.MATCHED:
            assert total[kind] == plants.count(kind.value)


@given(st.lists(st.sampled_from(PLANTS), min_size=1, max_size=30), st.integers(0, 99))
@settings(max_examples=30, deadline=None)
def test_turning_the_readers_round_turns_the_list_round(plants, seed):
    a, b, _ = plant(plants, 5, seed)
    turned = {
        Kind.ONLY_A: Kind.ONLY_B,
        Kind.ONLY_B: Kind.ONLY_A,
        Kind.SPLIT: Kind.MERGED,
        Kind.MERGED: Kind.SPLIT,
    }
    there, back = listed(compare(a, b).disagreements), listed(compare(b, a).disagreements)
    assert {(turned.get(k, k), two, one) for k, one, two in there} == set(back)


def test_blocks_change_nothing(monkeypatch):
    a, b, _ = plant(PLANTS * 6, 7, seed=3)
    whole = compare(a, b)
    monkeypatch.setattr(comparison, "_BLOCK_PX", 17)  # cuts every nucleus
    cut = compare(a, b)
    assert cut.disagreements == whole.disagreements
    assert cut.figures == whole.figures
    assert np.array_equal(cut.counts, whole.counts)
    assert np.array_equal(cut.ious, whole.ious)


def test_blocks_without_nuclei_are_not_read():
    labels = np.zeros((9000, 9000), np.int32)
    labels[8500:8520, 8500:8520] = 1
    reading = reading_of("a", Segmentation.from_labels(labels))
    read = []

    def pixels(box):
        read.append(box)
        return reading.pixels(box)

    found = compare(replace(reading, pixels=pixels), reading)
    assert read == [(8192, 8192, 9000, 9000)]
    assert found.figures.mean_iou.value == 1


def test_the_most_serious_come_first():
    labels = np.zeros((64, 64), np.int32)
    labels[2:6, 2:6], labels[20:40, 20:40] = 1, 2
    a, b = (
        reading_of(n, Segmentation.from_labels(m)) for n, m in (("a", labels), ("b", 0 * labels))
    )
    found = compare(a, b).disagreements
    assert [(each.a_ids, each.disputed_px, each.box_yxyx) for each in found] == [
        ((2,), 400, (20, 20, 40, 40)),
        ((1,), 16, (2, 2, 6, 6)),
    ]


def test_a_half_of_a_split_nucleus_is_no_match_whatever_its_iou():
    whole, parts = np.zeros((40, 40), np.int32), np.zeros((40, 40), np.int32)
    whole[10:20, 10:30] = 1
    parts[10:20, 10:23], parts[10:20, 23:30] = 1, 2
    a, b = (reading_of(n, Segmentation.from_labels(m)) for n, m in (("a", whole), ("b", parts)))
    found = compare(a, b)
    assert listed(found.disagreements) == [(Kind.SPLIT, frozenset({1}), frozenset({1, 2}))]
    assert found.disagreements[0].disputed_px == 70
    assert len(found.a_ids) == 0
    # F1 is counted as everybody counts it: the larger half does match at 0.5
    assert [each.value for each in found.figures.f1[:5]] == pytest.approx([2 / 3] * 4 + [0.0])


def test_a_speck_in_a_nucleus_does_not_split_it():
    whole, parts = np.zeros((40, 40), np.int32), np.zeros((40, 40), np.int32)
    whole[10:20, 10:30] = 1
    parts[10:20, 10:28], parts[10:12, 28:30] = 1, 2
    a, b = (reading_of(n, Segmentation.from_labels(m)) for n, m in (("a", whole), ("b", parts)))
    found = compare(a, b)
    assert found.ious.tolist() == [0.9]
    assert listed(found.disagreements) == [(Kind.ONLY_B, frozenset(), frozenset({2}))]


def test_classes_are_compared_only_where_both_name_them():
    a, b, _ = plant(["class_differs", "same"], 2)
    found = compare(a, replace(b, classes=None))
    assert found.disagreements == ()
    assert np.isnan(found.figures.kappa.value)


def test_a_reader_of_nuclei_alone_names_no_classes():
    bare = Segmentation.from_labels(np.eye(4, dtype=np.int32))
    assert reading_of("a", bare).classes is None


def test_figures_of_squares_are_of_the_nuclei_in_them():
    a, b, _ = plant(["only_a"] * 6 + ["same"] * 30, 6)  # 144 px: two squares across
    found = compare(a, b)
    assert found.squares[0] == (0, 0, 128, 128)
    assert found.counts.sum(axis=0).tolist() == [30, 0, 0, 0, 6, 0]
    for row in range(len(found.squares)):
        pairs, nuclei = found.counts[row, 0], found.sums.nuclei[row]
        assert found.sums.of_square(row).f1[0].value == pytest.approx(2 * pairs / nuclei)
    whole = found.figures.f1[0]
    assert whole.value == pytest.approx(60 / 66)
    assert whole.low < whole.value < whole.high


def test_several_readers_have_one_kappa():
    a, b, _ = plant(["same"] * 30 + ["class_differs"] * 10, 8)
    pair = compare(a, b)
    assert fleiss_kappa([pair]).value == pytest.approx(
        _fleiss_by_hand([("xy"[k % 2], "xy"[(k + (k >= 30)) % 2]) for k in range(40)])
    )
    assert fleiss_kappa([compare(a, a), compare(a, a)]).value == 1


def _fleiss_by_hand(rated):
    names = sorted({name for row in rated for name in row})
    shares = [sum(row.count(n) for row in rated) / (2 * len(rated)) for n in names]
    by_chance = sum(share**2 for share in shares)
    agreed = sum(one == other for one, other in rated) / len(rated)
    return (agreed - by_chance) / (1 - by_chance)


def test_other_pictures_are_refused():
    a, b = (
        reading_of(n, Segmentation.from_labels(np.zeros((9, w), np.int32)))
        for n, w in (("a", 9), ("b", 8))
    )
    with pytest.raises(LabelsError, match="b: expected nuclei of the picture that a is of"):
        compare(a, b)


def test_parts_of_one_slide_are_compared_where_they_meet():
    a, b, _ = plant(["same", "only_a", "same", "only_b"], 2)
    slide = "0" * 32, 0
    whole = replace(a, slide=slide)
    part = replace(b.cut((0, 0, 48, 24)), slide=slide)
    found = compare(whole, part)
    assert found.a.shape == found.b.shape == (48, 24)
    assert len(found.a_ids) == 2
    assert found.disagreements == ()
    moved = replace(part, origin_yx=(480, 0))
    with pytest.raises(LabelsError, match="compare readings of one picture"):
        compare(whole, moved)


def test_pixels_without_a_row_are_told():
    a, b, _ = plant(["same", "same"], 2)
    damaged = replace(b, ids=b.ids[:1], boxes_yxyx=b.boxes_yxyx[:1], classes=b.classes[:1])
    with pytest.raises(LabelsError, match="b: expected a row for every nucleus"):
        compare(a, damaged)
