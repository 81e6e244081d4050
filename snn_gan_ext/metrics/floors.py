"""What little a generator has to beat: samplers without a network.

Each returns spike probabilities ``[B, N]`` for labels ``[B]``; rate-encode them to get spikes.
"""

from collections.abc import Callable

import torch
from sklearn.cluster import KMeans
from torch import Tensor

from snn_gan_ext.coding.images import Labelled, check_labelled
from snn_gan_ext.errors import InputError

__all__ = ["class_means", "kmeans_mixture", "kmeans_sampler"]


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

    def draw(labels: Tensor, generator: torch.Generator) -> Tensor:
        _check_classes(train, labels)
        probabilities = torch.empty(len(labels), train.images.shape[1])
        for label in sorted(set(labels.tolist())):
            wanted = labels == label
            mixture = mixtures[label]
            picks = torch.randint(len(mixture), (int(wanted.sum()),), generator=generator)
            probabilities[wanted] = mixture[picks]
        return probabilities

    return draw


def _check_classes(train: Labelled, labels: Tensor) -> None:
    check_labelled(train)
    missing = sorted(set(labels.tolist()) - set(train.labels.tolist()))
    if missing:
        raise InputError(
            "labels", expected="classes that the training images have", got=f"{missing} as well"
        )
