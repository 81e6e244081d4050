import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from snn_gan_ext import InputError
from snn_gan_ext.datasets.patterns import BURST, TONIC, firing_modes
from snn_gan_ext.metrics import spike_trains

MODES = [(5, 15), (2, 10)]


def train(text):
    return torch.tensor([float(c) for c in text]).unsqueeze(1)


def dots(*runs):
    """Runs of spikes and silence in turn, silence first."""
    return train("".join(str(place % 2) * length for place, length in enumerate(runs)))


@pytest.mark.parametrize(
    ("runs", "mode"),
    [
        ((3, 5, 15, 5, 4), 0),
        ((3, 4, 17, 6, 4), 0),  # the tolerances' edges
        ((3, 3, 15, 5, 4), -1),  # a run of spikes that is too short
        ((3, 7, 15, 5, 4), -1),
        ((3, 5, 18, 5, 4), -1),
        ((3, 5, 12, 5, 4), -1),
        ((17, 5, 15, 1), 0),  # cut off at both ends
        ((18, 5, 15, 1), -1),  # a first silence longer than any mode's
        ((3, 5, 15, 7), -1),  # a last run of spikes that is too long already
        ((3, 2, 10, 2, 8), 1),
        ((3, 5, 10, 2, 8), -1),  # a bit of both
        ((40,), -1),  # silence
        ((8, 2), -1),  # no complete run of spikes
    ],
)
def test_modes_by_hand(runs, mode):
    assert spike_trains.mode_of(dots(*runs), MODES).tolist() == [mode]


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 49))
def test_one_wrong_spike_is_a_mode_no_longer_or_within_tolerance(seed, step):
    """Flipping a step never makes one mode the other."""
    spikes, modes = firing_modes(1, 50, rng=torch.Generator().manual_seed(seed))
    spikes[step] = 1 - spikes[step]
    assert spike_trains.mode_of(spikes[..., 0], MODES).item() in (-1, modes.item())


def test_intervals_do_not_cross_trials():
    trains = torch.cat([train("1001"), train("0110"), train("1000")], 1)
    assert spike_trains.interspike_intervals(trains).tolist() == [3, 1]


def test_isi_distance_by_hand():
    real, other = train("101010"), train("100100")  # intervals 2, 2 and 3
    assert spike_trains.isi_wasserstein(real, other) == pytest.approx(1.0)
    assert spike_trains.isi_wasserstein(real, real) == 0
    assert spike_trains.isi_wasserstein(real, torch.zeros(6, 1)) == pytest.approx(4.0)
    with pytest.raises(InputError, match="two spikes"):
        spike_trains.isi_wasserstein(torch.zeros(6, 1), real)


def test_autocorrelation_by_hand():
    values = spike_trains.autocorrelation(train("1101"), 4)[0] * 4
    assert values.tolist() == [3, 1, 1, 1]
    with pytest.raises(InputError, match="lags"):
        spike_trains.autocorrelation(train("1101"), 5)


def test_mmd_is_zero_on_average_for_one_distribution_and_not_for_another(rng):
    """The mean of 100 pairs of sets is 0 +- 0.0043 (10 seeds): 0.025 is 5.8 standard deviations.

    Pairs of a train with itself would make it 0.049 +- 0.0046, and one mode instead of two 0.34.
    """

    def mean(patterns):
        pairs = ((draw((BURST, TONIC)), draw(patterns)) for _ in range(100))
        return sum(spike_trains.autocorrelation_mmd(*pair) for pair in pairs) / 100

    def draw(patterns):
        return firing_modes(20, 50, patterns, rng=rng)[0][..., 0]

    assert abs(mean((BURST, TONIC))) < 0.025
    assert mean((BURST,)) > 0.2


def test_anything_but_trains_is_refused():
    for spikes in (torch.zeros(3), torch.full((3, 2), 0.5), torch.full((3, 2), torch.nan)):
        with pytest.raises(InputError):
            spike_trains.mode_of(spikes, MODES)
    with pytest.raises(InputError, match="at least two"):
        spike_trains.autocorrelation_mmd(torch.zeros(3, 1), torch.zeros(3, 1))


def test_features_of_a_trial_by_hand():
    train = torch.zeros(12, 3)
    train[[1, 3, 8], 0] = 1
    train[4, 1] = 1
    found = spike_trains.trial_features(train)
    assert found.shape == (3, 26)
    assert found[0, :3].tolist() == [3, 1, 4]
    assert found[0, 3:22].sum() == 2
    assert found[0, [4, 7]].tolist() == [1, 1]
    assert found[0, 22:].tolist() == [2, 5, 1.5, 3]
    assert found[1, :3].tolist() == [1, 4, 8]
    assert np.isnan(found[1, 22:]).all()
    assert found[2, 0] == 0
    assert np.isnan(found[2, 1:3]).all()
