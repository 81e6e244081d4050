"""Classification by the first spike, learned by backpropagation through firing times."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from snn_gan_ext.algorithms.state import NetworkState
from snn_gan_ext.errors import InputError
from snn_gan_ext.estimators import temporal
from snn_gan_ext.functional.ttfs import StepSpikes
from snn_gan_ext.types import COSINE, Learner, Network, Schedule, setting
from snn_gan_ext.validation import (
    at_least,
    between,
    check_labels,
    check_parts,
    check_settings,
    check_tensor,
    whole,
)

__all__ = ["FiringTimes", "Targets", "TemporalBackprop", "TemporalNetwork", "TemporalState"]

Targets = Literal["relative", "aggressive"]


class FiringTimes(NamedTuple):
    """Firing steps of inputs ``[B, I]``, and labels ``[B]``."""

    times: Tensor
    labels: Tensor


class TemporalNetwork(Network, Protocol):
    """A network of ``num_steps`` steps that maps firing steps ``[B, I]`` to each layer's spikes."""

    @property
    def num_steps(self) -> int: ...
    def weights(self) -> Sequence[nn.Parameter]: ...
    def __call__(self, times: Tensor) -> Sequence[StepSpikes]: ...


TemporalState = NetworkState[TemporalNetwork]


@dataclass(frozen=True, kw_only=True)
class TemporalBackprop(Learner):
    """Adam on the squared distance of output times from their targets, with homeostasis.

    Attributes:
        updates: Length of the run in updates.
        window: Number of time steps ``T`` of a trial, as the network has.
        targets: ``relative`` to the earliest output (S4NN), or ``aggressive``; see
            `snn_gan_ext.estimators.temporal`.
        margin: Time steps by which the other outputs should fire later.
        deadline: Time step by which the label's output should fire; for ``aggressive`` only.
        lr: Adam's learning rate.
        schedule: Factor on the learning rate over the run.
        least_active: Smallest share of a batch in which a hidden neuron should fire; for outputs 0.4
            times as much.
        boost: Number added to all weights of a neuron that fires less; 0 for no homeostasis.

    Raises:
        InputError: If a setting is out of its range.
    """

    window: int = setting(64, whole(2))
    targets: Targets = "aggressive"
    margin: float = 10.0
    deadline: float = 14.0
    lr: float = setting(3e-3, at_least(0))
    schedule: Schedule = COSINE
    least_active: float = setting(0.05, between(0, 1))
    boost: float = setting(2e-3, at_least(0))

    def __post_init__(self) -> None:
        super().__post_init__()
        margin, deadline = between(0, self.window, closed="neither"), between(0, self.window - 1)
        check_settings(self, margin=margin, deadline=deadline)

    def init(self, network: TemporalNetwork, rng: torch.Generator) -> TemporalState:
        """Return the state of a new run.

        Args:
            network: Network such as `TTFSClassifier`.
            rng: Random source of the batches, on the network's device.

        Raises:
            InputError: If the network is of another kind.
        """
        expected = "a network of firing times, such as TTFSClassifier"
        check_parts("network", network, expected, "weights", "num_steps")
        return NetworkState(network, torch.optim.Adam(network.parameters(), lr=self.lr), rng)

    def update(self, state: TemporalState, batch: FiringTimes) -> dict[str, float]:
        """Train the network on one batch, in place.

        Returns:
            Loss, share of trials whose first output is the label's (ties lose), mean step of the first
            output, and share of hidden neurons that fire, by name.

        Raises:
            InputError: If the batch does not fit the network.
        """
        check_parts("batch", batch, "FiringTimes(times, labels)", "times", "labels")
        check_tensor("times", batch.times)
        network = state.network
        if network.num_steps != self.window:
            raise InputError("network", expected=f"{self.window} steps", got=f"{network.num_steps}")
        if not len(batch.times):
            raise InputError("batch", expected="at least one trial", got="none")
        fired = network(batch.times)
        outputs = fired[-1].times
        labels = check_labels(batch.labels, outputs.shape[1], len(outputs))
        deadline = self.deadline if self.targets == "aggressive" else None
        targets = temporal.firing_targets(outputs, labels, self.window, self.margin, deadline)
        loss = temporal.temporal_loss(outputs, targets, self.window)
        state.optimizer.param_groups[0]["lr"] = self.lr * self.schedule.at(state.updates, self.updates)
        state.optimizer.zero_grad()
        torch.autograd.backward(loss)
        state.optimizer.step()
        self._keep_alive(network, [layer.times for layer in fired])
        state.updates += 1
        outputs = outputs.detach()
        right = temporal.decided_rightly(outputs, labels, self.window)
        return {
            "loss": float(loss.detach()),
            "accuracy": float(right.float().mean()),
            "first_output": float(outputs.min(1).values.mean()),
            "hidden_share": float((fired[0].times < self.window).float().mean()),
        }

    def _keep_alive(self, network: TemporalNetwork, times: Sequence[Tensor]) -> None:
        for weight, fired in zip(network.weights(), times, strict=True):
            if weight.requires_grad:
                least = self.least_active * (0.4 if fired is times[-1] else 1.0)
                temporal.keep_alive(weight, fired, self.window, least, self.boost)
