import pytest
import torch

from snn_gan_ext import InputError
from snn_gan_ext.datasets.patterns import BURST, TONIC, Pattern, firing_modes
from snn_gan_ext.metrics.spike_trains import mode_of


def test_every_trial_follows_its_mode(rng):
    spikes, modes = firing_modes(500, 50, rng=rng)
    assert spikes.shape == (50, 500, 1)
    found = mode_of(spikes[..., 0], [(p.spikes, p.silence) for p in (BURST, TONIC)])
    assert torch.equal(found, modes)
    assert 200 < modes.sum() < 300  # 250 +- 4.5 standard deviations
    for pattern, mode in ((BURST, 0), (TONIC, 1)):
        rate = spikes[:, modes == mode].mean()
        assert rate == pytest.approx(pattern.spikes / (pattern.spikes + pattern.silence), abs=0.02)


def test_trials_begin_at_any_phase_or_with_spikes(rng):
    spikes, _ = firing_modes(300, 40, (BURST,), rng=rng)
    assert len(spikes[..., 0].unique(dim=1).T) == 20  # every phase of its period
    started, _ = firing_modes(300, 40, (BURST,), phase="start", rng=rng)
    assert len(started[..., 0].unique(dim=1).T) == 1
    assert started[:6, 0, 0].tolist() == [1, 1, 1, 1, 1, 0]


def test_equal_seeds_give_equal_data():
    first, second, other = (
        firing_modes(9, 50, rng=torch.Generator().manual_seed(s))[0] for s in (0, 0, 1)
    )
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


@pytest.mark.parametrize(
    "options",
    [
        {"count": 0},
        {"num_steps": 0},
        {"patterns": ()},
        {"patterns": (Pattern("x", 0, 3),)},
        {"patterns": BURST},
        {"patterns": ("burst",)},
        {"phase": "end"},
    ],
    ids=str,
)
def test_bad_settings_are_refused(options):
    with pytest.raises(InputError):
        firing_modes(**{"count": 2, "num_steps": 5, **options})
