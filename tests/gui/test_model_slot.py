"""The model of the window, without one: what it says, and loading it again."""

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from vispy.gloo import gl

from napari_uninuc.errors import CheckpointError
from napari_uninuc.gui.work import model_slot
from napari_uninuc.gui.work.model_slot import InState, ModelSlot
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


@pytest.mark.parametrize("mesa", [True, False])
def test_the_compiler_of_torch_is_hidden_only_beside_another_llvm(monkeypatch, mesa):
    hidden = []

    def load_annotator(*_, **__):
        hidden.append("triton" in sys.modules)
        return FakeAnnotator()

    monkeypatch.delitem(sys.modules, "triton", raising=False)
    monkeypatch.setattr(model_slot, "_has_llvm", lambda: mesa)
    stand_in = SimpleNamespace(load_annotator=load_annotator)
    monkeypatch.setitem(sys.modules, "napari_uninuc.engine.annotator", stand_in)
    model_slot.load_bundled("mine", "cpu")
    assert hidden == [mesa]
    assert "triton" not in sys.modules


def test_software_rendering_brings_llvm(canvas):
    if "llvmpipe" not in gl.glGetParameter(gl.GL_RENDERER):
        pytest.skip("a graphics card draws here")
    assert model_slot._has_llvm()


def test_a_learnt_state_that_cannot_be_had_leaves_the_model_as_it_came():
    asked, told = [], []

    class Worker:
        def submit(self, name, work, *, on_done, on_error, **_):
            try:
                result = work()
            except CheckpointError as problem:
                on_error(problem)
            else:
                on_done(result)

    def load(model, device):
        asked.append(model)
        if isinstance(model, InState):
            raise CheckpointError("taught on other weights")
        return FakeAnnotator()

    slot = ModelSlot(Worker(), load, on_problem=told.append)
    state = InState("mine", Path("state.safetensors"))
    slot.use(state, "auto")
    assert asked == [state, "mine"]
    assert (slot.source, slot.loading, len(told)) == ("mine", False, 1)
    slot.use(state, "auto")
    assert asked[2:] == [state]
    assert slot.source == "mine"


class InStates(FakeAnnotator):
    """A model that can be given another learnt state."""

    def change_state(self, adapter):
        self.states = [*getattr(self, "states", []), adapter]


def test_another_state_of_the_model_in_use_needs_no_loading():
    made = []

    def load(model, device):
        made.append(InStates())
        return made[-1]

    slot = ModelSlot(AtOnce(), load, on_problem=lambda problem: None)
    state = InState("mine", Path("state.safetensors"))
    slot.use("mine", "auto")
    slot.use(state, "auto")
    slot.use("mine", "auto")
    assert len(made) == 1
    assert made[0].states == [state.adapter, None]
    assert slot.source == "mine"
    slot.use(state, "cpu")
    slot.use(InState("other", state.adapter), "cpu")
    assert len(made) == 3


def test_a_model_that_left_its_device_is_loaded_anew_in_its_state():
    made = []

    def load(model, device):
        made.append(InStates())
        return made[-1]

    slot = ModelSlot(AtOnce(), load, on_problem=lambda problem: None)
    slot.use("mine", "auto")
    made[0].notice(FULL)
    slot.use(InState("mine", Path("state.safetensors")), "auto")
    assert len(made) == 2
