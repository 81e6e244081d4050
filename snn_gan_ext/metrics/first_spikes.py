"""Accuracy, latency and cost of networks whose first output spike decides on the class."""

import torch
from torch import Tensor

from snn_gan_ext.estimators.temporal import decided_rightly
from snn_gan_ext.validation import (
    check_finite,
    check_labels,
    check_positive,
    check_shapes,
    check_tensor,
    check_values,
    plain,
    plain_floats,
)

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
        InputError: If there is no trial, shapes do not match, a firing step is negative or NaN, a
            potential is not finite, or a label is none of the outputs.
    """
    check_positive(num_steps=num_steps)
    axes = ("B >= 1", "C")
    check_shapes(outputs=(outputs, axes), potentials=(potentials, axes), labels=(labels, axes[:1]))
    check_tensor("hidden", hidden)
    check_shapes(hidden=(hidden, (len(labels), *hidden.shape[1:2])))
    check_finite("potentials", potentials)
    labels = plain(check_labels(labels, outputs.shape[1]))
    hidden, outputs, potentials = map(plain_floats, (hidden, outputs, potentials))
    spikes = torch.cat([hidden, outputs], 1)
    check_values("firing steps", spikes, spikes >= 0, "0 or later")
    first = outputs.min(1, keepdim=True).values
    winner = torch.where(outputs == first, potentials, -torch.inf).argmax(1)
    decided = first.clamp(max=num_steps - 1)
    return {
        "strict_accuracy": _mean(decided_rightly(outputs, labels, num_steps)),
        "tie_accuracy": _mean(winner == labels),
        "latency": _mean(decided) / num_steps,
        "spikes_to_decision": _mean(((spikes <= decided) & (spikes < num_steps)).sum(1)),
        "spikes_full": _mean((spikes < num_steps).sum(1)),
    }


def _mean(values: Tensor) -> float:
    return float(values.double().mean())
