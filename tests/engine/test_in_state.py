"""A learnt state acts where a field looks like what it was taught on, and nowhere else."""

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
import torch

from napari_uninuc.core.tile import Tile
from napari_uninuc.engine.appearance import Appearance, appearance_of, likeness
from napari_uninuc.engine.embedding import TileEmbedding
from napari_uninuc.engine.in_state import stored
from napari_uninuc.engine.loading import load_engine
from napari_uninuc.engine.requests import PromptBatch
from napari_uninuc.engine.states import change_state, in_state, put_into, share_on
from napari_uninuc.errors import CheckpointError
from napari_uninuc.network.adapter import Adapter, Looks
from napari_uninuc.network.adapter_card import AdapterCard, Proof
from napari_uninuc.testing import make_tile

BIAS = "sam_mask_decoder.refine.layers.4.bias"
PROOF = Proof(
    nuclei=10,
    right_before=1,
    right_after=9,
    deleted=0,
    false_before=0,
    false_after=0,
    better=9,
    gain=0.3,
    low=0.2,
    high=0.4,
    confidence=0.98,
)


@pytest.fixture(scope="module")
def engine():
    made = load_engine("uninuc-n", "cpu")
    made.dtype = torch.float32
    return made


@pytest.fixture(scope="module")
def tissue():
    return make_tile((128, 128), n_nuclei=8)


@pytest.fixture(scope="module")
def embedding(engine, tissue):
    return engine.embed(tissue.tile, engine.fields(tissue.tile)[0])


def adapter(engine, difference, looks):
    card = AdapterCard(
        name="mine",
        model=engine.card.id,
        weights_sha256=engine.card.sha256,
        sessions=("one",),
        accepted=10,
        redrawn=0,
        added=0,
        deleted=0,
        proof=PROOF,
        score_threshold=0.4,
        licence="research",
        commercial_use=False,
        made=datetime.now(UTC),
        made_by="napari-uninuc",
    )
    return Adapter.of(card, difference, looks)


def shifted(engine, looks, by=2.0):
    return adapter(engine, {BIAS: torch.full((1,), by)}, looks)


def logits(engine, embedding):
    boxes = PromptBatch.of_boxes(np.array([[40, 40, 60, 60]], np.float32))
    ((_, answers),) = engine.decode(embedding, boxes)
    return answers.logits[0, 0]


def far(looks):
    return Looks(-looks.features, looks.colours)


def between(own, share):
    """Looks from which `own` is so far that a share of the state is used."""
    apart = 0.65 - share * 0.25
    return Appearance(own.features * (2 + apart) / (2 - apart), own.colours)


def test_a_field_is_as_like_itself_as_can_be(embedding):
    own = appearance_of(embedding)
    assert likeness(own, own) == 1
    assert own.features.dtype == own.colours.dtype == np.float32
    assert len(own) == 1


@pytest.mark.parametrize("share", [0.25, 0.5, 0.75])
def test_likeness_falls_with_the_distance(embedding, share):
    own = appearance_of(embedding)
    assert likeness(own, between(own, share)) == pytest.approx(share, abs=0.02)
    both = Appearance.joined([between(own, 0.25), between(own, share)])
    assert likeness(own, both) == pytest.approx(share, abs=0.02)


def test_a_field_in_other_colours_is_not_alike(embedding):
    own = appearance_of(embedding)
    assert likeness(own, Appearance(own.features, own.colours / 3)) == 0


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_so_much_is_used_as_the_field_is_like(engine, embedding, share):
    own = appearance_of(embedding)
    looks = far(stored(own)) if share == 0 else stored(between(own, share))
    before, card = logits(engine, embedding), engine.card
    with in_state(engine, shifted(engine, looks)):
        assert engine.state.share(embedding) == share
        assert engine.card.learnt == "mine"
        after = logits(engine, embedding)
    np.testing.assert_allclose(after - before, 2.0 * share, atol=1e-4)
    np.testing.assert_array_equal(logits(engine, embedding), before)
    assert engine.card == card


def test_a_state_without_looks_is_used_everywhere(engine, embedding):
    before = logits(engine, embedding)
    with in_state(engine, shifted(engine, None)):
        np.testing.assert_allclose(logits(engine, embedding) - before, 2.0, atol=1e-4)


def test_the_original_is_never_changed_and_the_encoder_is_shared(engine, embedding):
    before = {k: v.detach().clone() for k, v in engine.model.named_parameters()}
    with in_state(engine, shifted(engine, stored(appearance_of(embedding)))):
        made = engine.model_for(embedding)
        assert made is not engine.model
        assert made.image_encoder is engine.model.image_encoder
        assert engine.model_for(embedding) is made
    assert all(torch.equal(before[k], v) for k, v in engine.model.named_parameters())
    assert engine.model_for(embedding) is engine.model


def test_a_field_of_another_picture_is_looked_at_itself(engine, embedding, tissue):
    dark = Tile.from_array(255 - tissue.tile.rgb, tissue.tile.mpp, name="dark")
    other = engine.embed(dark, engine.fields(dark)[0])
    with in_state(engine, shifted(engine, stored(appearance_of(embedding)))):
        assert engine.state.share(embedding) == 1
        assert engine.state.share(other) == 0


@pytest.mark.parametrize("name", ["image_encoder.trunk", "no_mem_embed", "nothing"])
def test_a_state_that_would_change_what_is_cached_is_refused(engine, name):
    known = [k for k, _ in engine.model.named_parameters() if k.startswith(name)]
    value = dict(engine.model.named_parameters())[known[0]] if known else torch.zeros(1)
    bad = adapter(engine, {known[0] if known else name: value}, None)
    with pytest.raises(CheckpointError, match="damaged"):
        put_into(engine, bad)
    assert engine.state is None


def test_looks_of_another_size_are_refused(engine):
    looks = Looks(torch.ones(1, 10), torch.ones(1, 6))
    with pytest.raises(CheckpointError, match="damaged"):
        put_into(engine, shifted(engine, looks))
    assert engine.state is None


def test_a_state_is_not_put_upon_a_state(engine, embedding):
    one = shifted(engine, stored(appearance_of(embedding)))
    with in_state(engine, one), pytest.raises(CheckpointError, match="weights as they are"):
        put_into(engine, one)


def test_how_much_of_it_is_used_on_a_picture_can_be_asked(engine, embedding, tissue):
    assert share_on(engine, tissue.tile) is None
    dark = Tile.from_array(255 - tissue.tile.rgb, tissue.tile.mpp, name="dark")
    with in_state(engine, shifted(engine, stored(appearance_of(embedding)))):
        assert share_on(engine, tissue.tile) == 1
        engine.embed(dark, engine.fields(dark)[0])
        assert share_on(engine, dark) == 0
        unseen = Tile.from_array(tissue.tile.rgb[::-1].copy(), tissue.tile.mpp, name="unseen")
        assert share_on(engine, unseen) is None


def test_one_state_takes_the_place_of_another_and_none_gives_the_model_back(engine, embedding):
    before, card = logits(engine, embedding), engine.card
    looks = stored(appearance_of(embedding))
    for by in (1.0, 2.0):
        change_state(engine, shifted(engine, looks, by))
        np.testing.assert_allclose(logits(engine, embedding) - before, by, atol=1e-4)
    bad = adapter(engine, {"nothing": torch.zeros(1)}, looks)
    with pytest.raises(CheckpointError):
        change_state(engine, bad)
    np.testing.assert_allclose(logits(engine, embedding) - before, 2.0, atol=1e-4)
    change_state(engine, None)
    np.testing.assert_array_equal(logits(engine, embedding), before)
    assert (engine.state, engine.card) == (None, card)


def test_of_many_fields_some_are_kept(embedding):
    own = appearance_of(embedding)
    many = Appearance.joined([own] * 300)
    assert len(stored(many).features) == 64


def test_a_field_that_is_embedded_again_is_the_same_field(engine, embedding):
    again = replace(embedding, seconds=0.0)
    assert isinstance(again, TileEmbedding)
    with in_state(engine, shifted(engine, stored(appearance_of(embedding)))):
        assert engine.model_for(again) is engine.model_for(embedding)
