"""Reference samplers without a network, which a generator has to beat.

`rate_encoded` and `as_frames` turn a sampler of images, as spike probabilities, into one of spikes.
Real images are floats in [0, 1], at least one. Samples are on the CPU.
"""

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from snn_gan_ext.coding.images import Labelled, check_labelled, rate_encode
from snn_gan_ext.errors import InputError
from snn_gan_ext.metrics.events import labels_of
from snn_gan_ext.metrics.images import some_images
from snn_gan_ext.networks.labels import labels_and_count
from snn_gan_ext.types import Batch
from snn_gan_ext.validation import (
    SEED,
    between,
    check_labels,
    check_positive,
    check_setting,
    check_shapes,
    check_spikes,
    plain,
    plain_floats,
    whole,
)

__all__ = [
    "ImageSampler",
    "SpikeSampler",
    "as_frames",
    "as_images",
    "class_means",
    "kmeans_mixture",
    "pca_gaussian",
    "per_class",
    "pixel_marginals",
    "poisson",
    "rate_encoded",
    "real_images",
    "resampled",
    "shifted",
]

ImageSampler = Callable[[Tensor, torch.Generator], Tensor]
"""Draws images ``[B, N]`` for labels ``[B]``."""

SpikeSampler = Callable[[Tensor, torch.Generator], Tensor]
"""Draws spikes ``[T, B, ...]`` for labels ``[B]``."""


def class_means(train: Labelled) -> ImageSampler:
    """Return a sampler of each class's mean image, without variation within a class."""

    def mean_of(images: Tensor, label: int) -> ImageSampler:
        mean = images.mean(0)
        return lambda labels, rng: mean.expand(len(labels), -1)

    return _by_class(mean_of, train)


def kmeans_mixture(train: Labelled, clusters: int = 10, seed: int = 0) -> ImageSampler:
    """Return a sampler of cluster means within each class, weighted by the clusters' sizes.

    Args:
        train: Real images.
        clusters: Number of clusters in each class.
        seed: Seed of the clustering.
    """
    from sklearn.cluster import KMeans

    check_positive(clusters=clusters)
    check_setting("seed", seed, SEED)

    def clustered(images: Tensor, label: int) -> ImageSampler:
        count = min(clusters, len(torch.unique(images, dim=0)))
        fitted = KMeans(count, n_init=3, random_state=seed).fit(images.float().numpy())
        centres = torch.from_numpy(fitted.cluster_centers_).clamp(0, 1)
        return resampled(centres[torch.from_numpy(fitted.labels_).long()])

    return _by_class(clustered, train)


def real_images(train: Labelled) -> ImageSampler:
    """Return a sampler of real images of the wanted classes, with replacement."""
    train = _plain(train)
    by_class = {k: torch.nonzero(train.labels == k).flatten() for k in set(train.labels.tolist())}

    def draw(labels: Tensor, rng: torch.Generator) -> Tensor:
        _check_classes(train, labels)
        places = torch.rand(len(labels), generator=rng).tolist()
        own = (by_class[label] for label in labels.tolist())
        picks = [images[int(place * len(images))] for images, place in zip(own, places, strict=True)]
        return train.images[torch.tensor(picks, dtype=torch.long)]

    return draw


def resampled(images: Tensor) -> ImageSampler:
    """Return a sampler of real images ``[B, N]``, with replacement and regardless of labels."""
    images = some_images(images)
    return lambda labels, rng: images[torch.randint(len(images), (_count(labels),), generator=rng)]


def pixel_marginals(images: Tensor) -> ImageSampler:
    """Return a sampler that draws each pixel of real images ``[B, N]`` independently of the others."""
    images = some_images(images)

    def draw(labels: Tensor, rng: torch.Generator) -> Tensor:
        size = _count(labels), images.shape[1]
        return images.gather(0, torch.randint(len(images), size, generator=rng))

    return draw


def pca_gaussian(images: Tensor, seed: int = 0, components: int = 50) -> ImageSampler:
    """Return a sampler of a Gaussian with the real images' mean and components, cut off at 0 and 1.

    Args:
        images: Real images ``[B, N]``.
        seed: Seed of the decomposition.
        components: Number of components; ``min(B - 1, N)`` if there are fewer.

    Raises:
        InputError: If there are fewer than two images, or ``components`` is below 1.
    """
    from sklearn.decomposition import PCA

    images = some_images(images, least=2)
    check_positive(components=components)
    check_setting("seed", seed, SEED)
    count = min(components, len(images) - 1, images.shape[1])
    with np.errstate(invalid="ignore"):  # equal images have no variance to explain
        fitted = PCA(count, random_state=seed).fit(images.numpy())

    def draw(labels: Tensor, rng: torch.Generator) -> Tensor:
        size = _count(labels), count
        drawn = np.random.default_rng(_seed_of(rng)).standard_normal(size)
        if not len(drawn):
            return images[:0]
        found = fitted.inverse_transform(drawn * np.sqrt(fitted.explained_variance_))
        return torch.from_numpy(found.astype(np.float32)).clamp(0, 1)

    return draw


def per_class(
    reference: Callable[[Tensor, int], ImageSampler], train: Labelled, seed: int = 0
) -> ImageSampler:
    """Return a sampler that draws each class from a reference fitted to that class.

    >>> train = Labelled(torch.tensor([[0.0], [1.0]]), torch.tensor([0, 1]))
    >>> draw = per_class(lambda images, seed: pixel_marginals(images), train)
    >>> draw(torch.tensor([1, 0]), torch.Generator()).tolist()
    [[1.0], [0.0]]

    Args:
        reference: Function of a class's images ``[B, N]`` and a seed, such as `pca_gaussian`.
        train: Real images.
        seed: Seed of class 0's reference; the next class has the next seed.
    """
    return _by_class(lambda images, label: reference(images, seed + label), train, own_sources=True)


def _by_class(
    fit: Callable[[Tensor, int], ImageSampler], train: Labelled, own_sources: bool = False
) -> ImageSampler:
    """Return a sampler that fits a sampler to each class, and draws from them in turn."""
    train = _plain(train)
    classes = sorted(set(train.labels.tolist()))
    samplers = {label: fit(train.images[train.labels == label], label) for label in classes}

    def draw(labels: Tensor, rng: torch.Generator) -> Tensor:
        _check_classes(train, labels)
        seed = _seed_of(rng) if own_sources else 0
        images = train.images.new_empty(len(labels), train.images.shape[1])
        for label in sorted(set(labels.tolist())):
            wanted = labels == label
            source = torch.Generator().manual_seed(seed + label) if own_sources else rng
            images[wanted] = samplers[label](labels[wanted], source).to(images)
        return images

    return draw


def rate_encoded(images: ImageSampler, num_steps: int) -> SpikeSampler:
    """Return a sampler of spikes ``[num_steps, B, N]`` that rate-encodes the images of another one."""
    return lambda labels, rng: rate_encode(images(labels, rng), num_steps, rng=rng)


def as_frames(images: ImageSampler, shape: tuple[int, ...]) -> SpikeSampler:
    """Return a sampler of spikes ``[T, B, ...]`` from probabilities of each time step and pixel.

    Args:
        images: Sampler of probabilities ``[B, T * ...]``, such as one fitted to `as_images`.
        shape: Shape ``(T, ...)`` of a trial.

    Raises:
        InputError: By the sampler, if images have another number of probabilities than a trial.
    """

    def draw(labels: Tensor, rng: torch.Generator) -> Tensor:
        probabilities = images(labels, rng)
        check_shapes(images=(probabilities, (len(labels), math.prod(shape))))
        spikes = (torch.rand(probabilities.shape, generator=rng) < probabilities).float()
        return spikes.reshape(len(labels), *shape).transpose(0, 1)

    return draw


def as_images(trials: Batch) -> Labelled:
    """Return labelled trials ``[T, B, ...]`` as images ``[B, T * ...]``."""
    labels = labels_of(trials)
    check_spikes("spikes", trials.spikes)
    return Labelled(plain_floats(trials.spikes).transpose(0, 1).flatten(1), labels)


def poisson(rate: float, num_steps: int) -> Callable[[Tensor | int, torch.Generator], Tensor]:
    """Return a sampler of trains ``[T, B]`` whose steps spike independently.

    It takes labels ``[B]`` or, where trials have none, their number.

    Args:
        rate: Probability of a spike in a time step.
        num_steps: Number of time steps ``T``.

    Raises:
        InputError: If ``rate`` lies outside 0 .. 1, or ``num_steps`` is below 1.
    """
    check_setting("rate", rate, between(0, 1))
    check_positive(num_steps=num_steps)

    def draw(labels: Tensor | int, rng: torch.Generator) -> Tensor:
        _, count = labels_and_count(labels)
        return (torch.rand(num_steps, count, generator=rng) < rate).float()

    return draw


def shifted(spikes: Tensor, pixels: int, rng: torch.Generator) -> Tensor:
    """Return copies of trials, each moved at random along rows and columns; the border is silent.

    Args:
        spikes: Event frames ``[T, B, C, H, W]``.
        pixels: Largest shift in pixels.
        rng: Random source of the shifts.

    Raises:
        InputError: If the spikes are no frames, or ``pixels`` is below 0.
    """
    check_shapes(spikes=(spikes, ("T", "B >= 1", "C", "H", "W")))
    check_setting("pixels", pixels, whole(0))
    padded = torch.nn.functional.pad(plain(spikes), (pixels,) * 4)
    height, width = spikes.shape[-2:]
    offsets = torch.randint(2 * pixels + 1, (spikes.shape[1], 2), generator=rng).tolist()
    moved = [
        trial[..., top : top + height, left : left + width]
        for trial, (top, left) in zip(padded.unbind(1), offsets, strict=True)
    ]
    return torch.stack(moved, 1)


def _count(labels: Tensor) -> int:
    return len(plain(check_labels(labels)))


def _plain(train: Labelled) -> Labelled:
    check_labelled(train)
    return Labelled(plain_floats(train.images), plain(check_labels(train.labels)))


def _seed_of(rng: torch.Generator) -> int:
    """Return a seed that differs between calls.

    A fresh source gives its own seed, with which published figures were made; later seeds are drawn.
    """
    own = rng.initial_seed()
    fresh = torch.equal(torch.Generator().manual_seed(own).get_state(), rng.get_state())
    drawn = int(torch.randint(2**31, (1,), generator=rng))
    return own if fresh else drawn


def _check_classes(train: Labelled, labels: Tensor) -> None:
    missing = sorted(set(plain(check_labels(labels)).tolist()) - set(train.labels.tolist()))
    if missing:
        expected = "classes that the training images have"
        raise InputError("labels", expected=expected, got=f"{missing} as well")
