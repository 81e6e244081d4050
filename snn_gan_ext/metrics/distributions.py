"""Distances between the distributions of real and synthetic images.

Unlike TSTR and TRTS, they show whether samples vary within a class as real images do.
(Nearest-neighbour density and coverage mislead: class means score as well as trained generators.)
"""

import numpy as np
import torch
from torch import Tensor

from snn_gan_ext.coding.images import Labelled, check_labelled
from snn_gan_ext.errors import InputError
from snn_gan_ext.metrics.events import shared_classes
from snn_gan_ext.validation import check_finite, check_shapes, plain, plain_floats

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

    1 is perfect; below 1 modes are missing. Classes whose real images are all equal are left out. NaN
    means that all are.

    Raises:
        InputError: If the classes differ, or one has a single sample.
    """
    variances = [(x.var(0).sum(), y.var(0).sum()) for x, y in _classes(real, synthetic)]
    ratios = [float(theirs / ours) for ours, theirs in variances if ours > 0]
    return float(np.mean(ratios)) if ratios else np.nan


def pca_projection(real: Tensor, *others: Tensor) -> list[np.ndarray]:
    """Return coordinates ``[B, 2]`` of data ``[B, N]`` on two principal components of the real data.

    Raises:
        InputError: If there are fewer than two real samples or two features, or data differ in features
            or are not finite.

    References:
        SpikeGAN paper, section VII-B and Fig. 5.
    """
    from sklearn.decomposition import PCA

    data = []
    for samples in (real, *others):
        check_shapes(real=(real, "BN"), samples=(samples, "MN"))
        check_finite("samples", samples)
        data.append(plain_floats(samples).numpy())
    if min(real.shape) < 2:
        expected = "two samples of two features, or more"
        raise InputError("real", expected=expected, got=f"{list(real.shape)}")
    with np.errstate(invalid="ignore"):  # equal samples have no variance to explain
        pca = PCA(n_components=2, random_state=0).fit(data[0])
    return [pca.transform(samples) for samples in data]


def _classes(real: Labelled, synthetic: Labelled) -> list[tuple[Tensor, Tensor]]:
    """Return the real and the synthetic images of each class."""
    check_labelled(real)
    check_labelled(synthetic)
    check_shapes(real=(real.images, "BN"), synthetic=(synthetic.images, "MN"))
    ours, theirs = plain(real.labels), plain(synthetic.labels)
    images = plain_floats(real.images)
    others = plain(synthetic.images).to(images)
    return [(images[ours == label], others[theirs == label]) for label in shared_classes(ours, theirs)]


def _mean_distance(x: Tensor) -> Tensor:
    return torch.cdist(x, x).sum() / (len(x) * (len(x) - 1))
