"""A coupled network that likelihood lets run away, and the moments of its free run that hold it."""

import pytest
import torch

from snn_gan_ext import InputError, MaximumLikelihood, PopulationGenerator
from snn_gan_ext.algorithms.moments import MomentMatching, moment_slope
from snn_gan_ext.functional.bases import raised_cosine_basis
from snn_gan_ext.metrics import populations
from snn_gan_ext.types import Batch

NEURONS, STEPS = 10, 200


def two_states(trials, seed):
    """Neurons that share a slow state, up or down, which no neuron of the network can hear."""
    rng = torch.Generator().manual_seed(seed)
    up = torch.rand(trials, generator=rng) < 0.3
    spikes = []
    for _ in range(STEPS):
        flips = torch.rand(trials, generator=rng)
        up = torch.where(up, flips > 1 / 60, flips < 0.43 / 60)
        rates = torch.where(up, 0.25, 0.02)[:, None].expand(-1, NEURONS)
        spikes.append((torch.rand(trials, NEURONS, generator=rng) < rates).float())
    return torch.stack(spikes)


def population():
    rng = torch.Generator().manual_seed(0)
    basis = raised_cosine_basis(4, 15)
    return PopulationGenerator(
        1, NEURONS, STEPS, basis=basis, same_step="triangular", counts=4, readout_bias=-2.5, rng=rng
    )


def train(algorithm, network, trials, seed=0):
    state = algorithm.init(network, torch.Generator().manual_seed(seed))
    for _ in range(algorithm.updates):
        picks = torch.randint(trials.shape[1], (20,), generator=state.rng)
        metrics = algorithm.update(state, Batch(trials[:, picks]))
    return state, metrics


def late_run(network):
    """Activity long after the start from silence."""
    return network.free_run(50, 1000, torch.Generator().manual_seed(1))[500:]


def test_moments_bring_a_runaway_network_back():
    trials, unseen = two_states(60, 1), two_states(200, 2)
    network = population()
    train(MaximumLikelihood(updates=150, lr=0.03), network, trials)
    before = late_run(network)
    # Over 5 sets of trials the divergence is .29 to .39 with likelihood alone, .01 to .03 with moments;
    # the error of rates .06 to 1.24, then .03 to .23.
    assert populations.count_divergence(unseen, before) > 0.2
    _, metrics = train(MomentMatching(updates=150, lr=0.01, chains=20), network, trials)
    after = late_run(network)
    assert populations.count_divergence(unseen, after) < 0.06
    assert populations.rate_error(unseen, after) < 0.4
    assert metrics["free_rate"] == pytest.approx(metrics["real_rate"], rel=0.3)


def test_the_slope_is_the_change_of_the_log_ratio_by_a_spike():
    spikes = torch.tensor([[[1.0, 0, 1]]])
    real = torch.tensor([0.2, 0.3, 0.4]), torch.tensor([0.4, 0.3, 0.2, 0.1])
    found = torch.tensor([0.2, 0.5, 0.1]), torch.tensor([0.1, 0.2, 0.3, 0.4])
    ratio = (real[1] / found[1]).log()
    rates = torch.logit(real[0]) - torch.logit(found[0])
    expected = [ratio[2] - ratio[1], ratio[3] - ratio[2], ratio[2] - ratio[1]]
    torch.testing.assert_close(moment_slope(spikes, real, found)[0, 0], rates + torch.stack(expected))
    assert not moment_slope(spikes, real, real).any()


@pytest.mark.parametrize("ongoing", [True, False])
def test_a_run_that_goes_on_ends_like_one_that_did_not_stop(ongoing):
    trials = two_states(20, 1)
    algorithm = MomentMatching(updates=6, chains=8, ongoing=ongoing)

    def go_on(state, updates):
        for _ in range(updates):
            algorithm.update(state, Batch(trials))

    whole, half, resumed = (
        algorithm.init(population(), torch.Generator().manual_seed(3)) for _ in range(3)
    )
    go_on(whole, 6)
    go_on(half, 3)
    resumed.load_state_dict(half.state_dict())
    go_on(resumed, 3)
    for ours, theirs in zip(resumed.network.parameters(), whole.network.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_what_cannot_be_matched_is_refused():
    with pytest.raises(InputError, match="read-out neurons alone"):
        MomentMatching(updates=1).init(PopulationGenerator(1, 3, 5, hidden=2), torch.Generator())
    with pytest.raises(InputError, match="chains"):
        MomentMatching(updates=1, chains=1)
    state = MomentMatching(updates=1, chains=8).init(population(), torch.Generator())
    with pytest.raises(InputError, match="8 trials or more, got 3"):
        MomentMatching(updates=1, chains=8).update(state, Batch(two_states(3, 0)))
    with pytest.raises(InputError, match="zeros and ones"):
        MomentMatching(updates=1, chains=8).update(state, Batch(two_states(8, 0) / 2))
