"""Learning as a whole, on small pictures, for what a person can bring about."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_uninuc.core.examples import Corrections, Example, Kind
from napari_uninuc.engine.loading import load_engine
from napari_uninuc.engine.states import in_state
from napari_uninuc.errors import SessionError
from napari_uninuc.testing import make_tile
from napari_uninuc.training import learn_run
from napari_uninuc.training.learn_run import learn, standings
from napari_uninuc.training.learning import Teaching
from napari_uninuc.training.proof import Judged

QUICK = Teaching(steps=2)
LAST = "sam_mask_decoder.refine.layers.4.bias"
"""Added to every logit."""


@pytest.fixture(scope="module")
def engine():
    made = load_engine("uninuc-n", "cpu")
    made.dtype = torch.float32
    return made


def corrections(count, mpp=0.25, seed=0, deleted=()):
    tissue = make_tile((128, 128), n_nuclei=count, seed=seed)
    examples = []
    for id_ in np.unique(tissue.labels)[1 : count + 1].tolist():
        ys, xs = np.nonzero(tissue.labels == id_)
        crop = tissue.labels[ys.min() : ys.max() + 1, xs.min() : xs.max() + 1] == id_
        kind = Kind.DELETED if id_ in deleted else Kind.REDRAWN
        examples.append(Example(kind, (int(ys.min()), int(xs.min())), crop))
    return Corrections(replace(tissue.tile, mpp=mpp), tuple(examples), False, f"s{seed}")


def judged_as(monkeypatch, before, after):
    """Every correction is judged so: first the model as it came, then each taught state."""
    parts = []

    def judge(engine, picture, chosen, threshold):
        whole = bool(chosen.all())
        if not whole:
            parts.append(int(chosen.sum()))
        quality = before if whole else after
        return [Judged(True, quality, quality > 0.5)] * int(np.count_nonzero(chosen))

    monkeypatch.setattr(learn_run, "judge", judge)
    return parts


def test_ten_corrections_are_enough_and_each_is_judged_once(engine, monkeypatch):
    parts = judged_as(monkeypatch, 0.6, 0.7)
    outcome = learn(engine, [corrections(10)], "mine", teaching=QUICK)
    assert sum(parts) == 10
    assert outcome.proof.nuclei == outcome.proof.better == 10
    assert outcome.adapter is not None
    assert outcome.adapter.looks is not None
    assert len(outcome.adapter.to_bytes()) < 1_000_000
    with in_state(engine, outcome.adapter):
        assert engine.card.learnt == "mine"


def test_nine_are_not(engine):
    with pytest.raises(SessionError, match="correct 1 more"):
        learn(engine, [corrections(10, deleted=(1,))], "mine", teaching=QUICK)


def test_what_is_worse_by_more_than_chance_ends_early(engine, monkeypatch):
    """Three of three may be chance, six of six are not."""
    parts = judged_as(monkeypatch, 0.7, 0.6)
    told = []
    outcome = learn(
        engine, [corrections(12)], "mine", lambda done, total, what: told.append(what), QUICK
    )
    assert outcome.adapter is None
    assert parts == [3, 3]
    assert outcome.proof.worse == outcome.proof.nuclei == 6
    assert "proving, part 3 of 4" not in told


def test_pictures_of_different_scales_are_learnt_together(engine, monkeypatch):
    judged_as(monkeypatch, 0.6, 0.7)
    pictures = [corrections(8), corrections(8, mpp=0.5, seed=1)]
    outcome = learn(engine, pictures, "mine", teaching=QUICK)
    assert outcome.adapter is not None
    assert outcome.adapter.card.sessions == ("s0", "s1")
    assert len(outcome.adapter.looks.features) == 2  # each as it is segmented


def test_the_model_is_as_it_was_whatever_came_of_it(engine, monkeypatch):
    before = {k: v.detach().clone() for k, v in engine.model.named_parameters()}
    judged_as(monkeypatch, 0.6, 0.7)
    learn(engine, [corrections(10)], "mine", teaching=QUICK)
    assert engine.state is None
    assert engine.card.learnt == ""
    assert all(torch.equal(before[k], v) for k, v in engine.model.named_parameters())


def test_states_are_put_side_by_side_as_they_would_be_used(engine, monkeypatch):
    """A state that does not act on these pictures is no better and no worse."""
    said = corrections(10)
    with monkeypatch.context() as patched:
        judged_as(patched, 0.6, 0.7)
        mine = learn(engine, [said], "mine", teaching=QUICK).adapter
    far = replace(mine, looks=replace(mine.looks, colours=mine.looks.colours / 4))
    _, nothing = standings(engine, [said], [mine, far])
    assert (nothing.gain, nothing.better, nothing.worse) == (0, 0, 0)
    assert engine.state is None


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_what_was_taught_is_judged_as_it_outlines(monkeypatch, dtype):
    """A state that adds much to every logit outlines too much, whatever decodes it."""
    made = load_engine("uninuc-n", "cpu")
    made.dtype = dtype
    monkeypatch.setattr(learn_run, "teach", lambda *_what: {LAST: torch.full((1,), 5.0)})
    outcome = learn(made, [corrections(12)], "mine", teaching=QUICK)
    assert outcome.adapter is None
    assert outcome.proof.worse > 3
