"""Types that signatures share: batches, schedules, and the protocols of networks and algorithms."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol

import torch
from torch import Tensor, nn

__all__ = [
    "Algorithm",
    "Batch",
    "Discriminator",
    "Generator",
    "LayerRun",
    "Observer",
    "Sample",
    "Schedule",
    "TrainingState",
]


class Batch(NamedTuple):
    """Real trials ``[T, B, ...]`` with their labels ``[B]``; None where trials have no labels."""

    spikes: Tensor
    labels: Tensor | None = None


@dataclass(frozen=True)
class Schedule:
    r"""How a number changes over a run, as a function of progress :math:`p` from 0 to 1.

    ============== =======================================================
    shape          value
    ============== =======================================================
    ``linear``     :math:`a + (b - a)\, p`
    ``late``       :math:`a` to the middle of the run, linear to its end
    ``cosine``     :math:`b + (a - b)\, (1 + \cos \pi p) / 2`
    ============== =======================================================

    Attributes:
        start: value :math:`a` at the first update.
        end: value :math:`b` at the last update.
        shape: one of the shapes above.
    """

    start: float = 1.0
    end: float = 0.05
    shape: Literal["linear", "late", "cosine"] = "linear"

    def at(self, update: int, updates: int) -> float:
        """Returns the value at an update of a run of so many updates.

        Args:
            update: number of updates so far.
            updates: length of the run.
        """
        progress = min(update / updates, 1.0)
        if self.shape == "cosine":
            return self.end + (self.start - self.end) * (0.5 * (1 + math.cos(math.pi * progress)))
        if self.shape == "late":
            progress = min(max(2 * update / updates - 1, 0.0), 1.0)
        return self.start + (self.end - self.start) * progress


class LayerRun(Protocol):
    """What a layer did: spikes, potentials and the score of its spikes, each ``[T, B, N]``."""

    @property
    def spikes(self) -> Tensor: ...
    @property
    def potentials(self) -> Tensor: ...
    @property
    def score(self) -> Tensor: ...


class Sample(Protocol):
    """A batch drawn from a generator: read-out spikes ``[T, B, N]`` and what each layer did."""

    @property
    def spikes(self) -> Tensor: ...
    @property
    def runs(self) -> Mapping[str, LayerRun]: ...


class Generator(Protocol):
    """What `SpikeGAN` asks of a generator; `ConditionalGenerator` is one.

    The layer named ``readout`` emits the spikes that the discriminator receives.

    Attributes:
        size: number of generators side by side: 1, or the members of an `Ensemble`.
    """

    size: int

    def noise(self, batch: int, rng: torch.Generator | None = None) -> dict[str, Tensor]: ...
    def sample(self, labels: Tensor | None, noise: Mapping[str, Tensor]) -> Any: ...
    def gradients(
        self, sample: Any, errors: Mapping[str, Tensor], *, per_sample: bool = False
    ) -> dict[str, Tensor]: ...
    def named_parameters(self) -> Iterator[tuple[str, nn.Parameter]]: ...


class Discriminator(Protocol):
    """What adversarial training asks of a discriminator: logits ``[B]`` of trials and labels."""

    def __call__(self, decoded: Tensor, labels: Tensor | None) -> Tensor: ...


class Observer(Protocol):
    """What `MaximumLikelihood` asks of a network; the layer named ``readout`` is the visible one.

    Noise with three axes ``[T, B, size]`` is drawn for each step, other noise once a trial.
    """

    num_steps: int
    hidden_delay: int

    def noise(self, batch: int, rng: torch.Generator | None = None) -> dict[str, Tensor]: ...
    def observe(
        self,
        spikes: Tensor,
        labels: Tensor | None,
        noise: Mapping[str, Tensor],
        states: Mapping[str, Any] | None = None,
    ) -> Any: ...
    def gradients(self, sample: Any, errors: Mapping[str, Tensor]) -> dict[str, Tensor]: ...


class TrainingState(Protocol):
    """Everything that training changes.

    Attributes:
        updates: number of updates so far.
        rng: the random source of the run.
    """

    updates: int
    rng: torch.Generator

    def state_dict(self) -> dict[str, Any]: ...
    def load_state_dict(self, saved: Mapping[str, Any]) -> None: ...


class Algorithm(Protocol):
    """A learning algorithm: one update of a state, in place, and its metrics by name."""

    def update(self, state: Any, batch: Any) -> dict[str, float]: ...
