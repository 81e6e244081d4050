"""Statistics of populations: known numbers, faults that are seen, sets that do not fit."""

import math

import pytest
import torch

from snn_gan_ext import InputError
from snn_gan_ext.datasets.ring import ring_layer, ring_spikes
from snn_gan_ext.metrics import populations


@pytest.fixture
def ring(rng):
    return ring_spikes(500, rng=rng)


def test_covariances_of_three_steps_by_hand():
    spikes = torch.tensor([[1.0, 0], [1, 1], [0, 1]]).unsqueeze(1)
    found = populations.covariances(spikes, 2)
    a, b = torch.tensor([1 / 3, 1 / 3, -2 / 3]), torch.tensor([-2 / 3, 1 / 3, 1 / 3])
    assert found[0, 0, 1].item() == pytest.approx((a * b).mean().item(), abs=1e-6)
    assert found[1, 0, 1].item() == pytest.approx((a[:2] * b[1:]).mean().item(), abs=1e-6)
    assert found[1, 1, 0].item() == pytest.approx((b[:2] * a[1:]).mean().item(), abs=1e-6)
    torch.testing.assert_close(found[0], found[0].T)


def test_the_ring_agrees_with_itself_and_independent_neurons_do_not(ring, rng):
    again = ring_spikes(500, rng=rng)
    independent = (torch.rand(ring.shape, generator=rng) < ring.mean((0, 1))).float()
    assert populations.correlogram_error(ring, again) < 0.2
    assert populations.correlogram_error(ring, independent) == pytest.approx(1, abs=0.1)
    assert populations.rate_error(ring, again) < 0.02
    assert populations.disagreement(ring, again) < 0.25 < populations.disagreement(ring, independent)


def test_shuffled_trials_keep_rates_and_lose_correlations(ring, rng):
    shuffled = torch.stack([ring[:, torch.randperm(500, generator=rng), i] for i in range(8)], 2)
    assert populations.rate_error(ring, shuffled) == pytest.approx(0, abs=1e-6)
    assert populations.correlogram_error(ring, shuffled) > 0.9
    assert populations.count_divergence(ring, shuffled) > 5 * populations.count_divergence(ring, ring)


def test_counts_and_rates_by_hand():
    real = torch.tensor([[[1.0, 1, 0, 0]], [[0, 0, 0, 0]]])  # counts 2 and 0
    other = torch.tensor([[[1.0, 1, 0, 0]], [[1, 1, 0, 0]]])
    shares = torch.tensor([0.5, 0.5, 2.5, 0.5, 0.5]) / 4.5
    expected = 0.5 * math.log(0.5 / shares[0]) + 0.5 * math.log(0.5 / shares[2])
    assert populations.count_divergence(real, other) == pytest.approx(expected)
    assert populations.rate_error(real, other) == pytest.approx(1.0)
    assert populations.rate_ratios(real, other).tolist() == [2, 2, 1, 1]


def test_agreement_is_the_correlation_and_the_slope():
    x = torch.tensor([[0.0, 1], [2, 4]])
    assert populations.agreement(x, 3 - 2 * x) == pytest.approx((-1, -2))
    assert math.isnan(populations.agreement(x, torch.ones(2, 2)).r)


def test_neurons_of_the_ring_hear_their_neighbours():
    between = ring_layer(5).filters().coupling
    assert between[1, 0, 1] > 0 > between[1, 1, 0]
    assert between[:, 0, 2].abs().max() == 0


@pytest.mark.parametrize(
    "measure",
    [
        populations.correlogram_error,
        populations.rate_error,
        populations.rate_ratios,
        populations.count_divergence,
        populations.disagreement,
    ],
)
def test_sets_that_do_not_fit_are_refused(measure):
    spikes = torch.zeros(10, 2, 3)
    for other in (torch.zeros(10, 2, 4), torch.zeros(10, 3), spikes + 0.5, torch.zeros(10, 0, 3)):
        with pytest.raises(InputError):
            measure(spikes, other)


def test_one_neuron_has_no_correlogram_with_another():
    with pytest.raises(InputError, match="at least two"):
        populations.correlogram_error(torch.zeros(9, 2, 1), torch.zeros(9, 2, 1))
    with pytest.raises(InputError, match="lags"):
        populations.covariances(torch.zeros(9, 2, 2), 10)
