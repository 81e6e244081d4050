"""Targets of firing steps, by hand."""

import pytest
import torch

from snn_gan_ext.estimators import temporal

STEPS = 20
TIMES = torch.tensor([[4.0, 6.0, 20.0], [9.0, 5.0, 5.0], [20.0, 20.0, 20.0]])


def test_targets_relative_to_the_earliest_output():
    """Margin 3: label 0 leads; label 2 ties with 1; nothing fires."""
    targets = temporal.firing_targets(TIMES, torch.tensor([0, 2, 1]), STEPS, margin=3)
    assert targets.tolist() == [[4, 7, 20], [9, 8, 5], [20, 16, 20]]


def test_targets_with_a_deadline():
    """Deadline 5, margin 3: a label that leads is not held back, and none is given more time."""
    targets = temporal.firing_targets(TIMES, torch.tensor([0, 0, 1]), STEPS, margin=3, deadline=5)
    assert targets.tolist() == [[4, 8, 20], [5, 8, 8], [20, 5, 20]]


def test_the_loss():
    targets = torch.tensor([[4.0, 7.0, 20.0], [9.0, 5.0, 7.0], [20.0, 20.0, 20.0]])
    expected = (0.5 * (1 + 4) / 400) / 3
    assert temporal.temporal_loss(TIMES, targets, STEPS).item() == pytest.approx(expected)


def test_weights_of_neurons_that_rarely_fire_grow():
    weight = torch.zeros(2, 3)
    temporal.keep_alive(weight, TIMES, STEPS, least=0.5, amount=0.1)
    assert torch.equal(weight, torch.tensor([[0, 0, 0.1], [0, 0, 0.1]]))
