"""The 8 x 8 handwritten digits of scikit-learn, split into training, validation and test data."""

import hashlib
from typing import Literal, NamedTuple

import numpy as np
import torch

from snn_gan_ext.coding.images import Labelled, check_labelled
from snn_gan_ext.errors import InputError, first_line
from snn_gan_ext.validation import SEED, above, check_setting, one_of

__all__ = ["DigitSplits", "Split", "load_digits", "split"]

Split = Literal["validation", "test"]

TEST_SIZE, VALIDATION_SIZE = 450, 247


class DigitSplits(NamedTuple):
    """Digits to learn from, digits to choose settings by, and digits to report results on."""

    train: Labelled
    validation: Labelled
    test: Labelled

    def fingerprint(self) -> str:
        """Return a hash of the digits, their labels and the split."""
        digest = hashlib.sha256()
        for part in (part for digits in self for part in digits):
            digest.update(part.numpy().tobytes())
        return digest.hexdigest()[:16]

    def held_out(self, name: Split) -> Labelled:
        """Return the part to evaluate on.

        Raises:
            InputError: If there is no such part.
        """
        check_setting("split", name, one_of(Split))
        return self.test if name == "test" else self.validation


def load_digits(split_seed: int = 0) -> DigitSplits:
    """Load 1,797 digits of 64 pixels (UCI), stratified by class into 1,100 / 247 / 450.

    Args:
        split_seed: Seed of the split. Results are comparable only on the same split.

    Raises:
        InputError: If the seed is no whole number from 0 to 2^32 - 1.
    """
    from sklearn.datasets import load_digits as load

    images, labels = load(return_X_y=True)
    pixels = torch.from_numpy((images / 16.0).astype(np.float32))
    digits = Labelled(pixels, torch.from_numpy(labels.astype(np.int64)))
    return split(digits, TEST_SIZE, VALIDATION_SIZE, split_seed)


def split(digits: Labelled, test: float, validation: float, split_seed: int) -> DigitSplits:
    """Split digits at random, stratified by class.

    Args:
        digits: Digits to split.
        test: Number of test digits, or their share if below 1.
        validation: Number of validation digits, or their share if below 1.
        split_seed: Seed of the split.

    Raises:
        InputError: If the digits or a number are no such, or a part has too few digits of some class.
    """
    from sklearn.model_selection import train_test_split

    check_labelled(digits)
    check_setting("split_seed", split_seed, SEED)
    for name, part in (("test", test), ("validation", validation)):
        check_setting(name, part, above(0))
    labels = digits.labels.numpy()
    rest, taken = np.arange(len(labels)), []
    for part in (test, validation):
        size, strata = int(part if part >= 1 else part * len(labels)), labels[rest]
        try:
            rest, picks = train_test_split(
                rest, test_size=size, random_state=split_seed, stratify=strata
            )
        except ValueError as error:
            expected, got = f"enough of each class for a part of {size}", first_line(error)
            raise InputError("digits", expected=expected, got=got) from None
        taken.append(picks)
    parts = (Labelled(digits.images[picks], digits.labels[picks]) for picks in (rest, *taken[::-1]))
    return DigitSplits(*parts)
