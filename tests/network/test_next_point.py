"""The decoder of next points: what it keeps from token to token changes nothing."""

from copy import deepcopy

import pytest
import torch

from napari_uninuc.errors import CheckpointError
from napari_uninuc.network.next_point import NextPointConfig, PointDecoder
from napari_uninuc.network.point_files import PointsNote, load_points, save_points
from napari_uninuc.network.point_tokens import PAD
from napari_uninuc.network.point_writing import PointWriter

CONFIG = NextPointConfig(
    channels=(4, 6, 5), window=64, margin=16, bins=16, dim=32, heads=4, layers=2, mlp_dim=48,
    latents=3, prompt_dim=8,
)  # fmt: skip


@pytest.fixture(scope="module")
def decoder():
    torch.manual_seed(0)
    made = PointDecoder(CONFIG).eval()
    for value in made.parameters():  # so that drawing is not all alike
        value.data.mul_(1.7)
    return made


@pytest.fixture(scope="module")
def memory(decoder):
    generator = torch.Generator().manual_seed(1)
    levels = [
        torch.randn(2, width, side, side, generator=generator)
        for width, side in zip(CONFIG.channels, (24, 12, 6), strict=True)
    ]
    maps = torch.randn(2, 3, 48, 48, generator=generator)
    projected = decoder.project(levels, maps)
    assert projected.shape == (2, 32, 12, 12)
    index = torch.tensor([0, 0, 1, 1, 1])
    corners = torch.tensor([[0, 0], [-2, 3], [4, 4], [6, -2], [9, 9]])
    return decoder.remember(projected, index, corners)


def chances_of(decoder, memory, tokens):
    with torch.no_grad():
        return torch.softmax(decoder(tokens, memory)[0], -1)


def allowed(grammar, logits, tokens, at):
    """Logits of token number ``at``, -inf for what may not follow."""
    kept, bins = torch.full_like(logits, -torch.inf), grammar.bins
    if at % 3 == 0:
        ends = [grammar.separator, grammar.end]
        kept[:, ends] = logits[:, ends]
        return kept
    kept[:, :bins] = logits[:, :bins]
    if at == 1:
        kept[:, grammar.end] = logits[:, grammar.end]
    elif at % 3 == 1:
        above = torch.arange(bins) < tokens[:, at - 3, None]
        kept[:, :bins] = kept[:, :bins].masked_fill(above, -torch.inf)
    return kept


@pytest.mark.parametrize("free", [False, True])
def test_cached_and_uncached_decoding_agree(decoder, memory, free):
    """What was thought of each token, when it was drawn, is what all of them at once give."""
    many = memory.take(torch.arange(5).repeat(30))
    decoder = deepcopy(decoder)
    decoder.head.bias.data[-2:] += torch.tensor([3.0, 0.5])  # so that they go on for a while
    generator = torch.Generator().manual_seed(3)
    written = PointWriter(decoder).write(many, 6, temperature=1, free=free, generator=generator)
    with torch.no_grad():
        logits = decoder(written.tokens, many)[0]
    points = torch.zeros_like(written.scores)
    for at in range(1, written.tokens.shape[1], 3):
        likely = torch.ones(len(points))
        if at > 1:
            ahead = logits[:, at - 2]
            ahead = ahead if free else allowed(decoder.grammar, ahead, written.tokens, at - 1)
            likely = torch.softmax(ahead, -1)[:, decoder.grammar.separator]
        for axis in (0, 1):
            ahead, said = logits[:, at + axis - 1], written.tokens[:, at + axis]
            ahead = ahead if free else allowed(decoder.grammar, ahead, written.tokens, at + axis)
            near = (torch.arange(18) - said[:, None]).abs() <= 2
            near[:, 16:] = False
            likely = likely * (torch.softmax(ahead, -1) * near).sum(-1)
            likely = likely * ((said >= 0) & (said < 16))
        points[:, at // 3] = likely
    torch.testing.assert_close(written.scores, points)
    lengths = (points > 0).sum(dim=1)
    assert lengths.max() > 0
    assert free or lengths.min() < 2 < lengths.max()  # some end sooner and leave the batch


def test_likeliest_tokens_follow_the_grammar_and_never_go_up(decoder, memory):
    written = PointWriter(decoder).write(memory, 5)
    assert torch.equal(written.tokens, PointWriter(decoder).write(memory, 5).tokens)
    for said, scores in zip(written.tokens.tolist(), written.scores, strict=True):
        parsed = decoder.grammar.parse(said)
        rows = parsed.points_yx[:, 0]
        assert (rows.diff() >= 0).all()
        n = len(parsed.points_yx)
        assert ((scores[:n] > 0) & (scores[:n] <= 1)).all()
        assert (scores[n:] == 0).all()
        assert parsed.well_formed or n == 5


def test_a_window_is_written_alike_alone_and_among_others(decoder, memory):
    """Whoever ends beside it, and has its place taken; nor is what was seen changed."""
    decoder = deepcopy(decoder)
    decoder.head.bias.data[-2:] += torch.tensor([2.0, 0.5])
    before = memory.take(torch.arange(5))
    together = PointWriter(decoder).write(memory, 12)
    lengths = (together.tokens != PAD).sum(dim=1)
    assert len(set(lengths.tolist())) > 1  # some end sooner
    for k in range(5):
        alone = PointWriter(decoder).write(memory.take(torch.tensor([k])), 12)
        assert torch.equal(alone.tokens[0], together.tokens[k])
        torch.testing.assert_close(alone.scores[0], together.scores[k])
    for mine, theirs in ((memory.keys, before.keys), (memory.places, before.places)):
        assert torch.equal(mine, theirs)


def test_what_lies_above_the_last_row_is_the_same_when_the_rest_is_not_asked_for(decoder, memory):
    whole = PointWriter(decoder).write(memory, 12)
    some = PointWriter(decoder).write(memory, 12, last_row=7)
    cut = 0
    for k in range(5):
        points = [
            decoder.grammar.parse(each.tokens[k].tolist()).points_yx for each in (whole, some)
        ]
        above = points[0][:, 0] < decoder.grammar.px_of(torch.tensor(7.5))
        assert torch.equal(points[0][above], points[1])
        torch.testing.assert_close(
            whole.scores[k, : len(points[1])][above[above]], some.scores[k, : len(points[1])]
        )
        cut += int((~above).sum())
    assert cut > 0


def test_in_half_precision_sure_points_are_the_same(decoder, memory):
    sure = deepcopy(decoder)
    sure.head.weight.data *= 6  # so that no two tokens are about as likely
    exact = PointWriter(sure).write(memory, 1)
    rough = PointWriter(sure, torch.bfloat16).write(memory, 1)
    assert rough.scores.dtype == torch.float32
    clear = exact.scores[:, 0] > 0.7
    assert clear.any()
    assert torch.equal(rough.tokens[clear], exact.tokens[clear])
    torch.testing.assert_close(rough.scores[clear], exact.scores[clear], atol=0.05, rtol=0)


def test_a_sequence_that_never_ends_is_cut(decoder, memory):
    endless = PointDecoder(CONFIG).eval()
    endless.load_state_dict(decoder.state_dict())
    endless.head.bias.data[decoder.grammar.end] = -1e4
    written = PointWriter(endless).write(memory, 4)
    assert written.tokens.shape == (5, 13)
    assert (written.tokens != PAD).all()
    assert len(endless.grammar.parse(written.tokens[0].tolist()).points_yx) == 4


def test_an_empty_field_is_said_to_be_empty(decoder, memory):
    silent = PointDecoder(CONFIG).eval()
    silent.load_state_dict(decoder.state_dict())
    silent.head.bias.data[decoder.grammar.end] = 1e4
    written = PointWriter(silent).write(memory, 4)
    assert written.tokens[:, :3].tolist() == [[18, 17, PAD]] * 5
    assert not written.scores.any()


def test_a_token_sees_none_that_follows(decoder, memory):
    tokens = torch.tensor([[18, 3, 4, 16, 5, 6, 17]]).expand(5, -1)
    other = tokens.clone()
    other[:, 4:] = torch.tensor([9, 9, 16])
    first, second = chances_of(decoder, memory, tokens), chances_of(decoder, memory, other)
    torch.testing.assert_close(first[:, :4], second[:, :4])
    assert (first[:, 4] - second[:, 4]).abs().max() > 1e-4


def test_a_window_sees_nothing_outside_the_field(decoder):
    levels = [
        torch.randn(1, width, 8 * 4 // k, 8 * 4 // k)
        for width, k in zip(CONFIG.channels, (2, 4, 8), strict=True)
    ]
    projected = decoder.project(levels, None)
    index = torch.tensor([0])
    outside = decoder.remember(projected, index, torch.tensor([[8, 8]]))
    elsewhere = decoder.remember(projected * 3 + 1, index, torch.tensor([[-8, 8]]))
    torch.testing.assert_close(outside.keys, elsewhere.keys)


def note(**changes):
    values = {
        "weights": "ab" * 32, "config": CONFIG, "licence": "none", "training_data": ("discs",),
        "created": "2026-01-02",
    } | changes  # fmt: skip
    return PointsNote(**values)


def test_a_decoder_is_kept_and_read_again(decoder, memory, tmp_path):
    path = tmp_path / "next-point.safetensors"
    save_points(decoder, note(), path)
    read, said = load_points(path, "ab" * 32)
    assert said == note()
    for name, value in read.state_dict().items():
        torch.testing.assert_close(value, decoder.state_dict()[name].half().float())
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_one_of_other_weights_and_no_decoder_at_all_are_refused(decoder, tmp_path):
    path = tmp_path / "next-point.safetensors"
    with pytest.raises(CheckpointError, match="no decoder of next points"):
        load_points(path)
    save_points(decoder, note(), path)
    with pytest.raises(CheckpointError, match=r"taught on weights cdcdcd.*got one of ababab"):
        load_points(path, "cd" * 32)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(CheckpointError, match="damaged"):
        load_points(path)
    for config in (
        NextPointConfig(dim=4000), NextPointConfig(margin=80), NextPointConfig(window=161),
        NextPointConfig(layers=0),
    ):  # fmt: skip
        save_points(decoder, note(config=config), path)
        with pytest.raises(CheckpointError, match="cannot be"):
            load_points(path)
    save_points(decoder, note(config=NextPointConfig()), path)
    with pytest.raises(CheckpointError, match="belongs to another architecture"):
        load_points(path)


def test_sequences_of_a_window_share_its_memory(decoder, memory):
    tokens = torch.randint(0, 16, (10, 7), generator=torch.Generator().manual_seed(2))
    tokens[:, 0] = 18
    shared = chances_of(decoder, memory, tokens)
    copied = chances_of(decoder, memory.take(torch.arange(5).repeat_interleave(2)), tokens)
    torch.testing.assert_close(shared, copied)
