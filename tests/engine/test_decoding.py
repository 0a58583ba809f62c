"""Prompts in batches of few sizes: what the CPU's library keeps for a size must not pile up."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import children
from napari_uninuc.core.geometry import Field
from napari_uninuc.core.tile import Tile
from napari_uninuc.engine.automatic import _Seen
from napari_uninuc.engine.decoding import _batches
from napari_uninuc.engine.requests import PromptBatch

STATUS = Path("/proc/self/status")


def boxes_of(count, side=256, seed=0):
    """Boxes of 24 px somewhere in a square; the first ones are the same whatever ``count``."""
    corners = np.random.default_rng(seed).uniform(0, side - 24, (256, 2))[:count]
    return np.concatenate([corners, corners + 24], axis=1).astype(np.float32)


def embedded(engine, side=256):
    pixels = np.random.default_rng(0).integers(90, 240, (side, side, 3), np.uint8)
    whole = (0, 0, side, side)
    return engine.embed(Tile.from_array(pixels, 0.25), Field(0, whole, whole))


def megabytes(name):
    """What the system says of this process: VmRSS, VmData, ..."""
    line = next(each for each in STATUS.read_text().splitlines() if each.startswith(f"{name}:"))
    return int(line.split()[1]) / 1024


def grown_by_sizes():
    """MB by which this process grows when it decodes 1 to 64 prompts, once all is warm."""
    from napari_uninuc import load_predictor

    engine = load_predictor("uninuc-n", device="cpu").engine
    embedding = embedded(engine)

    def decode(count):
        for _ in engine.decode(embedding, PromptBatch.of_boxes(boxes_of(count))):
            pass

    for count in (64, 63, 32, 16, 8, 4, 2, 1):
        decode(count)
    before = megabytes("VmData")
    for count in range(33, 64, 2):
        decode(count)
    return megabytes("VmData") - before


@given(st.integers(0, 700), st.sampled_from([1, 4, 16, 64, 256, 85]))
def test_batches_have_few_sizes_and_hold_every_prompt_once(count, at_once):
    batches = list(_batches(np.arange(count), at_once))
    assert [place for index, real in batches for place in index[:real]] == list(range(count))
    for index, real in batches:
        size = len(index)
        assert size <= at_once
        assert size == at_once or size & (size - 1) == 0
        assert real >= size - size // 4
        assert (index[real:] == index[real - 1]).all()


@pytest.mark.parametrize("count", [3, 7, 50])
def test_an_answer_does_not_depend_on_how_many_were_asked_with_it(predictor, count):
    embedding = embedded(predictor.engine)
    every = PromptBatch.of_boxes(boxes_of(64))
    ((order, all_of_them),) = predictor.engine.decode(embedding, every)
    assert order.tolist() == list(range(64))
    places = []
    for index, some in predictor.engine.decode(embedding, every.take(np.arange(count))):
        places += index.tolist()
        np.testing.assert_array_equal(some.origins_yx, all_of_them.origins_yx[index])
        np.testing.assert_allclose(some.logits, all_of_them.logits[index], atol=0.1)
        np.testing.assert_allclose(some.ious, all_of_them.ious[index], atol=0.01)
    assert places == list(range(count))


@pytest.mark.skipif(not STATUS.exists(), reason="asks the system for its own size, as Linux does")
def test_memory_does_not_grow_with_the_sizes_of_batches():
    """16 numbers of prompts that were never asked before."""
    code = f"import runpy; print(runpy.run_path({__file__!r})['grown_by_sizes']())"
    done = children.run(code)
    assert float(done.stdout) < 100, done.stderr  # 365 with sizes as they come, 27 so


@pytest.mark.parametrize("count", [0, 63, 64, 150])
def test_halves_beside_each_other_are_every_prompt_once_and_as_in_one(predictor, count):
    engine = predictor.engine
    embedding = embedded(engine)
    prompts = PromptBatch.of_boxes(boxes_of(count))
    seen = _Seen(engine, (256, 256), Field(0, (0, 0, 256, 256), (0, 0, 256, 256)), embedding, None)

    def logits(answers):
        places, masks = [], []
        for index, some in answers:
            places += index.tolist()
            masks += list(some.logits)
        assert sorted(places) == list(range(count))
        return [masks[places.index(k)] for k in range(count)]

    engine.dtype = torch.float32
    for ours, alone in zip(
        logits(seen.decode(prompts)), logits(engine.decode(embedding, prompts)), strict=True
    ):
        assert ours.shape == alone.shape
        assert np.allclose(ours, alone, atol=1e-3)


def decoded(engine, embedding, prompts, **options):
    """Logits and IoU of all prompts, in their order."""
    found = [None] * len(prompts)
    for index, masks in engine.decode(embedding, prompts, **options):
        for k, row in enumerate(index.tolist()):
            found[row] = masks.low_res[k], masks.ious[k]
    return [np.stack(each) for each in zip(*found, strict=True)]


def test_a_detectors_boxes_are_decoded_in_the_encoders_precision(predictor):
    engine = predictor.engine
    engine.dtype = torch.float32
    embedding, prompts = embedded(engine), PromptBatch.of_boxes(boxes_of(40))
    logits, ious = decoded(engine, embedding, prompts, by_hand=True)
    before = decoded(engine, embedding, prompts)
    np.testing.assert_array_equal(before[0], logits)
    engine.dtype = torch.bfloat16
    low, low_ious = decoded(engine, embedding, prompts)
    reach = np.ptp(logits, axis=(1, 2, 3), keepdims=True)
    assert 0 < (np.abs(low - logits) / reach).max() < 0.02
    np.testing.assert_allclose(low_ious, ious, atol=0.02)
    again, _ = decoded(engine, embedding, prompts, by_hand=True)
    np.testing.assert_array_equal(again, logits)  # a person's are not
    assert engine.model.sam_mask_decoder.dtype == torch.float32


def test_one_low_decoder_serves_until_the_engine_lets_go(predictor):
    engine = predictor.engine
    made = engine._low.of(engine.model, torch.bfloat16)
    assert engine._low.of(engine.model, torch.bfloat16) is made
    assert made.image_encoder is engine.model.image_encoder
    assert engine._low.of(engine.model, torch.float32) is engine.model
    engine.make_room()
    assert engine._low.of(engine.model, torch.bfloat16) is not made
