"""Simulated neurons are repeatable, stationary, and as irregular as documented."""

import numpy as np
import pytest
import torch

from snn_gan_ext import InputError
from snn_gan_ext.datasets.simulated_neurons import record
from snn_gan_ext.metrics.spike_trains import interspike_intervals

pytest.importorskip("brian2", reason="brian2 is not installed")


@pytest.mark.parametrize(
    ("neuron", "rate", "cv", "short"),
    [("lif", 40, 0.65, 0.02), ("adex", 29.5, 0.70, 0.20), ("chattering", 53, 1.68, 0.77)],
)
def test_each_model_has_its_own_statistics(neuron, rate, cv, short):
    """Rates and intervals of 400 neurons within 5 %; reference values are of 5,000 others."""
    spikes = record(neuron, 400, 300, seed=3)
    assert spikes.shape == (300, 400, 1)
    intervals = interspike_intervals(spikes[..., 0]).double()
    assert 1e3 * float(spikes.mean()) == pytest.approx(rate, rel=0.05)
    assert float(intervals.std() / intervals.mean()) == pytest.approx(cv, rel=0.05)
    assert float((intervals < 8).double().mean()) == pytest.approx(short, abs=0.03)
    # Stationary: the first third has the rate of the last one.
    early, late = spikes[:100].sum((0, 2)), spikes[-100:].sum((0, 2))
    error = float((early - late).std() / 400**0.5)
    assert abs(float((early - late).mean())) < 4 * error


def test_the_seed_alone_decides_the_spikes():
    np.random.seed(5)  # noqa: NPY002
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    first = record("lif", 20, 50, seed=1)
    assert (np.random.get_state()[1] == before).all()  # noqa: NPY002
    assert torch.equal(first, record("lif", 20, 50, seed=1))
    assert not torch.equal(first, record("lif", 20, 50, seed=2))


def test_time_steps_are_in_seconds():
    """The same spikes, in time steps of half the length."""
    coarse = record("adex", 30, 100, seed=1)
    fine = record("adex", 30, 200, seed=1, dt=5e-4)
    assert torch.equal(fine.reshape(100, 2, 30, 1).amax(1), coarse)
    assert fine.sum() == coarse.sum()


@pytest.mark.parametrize(
    "wrong",
    [
        {"neuron": "pyramidal"},
        {"trials": 0},
        {"num_steps": 1.5},
        {"seed": -1},
        {"dt": 2e-3},
        {"dt": 2.5e-4},
        {"dt": float("nan")},
        {"warm_up": -1.0},
    ],
    ids=str,
)
def test_bad_settings_are_refused(wrong):
    arguments = {"neuron": "lif", "trials": 2, "num_steps": 5, "seed": 0} | wrong
    with pytest.raises(InputError, match=next(iter(wrong))):
        record(**arguments)
