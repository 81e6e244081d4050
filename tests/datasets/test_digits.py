"""The parts of a data set of digits."""

import pytest
import torch

from snn_gan_ext import InputError
from snn_gan_ext.coding.images import Labelled
from snn_gan_ext.datasets.digits import load_digits, split

DIGITS = Labelled(torch.rand(40, 4), torch.arange(40) % 4)


def test_each_part_has_its_share_of_each_class():
    parts = split(DIGITS, 0.2, 4, 0)
    assert [torch.bincount(part.labels).tolist() for part in parts] == [[7] * 4, [1] * 4, [2] * 4]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((DIGITS, 0.2, 4, -1), "split_seed"),
        ((DIGITS, 0.2, 4, 1.5), "split_seed"),
        ((DIGITS, 0, 4, 0), "test: expected above 0"),
        ((DIGITS, 0.2, float("nan"), 0), "validation"),
        ((DIGITS, 39, 4, 0), "digits: expected enough of each class"),
        ((DIGITS, 0.01, 4, 0), "digits: expected enough of each class"),
        ((Labelled(torch.rand(2, 4), torch.arange(2)), 1, 1, 0), "enough of each class"),
        ((Labelled(torch.rand(2, 4), torch.tensor(1)), 1, 1, 0), "labels"),
    ],
)
def test_digits_that_cannot_be_split_are_refused(arguments, says):
    with pytest.raises(InputError, match=says):
        split(*arguments)


def test_only_the_held_out_parts_are_held_out():
    splits = load_digits()
    assert splits.held_out("test") is splits.test
    with pytest.raises(InputError, match="one of validation, test"):
        splits.held_out("train")
