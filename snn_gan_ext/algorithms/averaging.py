"""A running mean of a network's weights, which adversarial training circles around."""

import copy

import torch
from torch import nn

__all__ = ["follow", "twin"]


def twin(network: nn.Module) -> nn.Module:
    """A copy that is not trained by gradients."""
    return copy.deepcopy(network).requires_grad_(False)


@torch.no_grad()
def follow(average: nn.Module, network: nn.Module, decay: float, step: int) -> None:
    r"""Moves an average of weights towards the weights of now, in place.

    .. math:: \bar\theta \leftarrow \bar\theta + \max\bigl(1 - d, \tfrac1{t}\bigr) (\theta - \bar\theta)

    so that it begins as the plain mean of all weights since the first step.

    Args:
        average: the average.
        network: the network that is trained, of the same parameters.
        decay: :math:`d` in 0 .. 1.
        step: training steps taken, :math:`t \ge 1`.

    References:
        Yazici et al. (2019), "The unusual effectiveness of averaging in GAN training", eq. 3.
    """
    weight = max(1 - decay, 1 / step)
    for ours, theirs in zip(average.parameters(), network.parameters(), strict=True):
        ours.lerp_(theirs, weight)
