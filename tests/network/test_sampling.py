"""The same samples on every device, and places that no low precision moves."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from napari_uninuc.network import sampling
from napari_uninuc.network.deformable import sample_levels
from napari_uninuc.network.sampling import sample_at


@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 2**16))
def test_places_moved_to_the_border_are_sampled_as_the_border_is(height, width, seed):
    generator = torch.Generator().manual_seed(seed)
    maps = torch.randn(2, 3, height, width, generator=generator)
    grid = 3 * torch.rand(2, 4, 5, 2, generator=generator) - 1.5  # beyond every side
    torch.testing.assert_close(
        sampling._at_moved_places(maps, grid), sample_at(maps, grid), rtol=1e-5, atol=1e-5
    )


def test_on_the_cpu_nothing_is_changed():
    maps, grid = torch.randn(1, 2, 30, 40), 2.4 * torch.rand(1, 50, 60, 2) - 1.2
    expected = functional.grid_sample(maps, grid, padding_mode="border", align_corners=False)
    assert torch.equal(sample_at(maps, grid), expected)
    low = sample_at(maps.bfloat16(), grid)
    assert low.dtype == torch.bfloat16


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_wide_field_is_read_where_it_was_asked_for(dtype):
    ramp = torch.arange(256, dtype=torch.float32).expand(1, 1, 256, 256)
    places = torch.linspace(0.9, 0.99, 40)
    locations = torch.stack([places, places], dim=-1).view(1, 40, 1, 1, 1, 2)
    read = sample_levels([ramp.to(dtype)], locations, torch.ones(1, 40, 1, 1, dtype=dtype))
    assert read.dtype == dtype
    off = (read.float().view(-1) - (256 * places - 0.5)).abs().max()
    assert off < 0.6  # bfloat16 holds 230.5 to 0.5; its places would be off by 1 more
