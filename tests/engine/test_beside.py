"""A model in a learnt state beside the model as it came: one encoding, two answers."""

from datetime import UTC, datetime

import numpy as np
import pytest
import torch
from skimage import data

from napari_uninuc.core.prompts import Prompt
from napari_uninuc.core.tile import Tile
from napari_uninuc.engine.annotator import load_annotator
from napari_uninuc.engine.beside import LowDecoders
from napari_uninuc.errors import CheckpointError
from napari_uninuc.network.adapter import Adapter, write_adapter
from napari_uninuc.network.adapter_card import AdapterCard, Proof

PROOF = Proof(
    nuclei=4,
    right_before=1,
    right_after=3,
    deleted=0,
    false_before=0,
    false_after=0,
    gain=0.1,
    low=0.05,
    high=0.15,
    confidence=0.98,
)
PROMPT = Prompt().with_point((66, 71), inside=True)


@pytest.fixture(scope="module")
def tile():
    return Tile.from_array(data.immunohistochemistry()[200:328, 100:228], mpp=0.25)


@pytest.fixture
def annotator():
    made = load_annotator("uninuc-n", "cpu", embeddings_gb=0)
    yield made
    made.close()


@pytest.fixture
def learnt(annotator, tmp_path):
    """Write a state that changes the parameters of a name, by so much."""

    def write(beginning, amount=0.05, sha256=None):
        card = AdapterCard(
            name="mine",
            model=annotator.card.id,
            weights_sha256=annotator.card.sha256 if sha256 is None else sha256,
            sessions=("20260101",),
            accepted=1,
            redrawn=1,
            added=1,
            deleted=1,
            proof=PROOF,
            score_threshold=0.3,
            licence=annotator.card.licence,
            commercial_use=annotator.card.commercial_use,
            made=datetime.now(UTC),
            made_by="tests",
        )
        torch.manual_seed(0)
        changed = {
            name: amount * torch.randn_like(value)
            for name, value in annotator.engine.model.named_parameters()
            if name.startswith(beginning)
        }
        assert changed
        write_adapter(Adapter.of(card, changed), tmp_path / "mine.safetensors")
        return tmp_path / "mine.safetensors"

    return write


def logits_of(annotator, tile):
    return annotator.answer(tile, PROMPT).logits.logits


def found_by(annotator, tile):
    (field,) = annotator.fields(tile)
    return [
        (*one.mask.origin_yx, one.mask.area, one.mask.score)
        for one in annotator.segment_field(tile, field, 0.1)
    ]


def test_each_answers_as_if_it_were_alone_and_what_one_encodes_the_other_has(
    annotator, learnt, tile
):
    before = logits_of(annotator, tile), found_by(annotator, tile)
    path = learnt(("detector.class_heads", "sam_mask_decoder.output"))
    state = annotator.beside(path)
    assert (state.card.learnt, state.card.score_threshold) == ("mine", 0.3)
    assert annotator.card.learnt == ""
    (field,) = state.fields(tile)
    assert state.encode(tile, field) == 0.0
    alone = load_annotator("uninuc-n", "cpu", embeddings_gb=0, adapter=path)
    np.testing.assert_array_equal(logits_of(state, tile), logits_of(alone, tile))
    assert found_by(state, tile) == found_by(alone, tile)
    assert state.card == alone.card
    alone.close()
    assert not np.array_equal(logits_of(state, tile), before[0])
    np.testing.assert_array_equal(logits_of(annotator, tile), before[0])
    assert found_by(annotator, tile) == before[1]

    other = Tile.from_array(tile.rgb[::-1].copy(), mpp=0.25)
    assert state.encode(other, field) > 0.0
    assert annotator.encode(other, field) == 0.0


def test_weights_that_nobody_taught_are_in_memory_once(annotator, learnt, tile):
    state = annotator.beside(learnt("detector.class_heads"))
    own = dict(annotator.engine.model.named_parameters())
    for name, value in state.engine.model.named_parameters():
        assert value.data_ptr() == own[name].data_ptr()
        assert value is not own[name]  # one may go to another device alone
    (field,) = state.fields(tile)
    answering = state.engine.model_for(state.engine.embed(tile, field))
    for name, value in answering.named_parameters():
        shared = value.data_ptr() == own[name].data_ptr()
        assert shared != name.startswith("detector.")


def test_a_device_that_is_full_for_one_is_not_for_the_other(annotator, learnt, tile):
    state = annotator.beside(learnt("detector.class_heads"))
    before = logits_of(annotator, tile)
    state.engine.move_to(torch.device("cpu"))
    assert state.engine.cache is annotator.engine.cache
    np.testing.assert_array_equal(logits_of(annotator, tile), before)
    assert logits_of(state, tile).shape == before.shape


@pytest.mark.parametrize(
    ("beginning", "sha256", "told"),
    [
        ("image_encoder.", None, "in this shape or place"),
        ("detector.class_heads", "ab" * 32, "was taught on"),
    ],
)
def test_states_that_cannot_stand_beside_it_are_refused(annotator, learnt, beginning, sha256, told):
    before = [value.clone() for value in annotator.engine.model.parameters()]
    with pytest.raises(CheckpointError, match=told):
        annotator.beside(learnt(beginning, sha256=sha256))
    assert all(map(torch.equal, before, annotator.engine.model.parameters()))


def test_a_decoder_in_low_precision_follows_weights_that_change_where_they_lie(annotator):
    model, low = annotator.engine.model, LowDecoders()
    assert low.of(model, torch.float32) is model
    made = low.of(model, torch.bfloat16)
    assert low.of(model, torch.bfloat16) is made
    bias = model.sam_mask_decoder.refine.layers[-1].bias
    with torch.no_grad():
        bias.add_(1)
    assert torch.equal(
        low.of(model, torch.bfloat16).sam_mask_decoder.refine.layers[-1].bias, bias.bfloat16()
    )
