"""Detector, peaks and both, with the bundled model on discs."""

from dataclasses import replace

import numpy as np
import pytest

from napari_uninuc import Tile, load_predictor
from napari_uninuc.engine.proposers import PeakProposer, ScaledProposer, proposers_of
from napari_uninuc.errors import PromptError


def _embedded(predictor, picture):
    tile = Tile.from_array(picture.rgb)
    return predictor.engine.embed(tile, predictor.engine.fields(tile)[0])


def found_and_right(result, picture) -> tuple[int, int]:
    """Nuclei found, and discs that one of them covers with an IoU above 0.6."""
    right = 0
    for index in range(1, len(picture.centres_yx) + 1):
        truth = picture.labels == index
        ids, counts = np.unique(result.labels[truth], return_counts=True)
        mine = result.labels == ids[counts.argmax()]
        right += bool(ids[counts.argmax()]) and (mine & truth).sum() / (mine | truth).sum() > 0.6
    return len(result.table), right


def test_clicks_on_a_grid_outline_what_they_meet(predictor, discs):
    predictor.set_image(discs.rgb)
    found, right = found_and_right(predictor.segment(0.5, proposer="grid"), discs)
    assert right >= 2  # discs of 20 px every 36 and 38, a click every 32
    assert found <= right + 2


@pytest.mark.parametrize("flips", [False, True])
@pytest.mark.parametrize("name", ["detector", "peaks", "both", "ais", "apg"])
def test_each_proposer_finds_every_disc_once(predictor, discs, name, flips):
    predictor.set_image(discs.rgb)
    result = predictor.segment(proposer=name, flips=flips)
    assert found_and_right(result, discs) == (12, 12)
    ious = result.table["predicted_iou"]
    assert ((ious > 0.3) & (ious <= 1)).all()


@pytest.mark.parametrize("name", ["peaks", "both", "ais", "apg"])
def test_fields_and_mirrors_of_fields_agree_on_where_things_are(small_fields, dense, name):
    small_fields.set_image(dense.rgb)
    assert len(small_fields._pictures[0].fields) > 4
    result = small_fields.segment(proposer=name, flips=True)
    assert found_and_right(result, dense) == (72, 72)


def test_card_chooses_unless_asked(predictor, discs, monkeypatch):
    monkeypatch.setattr(predictor.engine, "card", replace(predictor.card, proposer="peaks"))
    predictor.set_image(discs.rgb)
    with monkeypatch.context() as patch:
        patch.setattr(predictor.engine, "propose", lambda _: pytest.fail("the detector was asked"))
        assert len(predictor.segment().table) == 12
    assert predictor.segment(proposer="detector").table["score"].max() > 0.35


def test_margin_grows_the_prompt_and_not_the_box_told(predictor, discs, monkeypatch):
    predictor.set_image(discs.rgb)
    seen = []
    decode = predictor.engine.decode

    def watched(embedding, prompts):
        seen.append(prompts.boxes_yxyx)
        return decode(embedding, prompts)

    monkeypatch.setattr(predictor.engine, "decode", watched)
    for margin in (0.0, 2.0):
        card = replace(predictor.card, box_margin=margin)
        monkeypatch.setattr(predictor.engine, "card", card)
        predictor.segment()
    assert np.allclose(seen[1] - seen[0], [[-2, -2, 2, 2]], atol=1e-3)


def test_scaled_scores_keep_boxes(predictor, discs):
    embedding = _embedded(predictor, discs)
    peaks = PeakProposer()
    plain, scaled = peaks.propose(embedding), ScaledProposer(peaks, 0.5).propose(embedding)
    assert len(plain) >= 12
    assert np.array_equal(plain.boxes_yxyx, scaled.boxes_yxyx)
    assert np.allclose(scaled.scores, plain.scores / 2)


def test_unknown_names_are_refused(predictor, discs):
    predictor.set_image(discs.rgb)
    with pytest.raises(PromptError, match=r"one of detector, .*apg, .*next-point, got 'nose'"):
        predictor.segment(proposer="nose")


def test_models_without_maps_have_the_detector_only(predictor, discs):
    embedding = _embedded(predictor, discs)
    bare = replace(embedding, embedding=replace(embedding.embedding, auxiliary=None))
    (peaks,) = proposers_of(predictor.engine, "peaks")
    with pytest.raises(PromptError, match="no dense maps"):
        peaks.propose(bare)
    with pytest.raises(PromptError, match="no dense maps"):
        predictor.engine.dense_maps(bare)
    assert bare.nbytes < embedding.nbytes


def test_random_weights_propose_something_finite():
    predictor = load_predictor("uninuc-n", device="cpu", weights=None)
    predictor.set_image(np.full((64, 96, 3), 200, np.uint8))
    result = predictor.segment(0.0, proposer="both", flips=True)
    assert result.labels.shape == (64, 96)


def test_outlines_of_the_maps_lie_where_the_picture_is_finer(predictor, discs):
    twice = np.kron(discs.rgb, np.ones((2, 2, 1), np.uint8))
    predictor.set_image(discs.rgb, mpp=0.25)
    plain = predictor.segment(proposer="ais").labels > 0
    predictor.set_image(twice, mpp=0.125)
    fine = predictor.segment(proposer="ais").labels > 0
    small = fine.reshape(plain.shape[0], 2, plain.shape[1], 2).mean((1, 3)) >= 0.5
    assert (small & plain).sum() / (small | plain).sum() > 0.9


def test_no_threshold_goes_with_outlines_unless_asked(predictor, discs, monkeypatch):
    predictor.set_image(discs.rgb)
    sure = replace(predictor.card, score_threshold=1.0)
    monkeypatch.setattr(predictor.engine, "card", sure)
    assert len(predictor.segment().table) == 0
    assert len(predictor.segment(proposer="apg").table) == 12
    assert len(predictor.segment(1.0, proposer="apg").table) == 0
