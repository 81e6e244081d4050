"""Choice between compiled kernels and PyTorch operations."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.utils._python_dispatch import _get_current_dispatch_mode

__all__ = ["arrays_of"]


def arrays_of(*tensors: Tensor) -> list[Any] | None:
    """Return the memory of tensors as arrays for the compiled kernels, or None where these cannot run.

    The kernels run one network on the CPU in one precision, without autograd, vmap or torch.compile.
    """
    dtype, grad = tensors[0].dtype, torch.is_grad_enabled()
    if dtype not in (torch.float32, torch.float64) or _is_watched():
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


def _is_watched() -> bool:
    """Tell whether a tracer follows PyTorch operations and would miss the kernels."""
    return (
        torch.compiler.is_compiling()
        or torch.jit.is_tracing()  # type: ignore[attr-defined, no-untyped-call]
        or forward_ad._current_level >= 0
        or _get_current_dispatch_mode() is not None
    )
