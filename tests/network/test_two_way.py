"""The two-way transformer gives what SAM 2's gives, and learns the same."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sam2.modeling.sam.transformer import TwoWayTransformer as Sam2TwoWayTransformer

from napari_uninuc.network import two_way
from napari_uninuc.network.two_way import TwoWayTransformer

DIM, HEADS = 32, 4


def both():
    """Ours and SAM 2's, of the same weights."""
    ours, theirs = (
        kind(depth=2, embedding_dim=DIM, num_heads=HEADS, mlp_dim=48)
        for kind in (TwoWayTransformer, Sam2TwoWayTransformer)
    )
    ours.load_state_dict(theirs.state_dict())
    return ours, theirs


def inputs(prompts, side, tokens, seed=0):
    make = torch.Generator().manual_seed(seed)
    sizes = [(prompts, DIM, side, side), (1, DIM, side, side), (prompts, tokens, DIM)]
    image, position, queries = (torch.randn(size, generator=make) for size in sizes)
    return image, position.expand(prompts, -1, -1, -1), queries


@given(st.integers(1, 3), st.integers(1, 8), st.integers(1, 12), st.integers(0, 99))
def test_tokens_and_image_are_sam2s(prompts, side, tokens, seed):
    ours, theirs = both()
    given_ = inputs(prompts, side, tokens, seed)
    with torch.no_grad():
        for one, other in zip(ours(*given_), theirs(*given_), strict=True):
            torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("side", [2, 8])
def test_gradients_are_sam2s(side):
    learnt = []
    for model in both():
        image, position, queries = (each.requires_grad_() for each in inputs(2, side, 6))
        sum(each.square().sum() for each in model(image, position, queries)).backward()
        learnt.append([image.grad, queries.grad, *(each.grad for each in model.parameters())])
    for one, other in zip(*learnt, strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)


def test_many_queries_of_few_keys_go_the_short_way(monkeypatch):
    asked = []
    few = two_way._of_few_keys
    monkeypatch.setattr(two_way, "_of_few_keys", lambda *x: asked.append(x[0].shape) or few(*x))
    ours, _ = both()
    ours(*inputs(2, 8, 6))
    assert asked == [(2, 64, DIM // 2)] * 2  # once a layer: the image, to the tokens
