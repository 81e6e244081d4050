"""Compiled loops for the CPU, used by `snn_gan_ext.functional` where they apply."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar, cast

import numba
import numpy as np
from numpy.typing import NDArray

__all__ = ["Array", "Indices", "Number", "compiled"]

Number = np.floating[Any]
Array = NDArray[Number]
Indices = NDArray[np.int64]
Kernel = TypeVar("Kernel", bound=Callable[..., Any])


def compiled(kernel: Kernel) -> Kernel:
    """Compile a loop at its first call and cache it on disk."""
    compiled = numba.njit(kernel, nogil=True, error_model="numpy")
    # No cache where neither the package nor the home is writable, or NUMBA_DISABLE_JIT is set.
    with suppress(RuntimeError, AttributeError):
        compiled.enable_caching()
    return cast(Kernel, compiled)
