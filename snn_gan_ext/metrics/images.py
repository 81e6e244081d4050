"""Quality and variety of images, by a classifier that was trained on real ones.

None of these is a confidence: classifiers are confident of noise as well.
"""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from snn_gan_ext.coding.images import check_images
from snn_gan_ext.errors import InputError
from snn_gan_ext.validation import plain_floats

__all__ = [
    "ImageClassifier",
    "classes_covered",
    "frechet_distance",
    "inception_score",
    "some_images",
]

LEAST_SHARE = 0.2  # of its fair share of images, from which on a class counts as covered


class ImageClassifier(Protocol):
    """A classifier trained on real images, such as a `snn_gan_ext.metrics.classifiers.FittedMLP`."""

    @property
    def classes(self) -> NDArray[np.int64]: ...
    def predict(self, images: Tensor) -> NDArray[np.int64]: ...
    def probabilities(self, images: Tensor) -> NDArray[np.float64]: ...
    def features(self, images: Tensor) -> NDArray[np.float64]: ...


def frechet_distance(classifier: ImageClassifier, real: Tensor, synthetic: Tensor) -> float:
    r"""Return the Frechet distance of Gaussians fitted to the classifier's features.

    .. math:: \lVert\mu - \mu'\rVert^2 + \mathrm{tr}\bigl(C + C' - 2 (C C')^{1/2}\bigr)

    It depends on the classifier: compare only distances by the same one.

    Args:
        classifier: Classifier trained on real images.
        real: Real images ``[B, N]``; covariances have full rank if ``B`` exceeds the features.
        synthetic: Synthetic images ``[B', N]``.

    Raises:
        InputError: If there are fewer than two images, or values lie outside [0, 1].

    References:
        Heusel et al. (2017), "GANs trained by a two time-scale update rule", which uses Inception.
    """
    features = [classifier.features(some_images(images, least=2)) for images in (real, synthetic)]
    means = [x.mean(0) for x in features]
    covariances = [np.atleast_2d(np.cov(x, rowvar=False)) for x in features]
    # The trace of a root is the sum of the roots of eigenvalues, which rounding may push below 0.
    roots = np.sqrt(np.linalg.eigvals(covariances[0] @ covariances[1]).real.clip(0))
    spread = np.trace(covariances[0] + covariances[1]) - 2 * roots.sum()
    return float(((means[0] - means[1]) ** 2).sum() + spread)


def inception_score(classifier: ImageClassifier, images: Tensor) -> float:
    r"""Return how clearly each image shows one class, and how evenly all images show all classes.

    .. math:: \exp E_x \, \mathrm{KL}\bigl(p(y \mid x) \,\|\, E_x p(y \mid x)\bigr),

    from 1 to the number of classes, for images ``[B, N]``. It is blind to variation within a class.

    Raises:
        InputError: If there is no image, or values lie outside [0, 1].

    References:
        Salimans et al. (2016), "Improved techniques for training GANs".
    """
    probabilities = classifier.probabilities(some_images(images)).clip(1e-12)
    gains = probabilities * np.log(probabilities / probabilities.mean(0))
    return float(np.exp(gains.sum(1).mean()))


def classes_covered(classifier: ImageClassifier, images: Tensor) -> int:
    """Return the number of classes with a fifth of their fair share of images ``[B, N]`` or more.

    Raises:
        InputError: If there is no image, or values lie outside [0, 1].
    """
    images, classes = some_images(images), len(classifier.classes)
    named = np.searchsorted(classifier.classes, classifier.predict(images))
    shares = np.bincount(named, minlength=classes) / len(images)
    return int((shares >= LEAST_SHARE / classes).sum())


def some_images(images: Tensor, least: int = 1) -> Tensor:
    """Return the plain floats of images ``[B, N]``, of at least one.

    Raises:
        InputError: If there are fewer than ``least``, 1 or 2, or `check_images` refuses them.
    """
    check_images(images)
    if len(images) < least:
        expected = "at least two" if least > 1 else "at least one"
        raise InputError("images", expected=expected, got=f"{len(images)}")
    return plain_floats(images)
