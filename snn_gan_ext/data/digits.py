"""The 8 x 8 handwritten digits that scikit-learn ships, split once and for all."""

from typing import NamedTuple

import numpy as np
import torch

from snn_gan_ext.coding.images import Labelled

__all__ = ["DigitSplits", "load_digits"]

TEST_SIZE, VALIDATION_SIZE = 450, 247


class DigitSplits(NamedTuple):
    """Disjoint parts: learn on ``train``, choose on ``validation``, report on ``test``."""

    train: Labelled
    validation: Labelled
    test: Labelled


def load_digits(split_seed: int = 0) -> DigitSplits:
    """1,797 digits of 64 pixels (UCI), stratified by class into 1,100 / 247 / 450.

    Args:
        split_seed: which split; results are comparable only on the same one.
    """
    from sklearn.datasets import load_digits as load
    from sklearn.model_selection import train_test_split

    images, labels = load(return_X_y=True)
    images = (images / 16.0).astype(np.float32)
    rest, test, rest_y, test_y = train_test_split(
        images, labels, test_size=TEST_SIZE, random_state=split_seed, stratify=labels
    )
    train, validation, train_y, validation_y = train_test_split(
        rest, rest_y, test_size=VALIDATION_SIZE, random_state=split_seed, stratify=rest_y
    )
    return DigitSplits(
        train=_labelled(train, train_y),
        validation=_labelled(validation, validation_y),
        test=_labelled(test, test_y),
    )


def _labelled(images: np.ndarray, labels: np.ndarray) -> Labelled:
    return Labelled(torch.from_numpy(images), torch.from_numpy(labels.astype(np.int64)))
