import torch
from transformers.models.lw_detr.configuration_lw_detr import LwDetrConfig
from transformers.models.lw_detr.modeling_lw_detr import (
    LwDetrMultiscaleDeformableAttention,
    MultiScaleDeformableAttention,
)

from napari_uninuc.network.deformable import DeformableAttention, sample_levels

SHAPES = [(16, 12), (8, 6), (4, 3)]


def _flat(levels: list[torch.Tensor]) -> torch.Tensor:
    return torch.cat([level.flatten(2).transpose(1, 2) for level in levels], dim=1)


def test_sampling_equals_transformers() -> None:
    torch.manual_seed(0)
    b, heads, c, q, points = 2, 4, 8, 9, 3
    values = [torch.randn(b * heads, c, h, w) for h, w in SHAPES]
    locations = torch.rand(b, q, heads, 3, points, 2) * 1.4 - 0.2  # some outside the map
    weights = torch.randn(b, q, heads, 3 * points).softmax(-1)
    stacked = torch.cat(
        [v.reshape(b, heads, c, -1).permute(0, 3, 1, 2) for v in values], dim=1
    )  # (B, sum H*W, heads, c)
    expected = MultiScaleDeformableAttention()(
        stacked,
        torch.tensor(SHAPES),
        SHAPES,
        None,
        locations,
        weights.view(b, q, heads, 3, points),
        64,
    )
    torch.testing.assert_close(sample_levels(values, locations, weights), expected)


def test_attention_equals_transformers_with_the_same_weights() -> None:
    torch.manual_seed(0)
    dim, heads, points, q = 32, 4, 2, 7
    config = LwDetrConfig(d_model=dim, num_feature_levels=3, decoder_n_points=points)
    theirs = LwDetrMultiscaleDeformableAttention(config, heads, points)
    ours = DeformableAttention(dim, heads, 3, points)
    pairs = {
        "offsets": theirs.sampling_offsets,
        "weights": theirs.attention_weights,
        "value": theirs.value_proj,
        "output": theirs.output_proj,
    }
    for name, layer in pairs.items():
        for parameter in layer.parameters():
            torch.nn.init.normal_(parameter, std=0.2)
        getattr(ours, name).load_state_dict(layer.state_dict())
    query = torch.randn(2, q, dim)
    levels = [torch.randn(2, dim, h, w) for h, w in SHAPES]
    boxes = torch.rand(2, q, 4) * 0.6 + 0.2
    expected = theirs(
        hidden_states=query,
        encoder_hidden_states=_flat(levels),
        reference_points=boxes[:, :, None].expand(-1, -1, 3, -1),
        spatial_shapes=torch.tensor(SHAPES),
        spatial_shapes_list=SHAPES,
        level_start_index=None,
    )[0]
    torch.testing.assert_close(ours(query, boxes, levels), expected, rtol=1e-5, atol=1e-5)


def test_constant_map_is_read_as_its_constant() -> None:
    values = [torch.full((1, 2, h, w), 3.0) for h, w in SHAPES]
    locations = torch.full((1, 1, 1, 3, 2, 2), 0.5)
    weights = torch.full((1, 1, 1, 6), 1 / 6)
    torch.testing.assert_close(
        sample_levels(values, locations, weights), torch.full((1, 1, 2), 3.0)
    )
