"""Distances between the distributions of real and synthetic images.

Unlike TSTR and TRTS, they show whether samples vary within a class as real images do.
(Nearest-neighbour density and coverage mislead: class means score as well as trained generators.)
"""

import numpy as np
import torch
from torch import Tensor

from snn_gan_ext.coding.images import Labelled, check_labelled
from snn_gan_ext.metrics.events import shared_classes
from snn_gan_ext.validation import check_shapes

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
    distances = [
        float(2 * torch.cdist(x, y).mean() - _mean_distance(x) - _mean_distance(y))
        for x, y in _classes(real, synthetic)
    ]
    return float(np.mean(distances))


def within_class_variance_ratio(real: Labelled, synthetic: Labelled) -> float:
    """Return the total variance within a class, synthetic over real, averaged over classes.

    1 is perfect; below 1 modes are missing.

    Raises:
        InputError: If the classes differ, or one has a single sample.
    """
    ratios = [float(y.var(0).sum() / x.var(0).sum()) for x, y in _classes(real, synthetic)]
    return float(np.mean(ratios))


def pca_projection(real: Tensor, *others: Tensor) -> list[np.ndarray]:
    """Return coordinates ``[B, 2]`` of data ``[B, N]`` on two principal components of the real data.

    References:
        SpikeGAN paper, section VII-B and Fig. 5.
    """
    from sklearn.decomposition import PCA

    pca = PCA(n_components=2).fit(real.numpy())
    return [pca.transform(data.numpy()) for data in (real, *others)]


def _classes(real: Labelled, synthetic: Labelled) -> list[tuple[Tensor, Tensor]]:
    """Return the real and the synthetic images of each class."""
    check_labelled(real)
    check_labelled(synthetic)
    check_shapes(real=(real.images, "BN"), synthetic=(synthetic.images, "MN"))
    return [
        (real.images[real.labels == label], synthetic.images[synthetic.labels == label])
        for label in shared_classes(real.labels, synthetic.labels)
    ]


def _mean_distance(x: Tensor) -> Tensor:
    return torch.cdist(x, x).sum() / (len(x) * (len(x) - 1))
