"""How good and how varied images are, by what a classifier that learned from real ones makes of them.

None of these is a confidence: a classifier is confident of noise as well.
"""

import numpy as np
from numpy.typing import NDArray
from sklearn.neural_network import MLPClassifier
from torch import Tensor

from snn_gan_ext.coding.images import check_images
from snn_gan_ext.errors import InputError

__all__ = ["classes_covered", "frechet_distance", "inception_score"]

LEAST_SHARE = 0.2
"""A class counts as covered if it has so much of its fair share of the images."""


def frechet_distance(classifier: MLPClassifier, real: Tensor, synthetic: Tensor) -> float:
    r"""Frechet distance of Gaussians fitted to the classifier's last hidden layer.

    .. math:: \lVert\mu - \mu'\rVert^2 + \mathrm{tr}\bigl(C + C' - 2 (C C')^{1/2}\bigr)

    It depends on the classifier: compare figures of one judge alone.

    Args:
        classifier: fitted on real images, as `snn_gan_ext.metrics.classifiers.fit_classifier` does.
        real: ``[B, N]``, more images than the layer has units for covariances of full rank.
        synthetic: ``[B', N]``.

    Raises:
        InputError: if there are fewer than two images, or values outside [0, 1].

    References:
        Heusel et al. (2017), "GANs trained by a two time-scale update rule", with the classifier here
        in the place of Inception.
    """
    means, covariances = [], []
    for images in (real, synthetic):
        check_images(images)
        if len(images) < 2:
            raise InputError("images", expected="at least two", got=f"{len(images)}")
        features = _features(classifier, images)
        means.append(features.mean(0))
        covariances.append(np.cov(features, rowvar=False))
    # The trace of a root is the sum of the roots of eigenvalues, which rounding may push below 0.
    roots = np.sqrt(np.linalg.eigvals(covariances[0] @ covariances[1]).real.clip(0))
    spread = np.trace(covariances[0] + covariances[1]) - 2 * roots.sum()
    return float(((means[0] - means[1]) ** 2).sum() + spread)


def inception_score(classifier: MLPClassifier, images: Tensor) -> float:
    r"""Images that each look like one class, and together like all of them.

    .. math:: \exp E_x \, \mathrm{KL}\bigl(p(y \mid x) \,\|\, E_x p(y \mid x)\bigr),

    from 1 to the number of classes. Blind to what varies within a class.

    Args:
        classifier: fitted on real images.
        images: ``[B, N]``.

    References:
        Salimans et al. (2016), "Improved techniques for training GANs".
    """
    check_images(images)
    probabilities = classifier.predict_proba(images.numpy()).astype(np.float64).clip(1e-12)
    gains = probabilities * np.log(probabilities / probabilities.mean(0))
    return float(np.exp(gains.sum(1).mean()))


def classes_covered(classifier: MLPClassifier, images: Tensor) -> int:
    """Number of classes that the classifier names at least a fifth as often as a fair draw would.

    Args:
        classifier: fitted on real images.
        images: ``[B, N]``.
    """
    check_images(images)
    classes = len(classifier.classes_)
    named = np.searchsorted(classifier.classes_, classifier.predict(images.numpy()))
    shares = np.bincount(named, minlength=classes) / len(images)
    return int((shares >= LEAST_SHARE / classes).sum())


def _features(classifier: MLPClassifier, images: Tensor) -> NDArray[np.float64]:
    """What the last hidden layer (ReLU) says, ``[B, units]``."""
    features = images.numpy().astype(np.float64)
    hidden = zip(classifier.coefs_[:-1], classifier.intercepts_[:-1], strict=True)
    for weight, bias in hidden:
        features = np.maximum(features @ weight + bias, 0)
    return features
