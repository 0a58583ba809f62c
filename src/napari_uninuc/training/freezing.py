"""What of a network stays as it is during a run, and costs no more than it must."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import torch
from timm.layers import BatchNormAct2d, Conv2dSame, pad_same
from torch import Tensor, nn
from torch.nn import functional

from napari_uninuc.network.uninuc import UniNuc

__all__ = ["Fixed", "freeze_early", "freeze_norms"]


def freeze_early(model: UniNuc, blocks: int) -> None:
    """Stop learning in the stem and the first ``blocks`` stages of a timm trunk."""
    if blocks == 0:
        return
    trunk = model.image_encoder.trunk
    for part in [trunk.conv_stem, trunk.bn1, *trunk.blocks[:blocks]]:
        part.requires_grad_(False)


class Fixed(nn.Module):
    """An image encoder that is used and not taught: in evaluation, and without gradients."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder.requires_grad_(False)

    @torch.no_grad()
    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """The encoder's feature maps of an image (B, 3, H, W)."""
        self.encoder.eval()
        return self.encoder(image)


def freeze_norms(module: nn.Module) -> None:
    """Keep the statistics of batch norms; each norm then runs inside the convolution before it.

    Weights and names stay, and gradients are those of the norm in evaluation: only the passes
    over its maps are saved, a third of the time of a dense step on some processors.

    Parameters
    ----------
    module : changed in place; norms that follow no convolution are left alone
    """
    for convolution, norm in _pairs(module):
        vars(convolution)["forward"] = partial(_convolve, convolution, norm)
        rest = norm.act.forward if isinstance(norm, BatchNormAct2d) else _as_it_is
        vars(norm)["forward"] = rest


def _pairs(parent: nn.Module) -> Iterator[tuple[nn.Conv2d, nn.BatchNorm2d]]:
    """Each norm with the convolution that stands before it among a module's children."""
    before: nn.Module | None = None
    for child in parent.children():
        if isinstance(before, nn.Conv2d) and isinstance(child, nn.BatchNorm2d):
            yield before, child
        before = child
        yield from _pairs(child)


def _convolve(convolution: nn.Conv2d, norm: nn.BatchNorm2d, x: Tensor) -> Tensor:
    """Convolution and norm in one, from the weights of both."""
    mean, variance = norm.get_buffer("running_mean"), norm.get_buffer("running_var")
    scale = norm.weight * torch.rsqrt(variance + norm.eps)
    weight = convolution.weight * scale[:, None, None, None]
    bias = norm.bias - mean * scale
    if convolution.bias is not None:
        bias = bias + convolution.bias * scale
    padding = convolution.padding
    if isinstance(convolution, Conv2dSame):
        kernel, stride = list(convolution.kernel_size), list(convolution.stride)
        x = pad_same(x, kernel, stride, list(convolution.dilation))
        padding = (0, 0)
    return functional.conv2d(
        x,
        weight,
        bias,
        convolution.stride,
        padding,
        convolution.dilation,
        convolution.groups,
    )


def _as_it_is(x: Tensor) -> Tensor:
    return x
