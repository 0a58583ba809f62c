from dataclasses import replace

import pytest
import torch
from torch import nn

from napari_uninuc.network.config import PRESETS
from napari_uninuc.network.cost import Cost, count_macs, encoder_cost


def test_counts_by_hand() -> None:
    layers = nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2, padding=1, bias=False),  # 8 x 8 x 8 outputs of 27 products
        nn.Conv2d(8, 8, 3, padding=1, groups=8, bias=False),  # 512 outputs of 9
        nn.ConvTranspose2d(8, 4, 2, stride=2, bias=False),  # 512 inputs of 16
        nn.Linear(16, 10, bias=False),  # 4 x 16 rows of 160
    )
    expected = 512 * 27 + 512 * 9 + 512 * 16 + 64 * 160
    assert count_macs(layers, (1, 3, 16, 16)) == Cost(216 + 72 + 128 + 160, expected)


class SelfAttention(nn.Module):
    """12 tokens of 8 numbers: two products of 12 x 12 x 8, and two projections."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.outer = nn.Linear(8, 24, bias=False), nn.Linear(8, 8, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = self.inner(x).chunk(3, dim=-1)
        fused = nn.functional.scaled_dot_product_attention(q, k, v)
        by_hand = torch.softmax(q @ k.transpose(1, 2), dim=-1) @ v
        return self.outer(fused + by_hand)


def test_products_inside_attention_are_not_counted() -> None:
    assert count_macs(SelfAttention(), (1, 12, 8)).macs == 12 * 8 * 24 + 12 * 8 * 8


@pytest.mark.parametrize(
    ("name", "megas", "giga_macs"),
    [("uninuc-s", 83.8, 315.0), ("uninuc-b", 156.7, 584.8), ("uninuc-l", 408.9, 1527.1)],
)
def test_encoders_cost_what_table_4_of_the_paper_says(
    name: str, megas: float, giga_macs: float
) -> None:
    """Facts 0.1 and 0.2: the paper prints 83/156/409 M and 316/584/1528 G."""
    cost = encoder_cost(PRESETS[name])
    assert cost.parameters / 1e6 == pytest.approx(megas, abs=0.05)
    assert cost.macs / 1e9 == pytest.approx(giga_macs, abs=0.15)


def test_mask_trunk_of_b_alone_costs_what_the_paper_says() -> None:
    config = PRESETS["uninuc-b"]
    cost = encoder_cost(replace(config, detector=replace(config.detector, backbone=None)))
    assert cost.macs / 1e9 == pytest.approx(263.9, abs=0.1)
    assert cost.parameters / 1e6 == pytest.approx(69.11, abs=0.01)


def test_laptop_model_is_an_order_cheaper_than_the_smallest_of_the_paper() -> None:
    assert encoder_cost(PRESETS["uninuc-n"]).macs * 10 < encoder_cost(PRESETS["uninuc-s"]).macs


def test_counting_on_meta_leaves_the_default_device() -> None:
    encoder_cost(PRESETS["uninuc-n"], side=64)
    assert torch.zeros(1).device.type == "cpu"
