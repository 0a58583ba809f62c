import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_uninuc.core.classifier import (
    Classifier,
    Examples,
    Scale,
    left_out,
    next_to_ask,
    ranked_by_likeness,
)
from napari_uninuc.errors import LabelsError


def clouds(seed=0, each=60, width=12, apart=4.0):
    """Three clouds of nuclei: features (N, D), classes (N,)."""
    rng = np.random.default_rng(seed)
    middles = rng.normal(0, 1, (3, width))
    middles *= apart / np.linalg.norm(middles, axis=1, keepdims=True)
    truth = np.repeat([0, 1, 2], each)
    return (middles[truth] + rng.normal(0, 1, (len(truth), width))).astype(np.float32), truth


def told(features, truth, places, names=("a", "b", "c")):
    return Examples(features[places], truth[places], names)


def some(truth, each):
    return np.concatenate([np.flatnonzero(truth == k)[:each] for k in np.unique(truth)])


def test_a_few_examples_tell_clouds_apart():
    features, truth = clouds()
    classifier = Classifier.learnt(told(features, truth, some(truth, 5)), Scale.of(features))
    likely = classifier.probabilities(features)
    assert np.allclose(likely.sum(axis=1), 1)
    assert (likely.argmax(axis=1) == truth).mean() > 0.9


def test_more_examples_than_features_and_fewer_give_the_same_kind_of_answer():
    features, truth = clouds(width=4)
    few, many = (
        Classifier.learnt(told(features, truth, some(truth, n)), Scale.of(features))
        for n in (1, 50)
    )
    assert few.weights.shape == many.weights.shape == (4, 3)
    assert (many.probabilities(features).argmax(axis=1) == truth).mean() > 0.9


def test_one_example_a_class_is_no_reason_to_be_sure():
    features, truth = clouds(apart=1.0)
    scale = Scale.of(features)
    likely = Classifier.learnt(told(features, truth, some(truth, 1)), scale).probabilities(features)
    assert likely.max(axis=1).mean() < 0.75


def test_probabilities_are_about_as_high_as_it_is_right():
    features, truth = clouds(each=400, apart=2.0)
    taught = told(features, truth, some(truth, 60))
    likely = Classifier.learnt(taught, Scale.of(features)).probabilities(features)
    right = (likely.argmax(axis=1) == truth).mean()
    assert abs(likely.max(axis=1).mean() - right) < 0.1


def test_examples_of_one_class_teach_nothing():
    features, truth = clouds()
    with pytest.raises(LabelsError, match="two classes"):
        Classifier.learnt(told(features, truth, np.arange(5)), Scale.of(features))


def test_a_class_without_examples_is_never_said():
    features, truth = clouds()
    taught = told(features, truth, np.flatnonzero(truth != 1)[::5])
    assert Classifier.learnt(taught, Scale.of(features)).names == ("a", "c")


@pytest.mark.parametrize(
    ("features", "classes"),
    [
        (np.zeros((2, 3), np.float32), np.array([0])),
        (np.zeros((1, 3), np.float32), np.array([3])),
        (np.full((1, 3), np.nan, np.float32), np.array([0])),
    ],
)
def test_examples_that_cannot_be_are_refused(features, classes):
    with pytest.raises(LabelsError):
        Examples(features, classes, ("a", "b"))


def test_examples_of_two_pictures_meet_by_name():
    rows = np.zeros((1, 2), np.float32)
    both = Examples(rows, np.array([0]), ("a", "b")).joined(
        Examples(rows, np.array([0]), ("b", "c"))
    )
    assert both.names == ("a", "b", "c")
    assert both.classes.tolist() == [0, 1]


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 999))
def test_the_scale_of_two_pictures_is_that_of_all_their_nuclei(n, m, seed):
    rows = np.random.default_rng(seed).normal(3, 2, (n + m, 5)).astype(np.float32)
    joined, whole = Scale.of(rows[:n]).joined(Scale.of(rows[n:])), Scale.of(rows)
    assert joined.count == whole.count
    assert np.allclose(joined.mean, whole.mean)
    assert np.allclose(joined.spread, whole.spread)


def test_a_feature_that_never_differs_does_no_harm():
    features, truth = clouds()
    features[:, 0] = 7
    classifier = Classifier.learnt(told(features, truth, some(truth, 5)), Scale.of(features))
    assert np.isfinite(classifier.probabilities(features)).all()


def test_left_out_examples_say_what_is_confused():
    features, truth = clouds()
    table = left_out(told(features, truth, some(truth, 10)), Scale.of(features))
    assert table.sum() == 30
    assert np.trace(table) > 24


def test_a_single_example_cannot_be_left_out():
    features, truth = clouds()
    places = [*some(truth, 4)[:8], np.flatnonzero(truth == 2)[0]]
    table = left_out(told(features, truth, np.array(places)), Scale.of(features))
    assert table.sum(axis=1).tolist() == [4, 4, 0]


def test_what_is_asked_next_is_in_doubt_and_not_twice_the_same():
    features, _ = clouds()
    features = np.concatenate([features, features[:1]])  # the first nucleus once more
    likely = np.full((len(features), 3), [0.98, 0.01, 0.01])
    likely[[0, 70, 180]] = [0.4, 0.35, 0.25]  # three in doubt, of which two are alike
    asked = next_to_ask(features, likely, Scale.of(features), np.zeros(len(features), bool), 2)
    assert 70 in asked
    assert len({0, 180} & set(asked)) == 1


def test_what_is_known_is_not_asked_and_all_may_be_known():
    features, _ = clouds()
    likely = np.full((len(features), 3), 1 / 3)
    known = np.zeros(len(features), bool)
    known[:-1] = True
    assert next_to_ask(features, likely, Scale.of(features), known, 5) == [len(features) - 1]
    known[-1] = True
    assert next_to_ask(features, likely, Scale.of(features), known, 5) == []


def test_all_like_this_puts_the_like_ones_first_and_obeys_counter_examples():
    features, truth = clouds()
    scale, like = Scale.of(features), np.flatnonzero(truth == 1)[:3].tolist()
    likeness = ranked_by_likeness(features, scale, like)
    assert ((likeness >= 0) & (likeness <= 1)).all()
    best = np.argsort(-likeness)[:50]
    assert (truth[best] == 1).mean() > 0.7  # a third of all are
    unlike = np.flatnonzero(truth == 2)[:2].tolist()
    after = ranked_by_likeness(features, scale, like, unlike)
    assert after[unlike].max() < after[like].min()


def test_all_like_nothing_is_refused_and_one_nucleus_is_like_itself():
    features, _ = clouds()
    with pytest.raises(LabelsError):
        ranked_by_likeness(features, Scale.of(features), [])
    assert ranked_by_likeness(features[:1], Scale.of(features), [0]).tolist() == [1.0]
