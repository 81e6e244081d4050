"""The scorecard: a table of samplers and measures, the same for all experiments."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeVar

import torch
from torch import Tensor, nn

from snn_gan_ext.datasets.digits import Split
from snn_gan_ext.experiments.components import Data
from snn_gan_ext.experiments.settings import Settings
from snn_gan_ext.types import TrainingState

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Evaluation", "Results", "Trained"]


D = TypeVar("D", bound=Data)


@dataclass(frozen=True)
class Results:
    """Outcome of an evaluation.

    Attributes:
        samplers: Numbers by sampler and measure: ``real`` (a second real set, the ceiling), the
            references without a network, and the trained generators.
        figures: Pictures by file name without ending.
        others: Numbers that belong to no sampler, by name.
    """

    samplers: Mapping[str, Mapping[str, float]]
    figures: Mapping[str, "Figure"] = field(default_factory=dict)
    others: Mapping[str, Any] = field(default_factory=dict)


class Trained(Protocol):
    """Trained networks, as an evaluation uses them; `Trainer` is one.

    Attributes:
        data: Real trials.
        device: Device of the networks.
        split: Split of the final evaluation.
        label: Name of the experiment's own generator.
        learner: Its learning algorithm.
        state: Training state.
        generators: Networks to draw from, by arm.
    """

    data: Data
    device: torch.device
    split: Split
    label: str
    learner: Any
    state: TrainingState
    generators: nn.ModuleDict

    def data_as(self, kind: type[D]) -> D: ...
    def stream(self, role: str, device: torch.device | str | None = None) -> torch.Generator: ...
    def seed_of(self, role: str) -> int: ...
    def draw(self, name: str, labels: Tensor | int, rng: torch.Generator) -> Tensor: ...
    def sample(self, labels: Tensor | int, rng: torch.Generator) -> dict[str, Tensor]: ...


@dataclass(frozen=True, kw_only=True)
class Evaluation(Settings, ABC):
    """Measures of trained generators; subclasses are frozen dataclasses of settings.

    Attributes:
        panels: Logged metrics that the learning curves show, by the panel's title.
    """

    panels: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "losses": ("discriminator_loss", "r1_penalty"),
        "signal": ("reward", "real_logit", "fake_logit"),
        "train on synthetic, test on real": ("validation_tstr",),
    }

    @abstractmethod
    def monitor(self, trainer: Trained) -> dict[str, float]:
        """Evaluate quickly, on the validation split, while training."""

    @abstractmethod
    def evaluate(self, trainer: Trained) -> Results:
        """Evaluate in full, on the experiment's split."""

    def sample(self, trainer: Trained, labels: Tensor | int, rng: torch.Generator) -> dict[str, Tensor]:
        """Draw trials of the trained generator.

        Args:
            trainer: Trained networks.
            labels: Labels ``[B]``, or the number of trials without labels.
            rng: Random source, on the trainer's device.

        Returns:
            ``spikes [T, B, ...]``; ``labels [B]`` where there are some; ``particles [B]``, the
            members that draw them, for an ensemble.
        """
        return trainer.sample(labels, rng)
