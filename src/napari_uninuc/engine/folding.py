"""Batch norms folded into the convolutions before them: the same numbers with fewer passes.

A batch norm that is not being trained multiplies and adds what the convolution's own weights can.
In float32 all of them are folded. In bfloat16 only the neck's, where maps are large: with the
trunk's the bundled model's encoder would be faster still, but the trunk's rounding then differs,
and automatic outlines of the validation tiles with it (docs/speed.md).
"""

import copy

import torch
from timm.layers import BatchNormAct2d
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from napari_uninuc.network.image_encoder import PyramidEncoder

__all__ = ["folded"]

_TOLERANCE = 1e-3
_TRIAL_PX = 64


@torch.no_grad()
def folded(encoder: nn.Module, *, trunk: bool = False) -> nn.Module | None:
    """A copy of an image encoder without batch norms in its neck; None where it has none there.

    It is tried on noise: where its maps differ from the encoder's by more than a thousandth of
    their largest value, the convolutions do not stand before their norms, and it is not used.

    Parameters
    ----------
    encoder : in evaluation, float32, on the CPU or a GPU; not changed
    trunk : without those of its trunk, too
    """
    if not isinstance(encoder, PyramidEncoder):
        return None
    copied = copy.deepcopy(encoder)
    _fold(copied.blocks)
    if trunk:
        _fold(copied.trunk)
    copied = copied.to(memory_format=torch.channels_last).eval()
    where = next(encoder.parameters()).device
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn((1, 3, _TRIAL_PX, _TRIAL_PX), generator=generator).to(where)
    for ours, theirs in zip(copied(noise), encoder(noise), strict=True):
        if not (ours - theirs).abs().max() <= _TOLERANCE * theirs.abs().max():
            return None
    return copied


def _fold(parent: nn.Module) -> None:
    """Fold every norm that follows a convolution among a module's children."""
    before: tuple[str, nn.Conv2d] | None = None
    for name, child in list(parent.named_children()):
        if isinstance(child, nn.BatchNorm2d) and before is not None:
            setattr(parent, before[0], fuse_conv_bn_eval(before[1], child))
            rest = child.act if isinstance(child, BatchNormAct2d) else nn.Identity()
            setattr(parent, name, rest)
            before = None
        elif isinstance(child, nn.Conv2d):
            before = name, child
        else:
            before = None
            _fold(child)
