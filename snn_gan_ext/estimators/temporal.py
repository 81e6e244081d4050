r"""Targets for the firing steps of output neurons that spike at most once.

Firing steps ``[B, C]`` are whole numbers as floats, T where a neuron did not fire. The loss on both
kinds of targets is

.. math:: L = \frac12 \sum_j \Bigl(\frac{t_j - \hat t_j}{T}\Bigr)^2.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["aggressive_targets", "decided_rightly", "keep_alive", "relative_targets", "temporal_loss"]


def relative_targets(times: Tensor, labels: Tensor, margin: float, num_steps: int) -> Tensor:
    r"""Return S4NN's targets ``[B, C]``, relative to the earliest output :math:`\tau = \min_j t_j`.

    The target of the label's neuron is :math:`\tau`, and the target of each other neuron
    :math:`\tau + \gamma`, or its own firing step if later. If no neuron fired, the target of
    the label's neuron is :math:`\gamma` before the end.

    Args:
        times: Firing steps ``[B, C]``.
        labels: Labels ``[B]``.
        margin: Margin :math:`\gamma` in time steps.
        num_steps: Number of time steps ``T`` of the window.

    References:
        Kheradpisheh and Masquelier (2020), S4NN, eq. 13-14.
    """
    earliest = times.detach().min(1, keepdim=True).values
    wanted = torch.where(earliest < num_steps, earliest, num_steps - 1 - margin)
    return _targets(times, labels, wanted, earliest.clamp(max=num_steps - 1) + margin, num_steps)


def aggressive_targets(
    times: Tensor, labels: Tensor, margin: float, deadline: float, num_steps: int
) -> Tensor:
    r"""Return targets ``[B, C]`` that ask for an early decision ("Aggressive TTFS").

    The target of the label's neuron is the deadline, or :math:`\tau = \min_j t_j` if that is earlier:
    it is never held back. The other neurons should not fire before :math:`\gamma` after the deadline.

    Args:
        times: Firing steps ``[B, C]``.
        labels: Labels ``[B]``.
        margin: Margin :math:`\gamma` in time steps.
        deadline: Deadline in time steps.
        num_steps: Number of time steps ``T`` of the window.

    References:
        The Spiking-GAN paper (Kotariya and Ganguly), of which only the abstract was at hand. The other
        neurons' targets and the use of the earliest output are choices of docs/decisions/0015.
    """
    earliest = times.detach().min(1, keepdim=True).values
    fixed = torch.full_like(earliest, deadline)
    return _targets(times, labels, torch.minimum(earliest, fixed), fixed + margin, num_steps)


def temporal_loss(times: Tensor, targets: Tensor, num_steps: int) -> Tensor:
    """Return the loss above, averaged over the batch.

    Args:
        times: Firing steps ``[B, C]``.
        targets: Targets ``[B, C]``.
        num_steps: Number of time steps ``T`` of the window.
    """
    return 0.5 * ((times - targets) / num_steps).square().sum(1).mean()


@torch.no_grad()
def keep_alive(weight: Tensor, times: Tensor, num_steps: int, least: float, amount: float) -> None:
    """Strengthen all weights of neurons that rarely fire, in place.

    Args:
        weight: Weights ``[I, O]``.
        times: Firing steps ``[B, O]``.
        num_steps: Number of time steps ``T`` of the window.
        least: Share of the batch below which a neuron's weights grow.
        amount: Number added to each of its weights.
    """
    weight += amount * ((times < num_steps).to(weight).mean(0) < least)


def decided_rightly(outputs: Tensor, labels: Tensor, num_steps: int) -> Tensor:
    """Return for each trial ``[B]`` whether only the label's neuron fired first; ties lose.

    Args:
        outputs: Firing steps of output neurons ``[B, C]``; ``num_steps`` where there is no spike.
        labels: Labels ``[B]``.
        num_steps: Number of time steps ``T`` of the window.
    """
    first = outputs.min(1).values
    alone = ((outputs == first.unsqueeze(1)).sum(1) == 1) & (first < num_steps)
    return alone & (outputs.argmin(1) == labels)


def _targets(times: Tensor, labels: Tensor, wanted: Tensor, others: Tensor, num_steps: int) -> Tensor:
    """Return ``wanted`` for the label's neuron; firing steps, at least ``others``, for the rest."""
    is_label = F.one_hot(labels, times.shape[1]).bool()
    return torch.where(is_label, wanted, torch.maximum(times.detach(), others)).clamp(max=num_steps)
