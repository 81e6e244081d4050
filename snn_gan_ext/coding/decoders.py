"""Decoders as values: how a discriminator receives spikes, as a setting that can be compared and stored.

Each is called with spikes ``[T, B, ...]`` and returns features ``[B, ...]``, differentiably.
"""

from dataclasses import dataclass

from torch import Tensor

from snn_gan_ext.coding.events import pooled_counts
from snn_gan_ext.coding.images import pooled_decode, rate_decode, time_surface_decode

__all__ = ["Counts", "Decoder", "PooledRates", "Rates", "Spikes", "TimeSurface"]


@dataclass(frozen=True)
class Spikes:
    """The spikes themselves ``[T, B, N]``."""

    def __call__(self, spikes: Tensor) -> Tensor:
        """Returns its argument."""
        return spikes


@dataclass(frozen=True)
class Rates:
    """Share of steps with a spike ``[B, N]``; see `rate_decode`."""

    def __call__(self, spikes: Tensor) -> Tensor:
        """Decodes spikes ``[T, B, N]``."""
        return rate_decode(spikes)


@dataclass(frozen=True)
class TimeSurface:
    """Last sample of a decaying trace ``[B, N]``; see `time_surface_decode`.

    Attributes:
        decay: time constant in steps.
    """

    decay: float = 2.0

    def __call__(self, spikes: Tensor) -> Tensor:
        """Decodes spikes ``[T, B, N]``."""
        return time_surface_decode(spikes, self.decay)


@dataclass(frozen=True)
class PooledRates:
    """Rates in bins of time ``[B, T / width * N]``; see `pooled_decode`.

    Attributes:
        width: steps in a bin.
    """

    width: int = 4

    def __call__(self, spikes: Tensor) -> Tensor:
        """Decodes spikes ``[T, B, N]``."""
        return pooled_decode(spikes, self.width)


@dataclass(frozen=True)
class Counts:
    """Counts of event frames in blocks of time and space ``[B, F]``; see `pooled_counts`.

    Attributes:
        pools: (blocks of time, side of the pixel blocks) of each pooling.
    """

    pools: tuple[tuple[int, int], ...] = ((2, 1), (5, 2))

    def __call__(self, spikes: Tensor) -> Tensor:
        """Decodes frames ``[T, B, C, H, W]``."""
        return pooled_counts(spikes, self.pools)


Decoder = Spikes | Rates | TimeSurface | PooledRates | Counts
