"""What a user has frozen stays as it is, in every learning algorithm."""

import pytest
import torch

from snn_gan_ext.algorithms.image_gan import ImageGAN
from snn_gan_ext.algorithms.likelihood import MaximumLikelihood
from snn_gan_ext.algorithms.spikegan import SpikeGAN
from snn_gan_ext.coding.images import Labelled, rate_decode
from snn_gan_ext.functional.bases import exponential_basis
from snn_gan_ext.networks.discriminators import MLPDiscriminator
from snn_gan_ext.networks.generators import ConditionalGenerator
from snn_gan_ext.networks.ttfs import OnOffDiscriminator, TTFSGenerator
from snn_gan_ext.types import Batch

LABELS = torch.arange(8) % 2


def learns(layer, update):
    before = layer.weight.clone()
    update()
    return not torch.equal(layer.weight, before)


@pytest.mark.parametrize("algorithm", ["spikegan", "likelihood"])
def test_a_frozen_layer_of_a_generator_does_not_learn(algorithm, rng):
    generator = ConditionalGenerator(2, 4, 5, hidden=8, basis=exponential_basis(6, 2.0), rng=rng)
    layers = generator.network.layers
    layers["hidden"].requires_grad_(False)
    if algorithm == "spikegan":
        learner = SpikeGAN(decode=rate_decode, updates=1)
        state = learner.init(generator, MLPDiscriminator(4, 2, rng=rng), rng)
    else:
        learner = MaximumLikelihood(updates=1)
        state = learner.init(generator, rng)
    batch = Batch((torch.rand(5, 8, 4, generator=rng) < 0.5).float(), LABELS)
    before = layers["hidden"].weight.clone()
    assert learns(layers["readout"], lambda: learner.update(state, batch))
    assert torch.equal(layers["hidden"].weight, before)


def test_a_frozen_layer_of_a_discriminator_of_images_does_not_learn(rng):
    generator = TTFSGenerator(16, 2, latents=4, hidden=8, rng=rng)
    discriminator = OnOffDiscriminator(16, 2, hidden=8, rng=rng)
    first, last = discriminator.hidden, discriminator.pairs
    first.requires_grad_(False)
    learner = ImageGAN(updates=3)
    state = learner.init(generator, discriminator, rng)
    batch = Labelled(torch.rand(8, 16, generator=rng), LABELS)
    before = first.weight.clone()
    assert learns(last, lambda: [learner.update(state, batch) for _ in range(3)])
    assert torch.equal(first.weight, before)
