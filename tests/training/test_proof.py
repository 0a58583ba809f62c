import numpy as np
import pytest

from napari_uninuc.core.examples import Corrections, Example, Kind
from napari_uninuc.testing import make_tile
from napari_uninuc.training.proof import PARTS, Judged, parts_by_place, proof_of


def dots(places, seed=0):
    """A picture with an example of one px at each place."""
    tile = make_tile((64, 64), n_nuclei=1, seed=seed).tile
    one = np.ones((1, 1), np.bool_)
    return Corrections(tile, tuple(Example(Kind.ADDED, place, one) for place in places), False)


def test_parts_lie_apart_and_are_of_one_size():
    rng = np.random.default_rng(0)
    places = [tuple(each) for each in rng.integers(0, 64, (40, 2)).tolist()]
    (part,) = parts_by_place([dots(places)])
    assert np.bincount(part, minlength=PARTS).tolist() == [10] * PARTS
    boxes = [np.array(places)[part == k] for k in range(PARTS)]
    for k, one in enumerate(boxes):
        for other in boxes[k + 1 :]:
            apart = (one.max(0) <= other.min(0)) | (other.max(0) <= one.min(0))
            assert apart.any()


def test_the_same_spot_of_one_picture_is_in_one_part_whoever_corrected_it():
    places = [(y, x) for y in (5, 20, 40, 60) for x in (5, 20, 40, 60)]
    first, second = parts_by_place([dots(places), dots(places)])
    other = parts_by_place([dots(places), dots(places, seed=1)])
    assert first.tolist() == second.tolist()
    assert set(other[0].tolist()).isdisjoint(other[1].tolist())


def judged(nucleus, quality):
    return Judged(nucleus, quality, (quality > 0.5) == nucleus)


def test_the_proof_counts_what_a_person_counts():
    before = [judged(True, 0.0)] * 9 + [judged(True, 0.8)] * 31 + [judged(False, 1.0)] * 14
    after = [judged(True, 0.8)] * 36 + [judged(True, 0.0)] * 4 + [judged(False, 0.0)] * 12
    proof = proof_of(before, after + [judged(False, 1.0)] * 2)
    assert (proof.nuclei, proof.right_before, proof.right_after) == (40, 31, 36)
    assert (proof.deleted, proof.false_before, proof.false_after) == (14, 14, 2)


def test_nothing_changed_is_no_better():
    same = [judged(True, 0.8)] * 30
    assert not proof_of(same, same).is_better


@pytest.mark.parametrize("count", [10, 30, 100])
def test_chance_is_not_taken_for_better(count):
    """A hundred times states that do as often worse as better."""
    rng = np.random.default_rng(count)
    kept = 0
    for _ in range(100):
        before = [judged(True, float(q)) for q in rng.choice([0.0, 0.7, 0.8], count)]
        after = [judged(True, float(q)) for q in rng.choice([0.0, 0.7, 0.8], count)]
        kept += proof_of(before, after).is_better
    assert kept <= 4


def test_a_clear_gain_is_found_on_thirty():
    before = [judged(True, 0.0)] * 15 + [judged(True, 0.8)] * 15
    after = [judged(True, 0.8)] * 28 + [judged(True, 0.0)] * 2
    assert proof_of(before, after).is_better
