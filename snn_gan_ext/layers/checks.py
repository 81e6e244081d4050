"""Checks of what is handed to a layer: each names what was expected, what came, and the cure."""

import math
from numbers import Integral

import torch
from torch import Tensor

from snn_gan_ext.errors import InputError

__all__ = ["check_basis", "check_finite", "check_positive", "check_tensor", "look"]


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


def check_tensor(name: str, value: object) -> None:
    """Makes sure of a tensor."""
    if not isinstance(value, Tensor):
        raise InputError(name, expected="a tensor", got=type(value).__name__)


def check_positive(**sizes: int) -> None:
    """Makes sure that sizes are whole numbers of at least 1."""
    for name, value in sizes.items():
        if not isinstance(value, Integral) or value < 1:
            raise InputError(name, expected="a whole number of at least 1", got=f"{value}")


def check_basis(name: str, basis: Tensor) -> Tensor:
    """Makes sure of a finite ``[K, L]``, and copies it."""
    check_tensor(name, basis)
    if basis.dim() != 2 or 0 in basis.shape:
        raise InputError(name, expected="a basis [K, L]", got=f"shape {list(basis.shape)}")
    if not basis.is_floating_point() or not bool(basis.isfinite().all()):
        raise InputError(name, expected="finite floats", got=f"{basis.dtype}, NaN or infinity")
    return basis.detach().to(torch.get_default_dtype(), copy=True)
