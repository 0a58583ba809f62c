import itertools

import pytest
import torch
from transformers.loss.loss_lw_detr import LwDetrHungarianMatcher

from napari_uninuc.training.losses import pair_iou, xyxy
from napari_uninuc.training.matcher import MatchCosts, cross_giou, match_queries


def _boxes(n: int) -> torch.Tensor:
    return torch.cat([torch.rand(n, 2), torch.rand(n, 2) * 0.3 + 0.01], dim=1)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(("queries", "objects"), [(30, 7), (5, 12), (1, 1)])
def test_matches_equal_transformers(seed: int, queries: int, objects: int) -> None:
    torch.manual_seed(seed)
    logits, boxes = torch.randn(queries, 3) * 3, _boxes(queries)
    truth, classes = _boxes(objects), torch.randint(0, 3, (objects,))
    matcher = LwDetrHungarianMatcher(class_cost=2.0, bbox_cost=5.0, giou_cost=2.0)
    ((rows, columns),) = matcher(
        {"logits": logits[None], "pred_boxes": boxes[None]},
        [{"class_labels": classes, "boxes": truth}],
        group_detr=1,
    )
    ours = match_queries(logits, boxes, truth, classes)
    assert torch.equal(ours[0], rows)
    assert torch.equal(ours[1], columns)


def test_total_cost_is_the_least_of_all_assignments() -> None:
    """By trying all of them, with box distances alone as cost."""
    torch.manual_seed(3)
    boxes, truth = _boxes(5), _boxes(4)
    costs = MatchCosts(classification=0.0, giou=0.0)
    rows, columns = match_queries(
        torch.zeros(5, 1), boxes, truth, torch.zeros(4, dtype=torch.long), costs
    )
    distance = torch.cdist(boxes, truth, p=1)
    least = min(
        sum(distance[q, k].item() for k, q in enumerate(order))
        for order in itertools.permutations(range(5), 4)
    )
    assert distance[rows, columns].sum().item() == pytest.approx(least, rel=1e-5)


def test_no_objects_and_sure_queries() -> None:
    none = torch.zeros(0, 4), torch.zeros(0, dtype=torch.long)
    rows, columns = match_queries(torch.zeros(3, 1), _boxes(3), *none)
    assert len(rows) == len(columns) == 0
    sure = torch.tensor([[-200.0], [200.0]])  # probabilities of exactly 0 and 1
    truth = _boxes(1)
    rows, _ = match_queries(sure, truth.expand(2, 4), truth, torch.zeros(1, dtype=torch.long))
    assert rows.tolist() == [1]


def test_giou_of_all_pairs_is_that_of_each_pair() -> None:
    torch.manual_seed(0)
    a, b = xyxy(_boxes(4)), xyxy(_boxes(3))
    table = cross_giou(a, b)
    for i, j in itertools.product(range(4), range(3)):
        assert torch.equal(table[i, j], pair_iou(a[i], b[j])[1])


def test_a_nucleus_of_unknown_class_goes_to_the_query_that_is_surest_of_any() -> None:
    logits = torch.tensor([[0.0, 0.0], [-3.0, 3.0]])
    truth = _boxes(1)
    rows, _ = match_queries(logits, truth.expand(2, 4), truth, torch.tensor([-1]))
    assert rows.tolist() == [1]
