"""Statistics of event frames: right for one distribution, off for another."""

import math

import numpy as np
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
    assert found.abs().max() < 6 / 40_000**0.5  # of 40,000 pixels: false alarms below 1 in 1e6
    # Every pixel copies its left neighbour: full correlation at one pixel of distance.
    copied = independent.spikes[..., :1].expand(-1, -1, -1, -1, 5)
    stripes = Batch(copied, independent.labels)
    assert events.residual_autocorrelation(stripes)[0, 1, 2] == pytest.approx(4 / 5, abs=0.01)
    assert events.autocorrelation_distance(independent, stripes) > 0.04
    assert events.autocorrelation_distance(independent, labelled(0.3, seed=1)) < 0.01


def test_counts_spread_alike_in_one_distribution_and_not_at_all_in_copies():
    real, same = labelled(0.3), labelled(0.3, seed=1)
    # The ratio of two deviations of 200 counts has an error of 0.07, the mean of two 0.05.
    assert events.count_spread_ratio(real, same) == pytest.approx(1, abs=6 * 0.05)
    constant = Batch(real.spikes[:, :2].repeat(1, 200, 1, 1, 1), real.labels)
    assert events.count_spread_ratio(real, constant) == pytest.approx(0, abs=1e-5)


def test_two_polarities_and_an_odd_size_by_brute_force():
    rng = torch.Generator().manual_seed(0)
    spikes, labels = (torch.rand(5, 9, 2, 3, 4, generator=rng) < 0.3).float(), torch.arange(9) % 3
    spikes[1:, :, 1] = spikes[:-1, :, 1]
    means = torch.stack([spikes[:, labels == k].mean(1) for k in range(3)])[labels]
    residuals = (spikes.transpose(0, 1) - means).numpy()
    expected = np.zeros((3, 3, 3))
    for trial, t, c, y, x in np.ndindex(*residuals.shape):
        for dt, dy, dx in np.ndindex(3, 3, 3):
            there = (t + dt, c, y + dy - 1, x + dx - 1)
            if there[0] < 5 and 0 <= there[2] < 3 and 0 <= there[3] < 4:
                expected[dt, dy, dx] += residuals[trial, t, c, y, x] * residuals[trial][there]
    found = events.residual_autocorrelation(Batch(spikes, labels))
    np.testing.assert_allclose(found, expected / (residuals**2).sum(), atol=1e-5)

    ours, theirs = (x.sum(0).flatten(1) / 5**0.5 for x in (spikes, 1 - spikes))
    nearest = [
        min((ours[i] - theirs[j]).norm() for j in range(9) if (i - j) % 3 == 0) for i in range(9)
    ]
    near = events.nearest_distance(Batch(spikes, labels), Batch(1 - spikes, labels))
    assert near == pytest.approx(float(np.mean(nearest)), rel=1e-5)


def test_classes_without_spread_are_left_out():
    real = labelled(0.3)
    still = real.spikes.clone()
    still[:, real.labels == 1] = 1
    half = Batch(still, real.labels)
    ratio = events.count_spread_ratio(half, labelled(0.3, seed=1))
    assert ratio == pytest.approx(1, abs=6 * 0.07)
    assert math.isnan(events.count_spread_ratio(Batch(0 * still, real.labels), real))
    assert not events.residual_autocorrelation(Batch(0 * still, real.labels)).any()


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
