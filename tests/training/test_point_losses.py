"""Losses of next points beside plain sums."""

import math

import pytest
import torch

from napari_uninuc.network.point_tokens import PAD, PointGrammar
from napari_uninuc.training.point_losses import sequence_loss, soft_labels, thought_loss


@pytest.mark.parametrize("sigma", [0.6, 1.0, 3.0])
def test_soft_labels_are_those_of_equation_7(sigma):
    table = soft_labels(9, sigma)
    for t in range(9):
        weights = [math.exp(-((k - t) ** 2) / (2 * sigma**2)) for k in range(9)]
        expected = [weight / sum(weights) for weight in weights]
        assert table[t].tolist() == pytest.approx(expected, abs=1e-6)
    assert torch.equal(soft_labels(9, 0), torch.eye(9))


@pytest.mark.parametrize("sigma", [0, 1.5])
def test_the_loss_and_its_gradient_are_a_plain_sum(sigma):
    grammar = PointGrammar(window=20, bins=10)
    tokens = torch.tensor(
        [[12, 3, 4, 10, 5, 6, 11], [12, 0, 9, 11, PAD, PAD, PAD], [12, 11, PAD, PAD, PAD, PAD, PAD]]
    )
    logits = torch.randn(3, 7, 12, generator=torch.Generator().manual_seed(0), requires_grad=True)
    loss = sequence_loss(logits, tokens, grammar, soft_labels(10, sigma))
    loss.backward()
    gradient, plain = logits.grad.clone(), torch.zeros(())
    logits.grad = None
    count = 0
    for n in range(3):
        for at in range(6):
            truth = int(tokens[n, at + 1])
            if truth == PAD:
                continue
            log_p = torch.log_softmax(logits[n, at], 0)
            count += 1
            for k in range(10 if truth < 10 else 0):
                if sigma:
                    whole = sum(math.exp(-((j - truth) ** 2) / (2 * sigma**2)) for j in range(10))
                    weight = math.exp(-((k - truth) ** 2) / (2 * sigma**2)) / whole
                else:
                    weight = float(k == truth)
                plain = plain - weight * log_p[k]
            if truth >= 10:
                plain = plain - log_p[truth]
    plain = plain / count
    plain.backward()
    torch.testing.assert_close(loss, plain)
    torch.testing.assert_close(gradient, logits.grad)


def test_soft_labels_forgive_a_near_miss():
    grammar = PointGrammar(window=20, bins=10)
    tokens = torch.tensor([[12, 4, 4, 11]])

    def miss(at, sigma):
        logits = torch.zeros(1, 4, 12)
        logits[0, 0, at] = 4
        return sequence_loss(logits, tokens, grammar, soft_labels(10, sigma)).item()

    assert miss(4, 0) < miss(5, 0) == pytest.approx(miss(9, 0))
    assert miss(4, 1) < miss(5, 1) < miss(6, 1) < miss(9, 1)


def test_a_painted_foreground_is_judged():
    truth = torch.zeros(2, 4, 4)
    truth[:, 1:3, 1:3] = 1
    right, wrong = thought_loss(truth * 20 - 10, truth), thought_loss(10 - truth * 20, truth)
    assert right < 0.01 < 1 < wrong
    half = thought_loss(torch.zeros(2, 4, 4), truth)
    assert half.item() == pytest.approx(math.log(2) + 1 - (2 * 2 + 1) / (8 + 4 + 1))
