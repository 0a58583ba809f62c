"""The model of the window, without one: what it says, and loading it again."""

import sys
from types import SimpleNamespace

import pytest
from vispy.gloo import gl

from napari_uninuc.gui.work import model_slot
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
