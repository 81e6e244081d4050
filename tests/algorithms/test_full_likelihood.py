"""Likelihood of all trials at once: the optimum, its penalties, and the penalty by the free run."""

import pytest
import torch

from snn_gan_ext import InputError, MaximumLikelihood, PopulationGenerator
from snn_gan_ext.algorithms.full_likelihood import FullLikelihood, choose_penalty
from snn_gan_ext.datasets.ring import ring_layer, ring_spikes
from snn_gan_ext.functional.bases import raised_cosine_basis
from snn_gan_ext.metrics import populations
from snn_gan_ext.types import Batch

BASIS = raised_cosine_basis(3, 6)


@pytest.fixture(scope="module")
def trials():
    return ring_spikes(1000, rng=torch.Generator().manual_seed(0))


def population(**options):
    rng = torch.Generator().manual_seed(1)
    return PopulationGenerator(1, 8, 100, basis=BASIS, readout_bias=-2.0, rng=rng, **options)


def test_it_recovers_each_filter_of_the_ring(trials):
    network, truth = population(), ring_layer()
    FullLikelihood().fit(network, Batch(trials))
    found, exact = network.network.layers["readout"].filters(), truth.filters()
    # The largest error of 448 taps; the standard error of one is some .02 (of a feedback tap .1).
    assert (found.coupling - exact.coupling).abs().max() < 0.12
    spikes = network(1000, torch.Generator().manual_seed(2))
    assert populations.correlogram_error(trials, spikes) < 0.15


def test_the_slope_is_zero_at_the_optimum_and_parts_add_up(trials):
    few = Batch(trials[:, :100])
    network, in_parts = population(), population()
    whole = FullLikelihood(coupling_penalty=0.01).fit(network, few)
    parts = FullLikelihood(coupling_penalty=0.01, values=5000).fit(in_parts, few)
    assert whole == pytest.approx(parts, abs=1e-4)
    observed = network.observe(few.spikes, None, network.noise(100))
    gradients = network.gradients(observed, {"readout": observed.runs["readout"].score})
    for name, weight in network.named_parameters():
        penalty = {"coupling": 0.01, "feedback": 1e-5}.get(name.rsplit(".")[-1])
        if penalty is not None:
            slope = gradients[name] / few.spikes[..., 0].numel() - penalty * weight.detach()
            assert slope.abs().max() < 2e-3


def test_adam_on_batches_gets_no_further(trials):
    network, by_batches = population(), population()
    best = FullLikelihood().fit(network, Batch(trials))
    algorithm = MaximumLikelihood(updates=200, lr=0.03)
    state = algorithm.init(by_batches, torch.Generator().manual_seed(0))
    for _ in range(200):
        algorithm.update(state, Batch(trials[:, torch.randint(1000, (50,), generator=state.rng)]))
    assert FullLikelihood(iterations=1)._likelihood(by_batches, Batch(trials))[0] < best + 1e-4


def test_a_penalty_pulls_weights_between_neurons_to_zero_and_the_drive_to_its_start(trials):
    few = Batch(trials[:, :50])
    strong = population(by_step=True)
    start = strong.network.layers["readout"].weight.detach().clone() + 0.3
    strong.network.layers["readout"].weight.data.copy_(start)
    FullLikelihood(coupling_penalty=1e4, drive_penalty=1e4).fit(strong, few)
    layer = strong.network.layers["readout"]
    assert layer.coupling.abs().max() < 1e-3
    assert (layer.weight - start).abs().max() < 1e-3
    free = population(by_step=True)
    FullLikelihood(coupling_penalty=1e4).fit(free, few)
    assert (free.network.layers["readout"].weight).abs().max() > 0.5


def test_the_penalty_is_that_of_the_best_free_run(trials):
    network, tried = population(), []

    def disagreement(fitted):
        tried.append(fitted.network.layers["readout"].coupling.detach().norm().item())
        rng = torch.Generator().manual_seed(len(tried))
        return populations.disagreement(trials, fitted(300, rng))

    found = choose_penalty(network, Batch(trials[:, :20]), disagreement, (1.0, 1e-3))
    assert [trial.penalty for trial in found] == [1e-3, 1.0]
    assert found[0].disagreement < found[1].disagreement
    assert tried == sorted(tried)  # weaker penalties come later
    assert network.network.layers["readout"].coupling.detach().norm().item() == tried[1]


def test_hidden_neurons_and_impossible_settings_are_refused(trials):
    with pytest.raises(InputError, match="read-out neurons alone"):
        FullLikelihood().fit(population(hidden=2), Batch(trials))
    with pytest.raises(InputError, match="coupling_penalty"):
        FullLikelihood(coupling_penalty=-1)
    with pytest.raises(InputError, match="iterations"):
        FullLikelihood(iterations=0)
    with pytest.raises(InputError, match="penalties"):
        choose_penalty(population(), Batch(trials), lambda _: 0.0, ())
    with pytest.raises(InputError):
        FullLikelihood().fit(population(), Batch(trials[..., :5]))
    with pytest.raises(InputError, match="zeros and ones"):
        FullLikelihood().fit(population(), Batch(trials * 0.5))
