"""How loops are compiled."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar, cast

import numba
import numpy as np
from numpy.typing import NDArray

__all__ = ["Array", "compiled"]

Array = NDArray[np.floating[Any]]
Kernel = TypeVar("Kernel", bound=Callable[..., Any])


def compiled(kernel: Kernel) -> Kernel:
    """Compiles a loop when it is first called, and keeps it for the next process."""
    compiled = numba.njit(kernel, nogil=True, error_model="numpy")
    # Neither the package nor the home can be written to, or NUMBA_DISABLE_JIT is set.
    with suppress(RuntimeError, AttributeError):
        compiled.enable_caching()
    return cast(Kernel, compiled)
