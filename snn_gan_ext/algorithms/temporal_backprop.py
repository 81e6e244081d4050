"""Classification by the first spike, learned by backpropagation through firing times."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from snn_gan_ext.algorithms.state import NetworksState
from snn_gan_ext.coding.images import check_labels
from snn_gan_ext.errors import InputError
from snn_gan_ext.estimators import temporal
from snn_gan_ext.metrics.first_spikes import decided_rightly
from snn_gan_ext.settings import at_least, between, check_settings, one_of, whole

__all__ = ["FiringTimes", "Targets", "TemporalBackprop", "TemporalState"]

Targets = Literal["relative", "aggressive"]


class FiringTimes(NamedTuple):
    """Firing steps of inputs ``[B, I]``, and labels ``[B]``."""

    times: Tensor
    labels: Tensor


@dataclass
class TemporalState(NetworksState):
    """Everything that training changes.

    Attributes:
        network: the classifier.
        optimizer: of its weights.
        rng: the random source of the batches.
        updates: number of updates so far.
    """

    network: nn.Module
    optimizer: torch.optim.Adam
    rng: torch.Generator
    updates: int = 0

    def _parts(self) -> Mapping[str, nn.Module | torch.optim.Optimizer]:
        return {"network": self.network, "optimizer": self.optimizer}


@dataclass(frozen=True, kw_only=True)
class TemporalBackprop:
    """Adam on the squared distance of output times from their targets, and homeostasis.

    Attributes:
        updates: length of the run; the learning rate falls to 0 over it along a cosine.
        window: length T of a trial in time steps, the network's.
        targets: ``relative`` to the earliest output (S4NN), or ``aggressive``; see
            `snn_gan_ext.estimators.temporal`.
        margin: steps by which the other outputs should come later.
        deadline: step at which the label's output should have fired; of ``aggressive`` alone.
        lr: Adam's learning rate.
        least_active: hidden neurons that fire in a smaller share of a batch are helped; outputs in
            less than 0.4 times that.
        boost: added to all of such a neuron's weights after a step; 0 for no homeostasis.

    Raises:
        InputError: if a setting has no meaning.
    """

    updates: int
    window: int
    targets: Targets = "aggressive"
    margin: float = 10.0
    deadline: float = 14.0
    lr: float = 3e-3
    least_active: float = 0.05
    boost: float = 2e-3

    def __post_init__(self) -> None:
        check_settings(self, window=whole(2))
        check_settings(
            self,
            updates=whole(1),
            targets=one_of(Targets),
            margin=between(0, self.window, closed="neither"),
            deadline=between(0, self.window - 1),
            lr=at_least(0),
            least_active=between(0, 1),
            boost=at_least(0),
        )

    def init(self, network: nn.Module, rng: torch.Generator) -> TemporalState:
        """Pairs a fresh optimiser with the network.

        Args:
            network: called with firing steps ``[B, I]`` it returns a `StepSpikes` for each of its
                layers, whose weights ``network.layers[k].weight`` are, as `TTFSClassifier` does.
            rng: the seeded source of the batches, on the network's device.
        """
        return TemporalState(network, torch.optim.Adam(network.parameters(), lr=self.lr), rng)

    def update(self, state: TemporalState, batch: FiringTimes) -> dict[str, float]:
        """One step, in place.

        Returns:
            The loss, the share of trials whose first output is the label's (ties lose), the mean step
            of the first output, and the share of hidden neurons that fire, by name.

        Raises:
            InputError: if the batch does not fit the network.
        """
        network: Any = state.network
        if network.num_steps != self.window:
            raise InputError("network", expected=f"{self.window} steps", got=f"{network.num_steps}")
        if not len(batch.times):
            raise InputError("batch", expected="at least one trial", got="none")
        fired = network(batch.times)
        outputs = fired[-1].times
        check_labels(batch.labels, *outputs.shape)
        loss = temporal.temporal_loss(outputs, self._targets(outputs, batch.labels), self.window)
        rate = 0.5 * self.lr * (1 + math.cos(math.pi * min(state.updates / self.updates, 1.0)))
        state.optimizer.param_groups[0]["lr"] = rate
        state.optimizer.zero_grad()
        torch.autograd.backward(loss)
        state.optimizer.step()
        self._keep_alive(state, [layer.times for layer in fired])
        state.updates += 1
        progress = self._progress(fired[0].times, outputs.detach(), batch.labels)
        return {"loss": float(loss.detach()), **progress}

    def _targets(self, outputs: Tensor, labels: Tensor) -> Tensor:
        if self.targets == "relative":
            return temporal.relative_targets(outputs, labels, self.margin, self.window)
        return temporal.aggressive_targets(outputs, labels, self.margin, self.deadline, self.window)

    def _keep_alive(self, state: TemporalState, times: list[Tensor]) -> None:
        network: Any = state.network
        for layer, fired in zip(network.layers, times, strict=True):
            if not layer.weight.requires_grad:
                continue
            least = self.least_active * (0.4 if fired is times[-1] else 1.0)
            temporal.keep_alive(layer.weight, fired, self.window, least, self.boost)

    def _progress(self, hidden: Tensor, outputs: Tensor, labels: Tensor) -> dict[str, float]:
        right = decided_rightly(outputs, labels, self.window)
        return {
            "accuracy": float(right.float().mean()),
            "first_output": float(outputs.min(1).values.mean()),
            "hidden_share": float((hidden < self.window).float().mean()),
        }
