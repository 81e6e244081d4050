"""The scorecard against itself: halves of real data pass, and known faults are seen."""

import pytest
import torch

from snn_gan_ext import InputError, compare
from snn_gan_ext.datasets.ring import ring_spikes
from snn_gan_ext.metrics.scorecard import (
    dichotomized_gaussian,
    judged,
    leakage,
    scorecard,
    shuffled,
    statistics,
)


@pytest.fixture(scope="module")
def pair():
    rng = torch.Generator().manual_seed(0)
    return ring_spikes(400, rng=rng), ring_spikes(400, rng=rng)


def faulty(spikes, fault):
    rng = torch.Generator().manual_seed(1)
    if fault == "rates 10 % off":
        return spikes * (torch.rand(spikes.shape, generator=rng) > 0.1)
    if fault == "correlations removed":
        return shuffled(spikes, rng)
    if fault == "order of bins shuffled":
        return spikes[torch.randperm(len(spikes), generator=rng)]
    moves = torch.randint(-1, 2, spikes.shape, generator=rng)  # jittered by a bin
    step = (torch.arange(len(spikes))[:, None, None] + moves).clamp(0, len(spikes) - 1)
    return torch.zeros_like(spikes).scatter_(0, step, spikes)


def test_halves_of_real_data_agree(pair):
    """Bounds are beyond the extremes of 40 pairs of seeds: false alarms in fewer than 1 of 40."""
    row = statistics(*pair)
    assert row["rate_error"] < 0.025
    assert row["count_divergence"] < 5e-4
    assert row["correlation_r"] > 0.95
    assert 0.85 < row["correlation_slope"] < 1.15
    assert row["lags_1_to_5_r"] > 0.985
    assert row["isi_distance"] < 0.12
    assert 0.88 < row["fano_ratio"] < 1.14
    assert all(0.45 < accuracy < 0.55 for accuracy in judged(*pair).values())


@pytest.mark.parametrize(
    ("fault", "measure", "low", "high"),
    [
        ("rates 10 % off", "rate_error", 0.05, 0.2),
        ("correlations removed", "correlation_slope", -0.1, 0.1),
        ("correlations removed", "count_divergence", 2e-3, 1),
        ("order of bins shuffled", "lags_1_to_5_slope", -0.1, 0.1),
        ("order of bins shuffled", "isi_distance", 0.3, 99),
        ("jittered by a bin", "lag_1_slope", -1, 0.7),
    ],
)
def test_known_faults_are_seen(pair, fault, measure, low, high):
    real, other = pair
    assert not low <= statistics(real, other)[measure] <= high
    assert low <= statistics(real, faulty(other, fault))[measure] <= high


@pytest.mark.parametrize("fault", ["order of bins shuffled", "jittered by a bin"])
def test_judges_see_a_wrong_order(pair, fault):
    found = judged(pair[0], faulty(pair[1], fault))
    assert found["c2st_trees"] > 0.8
    assert found["c2st_convolutions"] > 0.8


def test_a_dichotomized_gaussian_has_rates_and_covariances_of_a_step(pair):
    rng = torch.Generator().manual_seed(2)
    drawn = dichotomized_gaussian(pair[0], 400, rng, trials=False)
    row = statistics(pair[0], drawn)
    assert row["rate_error"] < 0.03
    assert row["correlation_r"] > 0.9
    assert abs(row["lags_1_to_5_slope"]) < 0.1


def test_copies_of_training_windows_lie_close_to_them(pair):
    train, held_out = pair[0][:, :200], pair[0][:, 200:]
    assert leakage(train, held_out, pair[1]) == pytest.approx(1, abs=0.02)
    assert leakage(train, held_out, train[:, :50]) == 0


def test_a_scorecard_has_the_ceiling_references_and_intervals(pair):
    train = ring_spikes(200, rng=torch.Generator().manual_seed(9))
    card = scorecard(*pair, judges=False, resamples=20, train=train)
    names = ["real", "independent", "shuffled", "dichotomized_gaussian", "other"]
    assert list(card.table) == names
    assert card.table["independent"]["correlation_slope"] == pytest.approx(0, abs=0.1)
    low, high = card.intervals["rate_error"]
    assert 0 < low < high < 0.05
    assert card.table["other"]["leakage"] == pytest.approx(1, abs=0.02)
    assert card == scorecard(*pair, judges=False, resamples=20, train=train)


def test_trials_have_time_courses_and_noise_correlations(rng):
    bump = torch.linspace(0, 3.1, 20).sin()[:, None, None] * 0.4 + 0.05
    gain = 0.3 + 1.4 * torch.rand(1, 300, 1, generator=rng)
    real, other = ((torch.rand(20, 300, 3, generator=rng) < bump * gain).float() for _ in range(2))
    row = statistics(real, other, trials=True)
    assert row["psth_error"] < 0.06
    assert row["noise_slope"] == pytest.approx(1, abs=0.3) or row["noise_r"] == row["noise_r"]
    flat = other[torch.randperm(20, generator=rng)]
    assert statistics(real, flat, trials=True)["psth_error"] > 0.2


def test_one_neuron_is_compared_by_itself(rng):
    spikes = (torch.rand(50, 60, 1, generator=rng) < 0.2).float()
    row = statistics(spikes, spikes)
    assert "correlation_r" not in row
    assert row["rate_error"] == 0


def test_sets_that_cannot_be_compared_are_refused(pair):
    real, other = pair
    with pytest.raises(InputError, match="8 neurons"):
        statistics(real, other[..., :5])
    with pytest.raises(InputError, match="zeros and ones"):
        statistics(real, other * 0.5)
    with pytest.raises(InputError, match="four windows"):
        scorecard(real[:, :3], other)
    with pytest.raises(InputError, match="windows: expected 10"):
        judged(real[:40, :4], other)
    with pytest.raises(InputError, match="trials: expected 100 bins"):
        statistics(real, other[:50], trials=True)


def test_a_comparison_leaves_a_page_behind(pair, tmp_path):
    found = compare(pair[0].numpy(), pair[1], judges=False, resamples=5)
    found.save(tmp_path / "page")
    assert {x.name for x in (tmp_path / "page").iterdir()} == {
        "metrics.json",
        "report.html",
        "rasters.png",
        "populations.png",
    }
    page = (tmp_path / "page" / "report.html").read_text()
    assert "Fano factor" in page
    assert found.table["other"]["rate_error"] < 0.02
