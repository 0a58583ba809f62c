"""Nuclei of a window as a sequence of tokens, and back (NuNext, sec. 3.2).

Order and grammar are ours where the paper leaves them open: ``START y x SEP y x SEP ... y x END``,
and ``START END`` where there is nothing. Points are sorted from top to bottom and, in one bin of
rows, from left to right. The row comes first: it hardly differs from the row before, and the column
is then looked up in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["PAD", "Parsed", "PointGrammar"]

PAD = -1
"""Fills the ends of shorter sequences."""


@dataclass(frozen=True, slots=True)
class Parsed:
    """What a sequence says.

    Attributes
    ----------
    points_yx : (n, 2) float32, px of the window, pixel centres at integers
    well_formed : it follows the grammar and ends; of one that does not, the points before the fault
    """

    points_yx: Tensor
    well_formed: bool


@dataclass(frozen=True, slots=True)
class PointGrammar:
    """The vocabulary: coordinate tokens 0..bins-1, shared by both axes, and three more.

    Attributes
    ----------
    window : side of the window, px of the network's input
    bins : the paper's K
    """

    window: int
    bins: int

    @property
    def separator(self) -> int:
        """Token between two points."""
        return self.bins

    @property
    def end(self) -> int:
        """Token after the last point."""
        return self.bins + 1

    @property
    def start(self) -> int:
        """Token before the first point; never predicted."""
        return self.bins + 2

    def bins_of(self, points_yx: Tensor) -> Tensor:
        """(n, 2) px -> (n, 2) int64 nearest bins, equation (1); those outside go to the border."""
        bins = torch.floor((points_yx + 0.5) * (self.bins / self.window)).long()
        return bins.clamp(0, self.bins - 1)

    def px_of(self, bins: Tensor) -> Tensor:
        """Middles of bins, in px."""
        return (bins + 0.5) * (self.window / self.bins) - 0.5

    def tokens_of(self, points_yx: Tensor) -> list[int]:
        """The sequence of some points (n, 2) of a window, in px."""
        bins = self.bins_of(points_yx)
        order = torch.argsort(bins[:, 0] * self.bins + bins[:, 1], stable=True)
        tokens = [self.start]
        for y, x in bins[order].tolist():
            tokens += [y, x, self.separator]
        tokens[-1 if len(tokens) > 1 else 1 :] = [self.end]
        return tokens

    def allowed(self, tokens: Tensor) -> Tensor:
        """What may follow each token but the last: rows never go up, and end with a point.

        Shapes
        ------
        tokens   (N, L) int64, sequences from their start, `PAD` behind their end
        returns  (N, L - 1, bins + 2) bool; behind the end it says nothing
        """
        n, length = tokens.shape
        kind = torch.arange(length - 1, device=tokens.device) % 3  # row, column, what follows
        found = torch.zeros(n, length - 1, self.bins + 2, dtype=torch.bool, device=tokens.device)
        found[:, kind < 2, : self.bins] = True
        found[:, kind == 2, self.bins :] = True
        found[:, 0, self.end] = True
        rows = tokens[:, 1 : length - 3 : 3]  # of points that another may follow
        above = torch.arange(self.bins, device=tokens.device) < rows[..., None]
        found[:, 3::3, : self.bins] &= ~above[:, : found[:, 3::3].shape[1]]
        return found

    def parse(self, tokens: Sequence[int]) -> Parsed:
        """Read a sequence back, `PAD` and all."""
        found: list[tuple[int, int]] = []
        said = [token for token in tokens if token != PAD]
        well = said[:1] == [self.start] and self.end in said
        body = said[1 : said.index(self.end)] if well else said[1:]
        for at in range(0, len(body), 3):
            pair, after = body[at : at + 2], body[at + 2 : at + 3]
            if len(pair) < 2 or max(pair) >= self.bins:
                well = False
                break
            found.append((pair[0], pair[1]))
            last = at + 2 >= len(body)
            if not last and after != [self.separator]:
                well = False
                break
        if len(body) and len(body) % 3 != 2:
            well = False
        points = self.px_of(torch.tensor(found, dtype=torch.float32).reshape(-1, 2))
        return Parsed(points, well)
