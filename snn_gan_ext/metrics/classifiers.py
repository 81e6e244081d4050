"""What a classifier makes of synthetic data: TSTR and TRTS (SpikeGAN paper, section VII-B)."""

import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier
from threadpoolctl import threadpool_limits

from snn_gan_ext.coding.images import Labelled, check_labelled
from snn_gan_ext.settings import check_setting, whole

__all__ = ["accuracy", "fit_classifier", "tstr"]


def fit_classifier(data: Labelled, seed: int, epochs: int = 60) -> MLPClassifier:
    """The paper's judge, a ReLU network N-100-100-classes, trained on images ``[B, N]``.

    Args:
        data: what to train on.
        seed: initial weights and batches.
        epochs: passes over the data (Adam, batches of 200).
    """
    check_labelled(data)
    classifier = MLPClassifier((100, 100), max_iter=epochs, random_state=seed)
    # One thread: on a busy machine a second one makes these small products several times slower.
    with warnings.catch_warnings(), threadpool_limits(1):
        # The number of epochs is the training budget; that it is reached is no news.
        warnings.simplefilter("ignore", ConvergenceWarning)
        return classifier.fit(data.images.numpy(), data.labels.numpy())


def accuracy(classifier: MLPClassifier, data: Labelled) -> float:
    """Share of images that the classifier names rightly.

    With a classifier trained on real data and synthetic ``data`` this is TRTS: do the samples show
    their class?
    """
    check_labelled(data)
    return float(classifier.score(data.images.numpy(), data.labels.numpy()))


def tstr(train_on: Labelled, real_test: Labelled, seed: int, repeats: int = 3) -> float:
    """Train on synthetic, test on real: do the samples cover what a classifier has to know?

    Args:
        train_on: synthetic images.
        real_test: real images that nothing was trained on.
        seed: seed of the first classifier.
        repeats: number of classifiers, differing in their seed, whose accuracies are averaged.
    """
    check_setting("repeats", repeats, whole(1))
    scores = [accuracy(fit_classifier(train_on, seed + repeat), real_test) for repeat in range(repeats)]
    return float(np.mean(scores))
