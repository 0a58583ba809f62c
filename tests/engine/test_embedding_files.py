"""A picture opened again needs no encoder, and gives the same masks."""

import os

import numpy as np
import pytest
import torch

from napari_uninuc.engine.cache import EmbeddingCache
from napari_uninuc.engine.embedding_files import wait_for_writes
from napari_uninuc.engine.embedding_store import EmbeddingStore

BOX = np.array([12.0, 10.0, 33.0, 31.0])


@pytest.fixture
def stored(predictor, tmp_path):
    engine = predictor.engine
    engine.store = EmbeddingStore(tmp_path / "embeddings", 10**9)
    yield predictor
    wait_for_writes()
    engine.store = None


def reopened(predictor, rgb):
    """As in another process: nothing is left in memory."""
    wait_for_writes()
    predictor.engine.cache = EmbeddingCache(predictor.engine.cache.max_bytes)
    predictor.set_image(rgb, mpp=0.25)


def test_reopening_runs_no_encoder_and_changes_no_number(stored, discs, count_encodes):
    stored.set_image(discs.rgb, mpp=0.25)
    before = stored.predict(box=BOX, return_logits=True)
    labels = stored.segment().labels
    assert len(count_encodes) == 1
    reopened(stored, discs.rgb)
    after = stored.predict(box=BOX, return_logits=True)
    assert len(count_encodes) == 1
    for one, other in zip(before, after, strict=True):
        np.testing.assert_array_equal(one, other)
    again = stored.segment()
    np.testing.assert_array_equal(again.labels, labels)
    assert again.timings["encode"] == 0
    assert len(count_encodes) == 1


def test_a_damaged_file_is_computed_again(stored, discs, count_encodes):
    stored.set_image(discs.rgb, mpp=0.25)
    wait_for_writes()
    (path,) = stored.engine.store.folder.glob("*.embedding")
    path.write_bytes(path.read_bytes()[:-5])
    reopened(stored, discs.rgb)
    assert len(count_encodes) == 2
    reopened(stored, discs.rgb)
    assert len(count_encodes) == 2


def test_a_whole_file_without_the_maps_is_computed_again(stored, discs, count_encodes):
    stored.set_image(discs.rgb, mpp=0.25)
    before = stored.predict(box=BOX, return_logits=True)
    wait_for_writes()
    engine = stored.engine
    (field,) = stored._pictures[0].fields
    key = engine.embed(stored._pictures[0].tile, field).key
    assert engine.store.write(key, {"of another version": torch.zeros(3)})
    reopened(stored, discs.rgb)
    assert len(count_encodes) == 2
    after = stored.predict(box=BOX, return_logits=True)
    for one, other in zip(before, after, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_full_disk_changes_no_answer(stored, discs, monkeypatch, caplog):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    stored.set_image(discs.rgb, mpp=0.25)
    masks, _, _ = stored.predict(box=BOX)
    wait_for_writes()
    assert masks[0, 20, 22]
    assert not list(stored.engine.store.folder.iterdir())
    assert [record.message for record in caplog.records] == [
        f"embeddings are not kept from here on: {stored.engine.store.folder}: "
        "No space left on device"
    ]


def test_another_picture_is_another_embedding(stored, discs, count_encodes):
    stored.set_image(discs.rgb, mpp=0.25)
    changed = discs.rgb.copy()
    changed[0, 0, 0] ^= 1
    reopened(stored, changed)
    assert len(count_encodes) == 2


def test_without_a_store_nothing_is_written(predictor, discs, tmp_path):
    predictor.set_image(discs.rgb, mpp=0.25)
    wait_for_writes()
    assert not list(tmp_path.iterdir())
