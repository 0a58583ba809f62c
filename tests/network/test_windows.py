import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from napari_uninuc.network.build import build_model
from napari_uninuc.network.config import preset
from napari_uninuc.network.mask_decoder import WindowFeatures
from napari_uninuc.network.uninuc import WindowPrompts
from napari_uninuc.network.windows import cut_windows, place_windows


@given(
    cells=st.tuples(st.integers(8, 40), st.integers(8, 40)),
    window=st.integers(1, 8),
    centres=st.lists(
        st.tuples(st.floats(-500, 900, width=32), st.floats(-500, 900, width=32)),
        min_size=1,
        max_size=5,
    ),
)
def test_windows_stay_inside_and_near(
    cells: tuple[int, int], window: int, centres: list[tuple[float, float]]
) -> None:
    stride, side = 8, window * 8
    extent = (cells[0] * stride, cells[1] * stride)
    corners = place_windows(torch.tensor(centres), side, extent, stride)
    for corner, centre in zip(corners.tolist(), centres, strict=True):
        for start, middle, size in zip(corner, centre, extent, strict=True):
            assert 0 <= start * stride <= size - side
            wanted = min(max(middle, side / 2), size - side / 2)
            assert abs(start * stride + side / 2 - wanted) <= stride / 2 + 1e-3


def test_cutting_is_slicing_at_every_scale() -> None:
    torch.manual_seed(0)
    scales = (1, 2, 4, 4)
    maps = WindowFeatures(*[torch.randn(2, 3 + k, 8 * s, 6 * s) for k, s in enumerate(scales)])
    images, corners = torch.tensor([1, 0, 1]), torch.tensor([[0, 0], [5, 2], [2, 4]])
    windows = cut_windows(maps, images, corners, (3, 2))
    for level, cut, s in zip(maps, windows, scales, strict=True):
        for n, (image, (y, x)) in enumerate(zip(images, corners.tolist(), strict=True)):
            expected = level[image, :, y * s : (y + 3) * s, x * s : (x + 2) * s]
            assert torch.equal(cut[n], expected)


def test_gradient_of_a_cut_reaches_its_pixels_only() -> None:
    maps = WindowFeatures(
        *[torch.zeros(1, 2, 4 * s, 4 * s, requires_grad=True) for s in (1, 2, 4, 4)]
    )
    windows = cut_windows(maps, torch.tensor([0, 0]), torch.tensor([[0, 0], [0, 1]]), (2, 2))
    sum(level.sum() for level in windows).backward()
    expected = torch.zeros(4, 4)
    expected[:2, 0:2] += 1
    expected[:2, 1:3] += 1
    assert torch.equal(maps.coarse.grad[0, 0], expected)


@pytest.mark.parametrize("name", ["uninuc-n", "tiny"])
@torch.no_grad()
def test_window_of_the_whole_input_decodes_as_the_whole_input(name: str, tiny_config) -> None:
    config = tiny_config if name == "tiny" else preset(name)
    model = build_model(config, seed=0).eval()
    for parameter in model.parameters():  # the zero starts would hide hints and quality
        parameter.add_(torch.randn_like(parameter), alpha=0.02)
    torch.manual_seed(0)
    images = torch.randn(2, 3, 128, 192)
    grid = (128 // config.coarse_stride, 192 // config.coarse_stride)
    points, labels = torch.rand(1, 3, 2) * 120, torch.tensor([[1, 0, -1]])
    zeros = torch.zeros(1, dtype=torch.long), torch.zeros((1, 2), dtype=torch.long)
    alone = model.encode(images[1:], detection=False)
    direct = model.decode(alone, WindowPrompts(*zeros, grid, points, labels))
    both = model.encode(images, detection=False)
    second = torch.ones(1, dtype=torch.long)
    cut = model.decode(both, WindowPrompts(second, zeros[1], grid, points, labels))
    assert direct[0].std() > 1e-3
    torch.testing.assert_close(cut, direct, rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_prompts_in_windows_do_not_see_each_other() -> None:
    config = preset("uninuc-n")
    model = build_model(config, seed=0).eval()
    torch.manual_seed(0)
    embedding = model.encode(torch.randn(1, 3, 128, 128), detection=False)
    images, corners = torch.zeros(3, dtype=torch.long), torch.tensor([[0, 0], [8, 3], [2, 8]])
    points, labels = torch.rand(3, 2, 2) * 64, torch.tensor([[1, -1], [1, 0], [2, 3]])
    together = model.decode(embedding, WindowPrompts(images, corners, (8, 8), points, labels))
    for k in range(3):
        one = slice(k, k + 1)
        prompt = WindowPrompts(images[one], corners[one], (8, 8), points[one], labels[one])
        alone = model.decode(embedding, prompt)
        torch.testing.assert_close(alone[0], together[0][one], rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(alone[1], together[1][one], rtol=1e-4, atol=1e-4)
