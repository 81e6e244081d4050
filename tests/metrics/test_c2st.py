"""Classifier two-sample tests: 0.5 for one distribution, more for two."""

import math

import pytest
import torch

from snn_gan_ext import InputError
from snn_gan_ext.coding.images import Labelled
from snn_gan_ext.metrics.c2st import c2st, halves, image_classifier
from snn_gan_ext.metrics.classifiers import FrameCNN, TrainCNN, Trees
from snn_gan_ext.types import Batch
from tests.metrics.samples import blobs, trains

LONG = {"count": 2000, "num_steps": 100, "rate": 0.1}


def test_images_of_one_distribution_score_a_half_and_of_two_more(rng):
    one = c2st((blobs(rng), blobs(rng)), (blobs(rng), blobs(rng)), image_classifier(0))
    assert abs(one - 0.5) < 0.09  # 800 coin tosses: false alarms below 1 in 1e6
    narrow = [(blobs(rng), blobs(rng, spread=0.02)) for _ in range(2)]
    assert c2st(*narrow, image_classifier(0)) > 0.8


def test_images_are_compared_with_their_labels(rng):
    """Images of one distribution, each with the label of the other class."""

    def pair():
        images, labels = blobs(rng)
        return Labelled(images, labels), Labelled(images, 1 - labels)

    assert c2st(pair(), pair(), image_classifier(0)) > 0.9


def test_trees_distinguish_regular_from_poisson_trains(rng):
    regular = (torch.arange(100).unsqueeze(1) + torch.randint(10, (2000,), generator=rng)) % 10 == 0
    assert c2st(*halves(trains(rng, **LONG), regular.float(), 0), Trees(0)) > 0.95
    # 1,000 trains of each: beyond 4 standard errors once in 16,000 runs.
    same = c2st(*halves(trains(rng, **LONG), trains(rng, **LONG), 0), Trees(0))
    assert abs(same - 0.5) < 4 * 0.5 / 2000**0.5


def test_the_order_of_trains_does_not_matter(rng):
    """One distribution of two rates, and once with the slow trains in front."""

    def mixed():
        rates = torch.where(torch.rand(2000, generator=rng) < 0.5, 0.02, 0.2)
        return (torch.rand(100, 2000, generator=rng) < rates).float()

    real = mixed()
    in_order = real[:, real.sum(0).argsort()]
    # 1,000 trains of each: beyond 4 standard errors once in 16,000 runs.
    assert abs(c2st(*halves(in_order, mixed(), 0), Trees(0)) - 0.5) < 4 * 0.5 / 2000**0.5


def test_trees_do_without_features_that_only_test_trains_have():
    """No training train has an interval; a test train has."""
    silent, spiking = torch.zeros(60, 40), torch.zeros(60, 40)
    spiking[:5] = 1
    train, test = ((Batch(silent), Batch(x)) for x in (silent, spiking))
    assert c2st(train, test, Trees(0)) == 0.5


def test_convolutions_distinguish_paired_from_single_spikes(rng):
    real = trains(rng)
    same = c2st(*halves(real, trains(rng), 0), TrainCNN(0, updates=100))
    assert abs(same - 0.5) < 5 * 0.5 / 400**0.5  # 400 coin tosses: false alarms below 1 in 1e6
    paired = trains(rng, num_steps=30).repeat_interleave(2, 0)
    assert c2st(*halves(real, paired, 0), TrainCNN(0, updates=100)) > 0.9


def test_frames_are_compared_without_labels(rng):
    def frames(rate):
        return (torch.rand(5, 60, 2, 6, 6, generator=rng) < rate).float()

    labels = torch.arange(60)
    pairs = [(Batch(frames(0.1), labels), Batch(frames(0.4))) for _ in range(2)]
    assert c2st(*pairs, FrameCNN(0, updates=20)) > 0.9


def test_test_sets_of_different_size_are_refused(rng):
    with pytest.raises(InputError, match="as many synthetic"):
        c2st((blobs(rng), blobs(rng)), (blobs(rng), blobs(rng, 398)), image_classifier(0))
    wrong = Labelled(2 * blobs(rng).images, blobs(rng).labels)
    with pytest.raises(InputError, match=r"values in \[0, 1\]"):
        c2st((blobs(rng), wrong), (blobs(rng), blobs(rng)), image_classifier(0))


def test_samples_of_different_size_are_refused(rng):
    one, other = (trains(rng, 40, num_steps=steps) for steps in (60, 61))
    pairs = [
        ((Batch(one), Batch(one)), (Batch(one), Batch(other)), Trees()),
        ((blobs(rng), blobs(rng)), (blobs(rng), blobs(rng, pixels=5)), image_classifier(0)),
    ]
    for train, test, classifier in pairs:
        with pytest.raises(InputError, match="samples of one size"):
            c2st(train, test, classifier)


@pytest.mark.parametrize("shape", [(60, 19), (61, 40), (60, 40, 2)])
def test_halves_that_cannot_be_compared_are_refused(shape, rng):
    with pytest.raises(InputError, match="synthetic: expected"):
        halves(trains(rng), torch.zeros(shape), 0)


@pytest.mark.parametrize("classifier", [Trees(0), TrainCNN(0, 2)])
def test_anything_but_trains_is_refused(classifier, rng):
    real = trains(rng, 20)
    for other in (real * math.nan, real * 5, real[:, 0], real.numpy()):
        with pytest.raises(InputError, match=r"spikes|synthetic"):
            c2st(*halves(real, other, 0), classifier)
    for seed in (-1, 0.5):
        with pytest.raises(InputError, match="seed"):
            halves(real, real, seed)
