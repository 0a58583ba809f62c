"""Simulated people who click, on a network whose answers are set."""

from collections import Counter

import pytest
import torch

from napari_uninuc.network.config import preset
from napari_uninuc.network.prompt_encoder import NEGATIVE, POSITIVE
from napari_uninuc.network.uninuc import WindowPrompts
from napari_uninuc.training.interactive import Targets, upsample
from napari_uninuc.training.rollouts import Rollouts, _near_outline

SIDE, STRIDE = 64, 2
CELLS = SIDE // STRIDE


class Answers:
    """Answers with set logits; `describe` gives each cell its place, `correct` what it is told."""

    def __init__(self, *logits, quality=(0.0, 0.0, 0.0, 0.0), corrected=None):
        self.config = preset("uninuc-n")
        self.logits = torch.stack(logits)[None]
        self.quality = torch.tensor([quality])
        self.corrected = corrected
        self.asked = []

    def decode_uncorrected(self, _embedding, prompts, _shift):
        self.asked.append(prompts)
        n = len(prompts.points_xy)
        return self.logits.expand(n, -1, -1, -1), self.quality.expand(n, -1)

    def correct(self, single, _before, _prompts):
        return single if self.corrected is None else self.corrected.expand_as(single)

    def describe(self, single, _before, _prompts):
        h, w = single.shape[-2:]
        grid = torch.meshgrid(torch.arange(h), torch.arange(w), indexing="ij")
        return torch.stack(grid, dim=-1).expand(len(single), -1, -1, -1)


def disc(y, x, radius, side=CELLS):
    place = torch.arange(float(side))
    return torch.hypot(place[:, None] - y, place[None] - x) < radius


def logits_of(mask, high=5.0):
    return torch.where(mask, high, -high)


NUCLEUS = disc(15, 14, 5)
NOTHING = torch.full((CELLS, CELLS), -5.0)


@pytest.fixture
def targets():
    truth = upsample(logits_of(NUCLEUS)[None, None], SIDE)[:, 0] > 0
    ys, xs = torch.nonzero(truth[0], as_tuple=True)
    box = torch.stack([xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]).float()[None]
    where = torch.zeros(1, dtype=torch.long), torch.zeros(1, 2, dtype=torch.long)
    return Targets(*where, SIDE, truth.float(), box, box)


def rolled(model, targets, start, *, by_hand, corrections=1, seed=0, cells=20):
    generator = torch.Generator().manual_seed(seed)
    rollouts = Rollouts(model, corrections, by_hand, cells, 0.0, torch.no_grad, generator)
    return rollouts.rows(None, targets, start)


@pytest.mark.parametrize(
    ("start", "by_hand", "first"),
    [
        ("centre", False, 1.0),
        ("inside", False, 1.0),
        ("centre", True, 0.0),
        ("loose_box", False, 0.0),
    ],
)
def test_the_protocol_takes_the_best_candidate_of_a_first_click(targets, start, by_hand, first):
    """As SAM's users do; the window shows the single mask."""
    candidates = [NOTHING, logits_of(disc(4, 4, 2)), logits_of(NUCLEUS), NOTHING]
    model = Answers(*candidates, quality=(0.9, 0.2, 0.6, 0.4))
    _, log = rolled(model, targets, start, by_hand=by_hand)
    assert log["iou_first"] == pytest.approx(first, abs=0.01)
    assert log["iou_last"] == 0  # later answers are the single mask


def test_people_see_the_corrected_answer(targets):
    model = Answers(*[NOTHING] * 4, corrected=logits_of(NUCLEUS))
    _, log = rolled(model, targets, "centre", by_hand=False, corrections=2)
    assert log == {"iou_first": 0.0, "iou_last": pytest.approx(1.0)}
    masks = [prompts.masks for prompts in model.asked]
    assert masks[0] is None
    assert (masks[1] < 0).all()
    torch.testing.assert_close(masks[2][0, 0], logits_of(NUCLEUS))


@pytest.mark.parametrize("by_hand", [True, False])
def test_what_is_fed_back_is_clamped(targets, by_hand):
    model = Answers(*[torch.full((CELLS, CELLS), -100.0)] * 4)
    rolled(model, targets, "centre", by_hand=by_hand)
    assert (model.asked[1].masks == -32).all()


def test_pieces_that_nobody_means_are_not_corrected(targets):
    """The answer is right but for a piece far off, which the window does not show."""
    model = Answers(*[logits_of(NUCLEUS | disc(27, 26, 3))] * 4)
    for seed in range(8):
        rolled(model, targets, "centre", by_hand=True, seed=seed)
        assert model.asked[-1].labels[0, -1] == POSITIVE


def test_loose_boxes_are_loose_and_tight_ones_tight(targets):
    model = Answers(*[NOTHING] * 4)
    rolled(model, targets, "tight_box", by_hand=False)
    assert torch.equal(model.asked[0].points_xy[:, :2].flatten(1), targets.boxes_xyxy)
    rolled(model, targets, "loose_box", by_hand=False)
    loose = model.asked[2].points_xy[:, :2].flatten(1)
    shift = (loose - targets.boxes_xyxy).abs() / (
        targets.boxes_xyxy[0, 2] - targets.boxes_xyxy[0, 0]
    )
    assert 0 < float(shift.max()) <= 0.12 + 1e-5


def test_by_hand_most_clicks_are_in_the_middle_of_the_largest_error():
    """A line of 30 px is larger than a square of 25, which is deeper."""
    truth = torch.zeros(1, SIDE, SIDE, dtype=torch.bool)
    truth[0, 20, 10:40] = truth[0, 40:45, 40:45] = True
    clicked = Counter()
    for seed in range(300):
        generator = torch.Generator().manual_seed(seed)
        rollouts = Rollouts(None, 1, True, 20, 0.0, torch.no_grad, generator)
        clicks, labels = rollouts._clicks(torch.zeros_like(truth), truth, None)
        assert labels.tolist() == [[POSITIVE]]
        clicked[tuple(clicks[0, 0].tolist())] += 1
    (place, often), *_ = clicked.most_common(1)
    assert place == (10, 20)  # of a line all pixels are as deep, and the first is taken
    assert often / 300 == pytest.approx(0.7 + 0.3 / 55, abs=0.08)
    assert len(clicked) > 20  # the others fall anywhere in an error


def test_cells_near_an_outline_are_those_within_four():
    logits = torch.full((1, 1, 20, 40), -1.0)
    logits[..., 16:] = 1.0
    near = _near_outline(logits)[0, 0]
    assert near.all(dim=0).nonzero().flatten().tolist() == list(range(12, 20))
    assert torch.equal(near.all(dim=0), near.any(dim=0))
    assert not _near_outline(torch.ones(1, 1, 20, 40)).any()


@pytest.mark.parametrize("label", [POSITIVE, NEGATIVE])
def test_rows_are_of_cells_near_outlines_and_clicks(label):
    """Within four cells of an outline of either answer, or ten px of a click; any may be drawn."""
    before = logits_of(disc(8, 8, 4))[None, None]
    answer = logits_of(torch.zeros(CELLS, CELLS, dtype=torch.bool))[None, None]
    points = torch.tensor([[[46.0, 44.0], [2.0, 60.0]]])
    prompts = WindowPrompts(
        torch.zeros(1, dtype=torch.long),
        torch.zeros(1, 2, dtype=torch.long),
        (8, 8),
        points,
        torch.tensor([[label, -1]]),  # the second point is padding
        before,
    )
    model = Answers(*[NOTHING] * 4)
    rollouts = Rollouts(model, 1, True, 2000, 0.0, torch.no_grad, torch.Generator().manual_seed(0))
    truth = torch.zeros(1, SIDE, SIDE)
    truth[0, :, :32] = 1
    rows = rollouts._sample(answer, before, prompts, truth)
    drawn = set(map(tuple, rows.features.int().tolist()))
    centre = (torch.arange(CELLS) + 0.5) * STRIDE
    click = torch.hypot(centre[:, None] - 44.5, centre[None] - 46.5) < 10
    expected = click | _near_outline(before)[0, 0]
    assert drawn == set(map(tuple, expected.nonzero().tolist()))
    assert len(rows.truth) == int(expected.sum()) == len(drawn)
    ys, xs = rows.features.int().T.long()
    assert torch.equal(rows.truth, (xs < 16).float())
    assert torch.equal(rows.before, before[0, 0][ys, xs])
    assert torch.equal(rows.answer, answer[0, 0][ys, xs])
