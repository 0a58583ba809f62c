"""What is done ahead ends when somebody wants something, and goes on after."""

from threading import Event

import numpy as np
import pytest
import torch
from torch import nn

from napari_uninuc.core.geometry import plan_fields
from napari_uninuc.core.prompts import Prompt
from napari_uninuc.core.tile import Tile
from napari_uninuc.engine import prefetch as module_of_prefetch
from napari_uninuc.engine.annotator import TorchAnnotator
from napari_uninuc.engine.prefetch import Prefetcher, interruptible, neighbours_of


class Gate(nn.Module):
    """Two layers; the first says that it began, and waits."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(1, 1), nn.Linear(1, 1))
        self.began, self.release, self.passed = Event(), Event(), []
        self.layers[0].register_forward_hook(self._wait)
        self.layers[1].register_forward_hook(lambda *_: self.passed.append(1))

    def _wait(self, *_):
        self.began.set()
        assert self.release.wait(120)

    def forward(self, x):
        return self.layers(x)


@pytest.fixture
def ahead():
    made = Prefetcher(quiet_s=0.0)
    yield made
    made.close()


def test_all_is_done_in_order_when_nobody_asks(ahead):
    done = []
    ahead.plan([lambda n=n: done.append(n) for n in range(5)])
    assert done == []
    ahead.go_on()
    ahead.join()
    assert done == [0, 1, 2, 3, 4]


def test_a_question_ends_it_before_the_next_layer_and_it_begins_again_later(ahead):
    gate = Gate()
    interruptible(gate)
    ahead.plan([lambda: gate(torch.zeros(1, 1))])
    ahead.go_on()
    assert gate.began.wait(120)
    ahead.interrupt()
    gate.release.set()
    ahead.join()
    assert gate.passed == []
    ahead.go_on()
    ahead.join()
    assert gate.passed == [1]


def test_a_gpu_gets_one_layer_at_a_time_and_a_question_none(ahead, monkeypatch):
    seen = []
    monkeypatch.setattr(module_of_prefetch, "wait_for", lambda device: seen.append(device.type))
    gate = Gate()
    gate.release.set()
    interruptible(gate)
    ahead.plan([lambda: gate(torch.zeros(1, 1))])
    ahead.go_on()
    ahead.join()
    assert seen == ["cpu", "cpu"]  # once for each layer
    gate(torch.zeros(1, 1))  # somebody's question
    assert len(seen) == 2


def test_other_threads_are_not_interrupted(ahead):
    gate = Gate()
    gate.release.set()
    interruptible(gate)
    ahead.interrupt()
    gate(torch.zeros(1, 1))
    assert gate.passed == [1]


def test_what_fails_is_left_out_and_fails_nobody(ahead):
    done = []

    def fails():
        raise RuntimeError("shapes do not match")

    ahead.plan([fails, lambda: done.append(1)])
    ahead.go_on()
    ahead.join()
    assert done == [1]


def test_after_closing_nothing_begins(ahead):
    done = []
    ahead.plan([lambda: done.append(1)])
    ahead.close()
    ahead.go_on()
    ahead.join()
    assert done == []


def test_neighbours_share_a_border():
    fields = plan_fields((300, 300), 120, 10)
    side = round(len(fields) ** 0.5)
    assert side**2 == len(fields) > 4
    corner, middle = neighbours_of(fields[0], fields), neighbours_of(fields[side + 1], fields)
    assert sorted(each.index for each in corner) == [1, side]
    assert sorted(each.index for each in middle) == [1, side, side + 2, 2 * side + 1]


def test_the_field_beside_the_shown_one_is_there_before_it_is_asked_for(
    small_fields, dense, count_encodes
):
    annotator = TorchAnnotator(small_fields.engine, ahead=True)
    tile = Tile.from_array(dense.rgb, 0.25)
    fields = annotator.fields(tile)
    annotator.encode(tile, fields[0])
    annotator._ahead.join()
    beside = neighbours_of(fields[0], fields)
    assert len(count_encodes) == 1 + len(beside) > 1
    assert [annotator.encode(tile, each) for each in beside] == [0.0] * len(beside)
    annotator.close()


def test_the_detector_has_looked_at_what_is_shown_before_the_first_click(
    small_fields, dense, monkeypatch
):
    engine = small_fields.engine
    engine._found.clear()
    annotator = TorchAnnotator(engine, ahead=True)
    tile = Tile.from_array(dense.rgb, 0.25)
    fields = annotator.fields(tile)
    shown, beside = fields[0], neighbours_of(fields[0], fields)
    annotator.encode(tile, shown)
    annotator._ahead.join()
    monkeypatch.setattr(engine, "detected", lambda embedding: pytest.fail("looked again"))
    assert len(engine.propose(engine.embed(tile, shown))) > 0
    for field in beside:
        engine.propose(engine.embed(tile, field))
    annotator.close()


def test_of_a_picture_of_several_fields_all_have_been_looked_at(small_fields, dense, monkeypatch):
    engine = small_fields.engine
    engine._found.clear()
    annotator = TorchAnnotator(engine, ahead=True)
    tile = Tile.from_array(dense.rgb, 0.25)
    for field in annotator.fields(tile):
        annotator.encode(tile, field)
    annotator._ahead.join()
    monkeypatch.setattr(engine, "detected", lambda embedding: pytest.fail("looked again"))
    assert len(annotator.fields(tile)) > 1
    for field in annotator.fields(tile):
        engine.propose(engine.embed(tile, field))
    annotator.close()


def test_looking_at_others_does_not_cost_the_field_shown_its_place(small_fields, dense):
    engine = small_fields.engine
    engine._found.clear()
    engine.cache.clear()
    annotator = TorchAnnotator(engine, ahead=True)
    tile = Tile.from_array(dense.rgb, 0.25)
    fields = annotator.fields(tile)
    shown, beside = fields[0], neighbours_of(fields[0], fields)
    far = [each for each in fields[1:] if each not in beside]
    assert far
    for field in (*far, shown):
        engine.embed(tile, field)
    engine.cache.max_bytes = engine.cache.nbytes  # a neighbour takes the place of another
    annotator.encode(tile, shown)
    annotator._ahead.join()
    assert engine.holds(tile, shown)
    assert not engine.holds(tile, far[0])
    annotator.close()


def test_looking_ends_between_two_layers(small_fields, dense, monkeypatch):
    engine = small_fields.engine
    tile = Tile.from_array(dense.rgb, 0.25)
    embedding = engine.embed(tile, engine.fields(tile)[0])
    stop = Event()
    monkeypatch.setattr(module_of_prefetch._of_thread, "stop", stop, raising=False)
    assert len(engine.detected(embedding)) > 0
    stop.set()
    with pytest.raises(module_of_prefetch._InterruptedError):
        engine.detected(embedding)


def test_a_click_is_answered_while_something_is_done_ahead(small_fields, dense):
    annotator = TorchAnnotator(small_fields.engine, ahead=True)
    tile = Tile.from_array(dense.rgb, 0.25)
    annotator.encode(tile, annotator.fields(tile)[0])
    for centre in dense.centres_yx[:3]:
        answer = annotator.answer(tile, Prompt().with_point(centre, True))
        y, x = np.subtract(centre, answer.mask.origin_yx).astype(int)
        assert answer.mask.mask[y, x]
    annotator.close()
