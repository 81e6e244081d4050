r"""What output neurons that spike at most once should do: targets for their firing steps.

Firing steps ``[B, C]`` are whole numbers as floats, T where a neuron did not fire. The loss on both
kinds of targets is

.. math:: L = \frac12 \sum_j \Bigl(\frac{t_j - \hat t_j}{T}\Bigr)^2.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["aggressive_targets", "keep_alive", "relative_targets", "temporal_loss"]


def relative_targets(times: Tensor, labels: Tensor, margin: float, num_steps: int) -> Tensor:
    r"""S4NN's targets, relative to the earliest output :math:`\tau = \min_j t_j`.

    The label's neuron should fire at :math:`\tau`, each other one at :math:`\tau + \gamma` if it
    fired before that, and else when it did. Where nothing fired, the label's neuron should fire
    :math:`\gamma` before the end.

    Args:
        times: ``[B, C]``.
        labels: ``[B]``.
        margin: :math:`\gamma` in time steps.
        num_steps: length ``T`` of the window in time steps.

    Returns:
        Targets ``[B, C]``.

    References:
        Kheradpisheh and Masquelier (2020), S4NN, eq. 13-14.
    """
    earliest = times.detach().min(1, keepdim=True).values
    wanted = torch.where(earliest < num_steps, earliest, num_steps - 1 - margin)
    return _targets(times, labels, wanted, earliest.clamp(max=num_steps - 1) + margin, num_steps)


def aggressive_targets(
    times: Tensor, labels: Tensor, margin: float, deadline: float, num_steps: int
) -> Tensor:
    r"""Targets that ask for an early decision ("Aggressive TTFS").

    The label's neuron should fire at the deadline, or at :math:`\tau = \min_j t_j` if that is earlier
    still: it is never held back. The others should not fire before :math:`\gamma` after the deadline.

    Args:
        times: ``[B, C]``.
        labels: ``[B]``.
        margin: :math:`\gamma` in time steps.
        deadline: in time steps.
        num_steps: length ``T`` of the window in time steps.

    Returns:
        Targets ``[B, C]``.

    References:
        The Spiking-GAN paper (Kotariya and Ganguly), of which only the abstract was at hand; what is
        asked of the other neurons, and the earliest output, are choices of docs/decisions/0015.
    """
    earliest = times.detach().min(1, keepdim=True).values
    fixed = torch.full_like(earliest, deadline)
    return _targets(times, labels, torch.minimum(earliest, fixed), fixed + margin, num_steps)


def temporal_loss(times: Tensor, targets: Tensor, num_steps: int) -> Tensor:
    """The loss above, averaged over the batch.

    Args:
        times: ``[B, C]``.
        targets: ``[B, C]``.
        num_steps: length ``T`` of the window in time steps.
    """
    return 0.5 * ((times - targets) / num_steps).square().sum(1).mean()


@torch.no_grad()
def keep_alive(weight: Tensor, times: Tensor, num_steps: int, least: float, amount: float) -> None:
    """Homeostasis, in place: neurons that hardly ever fire hear all their inputs more strongly.

    Args:
        weight: ``[I, O]``.
        times: firing steps ``[B, O]``.
        num_steps: length ``T`` of the window in time steps.
        least: neurons that fire in a smaller share of the batch are helped.
        amount: added to each of their weights.
    """
    weight += amount * ((times < num_steps).to(weight).mean(0) < least)


def _targets(times: Tensor, labels: Tensor, wanted: Tensor, others: Tensor, num_steps: int) -> Tensor:
    """``wanted`` for the label's neuron; for the others when they fired, ``others`` at least."""
    is_label = F.one_hot(labels, times.shape[1]).bool()
    return torch.where(is_label, wanted, torch.maximum(times.detach(), others)).clamp(max=num_steps)
