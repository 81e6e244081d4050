"""What little a generator has to beat: samplers without a network.

They return images ``[B, N]``; where spikes are wanted these are probabilities: rate-encode them.
"""

from collections.abc import Callable

import numpy as np
import torch
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from torch import Tensor

from snn_gan_ext.coding.images import Labelled, check_images, check_labelled
from snn_gan_ext.errors import InputError

__all__ = [
    "class_means",
    "kmeans_mixture",
    "kmeans_sampler",
    "pca_gaussian",
    "per_class",
    "pixel_marginals",
]


def class_means(train: Labelled, labels: Tensor) -> Tensor:
    """Each class's mean image: no variation within a class but the spikes' own noise.

    Args:
        train: real images.
        labels: ``[B]``, each of a class in ``train``.
    """
    _check_classes(train, labels)
    means = torch.stack(
        [train.images[train.labels == label].mean(0) for label in range(1 + int(labels.max()))]
    )
    return means[labels]


def kmeans_mixture(train: Labelled, labels: Tensor, clusters: int = 10, seed: int = 0) -> Tensor:
    """A mixture of cluster means within each class, weighted by the clusters' sizes.

    Args:
        train: real images.
        labels: ``[B]``, each of a class in ``train``.
        clusters: number of clusters a class.
        seed: of the clustering and of the draws.
    """
    generator = torch.Generator().manual_seed(seed)
    return kmeans_sampler(train, clusters, seed)(labels, generator)


def kmeans_sampler(
    train: Labelled, clusters: int = 10, seed: int = 0
) -> Callable[[Tensor, torch.Generator], Tensor]:
    """Clusters each class once, and returns a function that draws as `kmeans_mixture` does.

    Args:
        train: real images.
        clusters: number of clusters a class.
        seed: of the clustering.

    Returns:
        ``draw(labels, generator)``, spike probabilities ``[B, N]``.
    """
    check_labelled(train)
    mixtures = {}
    for label in sorted(set(train.labels.tolist())):
        images = train.images[train.labels == label].numpy()
        fitted = KMeans(min(clusters, len(images)), n_init=3, random_state=seed).fit(images)
        centres = torch.from_numpy(fitted.cluster_centers_).clamp(0, 1)
        mixtures[label] = centres[torch.from_numpy(fitted.labels_).long()]

    def draw(labels: Tensor, rng: torch.Generator) -> Tensor:
        _check_classes(train, labels)
        probabilities = torch.empty(len(labels), train.images.shape[1])
        for label in sorted(set(labels.tolist())):
            wanted = labels == label
            mixture = mixtures[label]
            picks = torch.randint(len(mixture), (int(wanted.sum()),), generator=rng)
            probabilities[wanted] = mixture[picks]
        return probabilities

    return draw


def pixel_marginals(images: Tensor, count: int, seed: int = 0) -> Tensor:
    """Each pixel drawn by itself from what it is in real images: right grey values, no shape.

    Args:
        images: real ones ``[B, N]``.
        count: number of images to draw.
        seed: of the draws.

    Returns:
        ``[count, N]``.
    """
    check_images(images)
    size = (count, images.shape[1])
    picks = torch.randint(len(images), size, generator=torch.Generator().manual_seed(seed))
    return images.gather(0, picks)


def pca_gaussian(images: Tensor, count: int, seed: int = 0, components: int = 50) -> Tensor:
    """A Gaussian with the real images' mean and largest principal components, cut off at 0 and 1.

    Args:
        images: real ones ``[B, N]``.
        count: number of images to draw.
        seed: of the draws.
        components: number of components, at most what the images allow for.

    Returns:
        ``[count, N]``.
    """
    check_images(images)
    fitted = PCA(min(components, len(images) - 1, images.shape[1]), random_state=seed).fit(
        images.numpy()
    )
    drawn = np.random.default_rng(seed).standard_normal((count, fitted.n_components_))
    found = fitted.inverse_transform(drawn * np.sqrt(fitted.explained_variance_))
    return torch.from_numpy(found.astype(np.float32)).clamp(0, 1)


def per_class(
    sampler: Callable[[Tensor, int, int], Tensor], train: Labelled, labels: Tensor, seed: int = 0
) -> Tensor:
    """Images of labels, each drawn by a sampler that knows real images of its class alone.

    Args:
        sampler: `pixel_marginals` or `pca_gaussian`.
        train: real images.
        labels: ``[B]``, each of a class in ``train``.
        seed: of the draws.
    """
    _check_classes(train, labels)
    drawn = torch.empty(len(labels), train.images.shape[1])
    for label in sorted(set(labels.tolist())):
        wanted = labels == label
        drawn[wanted] = sampler(train.images[train.labels == label], int(wanted.sum()), seed + label)
    return drawn


def _check_classes(train: Labelled, labels: Tensor) -> None:
    check_labelled(train)
    missing = sorted(set(labels.tolist()) - set(train.labels.tolist()))
    if missing:
        raise InputError(
            "labels", expected="classes that the training images have", got=f"{missing} as well"
        )
