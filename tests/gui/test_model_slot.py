"""The model of the window, without one: what it says, and loading it again."""

from napari_uninuc.gui.work.model_slot import ModelSlot
from napari_uninuc.testing import FakeAnnotator

FULL = "Fake GPU ran out of memory: computing on the CPU now. Load the model again to go back."


class AtOnce:
    """A worker that does what it is given while it is given."""

    def submit(self, name, work, *, on_done, **_):
        on_done(work())


def make_slot():
    made = []

    def load(model, device):
        made.append(FakeAnnotator())
        return made[-1]

    return ModelSlot(AtOnce(), load, on_problem=lambda problem: None), made


def test_a_model_is_loaded_once():
    slot, made = make_slot()
    slot.use("mine", "auto")
    slot.use("mine", "auto")
    assert len(made) == 1


def test_a_model_that_left_a_full_gpu_can_be_loaded_again_as_it_says():
    slot, made = make_slot()
    slot.use("mine", "auto")
    made[0].notice(FULL)
    assert slot.take_notices() == [FULL]
    assert slot.take_notices() == []
    slot.use("mine", "auto")
    assert len(made) == 2
    assert made[0].closed
    assert not made[1].closed
    slot.use("mine", "auto")
    assert len(made) == 2
