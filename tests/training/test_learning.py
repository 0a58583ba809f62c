from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_uninuc.core.examples import Corrections, Example, Kind
from napari_uninuc.engine.loading import load_engine
from napari_uninuc.testing import make_tile
from napari_uninuc.training.learning import Teaching, taught, teach
from napari_uninuc.training.lessons import _proposals, lessons_of

QUICK = Teaching(steps=3)


@pytest.fixture(scope="module")
def engine():
    made = load_engine("uninuc-n", "cpu")
    made.dtype = torch.float32
    made.card = replace(made.card, flips=True)
    return made


@pytest.fixture(scope="module")
def said():
    tissue = make_tile((128, 128), n_nuclei=8)
    examples = []
    for id_ in range(1, 9):
        ys, xs = np.nonzero(tissue.labels == id_)
        crop = tissue.labels[ys.min() : ys.max() + 1, xs.min() : xs.max() + 1] == id_
        kind = Kind.DELETED if id_ == 8 else Kind.ADDED
        examples.append(Example(kind, (int(ys.min()), int(xs.min())), crop))
    return Corrections(tissue.tile, tuple(examples), False)


@pytest.fixture(scope="module")
def lessons(engine, said):
    return list(lessons_of(engine, said))


def everything(lessons):
    return [torch.ones(8, dtype=torch.bool) for _ in lessons]


def test_a_picture_is_taught_as_it_is_segmented_itself_and_in_its_mirror(lessons, said):
    assert len(lessons) == 2
    here, there = lessons
    assert here.which.tolist() == there.which.tolist() == list(range(8))
    areas = [each.mask.sum() for each in said.examples]
    for lesson in lessons:
        taught_ = [k for windows in lesson.windows for k in windows.which.tolist()]
        assert sorted(taught_) == list(range(7))
        for windows in lesson.windows:
            drawn = windows.truth.sum(dim=(1, 2)).tolist()
            assert drawn == [areas[k] for k in windows.which.tolist()]
            size = windows.boxes_xyxy[:, 2:] - windows.boxes_xyxy[:, :2]
            shapes = [said.examples[k].mask.shape[::-1] for k in windows.which.tolist()]
            torch.testing.assert_close(size, torch.tensor(shapes).float())


def test_a_picture_that_is_segmented_without_its_mirror_is_taught_without(
    engine, said, monkeypatch
):
    monkeypatch.setattr(engine, "card", replace(engine.card, flips=False))
    (lesson,) = lessons_of(engine, said)
    assert lesson.which.tolist() == list(range(8))


def test_a_nucleus_is_prompted_with_the_box_that_finds_it_else_with_its_own():
    own = torch.tensor([[10.0, 10, 20, 20], [40, 40, 50, 50]])
    found = torch.tensor([[11.0, 10, 21, 20], [46, 46, 60, 60]])
    prompts = _proposals(own, found, 0.25)
    assert prompts[0].tolist() == [10.75, 9.75, 21.25, 20.25]
    assert prompts[1].tolist() == own[1].tolist()
    assert _proposals(own, found[:0], 0.25).tolist() == own.tolist()


def test_teaching_changes_its_parts_alone_and_leaves_the_model_as_it_was(engine, lessons):
    before = {k: v.detach().clone() for k, v in engine.model.named_parameters()}
    difference = teach(engine.model, lessons, everything(lessons), QUICK)
    assert difference.keys() == taught(engine.model, QUICK).keys()
    assert any(bool(value.any()) for value in difference.values())
    assert all(torch.equal(before[k], v) for k, v in engine.model.named_parameters())
    assert all(name.startswith("sam_mask_decoder.") for name in difference)


def test_the_same_corrections_teach_the_same(engine, lessons):
    one, other = (teach(engine.model, lessons, everything(lessons), QUICK) for _ in range(2))
    assert all(torch.equal(value, other[name]) for name, value in one.items())


def test_a_model_stopped_in_the_middle_is_as_it_was(engine, lessons):
    before = {k: v.detach().clone() for k, v in engine.model.named_parameters()}

    def stop(step):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        teach(engine.model, lessons, everything(lessons), QUICK, stop)
    assert all(torch.equal(before[k], v) for k, v in engine.model.named_parameters())
    assert all(value.requires_grad for value in engine.model.parameters())


def test_what_is_kept_aside_teaches_nothing(engine, said, lessons):
    """The same as if it had never been said."""
    aside = [torch.arange(8) < 6 for _ in lessons]
    alone = list(lessons_of(engine, said.only(np.arange(8) < 6)))
    every = [torch.ones(6, dtype=torch.bool) for _ in alone]
    one = teach(engine.model, lessons, aside, QUICK)
    other = teach(engine.model, alone, every, QUICK)
    for name, value in one.items():
        torch.testing.assert_close(value, other[name], atol=1e-6, rtol=1e-3)


def test_counter_examples_alone_teach_no_outlines(engine, said):
    """They count in the proof; and a field that holds nothing else must not stop the teaching."""
    deleted = said.only(np.arange(8) == 7)
    lessons = list(lessons_of(engine, deleted))
    done = []
    every = [torch.ones(1, dtype=torch.bool) for _ in lessons]
    difference = teach(engine.model, lessons, every, QUICK, done.append)
    assert done == [1, 2, 3]
    assert not any(bool(value.any()) for value in difference.values())
