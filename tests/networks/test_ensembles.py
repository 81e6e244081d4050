import pytest
import torch
from torch import nn

from snn_gan_ext import InputError
from snn_gan_ext.functional.bases import exponential_basis, raised_cosine_basis
from snn_gan_ext.networks.discriminators import IntervalDiscriminator
from snn_gan_ext.networks.ensembles import DiscriminatorEnsemble, Ensemble
from snn_gan_ext.networks.generators import ConditionalGenerator, StepResponseGenerator


def conditional(seed):
    return ConditionalGenerator(
        3,
        6,
        5,
        hidden=7,
        latent_bits=4,
        gate_latent=True,
        basis=exponential_basis(4, 2.0),
        rng=torch.Generator().manual_seed(seed),
    )


def neuron(seed):
    rng = torch.Generator().manual_seed(seed)
    return StepResponseGenerator(
        1, 20, basis=raised_cosine_basis(3, 9), weight_std=1.0, bias_init=0.0, rng=rng
    )


@pytest.mark.parametrize("make", [conditional, neuron])
@pytest.mark.parametrize("size", [1, 3])
def test_members_side_by_side_equal_each_alone(make, size, rng, device):
    alone = [make(seed).to(device) for seed in range(size)]
    ensemble = Ensemble(alone).to(device)
    labels = (torch.arange(4 * size) % 3).to(device)
    noise = ensemble.noise(len(labels), torch.Generator(device).manual_seed(0))
    sample = ensemble.sample(labels, noise)
    errors = {name: run.score for name, run in sample.runs.items()}
    gradients = ensemble.gradients(sample, errors)
    assert set(gradients) == {name for name, _ in ensemble.named_parameters()}
    per_sample = ensemble.gradients(sample, errors, per_sample=True)
    for member, network in enumerate(alone):
        share = slice(4 * member, 4 * member + 4)
        own = network.sample(labels[share], {name: x[member] for name, x in noise.items()})
        assert torch.equal(sample.spikes[:, share], own.spikes)
        own_errors = {name: run.score for name, run in own.runs.items()}
        for name, run in own.runs.items():
            torch.testing.assert_close(sample.runs[name].potentials[:, share], run.potentials)
        for name, expected in network.gradients(own, own_errors).items():
            found = gradients[f"members.{name}"][member]
            torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)
            by_trial = per_sample[f"members.{name}"][member]
            torch.testing.assert_close(by_trial.sum(0), expected, atol=1e-5, rtol=1e-4)


def test_draws_take_a_member_at_random_for_each_trial(rng):
    members = [neuron(seed) for seed in range(4)]
    for place, member in enumerate(members):
        for parameter in member.parameters():
            parameter.data.zero_()
        member.network.layers["readout"].bias.data.fill_(30.0 if place == 2 else -30.0)
    spikes, chosen = Ensemble(members).draw(torch.zeros(2000, dtype=torch.long), rng)
    assert spikes.shape == (20, 2000, 1)
    assert torch.equal(spikes.mean((0, 2)), (chosen == 2).float())
    # A binomial count of 2000 at 1/4, within 5 standard deviations.
    assert (chosen.bincount(minlength=4) - 500).abs().max() < 5 * (2000 * 3 / 16) ** 0.5


def test_weights_survive_a_state_dict_and_members_are_copies(rng):
    members = [neuron(0), neuron(1)]
    ensemble, other = Ensemble(members), Ensemble([neuron(2), neuron(3)])
    other.load_state_dict(ensemble.state_dict())
    labels = torch.zeros(6, dtype=torch.long)
    noise = ensemble.noise(6, rng)
    assert torch.equal(ensemble.sample(labels, noise).spikes, other.sample(labels, noise).spikes)
    members[0].network.layers["readout"].bias.data.fill_(9.0)
    assert torch.equal(ensemble.sample(labels, noise).spikes, other.sample(labels, noise).spikes)


def test_what_does_not_fit_is_named(rng):
    for members in ([], 0, 2, [0], [nn.Linear(1, 1)]):
        with pytest.raises(InputError, match="members: expected a"):
            Ensemble(members)
    with pytest.raises(InputError, match="same names and shapes"):
        Ensemble([neuron(0), conditional(0)])
    longer, slower = neuron(1), neuron(1)
    longer.num_steps = 21
    slower.network.layers["readout"].basis.mul_(2)
    for other in (longer, slower, neuron(1).double()):
        with pytest.raises(InputError, match="the same settings"):
            Ensemble([neuron(0), other])
    ensemble = Ensemble([neuron(0), neuron(1)])
    for batch in (1, 3):
        with pytest.raises(InputError, match="multiple of the 2"):
            ensemble.noise(batch, rng)
    labelled = Ensemble([conditional(0), conditional(1)])
    for generator in (conditional(0), labelled):
        with pytest.raises(InputError, match="labels"):
            generator(torch.tensor([0, 1, 3, 0]), rng)
    labels, noise = torch.tensor([0, 1, 2, 0]), labelled.noise(4, rng)
    for value in (torch.nan, 2.0, -1.0):
        with pytest.raises(InputError, match="noise"):
            labelled.sample(labels, noise | {"hidden": noise["hidden"].fill_(value)})
    sample = labelled.sample(labels, labelled.noise(4, rng))
    errors = {name: torch.full_like(x.spikes, torch.nan) for name, x in sample.runs.items()}
    with pytest.raises(InputError, match="error"):
        labelled.gradients(sample, errors)
    labelled.members.network.layers["readout"].bias.data[1] = torch.nan
    with pytest.raises(InputError, match="potential"):
        labelled(labels, rng)


def test_a_member_is_a_generator_of_its_own(rng):
    alone = [conditional(seed) for seed in range(3)]
    ensemble = Ensemble(alone).double()
    member = ensemble.member(1)
    assert {p.dtype for p in member.parameters()} == {torch.float64}
    expected = alone[1].double().state_dict()
    assert all(torch.equal(x, expected[name]) for name, x in member.state_dict().items())
    with pytest.raises(InputError, match="member"):
        ensemble.member(3)


def test_interval_discriminators_cannot_be_an_ensemble():
    pair = [IntervalDiscriminator(1, 20), IntervalDiscriminator(1, 20)]
    with pytest.raises(InputError, match="decoded trials"):
        DiscriminatorEnsemble(pair)
