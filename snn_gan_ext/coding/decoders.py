"""Decoders of spikes for a discriminator, as settings that can be compared and stored.

Each maps spikes ``[T, B, ...]`` to features ``[B, ...]``, differentiably.
"""

from dataclasses import dataclass

from torch import Tensor

from snn_gan_ext.coding.events import pooled_counts
from snn_gan_ext.coding.images import pooled_decode, rate_decode, time_surface_decode

__all__ = ["Counts", "Decoder", "PooledRates", "Rates", "Spikes", "TimeSurface"]


@dataclass(frozen=True)
class Spikes:
    """Identity: spikes ``[T, B, N]`` as they are."""

    def __call__(self, spikes: Tensor) -> Tensor:
        return spikes


@dataclass(frozen=True)
class Rates:
    """Firing rates ``[B, N]``; see `rate_decode`."""

    def __call__(self, spikes: Tensor) -> Tensor:
        return rate_decode(spikes)


@dataclass(frozen=True)
class TimeSurface:
    """Last samples of decaying traces ``[B, N]``; see `time_surface_decode`.

    Attributes:
        decay: Time constant in steps.
    """

    decay: float = 2.0

    def __call__(self, spikes: Tensor) -> Tensor:
        return time_surface_decode(spikes, self.decay)


@dataclass(frozen=True)
class PooledRates:
    """Firing rates in bins of time ``[B, T / width * N]``; see `pooled_decode`.

    Attributes:
        width: Number of steps in a bin.
    """

    width: int = 4

    def __call__(self, spikes: Tensor) -> Tensor:
        return pooled_decode(spikes, self.width)


@dataclass(frozen=True)
class Counts:
    """Spike counts in blocks of time and space ``[B, F]``; see `pooled_counts`.

    Attributes:
        pools: Number of time blocks and side of the pixel blocks, for each pooling.
    """

    pools: tuple[tuple[int, int], ...] = ((2, 1), (5, 2))

    def __call__(self, spikes: Tensor) -> Tensor:
        return pooled_counts(spikes, self.pools)


Decoder = Spikes | Rates | TimeSurface | PooledRates | Counts
