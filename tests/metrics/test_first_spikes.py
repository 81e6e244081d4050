"""Decisions by the first spike, by hand."""

import pytest
import torch

from snn_gan_ext import InputError
from snn_gan_ext.metrics.first_spikes import decisions

T = 10
HIDDEN = torch.tensor([[0.0, 3.0, 9.0], [1.0, 10.0, 10.0], [10.0, 10.0, 10.0], [2.0, 2.0, 2.0]])
OUTPUTS = torch.tensor([[3.0, 5.0], [4.0, 4.0], [10.0, 10.0], [2.0, 7.0]])
POTENTIALS = torch.tensor([[1.0, 1.5], [1.1, 1.2], [0.3, 0.2], [1.0, 1.0]])
LABELS = torch.tensor([0, 1, 0, 1])


def test_decisions_by_hand():
    """A right decision, a tie, silence, and a wrong decision."""
    found = decisions(HIDDEN, OUTPUTS, POTENTIALS, LABELS, T)
    assert found["strict_accuracy"] == 1 / 4
    assert found["tie_accuracy"] == 3 / 4
    assert found["latency"] == pytest.approx((3 + 4 + 9 + 2) / 4 / T)
    assert found["spikes_to_decision"] == (2 + 1 + 1 + 2 + 0 + 3 + 1) / 4
    assert found["spikes_full"] == (3 + 2 + 1 + 2 + 0 + 3 + 2) / 4


def test_shapes_that_do_not_match_are_refused():
    with pytest.raises(InputError, match="potentials: expected shape"):
        decisions(HIDDEN, OUTPUTS, POTENTIALS[:, :1], LABELS, T)
    with pytest.raises(InputError, match="labels: expected shape"):
        decisions(HIDDEN, OUTPUTS, POTENTIALS, LABELS[:, None], T)
    with pytest.raises(InputError, match="hidden: expected shape"):
        decisions(HIDDEN[0], OUTPUTS, POTENTIALS, LABELS, T)
    with pytest.raises(InputError, match="0 or later"):
        decisions(HIDDEN, OUTPUTS - 9, POTENTIALS, LABELS, T)
    with pytest.raises(InputError, match="B >= 1"):
        decisions(HIDDEN[:0], OUTPUTS[:0], POTENTIALS[:0], LABELS[:0], T)
