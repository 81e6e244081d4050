"""Accuracy, latency and cost of networks whose first output spike decides on the class."""

import torch
from torch import Tensor

from snn_gan_ext.errors import InputError
from snn_gan_ext.estimators.temporal import decided_rightly

__all__ = ["decisions"]


def decisions(
    hidden: Tensor, outputs: Tensor, potentials: Tensor, labels: Tensor, num_steps: int
) -> dict[str, float]:
    """Return how accurate, early and sparse the decisions of a network are.

    The network decides at its first output spike, or at the last step if there is none. Counts of
    spikes include hidden and output neurons.

    ====================== ============================================================================
    ``strict_accuracy``    share of trials in which the label's neuron alone is first; ties lose
    ``tie_accuracy``       the highest potential decides ties and trials without an output spike
    ``latency``            mean step of the decision, as a share of the window
    ``spikes_to_decision`` mean number of spikes in a trial up to and including that step
    ``spikes_full``        mean number of spikes in the whole window
    ====================== ============================================================================

    Args:
        hidden: Firing steps ``[B, H]`` of hidden neurons; ``num_steps`` where there is no spike.
        outputs: Firing steps ``[B, C]`` of output neurons.
        potentials: Potentials ``[B, C]`` of output neurons at their spike, or at the end.
        labels: Labels ``[B]``.
        num_steps: Length ``T`` of the window in time steps.

    Raises:
        InputError: If there is no trial, shapes do not match, or a firing step is negative.
    """
    batch = (len(labels),)
    shapes = hidden.shape[:1] == outputs.shape[:1] == batch == tuple(labels.shape)
    if not shapes or not outputs.numel() or hidden.dim() != 2 or outputs.shape != potentials.shape:
        raise InputError(
            "trials",
            expected="hidden [B, H], outputs and potentials [B, C] and labels [B], B at least 1",
            got=", ".join(f"{list(x.shape)}" for x in (hidden, outputs, potentials, labels)),
        )
    if num_steps < 1 or not bool((outputs >= 0).all()) or not bool((hidden >= 0).all()):
        raise InputError(
            "num_steps and times",
            expected="at least 1, and 0 or later",
            got=f"{num_steps}, or earlier ones, or NaN",
        )
    first = outputs.min(1, keepdim=True).values
    winner = torch.where(outputs == first, potentials, -torch.inf).argmax(1)
    decided = first.clamp(max=num_steps - 1)
    spikes = torch.cat([hidden, outputs], 1)
    return {
        "strict_accuracy": _mean(decided_rightly(outputs, labels, num_steps)),
        "tie_accuracy": _mean(winner == labels),
        "latency": _mean(decided) / num_steps,
        "spikes_to_decision": _mean(((spikes <= decided) & (spikes < num_steps)).sum(1)),
        "spikes_full": _mean((spikes < num_steps).sum(1)),
    }


def _mean(values: Tensor) -> float:
    return float(values.detach().double().mean())
