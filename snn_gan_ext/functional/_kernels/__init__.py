"""Compiled loops for the CPU, used by `snn_gan_ext.functional` where they apply."""

import warnings
from collections.abc import Callable
from functools import cache
from typing import Any, TypeVar, cast

import numba
import numpy as np
from numba.core.caching import FunctionCache
from numpy.typing import NDArray

__all__ = ["Array", "Indices", "Number", "compiled"]

Number = np.floating[Any]
Array = NDArray[Number]
Indices = NDArray[np.int64]
Kernel = TypeVar("Kernel", bound=Callable[..., Any])


def compiled(kernel: Kernel) -> Kernel:
    """Compile a loop at its first call and cache it on disk, if the disk allows."""
    compiled = numba.njit(kernel, nogil=True, error_model="numpy")
    if hasattr(compiled, "enable_caching"):  # not with NUMBA_DISABLE_JIT
        try:
            compiled._cache = _Cache(kernel)  # type: ignore[no-untyped-call]
        except (RuntimeError, OSError) as error:  # neither the package nor the home is writable
            _warn(str(error))
    return cast(Kernel, compiled)


class _Cache(FunctionCache):
    """A cache on disk that may be damaged or full: the loop is then compiled without it."""

    def load_overload(self, *arguments: Any) -> Any:
        try:
            return super().load_overload(*arguments)  # type: ignore[no-untyped-call]
        except Exception as error:  # a damaged pickle raises anything
            _warn(f"{type(error).__name__}: {error}")
            return None

    def save_overload(self, *arguments: Any) -> None:
        try:
            super().save_overload(*arguments)  # type: ignore[no-untyped-call]
        except Exception as error:
            _warn(f"{type(error).__name__}: {error}")
            self._begin_anew(arguments)

    def _begin_anew(self, arguments: tuple[Any, ...]) -> None:
        """Replace a damaged index, so that the next process finds a good one."""
        try:
            self.flush()  # type: ignore[no-untyped-call]
            super().save_overload(*arguments)  # type: ignore[no-untyped-call]
        except Exception:  # no room, or no right to write; the warning has been given
            return


@cache
def _warn(reason: str) -> None:
    warnings.warn(
        f"compiled loops: numba's cache cannot be used ({reason}); they are compiled at each start; "
        "set NUMBA_CACHE_DIR to a writable folder",
        stacklevel=2,
    )
