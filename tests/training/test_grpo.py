"""Group relative policy optimisation beside a plain version."""

import pytest
import torch

from napari_uninuc.training.grpo import advantages, clipped_objective, shaped, varied


def test_the_papers_example_of_groups():
    """NuNext, sec. 3.4: the better of nearly equal rewards would weigh most of all."""
    rewards = torch.tensor([[0, 0.5, 1.0], [0.20, 0.20, 0.21]])
    advantage = advantages(rewards)
    assert advantage[1, 2] > advantage[0, 2] > 0
    assert advantage[0].tolist() == pytest.approx([-(1.5**0.5), 0, 1.5**0.5], abs=1e-5)
    assert varied(rewards, 0.02).tolist() == [True, False]
    assert varied(rewards, 0).tolist() == [True, True]


def test_equal_rewards_teach_nothing():
    assert not advantages(torch.full((2, 4), 0.7)).any()


def test_what_speaks_against_an_advantage_weighs_less():
    hits = torch.tensor([[0, 1, -1, 0], [0, 1, -1, 0]])
    told = shaped(torch.tensor([2.0, -2.0]), hits, 0.25)
    assert told.tolist() == [[2, 2, 0.5, 2], [-2, -0.5, -2, -2]]
    assert torch.equal(shaped(torch.tensor([2.0, -2.0]), hits, 1)[:, 1], torch.tensor([2.0, -2.0]))


@pytest.mark.parametrize("clip", [0.2, 0.05])
def test_objective_and_gradient_are_those_of_equation_11(clip):
    generator = torch.Generator().manual_seed(0)
    before = torch.randn(4, 5, generator=generator) * 0.3 - 1
    now = (before + torch.randn(4, 5, generator=generator) * 0.3).requires_grad_()
    advantage = torch.randn(4, 5, generator=generator)
    told = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 0, 0, 0], [1, 0, 0, 0, 0], [1, 1, 1, 0, 0]]) > 0
    value = clipped_objective(now, before, advantage, told, clip)
    value.backward()
    gradient = now.grad.clone()
    now.grad = None
    plain, clipped = torch.zeros(()), 0
    for i in range(4):
        whole = torch.zeros(())
        for n in range(int(told[i].sum())):
            ratio = torch.exp(now[i, n]) / torch.exp(before[i, n])
            a = advantage[i, n]
            bounded = torch.clamp(ratio, 1 - clip, 1 + clip)
            clipped += bool(bounded * a < ratio * a)
            whole = whole + torch.min(ratio * a, bounded * a)
        plain = plain + whole / told[i].sum()
    plain = plain / 4
    plain.backward()
    torch.testing.assert_close(value, plain)
    torch.testing.assert_close(gradient, now.grad)
    assert clipped  # the bound did something


def test_on_policy_the_gradient_is_the_advantage():
    before = torch.zeros(1, 3)
    now = before.clone().requires_grad_()
    told = torch.ones(1, 3, dtype=torch.bool)
    clipped_objective(now, before, torch.tensor([[3.0, -6.0, 0.0]]), told, 0.2).backward()
    assert now.grad.tolist() == [[1.0, -2.0, 0.0]]
