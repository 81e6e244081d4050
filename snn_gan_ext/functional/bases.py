"""Temporal filter bases ``[K, L]``: row ``k`` is one basis function over lags ``0 .. L - 1`` (steps).

A synaptic filter is a learnable combination of the rows, ``alpha = A w`` below eq. 2 of the SpikeGAN
paper, so a basis fixes how smooth a filter is and how many weights it costs.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from snn_gan_ext.errors import InputError

__all__ = ["exponential_basis", "identity_basis", "raised_cosine_basis"]


def exponential_basis(length: int, decay: float | Sequence[float]) -> Tensor:
    r"""Exponential decays :math:`A_{k,\tau} = \exp(-\tau / \tau_k)`.

    Args:
        length: window ``L`` in time steps.
        decay: decay constant :math:`\tau_k` in time steps, one for each basis function.

    Returns:
        Basis ``[K, L]``, each row starting at 1.

    Raises:
        InputError: if ``length`` is below 1 or a decay is not positive.

    References:
        SpikeGAN paper, section VIII-A (one function, decay 2).

    >>> exponential_basis(3, 2.0)
    tensor([[1.0000, 0.6065, 0.3679]])
    """
    _check_size("length", length)
    decays = torch.as_tensor(decay, dtype=torch.get_default_dtype()).reshape(-1, 1)
    if not bool((decays > 0).all()):
        raise InputError("decay", expected="positive time constants in steps", got=f"{decay}")
    return torch.exp(-torch.arange(length) / decays)


def raised_cosine_basis(count: int, length: int, offset: float = 1.0) -> Tensor:
    r"""Raised cosines on a logarithmic time axis: narrow bumps at short lags, wide ones at long lags.

    With :math:`z(\tau) = \log(\tau + c)`,

    .. math:: A_{k,\tau} = \tfrac12 + \tfrac12 \cos\bigl(\operatorname{clip}(
        \tfrac{\pi}{2\delta}(z(\tau) - z_k), -\pi, \pi)\bigr),

    where the peaks :math:`z_k` stand :math:`\delta` apart, the first at lag 0, and the last bump
    reaches zero at lag ``L``, one past the window.

    Args:
        count: number of basis functions ``K``.
        length: window ``L`` in time steps.
        offset: :math:`c > 0` in time steps; the larger, the more even the bumps.

    Returns:
        Basis ``[K, L]`` with values in [0, 1].

    Raises:
        InputError: if ``count`` or ``length`` is below 1, or ``offset`` is not positive.

    References:
        Pillow et al., Nature 454 (2008), methods; SpikeGAN paper, section VIII-A (two functions).

    >>> raised_cosine_basis(2, 4).shape
    torch.Size([2, 4])
    """
    _check_size("count", count)
    _check_size("length", length)
    if not 0 < offset < math.inf:
        raise InputError("offset", expected="a positive number of steps", got=f"{offset}")
    log_lag = torch.log(torch.arange(length) + offset)
    start, stop = math.log(offset), math.log(length + offset)
    spacing = (stop - start) / (count + 1)
    peaks = start + spacing * torch.arange(count).unsqueeze(1)
    phase = (log_lag - peaks) * (math.pi / (2 * spacing))
    return 0.5 + 0.5 * torch.cos(phase.clamp(-math.pi, math.pi))


def identity_basis(length: int) -> Tensor:
    """One free weight for each lag.

    Args:
        length: window ``L`` in time steps.

    Returns:
        The identity matrix ``[L, L]``.

    Raises:
        InputError: if ``length`` is below 1.
    """
    _check_size("length", length)
    return torch.eye(length)


def _check_size(name: str, value: int) -> None:
    if value < 1:
        raise InputError(name, expected="at least 1", got=f"{value}")
