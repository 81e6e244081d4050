"""Networks, batches and random sources of another kind are refused, before anything is changed."""

import pytest
import torch
from torch import nn

from snn_gan_ext import InputError
from snn_gan_ext.algorithms.bayes import BayesSpikeGAN
from snn_gan_ext.algorithms.image_gan import ImageGAN
from snn_gan_ext.algorithms.likelihood import MaximumLikelihood
from snn_gan_ext.algorithms.meta import MetaSpikeGAN
from snn_gan_ext.algorithms.spikegan import SpikeGAN
from snn_gan_ext.algorithms.state import set_gradients
from snn_gan_ext.algorithms.temporal_backprop import TemporalBackprop
from snn_gan_ext.coding.images import rate_decode
from snn_gan_ext.functional.bases import exponential_basis
from snn_gan_ext.networks.discriminators import MLPDiscriminator
from snn_gan_ext.networks.ensembles import DiscriminatorEnsemble, Ensemble
from snn_gan_ext.networks.generators import ConditionalGenerator
from snn_gan_ext.networks.images import MLPGenerator
from snn_gan_ext.networks.ttfs import TTFSClassifier
from snn_gan_ext.types import Batch

LABELS = torch.arange(4) % 2


def generator():
    return ConditionalGenerator(2, 4, 5, hidden=3, basis=exponential_basis(6, 2.0))


def discriminator():
    return MLPDiscriminator(4, 2)


def source():
    return torch.Generator().manual_seed(0)


@pytest.mark.parametrize(
    ("start", "names"),
    [
        (lambda: SpikeGAN().init(discriminator(), generator(), source()), "generator: .* MLPDisc"),
        (lambda: SpikeGAN().init(generator(), generator(), source()), "discriminator: .* Conditional"),
        (lambda: SpikeGAN().init(generator(), nn.Linear(4, 1), source()), "discriminator: .* Linear"),
        (lambda: SpikeGAN().init(MLPGenerator(4, 2), discriminator(), source()), "a spiking generator"),
        (lambda: SpikeGAN().init(generator(), discriminator(), 0), "rng: expected a torch.Generator"),
        (lambda: ImageGAN().init(generator(), discriminator(), source()), "a generator of images"),
        (lambda: ImageGAN().init(discriminator(), MLPGenerator(4, 2), source()), "a generator"),
        (lambda: BayesSpikeGAN().init(generator(), discriminator(), source()), "an Ensemble"),
        (lambda: MaximumLikelihood().init(discriminator(), source()), "network: .* observe spikes"),
        (lambda: MaximumLikelihood().init(generator(), None), "rng"),
        (lambda: TemporalBackprop().init(generator(), source()), "network: .* firing times"),
        (lambda: MetaSpikeGAN().init(*[generator()] * 4, source()), "generators: expected an ensemble"),
        (
            lambda: SpikeGAN(credit="step").init(generator(), discriminator(), source()),
            "discriminator: expected a logit at every step .* PrefixDiscriminator, got MLPDisc",
        ),
        (lambda: SpikeGAN(credit="step", estimator="hybrid"), "estimator: .* slope of one reward"),
        (lambda: SpikeGAN(credit="step", objective="jeffreys"), "objective: .* increments"),
        (lambda: SpikeGAN(credit="step", baseline="variance_minimising"), "baseline: .* leave_one_out"),
        (lambda: SpikeGAN(discount=1.5), "discount"),
        (lambda: SpikeGAN(decode=3), "decode: expected a function"),
        (lambda: SpikeGAN(normalise_rewards="no"), "normalise_rewards: expected True or False"),
        (lambda: MetaSpikeGAN(fresh="layers"), "fresh: expected a tuple"),
        (
            lambda: MetaSpikeGAN(fresh_discriminator=1),
            "fresh_discriminator: expected a function or None",
        ),
        (lambda: DiscriminatorEnsemble(0), "members: expected a list of networks"),
    ],
)
def test_what_cannot_be_trained_is_named(start, names):
    with pytest.raises(InputError, match=names):
        start()


@pytest.mark.parametrize("batch", [torch.zeros(5, 4, 4), torch.zeros(2, 4, 4), None, (0, 1)])
def test_a_batch_is_a_batch(batch):
    pairs = [
        (SpikeGAN(updates=1), (generator(), discriminator())),
        (ImageGAN(updates=1), (MLPGenerator(4, 2), discriminator())),
        (MaximumLikelihood(updates=1), (generator(),)),
        (TemporalBackprop(updates=1), (TTFSClassifier(4, 2, 64, hidden=3),)),
    ]
    for learner, networks in pairs:
        state = learner.init(*networks, source())
        with pytest.raises(InputError, match="batch: expected"):
            learner.update(state, batch)
        assert state.updates == 0


def test_a_discriminator_of_decoded_trials_names_the_missing_decoder():
    learner = SpikeGAN(updates=1)
    state = learner.init(generator(), discriminator(), source())
    with pytest.raises(InputError, match="decode="):
        learner.update(state, Batch(torch.zeros(5, 4, 4), LABELS))


def test_a_number_of_trials_asks_for_labels_where_a_generator_has_them():
    with pytest.raises(InputError, match=r"pass labels, such as torch\.randint\(2, \(B,\)\)"):
        generator()(10)


def test_tied_parameters_are_refused_as_one_would_lose_its_gradient():
    net = ConditionalGenerator(2, 3, 5, hidden=3, basis=exponential_basis(6, 2.0))
    layers = net.network.layers
    layers["readout"].bias = layers["hidden"].bias
    learner = SpikeGAN(decode=rate_decode, updates=1)
    state = learner.init(net, MLPDiscriminator(3, 2), source())
    with pytest.raises(InputError, match=r"readout\.bias alone; freeze it .* or untie it"):
        learner.update(state, Batch(torch.zeros(5, 4, 3), LABELS))
    with pytest.raises(InputError, match="tied"):
        Ensemble([net, net])


def test_a_parameter_without_a_gradient_must_be_frozen():
    net = nn.Linear(2, 1)
    with pytest.raises(InputError, match="bias alone"):
        set_gradients(net, {"weight": torch.ones(1, 2)})
    net.bias.requires_grad_(False)
    set_gradients(net, {"weight": torch.ones(1, 2)})
    assert (net.weight.grad == -1).all()
    assert net.bias.grad is None
