"""Labels as networks hear them."""

import torch
from torch import Tensor, nn

from snn_gan_ext.errors import InputError
from snn_gan_ext.layers.checks import look

__all__ = ["one_hot"]


def one_hot(labels: Tensor, classes: int) -> Tensor:
    """One-hot floats ``[B, classes]``.

    Raises:
        InputError: if the labels are no whole numbers ``[B]`` in ``0 .. classes - 1``.
    """
    if labels.dim() != 1 or labels.is_floating_point() or labels.dtype == torch.bool:
        raise InputError(
            "labels", expected="whole numbers [B]", got=f"{labels.dtype} {list(labels.shape)}"
        )
    if len(labels) and look(((labels >= 0) & (labels < classes)).all()) is False:
        raise InputError(
            "labels",
            expected=f"values in 0 .. {classes - 1}",
            got=f"{int(labels.min())} .. {int(labels.max())}",
        )
    return nn.functional.one_hot(labels.long(), classes).to(torch.get_default_dtype())
