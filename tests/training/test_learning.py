import numpy as np
import pytest
import torch

from napari_uninuc.core.examples import Corrections, Example, Kind
from napari_uninuc.engine.loading import load_engine
from napari_uninuc.testing import make_tile
from napari_uninuc.training.learning import Teaching, difference_added, taught, teach
from napari_uninuc.training.lessons import lessons_of

QUICK = Teaching(steps=3)


@pytest.fixture(scope="module")
def engine():
    made = load_engine("uninuc-n", "cpu")
    made.dtype = torch.float32
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
    return [torch.ones(len(each.which), dtype=torch.bool) for each in lessons]


def test_a_picture_is_taught_as_it_is_segmented_itself_and_in_its_mirror(lessons, said):
    assert len(lessons) == 2
    here, there = lessons
    assert here.which.tolist() == there.which.tolist() == list(range(8))
    assert here.is_nucleus.tolist() == [True] * 7 + [False]
    torch.testing.assert_close(here.boxes_cxcywh[:, 0], 128 - there.boxes_cxcywh[:, 0])
    torch.testing.assert_close(here.boxes_cxcywh[:, 1:], there.boxes_cxcywh[:, 1:])
    areas = [each.mask.sum() for each in said.examples]
    for lesson in lessons:
        for which, _, targets in lesson.targets:
            drawn = targets.truth.sum(dim=(1, 2)).tolist()
            assert drawn == [areas[k] for k in which.tolist()]
            assert not (which == 7).any()


def test_teaching_changes_its_parts_alone_and_leaves_the_model_as_it_was(engine, lessons):
    before = {k: v.detach().clone() for k, v in engine.model.named_parameters()}
    difference = teach(engine.model, lessons, everything(lessons), QUICK)
    assert difference.keys() == taught(engine.model, QUICK).keys()
    assert any(bool(value.any()) for value in difference.values())
    assert all(torch.equal(before[k], v) for k, v in engine.model.named_parameters())
    with difference_added(engine.model, difference):
        changed = [k for k, v in engine.model.named_parameters() if not torch.equal(before[k], v)]
    assert set(changed) <= difference.keys()
    assert not any(name.startswith(("image_encoder", "correction")) for name in difference)
    assert all(torch.equal(before[k], v) for k, v in engine.model.named_parameters())


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
    aside = [each.which < 6 for each in lessons]
    without = said.only(np.arange(8) < 6)
    alone = list(lessons_of(engine, without))
    one = teach(engine.model, lessons, aside, QUICK)
    other = teach(engine.model, alone, everything(alone), QUICK)
    for name, value in one.items():
        torch.testing.assert_close(value, other[name], atol=1e-6, rtol=1e-3)
