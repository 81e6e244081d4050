"""Temporal filter bases ``[K, L]``: row ``k`` is one basis function over lags ``0 .. L - 1`` (steps).

A synaptic filter is a learnable combination of the rows (``alpha = A w``, below eq. 2 of the SpikeGAN
paper). The basis fixes its smoothness and its number of weights.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from snn_gan_ext.errors import InputError
from snn_gan_ext.validation import (
    above,
    check_independent,
    check_positive,
    check_setting,
    check_values,
    plain,
)

__all__ = [
    "exponential_basis",
    "identity_basis",
    "raised_cosine_basis",
    "raised_cosines",
    "unit_std",
]


def exponential_basis(length: int, decay: float | Sequence[float]) -> Tensor:
    r"""Return exponential decays ``[K, L]``, :math:`A_{k,\tau} = \exp(-\tau / \tau_k)`.

    Args:
        length: Window ``L`` in steps.
        decay: Time constant :math:`\tau_k` in steps of each basis function.

    Raises:
        InputError: If ``length`` is below 1, a time constant is not above 0, or two are too close.

    References:
        SpikeGAN paper, section VIII-A (one function, decay 2).

    >>> exponential_basis(3, 2.0)
    tensor([[1.0000, 0.6065, 0.3679]])
    """
    check_positive(length=length)
    given = plain(decay) if isinstance(decay, Tensor) else decay
    try:
        decays = torch.as_tensor(given, dtype=torch.get_default_dtype()).reshape(-1, 1)
    except (TypeError, ValueError, RuntimeError):
        raise InputError("decay", expected="numbers", got=type(decay).__name__) from None
    check_values("decay", decays, decays > 0, "positive time constants in steps")
    basis = torch.exp(-torch.arange(length) / decays)
    check_independent("decay", basis, "take fewer time constants, further apart, or a longer window")
    return basis


def raised_cosine_basis(count: int, length: int, offset: float = 1.0) -> Tensor:
    r"""Return raised cosines ``[K, L]`` in logarithmic time: narrow at short lags, wide at long ones.

    .. math:: A_{k,\tau} = \tfrac12 + \tfrac12 \cos\bigl(\operatorname{clip}(
        \tfrac{\pi}{2\delta}(z(\tau) - z_k), -\pi, \pi)\bigr), \qquad z(\tau) = \log(\tau + c)

    The peaks :math:`z_k` are :math:`\delta` apart. The first is at lag 0. The last bump reaches zero at
    lag ``L``, one past the window.

    Args:
        count: Number of basis functions ``K``.
        length: Window ``L`` in steps.
        offset: Offset :math:`c > 0` in steps. A larger one makes the widths more even.

    Raises:
        InputError: If ``count`` or ``length`` is below 1, ``offset`` is not above 0, or there are
            too many functions: at short lags their peaks lie closer than the steps.

    References:
        Pillow et al., Nature 454 (2008), methods; SpikeGAN paper, section VIII-A (two functions).

    >>> raised_cosine_basis(2, 4).shape
    torch.Size([2, 4])
    """
    check_positive(count=count, length=length)
    check_setting("offset", offset, above(0))
    basis = raised_cosines(count, length, offset)
    cure = "take fewer functions, a longer window or a larger offset"
    check_independent("raised cosines", basis, cure)
    return basis


def raised_cosines(count: int, length: int, offset: float = 1.0) -> Tensor:
    """Return the functions of `raised_cosine_basis`, however many: some may be zero, or dependent."""
    log_lag = torch.log(torch.arange(length) + offset)
    start, stop = math.log(offset), math.log(length + offset)
    spacing = (stop - start) / (count + 1)
    peaks = start + spacing * torch.arange(count).unsqueeze(1)
    phase = (log_lag - peaks) * (math.pi / (2 * spacing))
    return 0.5 + 0.5 * torch.cos(phase.clamp(-math.pi, math.pi))


def identity_basis(length: int) -> Tensor:
    """Return the identity ``[L, L]``, one free weight per lag, for a window of ``length`` steps.

    Raises:
        InputError: If ``length`` is below 1.
    """
    check_positive(length=length)
    return torch.eye(length)


def unit_std(inputs: int, basis: Tensor) -> float:
    r"""Return :math:`(I \sum_{k,l} B_{k,l}^2)^{-1/2}`, a standard deviation of initial weights.

    With it, ``I`` independent inputs of mean square 1 drive a neuron with a variance of 1.

    Args:
        inputs: Number of inputs ``I``.
        basis: Temporal basis ``[K, L]``.
    """
    return float((inputs * basis.square().sum()).rsqrt())
