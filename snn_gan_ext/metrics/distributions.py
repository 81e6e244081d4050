"""How far a synthetic distribution is from the real one.

TSTR and TRTS ask about classes only. These ask what they cannot see: whether the samples of a class
vary as real ones do. (Nearest-neighbour density and coverage were tried and mislead: class means
score as well as trained generators.)
"""

import warnings

import numpy as np
import torch
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier
from threadpoolctl import threadpool_limits
from torch import Tensor

from snn_gan_ext.coding.images import Labelled, check_labelled
from snn_gan_ext.errors import InputError

__all__ = [
    "classifier_two_sample_test",
    "energy_distance",
    "pca_projection",
    "within_class_variance_ratio",
]


def energy_distance(real: Labelled, synthetic: Labelled) -> float:
    r"""Energy distance within each class, averaged over the classes.

    .. math:: 2 E\lVert X - Y \rVert - E\lVert X - X' \rVert - E\lVert Y - Y' \rVert,

    with pairs of different samples only, so that two samples of one law give 0 on average (and a
    little below it as often as above).

    Args:
        real: images ``[B, N]``, at least two of each class.
        synthetic: the same.

    Raises:
        InputError: if the classes differ or one has a single sample.

    References:
        Szekely and Rizzo (2013).
    """
    distances = []
    for label in _shared_classes(real, synthetic):
        x, y = _of_class(real, label), _of_class(synthetic, label)
        between = torch.cdist(x, y).mean()
        distances.append(float(2 * between - _mean_distance(x) - _mean_distance(y)))
    return float(np.mean(distances))


def within_class_variance_ratio(real: Labelled, synthetic: Labelled) -> float:
    """Total variance within a class, synthetic over real, averaged over the classes.

    1 is perfect; below 1 modes are missing.

    Raises:
        InputError: if the classes differ or one has a single sample.
    """
    ratios = [
        float(_of_class(synthetic, label).var(0).sum() / _of_class(real, label).var(0).sum())
        for label in _shared_classes(real, synthetic)
    ]
    return float(np.mean(ratios))


def classifier_two_sample_test(
    train: tuple[Labelled, Labelled], test: tuple[Labelled, Labelled], seed: int
) -> float:
    """C2ST: how well a classifier tells real from synthetic on trials it has not seen.

    0.5 is perfect, 1 means that every sample gives itself away. The classifier is a ReLU network of
    100-100 that sees the image and its label.

    Args:
        train: real and synthetic images to learn from.
        test: real and synthetic images to be told apart, equally many.
        seed: initial weights and batches.

    Raises:
        InputError: if they are not equally many, or images or labels have no meaning.

    References:
        Lopez-Paz and Oquab (2017), "Revisiting classifier two-sample tests".
    """
    for data in (*train, *test):
        check_labelled(data)
    if len(test[0].labels) != len(test[1].labels):
        raise InputError(
            "test",
            expected="as many synthetic images as real ones",
            got=f"{len(test[1].labels)} and {len(test[0].labels)}",
        )
    classes = 1 + int(max(part.labels.max() for part in (*train, *test)))
    classifier = MLPClassifier((100, 100), alpha=1e-2, max_iter=30, random_state=seed)
    with warnings.catch_warnings(), threadpool_limits(1):
        warnings.simplefilter("ignore", ConvergenceWarning)
        classifier.fit(*_real_or_synthetic(train, classes))
    return float(classifier.score(*_real_or_synthetic(test, classes)))


def pca_projection(real: Tensor, *others: Tensor) -> list[np.ndarray]:
    """Projects data onto the first two principal components of the real data.

    Args:
        real: ``[B, N]``.
        others: ``[B', N]`` each.

    Returns:
        Coordinates ``[B, 2]`` for each argument.

    References:
        SpikeGAN paper, section VII-B and Fig. 5.
    """
    pca = PCA(n_components=2).fit(real.numpy())
    return [pca.transform(data.numpy()) for data in (real, *others)]


def _real_or_synthetic(pair: tuple[Labelled, Labelled], classes: int) -> tuple[np.ndarray, np.ndarray]:
    one_hot = torch.nn.functional.one_hot
    features = [torch.cat([d.images, one_hot(d.labels, classes)], 1).numpy() for d in pair]
    return np.concatenate(features), np.repeat([1, 0], [len(d.labels) for d in pair])


def _shared_classes(real: Labelled, synthetic: Labelled) -> list[int]:
    for data in (real, synthetic):
        check_labelled(data)
    if real.images.shape[1] != synthetic.images.shape[1]:
        raise InputError(
            "real and synthetic images",
            expected="one number of pixels",
            got=f"{real.images.shape[1]} and {synthetic.images.shape[1]}",
        )
    counts = [
        dict(zip(*np.unique(d.labels.numpy(), return_counts=True), strict=True))
        for d in (real, synthetic)
    ]
    if set(counts[0]) != set(counts[1]) or min(*counts[0].values(), *counts[1].values()) < 2:
        raise InputError(
            "real and synthetic images",
            expected="at least two of the same classes in both",
            got=f"{counts[0]} and {counts[1]}",
        )
    return sorted(int(label) for label in counts[0])


def _of_class(data: Labelled, label: int) -> Tensor:
    return data.images[data.labels == label]


def _mean_distance(x: Tensor) -> Tensor:
    return torch.cdist(x, x).sum() / (len(x) * (len(x) - 1))
