"""Points to tokens and back."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from napari_uninuc.network.point_tokens import PAD, PointGrammar

GRAMMAR = PointGrammar(window=40, bins=20)
INSIDE = st.integers(-4, 394).map(lambda tenths: tenths / 10)


@given(points=st.lists(st.tuples(INSIDE, INSIDE), max_size=12))
def test_every_point_comes_back_in_raster_order(points):
    points_yx = torch.tensor(points, dtype=torch.float32).reshape(-1, 2)
    tokens = GRAMMAR.tokens_of(points_yx)
    parsed = GRAMMAR.parse([*tokens, PAD, PAD])
    assert parsed.well_formed
    bins = [(int((y + 0.5) // 2), int((x + 0.5) // 2)) for y, x in points_yx.tolist()]
    assert parsed.points_yx.tolist() == [[2 * y + 0.5, 2 * x + 0.5] for y, x in sorted(bins)]
    distances = [(parsed.points_yx - point).abs().amax(dim=1).min().item() for point in points_yx]
    assert all(distance <= 1 + 1e-5 for distance in distances)


@given(
    first=st.lists(st.tuples(INSIDE, INSIDE), max_size=6),
    second=st.lists(st.tuples(INSIDE, INSIDE), max_size=6),
)
def test_what_is_written_was_allowed_and_what_breaks_the_form_was_not(first, second):
    said = [
        GRAMMAR.tokens_of(torch.tensor(points, dtype=torch.float32).reshape(-1, 2))
        for points in (first, second)
    ]
    longest = max(map(len, said))
    tokens = torch.tensor([row + [PAD] * (longest - len(row)) for row in said])
    allowed = GRAMMAR.allowed(tokens)
    assert allowed.shape == (2, longest - 1, GRAMMAR.bins + 2)
    for row, mask in zip(said, allowed, strict=True):
        for at in range(1, len(row)):
            wanted = []
            for token in range(GRAMMAR.bins + 2):
                kind, coordinate = at % 3, token < GRAMMAR.bins
                fits = {
                    0: not coordinate,
                    1: coordinate or (at == 1 and token == GRAMMAR.end),
                    2: coordinate,
                }[kind]
                if kind == 1 and at > 1 and coordinate:
                    fits = token >= row[at - 3]
                wanted.append(fits)
            assert mask[at - 1].tolist() == wanted
            assert wanted[row[at]]


def test_nothing_and_outside():
    assert GRAMMAR.tokens_of(torch.zeros(0, 2)) == [GRAMMAR.start, GRAMMAR.end]
    assert GRAMMAR.tokens_of(torch.tensor([[-7.0, 99.0]])) == [22, 0, 19, 21]


@pytest.mark.parametrize(
    ("tokens", "points"),
    [
        ([22, 3, 4], 1),  # never ends
        ([22, 3, 4, 20, 21], 1),  # ends after a separator
        ([22, 3, 21], 0),  # ends in the middle of a point
        ([22, 3, 4, 5, 6, 21], 1),  # no separator
        ([22, 20, 4, 21], 0),  # a separator for a row
        ([3, 4, 21], 0),  # no start
        ([22, 3, 4, 21, 21], 1),  # well formed: what follows the end is not read
        ([], 0),
    ],
)
def test_what_does_not_follow_the_grammar_is_told(tokens, points):
    parsed = GRAMMAR.parse(tokens)
    assert len(parsed.points_yx) in (points, 0)
    assert parsed.well_formed == (tokens[-2:] == [21, 21])
