"""Checks of what is handed to a layer: each names what was expected, what came, and the cure."""

from numbers import Integral

import torch
from torch import Tensor

from snn_gan_ext.errors import InputError
from snn_gan_ext.functional.checks import check_finite, look

__all__ = ["check_basis", "check_finite", "check_positive", "check_tensor", "look"]


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
