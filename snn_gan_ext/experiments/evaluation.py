"""The scorecard: a table of samplers and measures, the same for all experiments."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from snn_gan_ext.experiments.trainer import Trainer

__all__ = ["Evaluation", "Results"]


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


class Evaluation(ABC):
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
    def monitor(self, trainer: "Trainer") -> dict[str, float]:
        """Evaluate quickly, on the validation split, while training."""

    @abstractmethod
    def evaluate(self, trainer: "Trainer") -> Results:
        """Evaluate in full, on the experiment's split."""

    def sample(
        self, trainer: "Trainer", labels: Tensor | int, rng: torch.Generator
    ) -> dict[str, Tensor]:
        """Draw trials of the trained generator.

        Args:
            trainer: Trained networks.
            labels: Labels ``[B]``, or the number of trials without labels.
            rng: Random source, on the trainer's device.

        Returns:
            ``spikes [T, B, ...]``; ``labels [B]`` where there are some; ``particles [B]``, the member of an
            ensemble that each trial is from.
        """
        return trainer.sample(labels, rng)
