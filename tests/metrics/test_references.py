"""Reference samplers have the statistics of the real data that they keep, and no others."""

from functools import partial

import numpy as np
import pytest
import torch

from snn_gan_ext import InputError
from snn_gan_ext.coding.images import Labelled
from snn_gan_ext.datasets.digits import load_digits
from snn_gan_ext.metrics import references
from snn_gan_ext.types import Batch
from tests.metrics.samples import blobs

ANY = torch.zeros(4000, dtype=torch.long)


def marginals_of(images, seed):
    return references.pixel_marginals(images)


@pytest.fixture(scope="module")
def train():
    return load_digits().train


def test_class_means_and_cluster_means_have_the_means_of_classes(rng):
    train = blobs(rng, count=600)
    labels = torch.tensor([0, 1, 1, 0])
    means = references.class_means(train)(labels, rng)
    torch.testing.assert_close(means[0], train.images[train.labels == 0].mean(0))
    assert torch.equal(means[0], means[3])
    many = torch.ones(2000, dtype=torch.long)
    mixture = references.kmeans_mixture(train, clusters=4, seed=1)(many, rng)
    assert len(mixture.unique(dim=0)) == 4
    torch.testing.assert_close(mixture.mean(0), means[1], atol=0.02, rtol=0)


def test_clusters_are_drawn_in_proportion_to_their_size(rng):
    """A tenth is bright. 2,000 draws: beyond 5 standard errors once in 2 million runs."""
    images = torch.full((100, 3), 0.2)
    images[::10] = 0.8
    data = Labelled(images, torch.zeros(100, dtype=torch.long))
    mixture = references.kmeans_mixture(data, clusters=2)(ANY[:2000], rng)
    bright = (mixture[:, 0] > 0.5).float().mean().item()
    assert bright == pytest.approx(0.1, abs=5 * (0.1 * 0.9 / 2000) ** 0.5)


def test_pixel_marginals_keep_pixels_and_the_gaussian_keeps_correlations(train, rng):
    marginals = references.pixel_marginals(train.images)(ANY, rng)
    assert (marginals.mean(0) - train.images.mean(0)).abs().max() < 0.05
    assert np.isin(marginals.numpy(), train.images.numpy()).all()
    correlations = [
        np.corrcoef(x[:, train.images.var(0) > 0.02].T.numpy())
        for x in (train.images, references.pca_gaussian(train.images)(ANY, rng), marginals)
    ]
    off = ~np.eye(len(correlations[0]), dtype=bool)
    gaussian, independent = (np.abs(correlations[0] - c)[off].mean() for c in correlations[1:])
    assert gaussian < 0.05 < 0.1 < independent


def test_each_class_has_its_own_reference(train):
    labels = torch.tensor([3, 3, 5, 3])
    drawn = references.per_class(marginals_of, train)(labels, torch.Generator().manual_seed(4))
    threes = references.pixel_marginals(train.images[train.labels == 3])
    assert torch.equal(drawn[[0, 1, 3]], threes(labels[:3], torch.Generator().manual_seed(7)))


@pytest.mark.parametrize(
    "reference",
    [
        references.real_images,
        references.kmeans_mixture,
        lambda train: references.resampled(train.images),
        lambda train: references.pixel_marginals(train.images),
        lambda train: references.pca_gaussian(train.images),
        partial(references.per_class, marginals_of),
        partial(references.per_class, references.pca_gaussian),
    ],
)
def test_draws_differ_and_repeat_by_their_random_source(reference, rng):
    draw = reference(blobs(rng))
    labels = torch.arange(20) % 2
    first, second = (draw(labels, rng) for _ in range(2))
    assert first.shape == second.shape == (20, 6)
    assert not torch.equal(first, second)
    again = torch.Generator().manual_seed(3)
    assert torch.equal(
        draw(labels, torch.Generator().manual_seed(3)), draw(labels, again.manual_seed(3))
    )


def test_real_images_are_of_the_wanted_classes(train, rng):
    labels = torch.arange(50) % 10
    drawn = references.real_images(train)(labels, rng)
    for image, label in zip(drawn, labels, strict=True):
        assert (train.images[train.labels == label] == image).all(1).any()


def test_frames_follow_the_probabilities_of_their_steps_and_pixels(rng):
    spikes = (torch.rand(4, 6, 2, 3, 3, generator=rng) < 0.3).float()
    images = references.as_images(Batch(spikes, torch.arange(6)))
    assert images.images.shape == (6, 72)
    draw = references.as_frames(references.class_means(images), (4, 2, 3, 3))
    # Probabilities of 0 and 1 leave nothing to chance.
    assert torch.equal(draw(torch.arange(6), rng), spikes)


def test_rate_encoded_samplers_return_trials(train, rng):
    draw = references.rate_encoded(references.class_means(train), 300)
    spikes = draw(torch.tensor([0, 7]), rng)
    assert spikes.shape == (300, 2, 64)
    means = references.class_means(train)(torch.tensor([0, 7]), rng)
    assert (spikes.mean(0) - means).abs().max() < 5 * 0.5 / 300**0.5


def test_poisson_trains_have_their_rate(rng):
    draw = references.poisson(0.2, 100)
    trains = draw(400, rng)
    assert trains.shape == (100, 400)
    assert abs(float(trains.mean()) - 0.2) < 5 * (0.2 * 0.8 / trains.numel()) ** 0.5
    assert draw(torch.zeros(3), rng).shape == (100, 3)
    with pytest.raises(InputError, match="rate"):
        references.poisson(1.2, 100)


def test_shifted_trials_move_as_a_whole(rng):
    spikes = torch.zeros(3, 200, 1, 5, 5)
    spikes[:, :, 0, 2, 2] = 1
    moved = references.shifted(spikes, 1, rng)
    assert torch.equal(moved[0], moved[2])
    assert bool((moved.sum((2, 3, 4)) == 1).all())
    assert (moved[0, :, 0].sum(0)[1:4, 1:4] > 0).all()
    assert moved[..., 0, :].sum() == moved[..., 4].sum() == 0
    assert torch.equal(references.shifted(spikes, 0, rng), spikes)


def test_labels_may_be_far_apart(rng):
    far = Labelled(torch.tensor([[0.0], [1.0]]), torch.tensor([0, 10**12]))
    for reference in (references.real_images, references.class_means):
        assert reference(far)(far.labels.flip(0), rng).tolist() == [[1.0], [0.0]]


def test_settings_that_fit_no_data_are_refused(train, rng):
    labels = torch.tensor([0, 7])
    for call, name in (
        (lambda: references.kmeans_mixture(train, clusters=0), "clusters"),
        (lambda: references.pca_gaussian(train.images, components=0), "components"),
        (lambda: references.pca_gaussian(train.images[:1]), "at least two"),
        (lambda: references.poisson(0.2, 0), "num_steps"),
        (lambda: references.poisson(0.2, 5)(-1, rng), "labels"),
        (lambda: references.as_frames(references.class_means(train), (2, 3))(labels, rng), "images"),
        (lambda: references.shifted(torch.zeros(3, 2, 1, 5, 5), -1, rng), "pixels"),
    ):
        with pytest.raises(InputError, match=name):
            call()


def test_unknown_classes_are_refused(train, rng):
    for reference in (
        references.class_means,
        references.kmeans_mixture,
        references.real_images,
        partial(references.per_class, marginals_of),
    ):
        with pytest.raises(InputError, match="classes that"):
            reference(train)(torch.tensor([11]), rng)
