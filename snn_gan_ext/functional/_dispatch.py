"""Choice between compiled kernels and PyTorch operations."""

import warnings
from functools import cache
from importlib import import_module
from types import ModuleType
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.utils._python_dispatch import _get_current_dispatch_mode

__all__ = ["arrays_of", "kernels", "trackable"]


@cache
def kernels(name: str) -> ModuleType:
    """Return a module of kernels, loaded at its first use: numba takes a good part of a second."""
    return import_module(f"snn_gan_ext.functional._kernels.{name}")


def trackable(tensor: Tensor) -> Tensor:
    """Return a tensor that autograd can keep: a copy of one that was made in inference mode."""
    outside = torch.is_grad_enabled() and not torch.compiler.is_compiling()
    return tensor.clone() if outside and tensor.is_inference() else tensor


@cache
def _can_compile() -> bool:
    """Tell whether numba works here: some versions refuse some versions of NumPy."""
    try:
        import_module("snn_gan_ext.functional._kernels")
    except Exception as error:
        warnings.warn(f"PyTorch runs all loops, as numba does not work here: {error}", stacklevel=4)
        return False
    return True


def arrays_of(*tensors: Tensor) -> list[Any] | None:
    """Return the memory of tensors as arrays for the compiled kernels, or None where these cannot run.

    The kernels run one network on the CPU in one precision, without autograd, vmap or torch.compile.
    """
    dtype, grad = tensors[0].dtype, torch.is_grad_enabled()
    traced = (
        torch.compiler.is_compiling()
        or torch.jit.is_tracing()  # type: ignore[attr-defined, no-untyped-call]
        or forward_ad._current_level >= 0
        or _get_current_dispatch_mode() is not None
    )
    if traced or dtype not in (torch.float32, torch.float64) or not _can_compile():
        return None
    arrays = []
    for tensor in tensors:
        if tensor.dtype != dtype or not tensor.is_cpu or (grad and tensor.requires_grad):
            return None
        try:
            arrays.append(tensor.detach().contiguous().numpy())
        except RuntimeError:  # vmap and fake tensors have no memory of their own
            return None
    return arrays
