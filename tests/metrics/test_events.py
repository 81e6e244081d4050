"""Statistics of event frames: right for one distribution, off for another."""

import pytest
import torch

from snn_gan_ext import InputError
from snn_gan_ext.metrics import events
from snn_gan_ext.types import Batch


def labelled(rate, trials=400, seed=0):
    rng = torch.Generator().manual_seed(seed)
    spikes = (torch.rand(4, trials, 1, 5, 5, generator=rng) < rate).float()
    return Batch(spikes, torch.arange(trials) % 2)


def test_independent_spikes_have_no_residual_correlation_and_copies_have():
    independent = labelled(0.3)
    found = events.residual_autocorrelation(independent)
    assert found[0, 1, 1] == pytest.approx(1)
    found[0, 1, 1] = 0
    assert found.abs().max() < 0.02
    # Every pixel copies its left neighbour: full correlation at one pixel of distance.
    copied = independent.spikes[..., :1].expand(-1, -1, -1, -1, 5)
    stripes = Batch(copied, independent.labels)
    assert events.residual_autocorrelation(stripes)[0, 1, 2] == pytest.approx(4 / 5, abs=0.01)
    assert events.autocorrelation_distance(independent, stripes) > 0.04
    assert events.autocorrelation_distance(independent, labelled(0.3, seed=1)) < 0.01


def test_counts_spread_alike_in_one_distribution_and_not_at_all_in_copies():
    real, same = labelled(0.3), labelled(0.3, seed=1)
    assert events.count_spread_ratio(real, same) == pytest.approx(1, abs=0.2)
    constant = Batch(real.spikes[:, :2].repeat(1, 200, 1, 1, 1), real.labels)
    assert events.count_spread_ratio(real, constant) == pytest.approx(0, abs=1e-5)


def test_copies_are_nearer_than_new_trials():
    real, same = labelled(0.3), labelled(0.3, seed=1)
    assert events.nearest_distance(real, real) == pytest.approx(0, abs=0.01)
    assert events.nearest_distance(same, real) > 0.5


def test_trials_that_cannot_be_compared_are_refused():
    real = labelled(0.3, trials=8)
    with pytest.raises(InputError, match="same classes"):
        events.nearest_distance(Batch(real.spikes, real.labels + 1), real)
    with pytest.raises(InputError, match="labels: expected"):
        events.count_spread_ratio(real, Batch(real.spikes))
    with pytest.raises(InputError, match=r"shape \[4, M, 1, 5, 5\]"):
        events.autocorrelation_distance(real, Batch(real.spikes[1:], real.labels))
    with pytest.raises(InputError, match=r"\[T, B, C, H, W\]"):
        events.count_spread_ratio(Batch(real.spikes[0], real.labels), real)
