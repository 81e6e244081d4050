"""Distances between the distributions of real and synthetic images.

TSTR and TRTS show classes only. These measures also show whether samples vary within a class as real
images do. (Nearest-neighbour density and coverage were tried and mislead: class means score as well as
trained generators.) Classifier two-sample tests are in `snn_gan_ext.metrics.c2st`.
"""

import numpy as np
import torch
from torch import Tensor

from snn_gan_ext.coding.images import Labelled, check_labelled
from snn_gan_ext.errors import InputError

__all__ = ["energy_distance", "pca_projection", "within_class_variance_ratio"]


def energy_distance(real: Labelled, synthetic: Labelled) -> float:
    r"""Return the energy distance within each class, averaged over classes.

    .. math:: 2 E\lVert X - Y \rVert - E\lVert X - X' \rVert - E\lVert Y - Y' \rVert

    Pairs are of different samples, so two sets of one distribution give 0 on average, and a little less
    as often as a little more.

    Args:
        real: Real images ``[B, N]``, at least two of each class.
        synthetic: Synthetic images ``[B', N]``, at least two of each class.

    Raises:
        InputError: If the classes differ, or one has a single sample.

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
    """Return the total variance within a class, synthetic over real, averaged over classes.

    1 is perfect; below 1 modes are missing.

    Raises:
        InputError: If the classes differ, or one has a single sample.
    """
    ratios = [
        float(_of_class(synthetic, label).var(0).sum() / _of_class(real, label).var(0).sum())
        for label in _shared_classes(real, synthetic)
    ]
    return float(np.mean(ratios))


def pca_projection(real: Tensor, *others: Tensor) -> list[np.ndarray]:
    """Project data onto the first two principal components of the real data.

    Args:
        real: Real data ``[B, N]``.
        others: Other data ``[B', N]``.

    Returns:
        Coordinates ``[B, 2]`` for each argument.

    References:
        SpikeGAN paper, section VII-B and Fig. 5.
    """
    from sklearn.decomposition import PCA

    pca = PCA(n_components=2).fit(real.numpy())
    return [pca.transform(data.numpy()) for data in (real, *others)]


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
