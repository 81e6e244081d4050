"""Models of snnTorch as generators and discriminators."""

import copy
import itertools

import pytest
import snntorch as snn
import torch
from torch import nn

import snn_gan_ext as sg
from snn_gan_ext.errors import InputError
from snn_gan_ext.estimators import estimators
from snn_gan_ext.networks.modules import ModuleDiscriminator, ModuleGenerator
from snn_gan_ext.types import Batch


def layer(inputs, outputs, **settings):
    return sg.GLMLayer(inputs, outputs, init_hidden=True, **settings)


def with_linear(steps=3):
    """A linear map below two GLM layers: all of it is differentiable, given their spikes."""
    net = nn.Sequential(nn.Linear(2, 2), layer(2, 1, delay=0), nn.Linear(1, 3), layer(3, 1))
    for glm in (net[1], net[3]):
        glm.feedback.data.normal_()
    return ModuleGenerator(net, steps, classes=2)


def with_leaky(steps=4):
    net = nn.Sequential(
        nn.Linear(5, 6),
        snn.Leaky(beta=0.8, init_hidden=True),
        layer(6, 2, delay=0, bias_init=-1.0, output=True),
    )
    return ModuleGenerator(net, steps, classes=3, latent_bits=2)


class Loop(nn.Module):
    """A model that loops over time itself, with explicit states."""

    def __init__(self, net):
        super().__init__()
        self.linear, self.leaky, self.glm = net

    def forward(self, inputs):
        mem, state, spikes = self.leaky.reset_mem(), self.glm.reset_mem(), []
        for step in inputs:
            spike, mem = self.leaky(self.linear(step), mem)
            spike, state = self.glm(spike, state)
            spikes.append(spike)
        return torch.stack(spikes), state.mem


def all_trains(generator):
    """Both layers' trains of one neuron each, and a sample that holds every pair of them once."""
    steps = generator.num_steps
    trains = torch.tensor(list(itertools.product([0.0, 1.0], repeat=2 * steps))).T
    hidden, readout = trains.reshape(2, steps, -1, 1)
    noise = {"latent": torch.zeros(hidden.shape[1], 0), "1": 1 - hidden, "readout": 1 - readout}
    sample = generator.sample(torch.zeros(hidden.shape[1], dtype=torch.long), noise)
    assert torch.equal(sample.runs["1"].spikes, hidden)
    assert torch.equal(sample.spikes, readout)
    return sample


def log_p(generator, sample):
    """Log-probabilities of all trains, with a graph to all parameters: the reference of autograd."""
    first, glm1, second, glm2 = generator.net
    label = torch.tensor([1.0, 0.0]).expand(*sample.spikes.shape[:2], 2)
    total = 0
    for glm, inputs, name in (
        (glm1, first(label), "1"),
        (glm2, second(sample.runs["1"].spikes), "readout"),
    ):
        spikes = sample.runs[name].spikes
        own = torch.cat([torch.zeros(glm.basis.shape[1], *spikes.shape[1:]), spikes])
        kernel = glm.feedback_basis.T @ glm.feedback
        back = sum(kernel[lag] * own[len(kernel) - 1 - lag : -1 - lag] for lag in range(len(kernel)))
        u = glm.drive(inputs) + back + glm.bias
        total = total + (spikes * u - nn.functional.softplus(u)).sum((0, 2))
    return total


@pytest.mark.usefixtures("double")
def test_the_gradient_is_that_of_the_expected_reward():
    torch.manual_seed(0)
    generator = with_linear()
    sample = all_trains(generator)
    reward = torch.randn(sample.spikes.shape[1])
    logs = log_p(generator, sample)
    assert logs.exp().sum().item() == pytest.approx(1, abs=1e-12)
    errors = {
        name: estimators.score_function_error(run.score, logs.exp().detach() * reward)
        for name, run in sample.runs.items()
    }
    found = generator.gradients(sample, errors)
    parameters = dict(generator.named_parameters())
    exact = torch.autograd.grad((logs.exp() * reward).sum(), list(parameters.values()))
    assert found.keys() == parameters.keys()
    for name, gradient in zip(parameters, exact, strict=True):
        torch.testing.assert_close(found[name], gradient, rtol=0, atol=1e-10)
        assert gradient.abs().max() > 1e-6


@pytest.mark.usefixtures("double")
def test_spikes_below_count_by_their_surrogate_slope():
    torch.manual_seed(0)
    generator = with_leaky()
    labels, noise = torch.tensor([0, 1, 2]), generator.noise(3)
    sample = generator.sample(labels, noise)
    error = torch.randn_like(sample.spikes)
    found = generator.gradients(sample, {"readout": error})
    code = generator.exogenous(labels, noise)
    mem, spikes = torch.zeros(3, 6), []
    linear, leaky, glm = generator.net
    plain = snn.Leaky(beta=0.8, spike_grad=leaky.spike_grad)
    for step in code:
        spike, mem = plain(linear(step), mem)
        spikes.append(spike)
    objective = (glm.drive(torch.stack(spikes)) * error).sum()
    for name, exact in zip(
        ("net.0.weight", "net.0.bias"),
        torch.autograd.grad(objective, list(linear.parameters())),
        strict=True,
    ):
        torch.testing.assert_close(found[name], exact)
        assert exact.abs().max() > 0


def test_stepwise_models_and_those_that_loop_draw_the_same_spikes():
    torch.manual_seed(0)
    stepwise = with_leaky(steps=10)
    linear, leaky, glm = copy.deepcopy(stepwise.net)
    leaky.init_hidden = glm.init_hidden = False
    looping = ModuleGenerator(Loop((linear, leaky, glm)), 10, classes=3, latent_bits=2, sequence=True)
    labels, noise = torch.arange(30) % 3, stepwise.noise(30, torch.Generator().manual_seed(1))
    first, second = stepwise.sample(labels, noise).spikes, looping.sample(labels, noise).spikes
    assert 0.05 < first.mean() < 0.95
    assert torch.equal(first, second)


def test_a_sample_leaves_no_state_behind():
    generator = with_leaky()
    noise = generator.noise(6, torch.Generator().manual_seed(0))
    labels = torch.arange(6) % 3
    first = generator.sample(labels, noise).spikes
    copied = copy.deepcopy(generator)
    assert torch.equal(generator.sample(labels, noise).spikes, first)
    assert torch.equal(copied.sample(labels, noise).spikes, first)
    assert generator(labels).shape == (4, 6, 2)


@pytest.mark.parametrize("estimator", ["reinforce", "hybrid"])
def test_every_parameter_learns(estimator):
    torch.manual_seed(0)
    generator = with_leaky(steps=6)
    discriminator = sg.TemporalDiscriminator(2, 3, 6, layers=[(8, 3, 1), (1, 3, 1)])
    algorithm = snn.SpikeGAN(estimator=estimator, updates=20)
    state = algorithm.init(generator, discriminator, torch.Generator().manual_seed(0))
    before = copy.deepcopy(generator.state_dict())
    for _ in range(5):
        algorithm.update(state, Batch((torch.rand(6, 30, 2) < 0.9).float(), torch.arange(30) % 3))
    same = [name for name, x in generator.named_parameters() if torch.equal(x, before[name])]
    assert not same


def test_maximum_likelihood_finds_rates():
    torch.manual_seed(0)
    generator = with_leaky(steps=6)
    data = (torch.rand(6, 300, 2) < torch.tensor([0.1, 0.8])).float()
    algorithm = sg.MaximumLikelihood(updates=200, lr=0.02)
    state = algorithm.init(generator, torch.Generator().manual_seed(0))
    for _ in range(200):
        algorithm.update(state, Batch(data, torch.arange(300) % 3))
    rates = generator(torch.arange(3000) % 3).mean((0, 1))
    # A rate of 18,000 draws has a standard deviation below .004; the data's own of .011.
    torch.testing.assert_close(rates, data.mean((0, 1)), rtol=0, atol=0.03)


def test_convolutional_models_take_inputs_of_their_own_shape():
    conv = sg.GLMConvTranspose2d(4, 2, 4, stride=2, padding=1, delay=0, init_hidden=True)
    net = nn.Sequential(nn.Linear(7, 64), nn.Unflatten(1, (4, 4, 4)), conv)
    generator = ModuleGenerator(net, 5, classes=3, latent_bits=4)
    assert generator(torch.tensor([0, 1])).shape == (5, 2, 2, 8, 8)
    ramp = torch.linspace(0, 1, 5)[:, None, None]
    driven = ModuleGenerator(net, 5, classes=3, latent_bits=4, inputs=lambda code: ramp * code)
    assert driven(torch.tensor([0, 1])).shape == (5, 2, 2, 8, 8)


@pytest.mark.parametrize("mode", ["expected", "threshold"])
def test_generators_draw_spikes_in_every_mode(mode):
    generator = ModuleGenerator(
        layer(3, 2, delay=0, bias_init=0.0, eval_mode=mode), 5, classes=3
    ).eval()
    spikes = generator(torch.zeros(50).long())
    assert set(spikes.unique().tolist()) == {0.0, 1.0}
    assert (spikes != spikes[:, :1]).any()


def test_spiking_discriminators_learn_too():
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Linear(2 + 3, 16),
        snn.Leaky(beta=0.9, init_hidden=True),
        nn.Linear(16, 1),
        snn.Leaky(beta=0.9, init_hidden=True, output=True),
    )
    discriminator = ModuleDiscriminator(net, classes=3, by_step=True)
    algorithm = sg.SpikeGAN(updates=300, generator_lr=0.0, discriminator_lr=0.01)
    state = algorithm.init(with_leaky(steps=6), discriminator, torch.Generator().manual_seed(0))
    labels = torch.arange(60) % 3
    for _ in range(300):
        found = algorithm.update(state, Batch((torch.rand(6, 60, 2) < 0.9).float(), labels))
    assert found["real_logit"] > found["fake_logit"] + 1


def test_a_plain_module_discriminates_decoded_trials():
    discriminator = ModuleDiscriminator(nn.Sequential(nn.Linear(7, 5), nn.ReLU(), nn.Linear(5, 1)), 3)
    assert discriminator(torch.rand(4, 4), torch.tensor([0, 1, 2, 0])).shape == (4,)


def test_models_that_are_no_generators_are_refused():
    glm = layer(2, 1, delay=0)
    with pytest.raises(InputError, match="a GLM layer at its end"):
        ModuleGenerator(nn.Linear(2, 1), 3, classes=2)
    with pytest.raises(InputError, match="returns its last GLM layer's spikes"):
        ModuleGenerator(nn.Sequential(glm, nn.Linear(1, 1)), 3, classes=2)
    silent = layer(2, 1, delay=0, bias_init=-50.0)
    with pytest.raises(InputError, match="returns its last GLM layer's spikes"):
        ModuleGenerator(nn.Sequential(silent, snn.Leaky(0.9, init_hidden=True)), 3, classes=2)
    forgetful = nn.Sequential(sg.GLMLayer(2, 1, delay=0), First())
    with pytest.raises(InputError, match="keeps this layer's state"):
        ModuleGenerator(forgetful, 3, classes=2)
    with pytest.raises(InputError, match="3 steps a trial"):
        ModuleGenerator(nn.Sequential(glm, Twice(glm)), 3, classes=2)


class First(nn.Module):
    def forward(self, pair):
        return pair[0]


class Twice(nn.Module):
    def __init__(self, glm):
        super().__init__()
        self.glm = glm

    def forward(self, spikes):
        return self.glm(torch.cat([spikes, spikes], 1))


def test_gradients_by_trial_are_refused_below_other_modules():
    generator = with_leaky()
    sample = generator.sample(torch.tensor([0, 1]), generator.noise(2))
    with pytest.raises(InputError, match="GLM layers alone"):
        generator.gradients(sample, {"readout": sample.runs["readout"].score}, per_sample=True)
    with torch.no_grad():
        sample = generator.sample(torch.tensor([0, 1]), generator.noise(2))
    with pytest.raises(InputError, match=r"outside torch\.no_grad"):
        generator.gradients(sample, {"readout": sample.runs["readout"].score})


def test_modules_that_work_in_place_do_not_change_the_record():
    torch.manual_seed(0)
    net = nn.Sequential(
        layer(2, 8, delay=0, bias_init=0.0), nn.Dropout(0.5, inplace=True), layer(8, 1, delay=0)
    )
    generator = ModuleGenerator(net, 4, classes=2)
    sample = generator.sample(torch.zeros(50, dtype=torch.long), generator.noise(50))
    assert set(sample.runs["0"].spikes.unique().tolist()) == {0.0, 1.0}
    assert sample.inputs["readout"].max() == 2  # of dropout


class Reversed(nn.Module):
    """A model whose read-out comes first among its modules."""

    def __init__(self):
        super().__init__()
        self.out, self.hid = layer(5, 5, delay=0), layer(9, 5, delay=0)

    def forward(self, code):
        return self.out(self.hid(code))


def test_the_readout_is_the_layer_that_is_returned_whatever_the_order():
    torch.manual_seed(3)
    net = Reversed()
    net.out.bias.data.fill_(50.0)
    assert ModuleGenerator(net, 6, classes=1, latent_bits=8)(4).min() == 1


def test_neurons_that_would_take_a_sequence_for_a_batch_are_refused():
    net = nn.Sequential(nn.Linear(2, 3), snn.Leaky(beta=0.9, init_hidden=True), layer(3, 1))
    with pytest.raises(InputError, match="1: expected 4 steps a trial, one a step, got 1"):
        ModuleGenerator(net, 4, classes=2, sequence=True)


@pytest.mark.parametrize(
    "net", [nn.Sequential(nn.Linear(3, 4), layer(4, 1)), nn.Sequential(snn.Leaky(0.9), layer(2, 1))]
)
def test_models_that_fail_at_once_say_what_they_should_take(net):
    with pytest.raises(InputError, match=r"a model that takes .*classes \+ latent_bits.*init_hidden"):
        ModuleGenerator(net, 4, classes=2)


def test_models_on_the_meta_device_are_refused():
    generator = with_leaky()
    net = copy.deepcopy(generator.net).to("meta")
    with pytest.raises(InputError, match=r"net: expected weights with values.*to_empty"):
        ModuleGenerator(net, 4, classes=3, latent_bits=2)
    with pytest.raises(InputError, match=r"net: expected weights with values.*to_empty"):
        generator.to("meta")(torch.tensor([0, 1]))


def test_critics_take_decoded_frames_and_sequences_of_them():
    net = nn.Sequential(nn.Conv2d(2 + 3, 4, 3), nn.Flatten(), nn.Linear(4 * 36, 1))
    labels = torch.tensor([0, 1, 2, 0])
    assert ModuleDiscriminator(net, 3)(torch.rand(4, 2, 8, 8), labels).shape == (4,)
    assert ModuleDiscriminator(net, 3, by_step=True)(torch.rand(5, 4, 2, 8, 8), labels).shape == (4,)
