r"""Targets for the firing steps of output neurons that spike at most once.

Firing steps ``[B, C]`` are whole numbers as floats, T where a neuron did not fire. The loss on both
kinds of targets is

.. math:: L = \frac12 \sum_j \Bigl(\frac{t_j - \hat t_j}{T}\Bigr)^2.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from snn_gan_ext.validation import check_labels, check_shapes

__all__ = ["decided_rightly", "firing_targets", "keep_alive", "temporal_loss"]


def firing_targets(
    times: Tensor, labels: Tensor, num_steps: int, margin: float, deadline: float | None = None
) -> Tensor:
    r"""Return targets ``[B, C]`` by the earliest output :math:`\tau = \min_j t_j`, or by a deadline.

    Without a deadline (S4NN) the label's neuron has the target :math:`\tau`, or :math:`\gamma` before
    the end if no neuron fired. The others have :math:`\tau + \gamma`.

    With a deadline ("Aggressive TTFS") the label's neuron has the deadline, or :math:`\tau` if that is
    earlier: it is never held back. The others have :math:`\gamma` after the deadline.
    In both cases the others keep their own firing step if it is later.

    Args:
        times: Firing steps ``[B, C]``.
        labels: Labels ``[B]``.
        num_steps: Number of time steps ``T`` of the window.
        margin: Margin :math:`\gamma` in time steps.
        deadline: Deadline in time steps.

    References:
        Kheradpisheh and Masquelier (2020), S4NN, eq. 13-14. The Spiking-GAN paper (Kotariya and
        Ganguly), of which only the abstract was at hand: docs/decisions/0015 chose the other neurons'
        targets and the use of the earliest output.
    """
    check_shapes(times=(times, "BC"))
    labels = check_labels(labels, times.shape[1], len(times)).to(times.device)
    earliest = times.detach().min(1, keepdim=True).values
    if deadline is None:
        wanted = torch.where(earliest < num_steps, earliest, num_steps - 1 - margin)
        others = earliest.clamp(max=num_steps - 1) + margin
    else:
        fixed = torch.full_like(earliest, deadline)
        wanted, others = torch.minimum(earliest, fixed), fixed + margin
    is_label = F.one_hot(labels, times.shape[1]).bool()
    return torch.where(is_label, wanted, torch.maximum(times.detach(), others)).clamp(max=num_steps)


def temporal_loss(times: Tensor, targets: Tensor, num_steps: int) -> Tensor:
    """Return the loss above, averaged over the batch, of firing steps and targets ``[B, C]``."""
    check_shapes(times=(times, "BC"), targets=(targets, "BC"))
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
    check_shapes(times=(times, "BO"), weight=(weight, "IO"))
    weight += amount * ((times < num_steps).to(weight).mean(0) < least)


def decided_rightly(outputs: Tensor, labels: Tensor, num_steps: int) -> Tensor:
    """Return for each trial ``[B]`` whether only the label's neuron fired first; ties lose.

    Args:
        outputs: Firing steps of output neurons ``[B, C]``; ``num_steps`` where there is no spike.
        labels: Labels ``[B]``.
        num_steps: Number of time steps ``T`` of the window.
    """
    check_shapes(outputs=(outputs, "BC"))
    labels = check_labels(labels, outputs.shape[1], len(outputs)).to(outputs.device)
    first = outputs.min(1).values
    alone = ((outputs == first.unsqueeze(1)).sum(1) == 1) & (first < num_steps)
    return alone & (outputs.argmin(1) == labels)
