"""Labels as network inputs."""

import torch
from torch import Tensor, nn

from snn_gan_ext.errors import InputError
from snn_gan_ext.validation import check_labels, check_shapes

__all__ = ["known_labels", "labels_and_count", "one_hot"]


def known_labels(labels: Tensor | None, classes: int, count: int | None = None) -> Tensor | None:
    """Return labels as int64, or None for a network that needs none.

    Args:
        labels: Whole numbers ``[B]``; None for trials without labels.
        classes: Number of labels. With 0, labels are ignored.
        count: Number of trials ``B``; None allows any.

    Raises:
        InputError: If labels lie outside ``0 .. classes - 1``, or there are none for several classes.
    """
    if classes == 0:
        return None
    if labels is not None:
        return check_labels(labels, classes, count)
    if classes > 1:
        expected = f"whole numbers 0 .. {classes - 1}, one for each trial"
        cure = f"pass labels, such as torch.randint({classes}, (B,))"
        raise InputError("labels", expected=expected, got="None", cure=cure)
    return None


def one_hot(labels: Tensor | None, classes: int, count: int | None = None) -> Tensor:
    """Return labels as one-hot floats ``[B, classes]``, empty for 0 classes; see `known_labels`.

    With one class, labels may be None: all ``count`` trials are of class 0.
    """
    labels = known_labels(labels, classes, count)
    if labels is None:
        return torch.ones(count or 0, classes)
    return nn.functional.one_hot(labels, classes).to(torch.get_default_dtype())


def labels_and_count(labels: Tensor | int) -> tuple[Tensor | None, int]:
    """Return labels and their number, or for a number of trials None and this number.

    Raises:
        InputError: If it is neither a tensor ``[B]`` nor a whole number of at least 0.
    """
    if type(labels) is int and labels >= 0:
        return None, labels
    if isinstance(labels, int) or not hasattr(labels, "__len__"):
        expected = "whole numbers [B], or a number of trials"
        raise InputError("labels", expected=expected, got=f"{labels!r}")
    check_shapes(labels=(labels, "B"))
    return labels, len(labels)
