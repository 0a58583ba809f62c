"""Writing nuclei down token by token, many windows at a time (`PointDecoder` without its gradient).

It gives what `PointDecoder.forward` gives, and is laid out for CPUs, where a token is bound by what
has to be read for it: what was computed of a sequence lies in one piece that is made once, and a
window that has ended gives its place to the last one that goes on, so that nothing else is copied.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from napari_uninuc.network.next_point import Memory, PointDecoder, PointLayer
from napari_uninuc.network.point_tokens import PAD

__all__ = ["PointWriter", "Written"]

_NEAR = 2
"""Bins on either side that count as the same place, in the score of a point."""


@dataclass(frozen=True, slots=True)
class Written:
    """Sequences that were decoded.

    Attributes
    ----------
    tokens : (N, L) int64, `PAD` after the end; one that did not end in time has no end
    scores : (N, L // 3) float32 in [0, 1], of the points in turn; 0 where there is none
        The probability that there is one more, and that it lies within two bins of where it does.
    """

    tokens: Tensor
    scores: Tensor


class PointWriter:
    """Decodes windows with the weights that a decoder has now.

    Parameters
    ----------
    dtype : of the large products: weights of the layers, and the memory they read. What is added
        up from layer to layer, what sequences have said and the logits are float32 in any case

    Notes
    -----
    bfloat16 moves a point in twenty to another bin; F1 stays (docs/neighbours.md).
    """

    @torch.no_grad()
    def __init__(self, decoder: PointDecoder, dtype: torch.dtype = torch.float32) -> None:
        config = decoder.config
        self.decoder, self.config, self.dtype = decoder, config, dtype
        self.grammar = decoder.grammar
        scale = math.sqrt(config.dim // config.heads)
        self.layers = [
            _Weights.of(cast("PointLayer", layer), scale, dtype) for layer in decoder.layers
        ]
        self.ahead = torch.cat([decoder.head.weight, decoder.look.weight / math.sqrt(config.dim)])
        self.ahead_bias = torch.cat([decoder.head.bias, decoder.look.bias / math.sqrt(config.dim)])
        device = self.ahead.device
        cells = torch.eye(config.cells, device=device).unsqueeze(1)
        spread = functional.interpolate(cells, config.bins, mode="linear", align_corners=False)
        self.spread = decoder.trust * spread[:, 0]  # (cells, bins)
        self.bins = torch.arange(config.bins, device=device)

    def write(
        self,
        memory: Memory,
        limit: int,
        *,
        last_row: int | None = None,
        temperature: float = 0.0,
        free: bool = False,
        generator: torch.Generator | None = None,
    ) -> Written:
        """Decode windows; what was computed for a token is kept for the next.

        Parameters
        ----------
        limit : points at which a sequence that has not ended is cut
        last_row : bin of rows below which nobody asks: a sequence that comes there is left
            unfinished, without that point. Rows never go up, so that nothing above it is lost; None
            asks for all. Not with ``free``
        temperature : 0 takes the likeliest token, 1 draws as the network says
        free : whatever the network says, as in reinforcement, up to the first token that the
            grammar forbids; otherwise only what it allows, and no row above the last point's
        generator : of what is drawn
        """
        # What is computed in which precision is said here, whatever it is called from.
        with torch.no_grad(), torch.autocast(memory.places.device.type, enabled=False):
            lowest = self.config.bins - 1 if last_row is None or free else last_row
            return self._written(memory, limit, lowest, temperature, free, generator)

    def _written(
        self,
        memory: Memory,
        limit: int,
        lowest: int,
        temperature: float,
        free: bool,
        generator: torch.Generator | None,
    ) -> Written:
        config, grammar = self.config, self.grammar
        n, device = len(memory.places), memory.places.device
        tokens = torch.full((n, 3 * limit + 1), PAD, dtype=torch.long, device=device)
        tokens[:, 0] = grammar.start
        scores = torch.zeros(n, limit, device=device)
        kept = _Kept.begun(memory, self, config.latents + 3 * limit + 1)
        x = self._advance(self.decoder.opening(n), kept)[:, -1]
        rows, likely = torch.arange(n, device=device), torch.ones(n, device=device)
        row = torch.zeros(n, dtype=torch.long, device=device)

        def drawn(logits: Tensor, alive: Tensor | None, at: int) -> tuple[Tensor, Tensor]:
            """Token number ``at`` of the rows, and the chances it was drawn from."""
            chances = torch.softmax(logits if temperature == 0 else logits / temperature, -1)
            if temperature == 0:
                chosen = chances.argmax(-1)
            else:
                chosen = torch.multinomial(chances, 1, generator=generator)[:, 0]
            tokens[rows, at] = chosen if alive is None else torch.where(alive, chosen, PAD)
            return chosen, chances

        for at in range(1, 3 * limit + 1, 3):
            logits = self._ahead(x, kept, of_rows=True)
            if not free:
                self._forbid(logits, None if at == 1 else row, of_rows=True)
            row, chances = drawn(logits, None, at)
            alive, likely = row <= lowest, likely * self._near(chances, row)
            code = self.decoder.coded(row)
            x = self._advance(self.decoder.said(code, None, 1).unsqueeze(1), kept)[:, 0]
            logits = self._ahead(x, kept, of_rows=False)
            if not free:
                self._forbid(logits, None, of_rows=False)
            column, chances = drawn(logits, alive, at + 1)
            alive, likely = alive & (column < config.bins), likely * self._near(chances, column)
            scores[rows, at // 3] = torch.where(alive, likely, 0)
            # Nearly always a separator follows: it is read along, and then the next row is known.
            other = self.decoder.coded(column)
            said = [self.decoder.said(code, other, kind) for kind in (2, 3)]
            both = self._advance(torch.stack(said, 1), kept)
            ended, x = both.unbind(1)
            logits = self._ahead(ended, kept, of_rows=False) if free else self._goes_on(ended)
            token, chances = drawn(logits, alive, at + 2)
            likely, alive = chances[:, grammar.separator], alive & (token == grammar.separator)
            live = int(alive.sum())
            if live == 0:
                break
            if live < len(alive):
                left = kept.leave(alive, live)
                rows, likely, row, x = rows[left], likely[left], row[left], x[left]
        return Written(tokens, scores)

    def _advance(self, x: Tensor, kept: _Kept) -> Tensor:
        """States of the next tokens of all that go on: (n, q, dim) float32."""
        n, q, _ = x.shape
        heads, dtype, first = self.config.heads, self.dtype, kept.length
        whole = kept.length = first + q
        bias = kept.bias[:, first:whole, :whole]
        for weights, own in zip(self.layers, kept.own, strict=True):
            mixed = functional.linear(weights.normed(x, 0).to(dtype), *weights.own)
            split = mixed.view(n, q, 3, heads, -1).permute(2, 0, 3, 1, 4)  # (3, n, heads, q, d)
            own[:, :n, :, first:whole] = split[1:]
            query = split[0].float().reshape(n * heads, q, -1)
            keys, values = own[:, :n, :, :whole].flatten(1, 2)
            weight = torch.bmm(query, keys.transpose(1, 2))
            weight.view(n, heads, q, whole).add_(bias)
            mixed = _joined(torch.bmm(torch.softmax(weight, -1), values), n).to(dtype)
            x = x + functional.linear(mixed, *weights.own_out)
            asked = functional.linear(weights.normed(x, 1).to(dtype), *weights.ask)
            asked = asked.view(n, q, heads, -1).transpose(1, 2).reshape(n * heads, q, -1)
            weight = torch.bmm(asked, kept.keys[:n].flatten(0, 1).transpose(1, 2))
            seen = torch.bmm(torch.softmax(weight, -1), kept.values[:n].flatten(0, 1))
            x = x + functional.linear(_joined(seen, n), *weights.read_out)
            wide = functional.linear(weights.normed(x, 2).to(dtype), *weights.wide)
            x = x + functional.linear(functional.gelu(wide), *weights.narrow)
        return self.decoder.norm(x)

    def _ahead(self, x: Tensor, kept: _Kept, *, of_rows: bool) -> Tensor:
        """Logits (n, bins + 2) of what follows states (n, dim), as `PointDecoder` has them."""
        bins, cells = self.config.bins, self.config.cells
        told = functional.linear(x, self.ahead, self.ahead_bias)
        logits, asked = told[:, : bins + 2], told[:, bins + 2 :]
        seen = torch.bmm(kept.places[: len(x)], asked.unsqueeze(2).to(self.dtype))
        seen = seen.float().view(-1, cells, cells)
        logits[:, :bins].addmm_(seen.logsumexp(2 if of_rows else 1), self.spread)
        return logits

    def _goes_on(self, x: Tensor) -> Tensor:
        """Logits of what follows a point, -inf for all but a separator and an end."""
        head, bins = self.decoder.head, self.config.bins
        told = functional.linear(x, head.weight[bins:], head.bias[bins:])
        return functional.pad(told, (bins, 0), value=-torch.inf)

    def _forbid(self, logits: Tensor, above: Tensor | None, *, of_rows: bool) -> None:
        """Put -inf where no coordinate may follow, in place.

        Parameters
        ----------
        above : (n,) of rows, that of the last point, or None before the first: there may be none
        """
        grammar, bins = self.grammar, self.config.bins
        logits[:, grammar.separator] = -torch.inf
        if above is not None or not of_rows:
            logits[:, grammar.end] = -torch.inf
        if above is not None:
            logits[:, :bins].masked_fill_(self.bins < above[:, None], -torch.inf)

    def _near(self, chances: Tensor, drawn: Tensor) -> Tensor:
        """How sure the network is of a coordinate: what lies within two bins of it."""
        near = (self.bins - drawn[:, None]).abs() <= _NEAR
        return (chances[:, : self.config.bins] * near).sum(-1)


class _Weights(NamedTuple):
    """A layer's weights and biases, those of queries divided by what attention divides by."""

    own: tuple[Tensor, Tensor]
    own_out: tuple[Tensor, Tensor]
    ask: tuple[Tensor, Tensor]
    read_out: tuple[Tensor, Tensor]
    wide: tuple[Tensor, Tensor]
    narrow: tuple[Tensor, Tensor]
    norms: nn.ModuleList

    @classmethod
    def of(cls, layer: PointLayer, scale: float, dtype: torch.dtype) -> _Weights:
        def taken(linear: nn.Module, divisor: Tensor | float = 1.0) -> tuple[Tensor, Tensor]:
            weight, bias = (value.detach() for value in cast("nn.Linear", linear).parameters())
            return (weight.t() / divisor).t().contiguous().to(dtype), (bias / divisor).to(dtype)

        dim = layer.ask.in_features
        thirds = torch.ones(3 * dim, device=layer.ask.weight.device)
        thirds[:dim] = scale
        return cls(
            taken(layer.own, thirds), taken(layer.own_out), taken(layer.ask, scale),
            taken(layer.read_out), taken(layer.mlp[0]), taken(layer.mlp[2]), layer.norms,
        )  # fmt: skip

    def normed(self, x: Tensor, k: int) -> Tensor:
        normed: Tensor = self.norms[k](x)
        return normed


@dataclass(slots=True)
class _Kept:
    """What windows that go on have said and see; those from the first on are in use.

    Shapes
    ------
    keys, values  (N, heads, cells ** 2, d) in the writer's precision, and
    places        (N, cells ** 2, dim)
    own           of each layer, keys and values of tokens: (2, N, heads, most, d) float32
    bias          (heads, most, most) of later tokens to earlier ones
    """

    keys: Tensor
    values: Tensor
    places: Tensor
    own: list[Tensor]
    bias: Tensor
    length: int

    @classmethod
    def begun(cls, memory: Memory, writer: PointWriter, most: int) -> _Kept:
        """Copies of a memory, and room for ``most`` tokens."""
        n, heads, _, d = memory.keys.shape
        return cls(
            memory.keys.to(writer.dtype, copy=True),
            memory.values.to(writer.dtype, copy=True),
            memory.places.to(writer.dtype, copy=True),
            [torch.empty(2, n, heads, most, d, device=memory.keys.device) for _ in writer.layers],
            writer.decoder.nearness(most),
            0,
        )

    def leave(self, alive: Tensor, live: int) -> Tensor:
        """Give the places of those that ended to the last that go on; who is where then."""
        left = torch.arange(live, device=alive.device)
        gaps, movers = (~alive[:live]).nonzero()[:, 0], alive[live:].nonzero()[:, 0] + live
        if len(gaps):
            left[gaps] = movers
            for tensor in (self.keys, self.values, self.places):
                tensor[gaps] = tensor[movers]
            for own in self.own:
                own[:, gaps, :, : self.length] = own[:, movers, :, : self.length]
        return left


def _joined(x: Tensor, n: int) -> Tensor:
    """(n heads, q, d) -> (n, q, dim)."""
    _, q, d = x.shape
    return x.view(n, -1, q, d).transpose(1, 2).reshape(n, q, -1)
