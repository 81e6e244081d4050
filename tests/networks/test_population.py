"""The generator of recorded populations: its drive, its free run, what its layers hear."""

import pytest
import torch

from snn_gan_ext import InputError, PopulationGenerator, masks
from snn_gan_ext.functional.bases import exponential_basis

BASIS = exponential_basis(3, 2.0)


def rates_of(generator, count=20_000, seed=0):
    """Rates [T, classes, N] of many trials."""
    classes = generator.classes
    labels = torch.arange(classes).repeat_interleave(count // classes)
    spikes = generator(labels, torch.Generator().manual_seed(seed))
    return spikes.unflatten(1, (classes, -1)).mean(2)


@pytest.mark.parametrize("bits", [0, 6])
def test_the_drive_follows_given_rates_step_by_step(bits, rng):
    generator = PopulationGenerator(
        2, 3, 5, by_step=True, latent_bits=bits, latent_std=1.0, basis=BASIS, rng=rng
    )
    rates = torch.rand(5, 2, 3, generator=rng) * 0.6 + 0.05
    generator.initialise_rates(rates, rng)
    # A share of 10,000 trials has a standard error of .005; with bits, the drive was set by 200.
    assert (rates_of(generator) - rates).abs().max() < (0.025 if bits == 0 else 0.15)
    assert (rates_of(generator) - rates).abs().mean() < (0.006 if bits == 0 else 0.03)


def test_without_steps_the_drive_is_their_mean(rng):
    generator = PopulationGenerator(1, 3, 5, basis=BASIS, rng=rng)
    rates = torch.rand(5, 1, 3, generator=rng) * 0.6 + 0.05
    generator.initialise_rates(rates)
    assert (rates_of(generator).mean(0) - rates.mean(0)).abs().max() < 0.01


def test_some_steps_of_the_noise_know_which_ones_they_are(rng):
    generator = PopulationGenerator(2, 3, 6, by_step=True, latent_bits=2, basis=BASIS, rng=rng)
    labels, noise = torch.tensor([0, 1, 1]), generator.noise(3, rng)
    whole = generator.exogenous(labels, noise)
    later = {name: x[4:] if x.dim() > 2 else x for name, x in noise.items()}
    part = generator.exogenous(labels, later)
    for name, spikes in whole.items():
        assert torch.equal(spikes[4:], part[name])
    assert (whole["drive"].sum(2) == 1).all()
    assert whole["drive"][4, 1].argmax() == 6 + 4


def test_new_neurons_hear_nothing_until_they_learn(rng):
    generator = PopulationGenerator(1, 4, 6, same_step="triangular", counts=2, basis=BASIS, rng=rng)
    layer = generator.network.layers["readout"]
    assert not any(w.any() for w in (layer.coupling, layer.same_step, layer.count, layer.feedback))
    lively = PopulationGenerator(
        1, 4, 6, coupling=masks.ring(4), coupling_std=0.3, basis=BASIS, rng=rng
    )
    coupling = lively.network.layers["readout"].coupling
    assert coupling.any()


def test_absent_connections_stay_silent(rng):
    generator = PopulationGenerator(
        1, 4, 6, coupling=masks.ring(4), coupling_std=1.0, basis=BASIS, rng=rng
    )
    layer = generator.network.layers["readout"]
    between = layer.filters().coupling
    assert between[:, 0, 2].abs().max() == 0
    assert between[1:, 0, 1].abs().max() > 0
    run = generator.sample(None, generator.noise(5, rng)).runs["readout"]
    gradients = layer.gradients(run, run.score)["coupling"]
    assert not gradients[:, ~masks.ring(4)].any()
    assert gradients[:, masks.ring(4)].any(1).all()


def test_a_free_run_goes_on_from_trial_to_trial(rng):
    generator = PopulationGenerator(1, 3, 5, readout_bias=-30.0, basis=BASIS, rng=rng)
    layer = generator.network.layers["readout"]
    layer.feedback.data.fill_(60.0)  # once it has fired, a neuron goes on firing
    layer.bias.data[0] = 30.0
    layer.coupling.data[:, 0, 1] = 60.0
    spikes = generator.free_run(2, 12, rng)
    assert spikes.shape == (12, 2, 3)
    assert spikes[1:, :, :2].all()
    assert not spikes[0, :, 1].any()
    assert not spikes[..., 2].any()


def test_hidden_neurons_hear_the_past_and_act_at_once(rng):
    generator = PopulationGenerator(
        1, 2, 6, hidden=3, hidden_bias=-50.0, readout_bias=-50.0, coupling=None, basis=BASIS, rng=rng
    )
    hidden, readout = (generator.network.layers[name] for name in ("hidden", "readout"))
    hidden.weight.data[0, 0] = 200.0  # hear the first neuron
    readout.weight.data[0, 1:, 1] = 100.0  # drive the second
    given = torch.zeros(6, 1, 2)
    given[2, 0, 0] = 1
    runs = generator.observe(given, None, generator.noise(1, rng)).runs
    fires = (runs["hidden"].potentials > 0).all(2)[:, 0]
    assert fires.tolist() == [False, False, False, True, True, True]  # the filter has three steps
    assert (runs["readout"].potentials[:, 0, 1] > 0).tolist() == fires.tolist()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"readout": 0}, "readout"),
        ({"num_steps": 0}, "num_steps"),
        ({"latent_bits": -1}, "latent_bits"),
        ({"hidden": -1}, "hidden"),
        ({"coupling": torch.ones(2, 2, dtype=torch.bool)}, "coupling"),
        ({"counts": 2}, "counts"),
    ],
)
def test_impossible_settings_are_refused(options, words):
    with pytest.raises(InputError, match=words):
        PopulationGenerator(**{"classes": 1, "readout": 3, "num_steps": 4, **options})


def test_impossible_rates_are_refused():
    generator = PopulationGenerator(1, 3, 4)
    with pytest.raises(InputError, match="rates"):
        generator.initialise_rates(torch.full((4, 1, 3), 0.0))
    with pytest.raises(InputError, match="rates"):
        generator.initialise_rates(torch.full((4, 3), 0.5))
    with pytest.raises(InputError, match="num_steps"):
        generator.free_run(2, 0)
