"""Running mean of a network's weights."""

import copy
from typing import TypeVar

import torch

from snn_gan_ext.types import Network

__all__ = ["frozen_copy", "update_average"]

N = TypeVar("N", bound=Network)


def frozen_copy(network: N) -> N:
    """Return a copy whose parameters need no gradients."""
    return copy.deepcopy(network).requires_grad_(False)


@torch.no_grad()
def update_average(average: Network, network: Network, decay: float, updates: int) -> None:
    r"""Move an average of weights towards the current weights, in place.

    .. math:: \bar\theta \leftarrow \bar\theta + \max\bigl(1 - d, \tfrac1{t}\bigr) (\theta - \bar\theta)

    It begins as the plain mean of all weights since the first update.

    Args:
        average: Network that holds the average.
        network: Network in training, with the same parameters.
        decay: Decay :math:`d` in 0 .. 1.
        updates: Number of updates so far, :math:`t \ge 1`.

    References:
        Yazici et al. (2019), "The unusual effectiveness of averaging in GAN training", eq. 3.
    """
    weight = max(1 - decay, 1 / updates)
    for ours, theirs in zip(average.parameters(), network.parameters(), strict=True):
        ours.lerp_(theirs, weight)
