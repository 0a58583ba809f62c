"""What the card says of the IoU to be expected is said of automatic outlines, and of no others."""

from dataclasses import replace

import numpy as np
import pytest

from napari_uninuc.core.tile import Tile
from napari_uninuc.network.card import ExpectedIou

RULE = ExpectedIou(bias=0.2, score=0.7, predicted=0.3)


@pytest.fixture
def told(predictor, discs):
    """Tables and box answers without and with a rule on the card."""
    card = predictor.engine.card
    answers = {}
    for name, rule in (("raw", None), ("expected", RULE)):
        predictor.engine.card = replace(card, expected_iou=rule)
        predictor.set_image(discs.rgb)
        table = predictor.segment().table
        y, x = discs.centres_yx[0]
        box = np.array([x - 12, y - 12, x + 12, y + 12])
        answers[name] = (table, predictor.predict(box=box)[1], predictor.segment(proposer="peaks"))
    predictor.engine.card = card
    return answers


def test_automatic_outlines_only(told):
    raw, expected = told["raw"], told["expected"]
    pairs = zip(raw[0]["score"], raw[0]["predicted_iou"], strict=True)
    assert expected[0]["predicted_iou"].tolist() == pytest.approx([RULE.of(*p) for p in pairs])
    assert len(raw[0]) > 0
    assert expected[0].drop(columns="predicted_iou").equals(raw[0].drop(columns="predicted_iou"))
    assert np.array_equal(expected[1], raw[1])  # a person's box is judged as it was


def test_scores_of_peaks_are_another_matter(told):
    assert told["expected"][2].table.equals(told["raw"][2].table)


def test_on_immunohistochemistry_the_rule_may_say_something_else(predictor, discs):
    engine, card = predictor.engine, predictor.engine.card
    tables = {}
    for name, brown in (("one for all", 0.0), ("less on brown", -1.0)):
        engine.card = replace(card, expected_iou=replace(RULE, brown=brown))
        for is_brown in (False, True):
            predictor.set_image(replace(Tile.from_array(discs.rgb, 0.25), brown=is_brown))
            tables[name, is_brown] = predictor.segment().table
    engine.card = card
    assert tables["one for all", False].equals(tables["less on brown", False])
    both = [tables[name, True]["predicted_iou"] for name in ("one for all", "less on brown")]
    assert len(both[0]) == len(both[1]) > 0
    odds = [np.log(one / (1 - one)) for one in both]
    assert (odds[0] - odds[1]).tolist() == pytest.approx([1.0] * len(both[0]))
