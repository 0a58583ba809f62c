"""A device that runs out of memory: room is made there, then the CPU takes over, and says so."""

from functools import partial

import numpy as np
import pytest
import torch

from napari_uninuc import Tile, load_predictor
from napari_uninuc.core.prompts import Prompt
from napari_uninuc.engine import torch_engine as module_of_engine
from napari_uninuc.engine.annotator import TorchAnnotator, load_annotator
from napari_uninuc.engine.device import is_out_of_memory, room_for_embeddings, wait_for
from napari_uninuc.engine.full_device import where_it_fits
from napari_uninuc.engine.loading import load_engine, untrained_engine
from napari_uninuc.engine.prefetch import Prefetcher
from napari_uninuc.engine.torch_engine import TorchEngine
from napari_uninuc.errors import DeviceError

FULL = "CUDA out of memory. Tried to allocate 2.00 GiB"
GPU = torch.device("cuda:0")


@pytest.fixture
def engine():
    """A model of chance on a device that says it is a GPU; what it computes is the CPU's."""
    made = untrained_engine("uninuc-n", "cpu")
    made.device = GPU
    return made


@pytest.fixture
def tile(discs):
    return Tile.from_array(discs.rgb, 0.25)


def full(times=None):
    """Work that finds no memory on a GPU, always or so many times; and where it was done."""
    where = []

    def work(engine):
        where.append(engine.device.type)
        if engine.device.type == "cuda" and (times is None or len(where) <= times):
            raise torch.OutOfMemoryError(FULL)
        return engine.device.type

    return work, where


def test_room_is_made_on_the_gpu_before_it_is_left(engine, tile):
    engine.device = torch.device("cpu")
    engine.embed(tile, engine.fields(tile)[0])
    engine.device = GPU
    at_once = engine._pixels_at_once
    assert engine.cache.nbytes > 0
    told = []
    work, where = full(times=1)
    assert where_it_fits(engine, work, told.append) == "cuda"
    assert (where, told) == (["cuda", "cuda"], [])
    assert (engine.cache.nbytes, len(engine.cache)) == (0, 0)
    assert engine._pixels_at_once < at_once


def test_the_cpu_takes_over_once_and_for_good(engine):
    told, stopped = [], []
    work, where = full()
    stop = partial(stopped.append, 1)
    assert where_it_fits(engine, work, told.append, stop) == "cpu"
    assert where_it_fits(engine, work, told.append, stop) == "cpu"
    assert where == ["cuda", "cuda", "cpu", "cpu"]
    assert len(stopped) == 2
    assert len(told) == 1
    assert "cuda:0 ran out of memory: computing on the CPU now" in told[0]


def test_the_cpu_makes_room_too_and_then_says_so():
    engine = untrained_engine("uninuc-n", "cpu")
    tries = []

    def work(engine):
        tries.append(engine._pixels_at_once)
        raise MemoryError

    with pytest.raises(DeviceError, match="not enough memory"):
        where_it_fits(engine, work, pytest.fail)
    assert len(tries) == 2
    assert tries[1] < tries[0]


@pytest.mark.parametrize(
    ("text", "is_memory"),
    [
        (FULL, True),
        ("CUDA error: out of memory", True),
        ("MPS backend out of memory (MPS allocated: 8.96 GB, max allowed: 9.07 GB)", True),
        ("cuDNN error: CUDNN_STATUS_ALLOC_FAILED", True),
        ("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`", True),
        ("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory", True),
        ("mat1 and mat2 shapes cannot be multiplied", False),
        ("CUDA error: device-side assert triggered", False),
    ],
)
def test_what_devices_say_when_they_are_full(text, is_memory):
    assert is_out_of_memory(RuntimeError(text)) == is_memory


def test_prompts_answered_before_the_memory_ran_out_are_not_asked_again(discs, monkeypatch):
    predictor = load_predictor("uninuc-n", device="cpu", weights=None)
    predictor.set_image(discs.rgb, mpp=0.25)
    predictor.engine._pixels_at_once = 4 * 64 * 64
    boxes = np.array([[x - 9, y - 9, x + 9, y + 9] for y, x in discs.centres_yx])
    before = predictor.predict(box=boxes, return_logits=True)
    decode, asked = predictor.engine.model.decode, []

    def crowded(embedding, prompts, shift, **options):
        asked.append(len(prompts.points_xy))
        if len(asked) == 2:
            raise RuntimeError(FULL)
        return decode(embedding, prompts, shift, **options)

    monkeypatch.setattr(predictor.engine.model, "decode", crowded)
    after = predictor.predict(box=boxes, return_logits=True)
    assert asked == [4, 4] + [1] * 8
    for one, other in zip(before, after, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)


def test_a_predictor_goes_to_the_cpu_and_warns(discs, monkeypatch):
    predictor = load_predictor("uninuc-n", device="cpu", weights=None)
    predictor.engine.device = GPU
    embed = TorchEngine.embed

    def crowded(engine, *field):
        if engine.device.type == "cuda":
            raise RuntimeError(FULL)
        return embed(engine, *field)

    monkeypatch.setattr(TorchEngine, "embed", crowded)
    with pytest.warns(RuntimeWarning, match="ran out of memory: computing on the CPU"):
        predictor.set_image(discs.rgb, mpp=0.25)
    assert predictor.device.type == "cpu"
    assert len(predictor.segment(score_threshold=0.0).table)


def test_nothing_planned_goes_to_a_full_gpu(dense, monkeypatch):
    engine = untrained_engine("uninuc-n", "cpu")
    monkeypatch.setattr(engine, "config", _small(engine.config))
    annotator = TorchAnnotator(engine, ahead=True)
    tile = Tile.from_array(dense.rgb, 0.25)
    fields = annotator.fields(tile)
    embed, where = TorchEngine.embed, []

    def crowded(engine, *field):
        where.append(engine.device.type)
        if engine.device.type == "cuda":
            raise RuntimeError(FULL)
        return embed(engine, *field)

    annotator.encode(tile, fields[0])
    monkeypatch.setattr(TorchEngine, "embed", crowded)
    annotator.engine.device = GPU
    annotator.answer(tile, Prompt().with_point((20.0, 20.0), True))
    annotator._ahead.join()
    annotator.close()
    assert where[:3] == ["cuda", "cuda", "cpu"]
    assert len(where) > 4
    assert set(where[2:]) == {"cpu"}


def _small(config):
    from dataclasses import replace

    return replace(config, input_size=160, halo=40)


def test_what_is_done_ahead_stops_where_memory_ends():
    ahead, done = Prefetcher(quiet_s=0.0), []

    def fails():
        raise RuntimeError(FULL)

    ahead.plan([partial(done.append, 1), fails, partial(done.append, 2)])
    ahead.go_on()
    ahead.join()
    ahead.go_on()
    ahead.join()
    ahead.close()
    assert done == [1]


def test_what_was_said_while_loading_is_heard_by_the_first_who_listens(monkeypatch):
    move = TorchEngine.move_to

    def crowded(engine, device):
        if device.type == "cuda":
            raise RuntimeError(FULL)
        move(engine, device)

    monkeypatch.setattr(TorchEngine, "move_to", crowded)
    monkeypatch.setattr("napari_uninuc.engine.loading.choose_device", lambda name: GPU)
    told = []
    assert load_engine("uninuc-n", notice=told.append).device.type == "cpu"
    annotator = load_annotator("uninuc-n")
    assert annotator.device_name == "CPU"
    later = []
    annotator.notice = later.append
    annotator.notice = pytest.fail
    annotator.close()
    assert told == later
    assert len(told) == 1
    assert "computing on the CPU" in told[0]


GB = 1024**3


@pytest.mark.parametrize(("card", "kept"), [(4 * GB, GB), (6 * GB, 1.5 * GB), (80 * GB, 2 * GB)])
def test_a_small_gpu_keeps_fewer_embeddings(monkeypatch, card, kept):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (card // 8, card))
    monkeypatch.setattr(torch.mps, "recommended_max_memory", lambda: card)
    assert room_for_embeddings(torch.device("cuda", 0)) == kept
    assert room_for_embeddings(torch.device("mps")) == kept
    assert room_for_embeddings(torch.device("cpu")) == 2 * GB


def test_a_gpu_that_cannot_be_asked_keeps_what_a_cpu_keeps(monkeypatch):
    def refuses(device):
        raise RuntimeError("CUDA error: out of memory")

    monkeypatch.setattr(torch.cuda, "mem_get_info", refuses)
    assert room_for_embeddings(torch.device("cuda")) == 2 * GB


def test_the_room_changes_with_the_device(monkeypatch):
    engine = untrained_engine("uninuc-n", "cpu")
    assert engine.cache.max_bytes == 2 * GB
    monkeypatch.setattr(module_of_engine, "room_for_embeddings", lambda device: 8)
    engine.move_to(torch.device("cpu"))
    assert (engine.cache.max_bytes, engine._detection.max_bytes) == (8, 2)


def test_waiting_for_a_gpu_is_waiting_for_what_this_thread_asked_of_it(monkeypatch):
    waited = []

    class Stream:
        def __init__(self, device):
            self.device = device

        def synchronize(self):
            waited.append(self.device.type)

    monkeypatch.setattr(torch.cuda, "current_stream", Stream)
    monkeypatch.setattr(torch.mps, "synchronize", lambda: waited.append("mps"))
    for device in (GPU, torch.device("cpu"), torch.device("mps")):
        wait_for(device)
    assert waited == ["cuda", "mps"]
