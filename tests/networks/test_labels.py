"""Labels that are there, labels that are not, and networks that need none."""

import numpy as np
import pytest
import torch

from snn_gan_ext import InputError
from snn_gan_ext.functional.bases import exponential_basis
from snn_gan_ext.networks.classifiers import SpikingClassifier
from snn_gan_ext.networks.discriminators import (
    IntervalDiscriminator,
    MLPDiscriminator,
    TemporalDiscriminator,
)
from snn_gan_ext.networks.ensembles import DiscriminatorEnsemble, Ensemble
from snn_gan_ext.networks.generators import (
    ConditionalGenerator,
    ConvolutionalGenerator,
    StepResponseGenerator,
)
from snn_gan_ext.networks.images import MLPGenerator
from snn_gan_ext.networks.labels import labels_and_count, one_hot
from snn_gan_ext.networks.ttfs import OnOffDiscriminator, TTFSGenerator

BASIS = exponential_basis(4, 2.0)
ZEROS = torch.zeros(6, dtype=torch.long)


def conditional(classes, seed=0):
    rng = torch.Generator().manual_seed(seed)
    return ConditionalGenerator(classes, 4, 5, hidden=3, latent_bits=2, basis=BASIS, rng=rng)


def convolutional(classes):
    rng = torch.Generator().manual_seed(0)
    return ConvolutionalGenerator(classes, (2, 8, 8), 5, maps=2, latent_bits=2, basis=BASIS, rng=rng)


def ensemble(classes):
    return Ensemble([conditional(classes, seed) for seed in range(2)])


def draw(generator, labels):
    return generator(labels, torch.Generator().manual_seed(1))


@pytest.mark.parametrize("make", [conditional, convolutional, ensemble])
def test_a_generator_of_one_class_needs_no_labels(make):
    assert torch.equal(draw(make(1), 6), draw(make(1), ZEROS))


@pytest.mark.parametrize("make", [conditional, convolutional, ensemble])
def test_a_generator_of_several_classes_refuses_none(make):
    with pytest.raises(InputError, match="one for each trial, got None; pass labels"):
        draw(make(3), 6)


def test_neurons_without_labels_ignore_them(rng):
    neurons = StepResponseGenerator(2, 5, basis=BASIS, rng=rng)
    assert torch.equal(draw(neurons, 6), draw(neurons, ZEROS))
    pair = Ensemble([neurons, StepResponseGenerator(2, 5, basis=BASIS, rng=rng)])
    assert torch.equal(draw(pair, 6), draw(pair, ZEROS))


@pytest.mark.parametrize("classes", [0, 1])
def test_discriminators_of_one_class_or_none_need_no_labels(classes, rng):
    decoded, spikes = torch.rand(6, 4, generator=rng), torch.ones(16, 6, 4)
    mlps = [MLPDiscriminator(4, classes, rng=rng) for _ in range(2)]
    for discriminator, trials in (
        (mlps[0], decoded),
        (TemporalDiscriminator(4, classes, 16, rng=rng), spikes),
        (DiscriminatorEnsemble(mlps), decoded),
        (IntervalDiscriminator(4, 16, rng=rng), spikes),
    ):
        assert torch.equal(discriminator(trials, None), discriminator(trials, ZEROS))


def test_discriminators_of_several_classes_refuse_none(rng):
    decoded, spikes = torch.rand(6, 4, generator=rng), torch.ones(16, 6, 4)
    mlps = [MLPDiscriminator(4, 3, rng=rng) for _ in range(2)]
    for discriminator, trials in (
        (mlps[0], decoded),
        (TemporalDiscriminator(4, 3, 16, rng=rng), spikes),
        (DiscriminatorEnsemble(mlps), decoded),
        (OnOffDiscriminator(4, 3, rng=rng), decoded),
    ):
        with pytest.raises(InputError, match="got None; pass labels"):
            discriminator(trials, None)


@pytest.mark.parametrize("classes", [0, 1])
def test_networks_of_images_of_one_class_or_none_need_no_labels(classes, rng):
    for generator in (MLPGenerator(4, classes, rng=rng), TTFSGenerator(4, classes, rng=rng)):
        noise = generator.noise(6, rng)
        assert torch.equal(generator(None, noise).images, generator(ZEROS, noise).images)
    discriminator = OnOffDiscriminator(4, classes, rng=rng)
    images = torch.rand(6, 4, generator=rng)
    assert torch.equal(discriminator(images, None), discriminator(images, ZEROS))


def test_a_classifier_of_one_class_needs_no_labels(rng):
    classifier = SpikingClassifier(4, 1, 5, hidden=3, basis=BASIS, rng=rng)
    spikes, noise = torch.ones(5, 6, 4), classifier.noise(6, rng)
    one, other = (classifier.observe(spikes, labels, noise).spikes for labels in (None, ZEROS))
    assert torch.equal(one, other)


def test_a_projection_without_labels_is_refused():
    with pytest.raises(InputError, match="projection"):
        MLPDiscriminator(4, 0, projection=True)


def test_labels_come_one_for_each_trial(rng):
    with pytest.raises(InputError, match=r"whole numbers \[6\]"):
        one_hot(ZEROS[:5], 2, 6)
    generator = conditional(3)
    with pytest.raises(InputError, match="labels"):
        generator.sample(ZEROS, generator.noise(5, rng))


def test_a_number_of_trials_stands_for_labels():
    assert labels_and_count(6) == (None, 6)
    assert labels_and_count(ZEROS)[1] == 6
    for wrong in (-1, 2.0, True, None):
        with pytest.raises(InputError, match="number of trials"):
            labels_and_count(wrong)


@pytest.mark.parametrize("labels", [[0, 1], (0, 1), np.array([0, 1])], ids=["list", "tuple", "array"])
def test_labels_that_are_no_tensor_are_refused_with_the_cure(labels):
    generator = conditional(3)
    for use in (generator, lambda y: generator.sample(y, generator.noise(2))):
        with pytest.raises(InputError, match=r"got .*; convert it with torch\.as_tensor\(\)"):
            use(labels)


def test_a_single_label_without_an_axis_is_refused():
    with pytest.raises(InputError, match=r"labels: expected shape \[B\], got \[\]"):
        labels_and_count(torch.tensor(1))
