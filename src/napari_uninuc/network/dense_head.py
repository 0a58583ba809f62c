"""The head that paints maps beside the other parts: which nuclei, how deep, where they touch."""

from __future__ import annotations

from torch import Tensor, nn

__all__ = ["MAPS", "DenseHead"]

MAPS = ("nucleus", "distance", "contact")
"""Names of the maps, all in [0, 1] after a sigmoid.

``distance`` is normalised per nucleus: 1 at its deepest cell, falling towards its boundary.
"""


class DenseHead(nn.Module):
    """The maps `MAPS` from F0: deep supervision, and what `engine.dense` cuts nuclei from.

    Shapes
    ------
    f0       (B, C, H/s, W/s)
    returns  (B, 3, H/s, W/s) logits
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.head = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(channels, len(MAPS), 1),
        )

    def forward(self, f0: Tensor) -> Tensor:
        """Make the three maps of F0; shapes are those of the class."""
        return self.head(f0)
