"""Checks of values, which step aside where there are none to look at."""

import math

import torch
from torch import Tensor

from snn_gan_ext.errors import InputError

__all__ = ["check_finite", "look"]


def look(value: Tensor) -> float | None:
    """The number in a tensor; None where values cannot be looked at (compile, vmap)."""
    if torch.compiler.is_compiling():
        return None
    try:
        return value.item()
    except RuntimeError as error:
        if not any(kind in str(error) for kind in ("vmap", "meta")):
            raise
        return None


def check_finite(name: str, tensor: Tensor) -> None:
    """One NaN or infinity anywhere makes the sum one, and a sum is the cheapest pass over memory."""
    total = tensor.sum(dtype=torch.promote_types(tensor.dtype, torch.float32))
    found = look(total)
    if found is not None and not math.isfinite(found) and not tensor.isfinite().all():
        raise InputError(
            name,
            expected="finite numbers",
            got="NaN or infinity",
            cure="look for them in the input and in the layer's parameters",
        )
