"""Likelihood first, SpikeGAN after it; and couplings that become zero as a whole."""

import pytest
import torch

from snn_gan_ext import InputError, MaximumLikelihood, PopulationGenerator, SpikeGAN
from snn_gan_ext.algorithms.likelihood_first import LikelihoodFirst
from snn_gan_ext.datasets.ring import ring_layer, ring_spikes
from snn_gan_ext.functional.bases import raised_cosine_basis
from snn_gan_ext.networks.discriminators import TemporalDiscriminator
from snn_gan_ext.types import Batch


def population(rng, **options):
    basis = raised_cosine_basis(3, 6)
    return PopulationGenerator(1, 8, 50, basis=basis, readout_bias=-2.0, rng=rng, **options)


def start(algorithm, seed=0):
    rng = torch.Generator().manual_seed(seed)
    critic = TemporalDiscriminator(8, 0, 50, layers=[(8, 4, 2)], rng=rng)
    return algorithm.init(population(rng), critic, rng)


def go_on(algorithm, state, updates, trials):
    metrics = {}
    for _ in range(updates):
        picks = torch.randint(trials.shape[1], (20,), generator=state.rng)
        metrics = algorithm.update(state, Batch(trials[:, picks]))
    return metrics


ALGORITHM = LikelihoodFirst(
    updates=10,
    share=0.4,
    likelihood=MaximumLikelihood(lr=0.03),
    adversarial=SpikeGAN(estimator="hybrid", averaging=0.9),
)


def test_the_discriminator_learns_in_the_second_part_alone(rng):
    trials, state = ring_spikes(50, 50, rng=rng), start(ALGORITHM)
    before = [p.clone() for p in state.discriminator.parameters()]
    assert "log_likelihood" in go_on(ALGORITHM, state, 4, trials)
    assert all(map(torch.equal, before, state.discriminator.parameters()))
    # The generator to draw from is the one in training, not a mean with the untrained one.
    for ours, theirs in zip(state.averaged.parameters(), state.generator.parameters(), strict=True):
        assert torch.equal(ours, theirs)
    assert "discriminator_loss" in go_on(ALGORITHM, state, 6, trials)
    assert not all(map(torch.equal, before, state.discriminator.parameters()))
    assert state.updates == 10


def test_the_first_part_is_maximum_likelihood(rng):
    trials, state = ring_spikes(50, 50, rng=rng), start(ALGORITHM)
    alone = MaximumLikelihood(updates=4, lr=0.03)
    other = start(ALGORITHM)
    plain = alone.init(other.generator, other.rng)
    go_on(ALGORITHM, state, 4, trials)
    go_on(alone, plain, 4, trials)
    for ours, theirs in zip(state.generator.parameters(), plain.network.parameters(), strict=True):
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize("stop", [2, 7])
def test_a_run_that_goes_on_ends_like_one_that_did_not_stop(rng, stop):
    trials = ring_spikes(50, 50, rng=rng)
    whole, half, resumed = start(ALGORITHM), start(ALGORITHM), start(ALGORITHM, seed=5)
    go_on(ALGORITHM, whole, 10, trials)
    go_on(ALGORITHM, half, stop, trials)
    resumed.load_state_dict(half.state_dict())
    go_on(ALGORITHM, resumed, 10 - stop, trials)
    for ours, theirs in zip(resumed.averaged.parameters(), whole.averaged.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_a_group_lasso_finds_the_pairs_that_hear_each_other(rng):
    trials = ring_spikes(400, 50, rng=rng)
    network = population(rng)
    algorithm = MaximumLikelihood(updates=200, lr=0.03, group_lasso=1.2)
    go_on(algorithm, algorithm.init(network, rng), 200, trials)
    heard = network.network.layers["readout"].coupling.norm(dim=0) > 0
    truth = ring_layer().coupling.norm(dim=0) > 0
    assert (heard & truth).sum() == truth.sum()
    assert (heard & ~truth).sum() < 0.3 * (~truth).sum()
    plain = MaximumLikelihood(updates=20, lr=0.03)
    dense = population(rng)
    go_on(plain, plain.init(dense, rng), 20, trials)
    assert (dense.network.layers["readout"].coupling.norm(dim=0) > 0).sum() == 56


def test_impossible_settings_are_refused():
    with pytest.raises(InputError, match="share"):
        LikelihoodFirst(updates=10, share=1.0)
    with pytest.raises(InputError, match="group_lasso"):
        MaximumLikelihood(updates=10, group_lasso=-1.0)
