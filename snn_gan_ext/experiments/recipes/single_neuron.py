"""A single neuron that learns a distribution of spike trains: data, and the arms to compare."""

from abc import abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import torch
from torch import Tensor

from snn_gan_ext.algorithms.bayes import BayesSpikeGAN
from snn_gan_ext.algorithms.likelihood import MaximumLikelihood
from snn_gan_ext.algorithms.spikegan import SpikeGAN
from snn_gan_ext.datasets.digits import Split
from snn_gan_ext.experiments.components import Data, DiscriminatorSettings, Particles, StepResponse
from snn_gan_ext.experiments.evaluation import Trained
from snn_gan_ext.experiments.experiment import Arm
from snn_gan_ext.types import Batch, setting
from snn_gan_ext.validation import check_setting, whole

__all__ = ["TITLES", "SingleNeuronData", "arms"]

TITLES = {"ml": "maximum likelihood", "spikegan": "SpikeGAN", "bayes": "Bayes-SpikeGAN"}


@dataclass(frozen=True, kw_only=True)
class SingleNeuronData(Data):
    """Trials of one neuron, without labels.

    Attributes:
        num_steps: Length of a trial in time steps.
        trials: Number of trials to learn from.
    """

    classes: ClassVar[int] = 0
    shortest: ClassVar[int] = 1
    num_steps: int = 50
    trials: int = setting(10_000, whole(2, 10_000_000))

    def check(self) -> None:
        check_setting("num_steps", self.num_steps, whole(self.shortest, 100_000))

    @property
    def shape(self) -> tuple[int, ...]:
        return self.num_steps, 1

    @cached_property
    def trials_to_learn_from(self) -> Tensor:
        """Training trials ``[T, trials, 1]``."""
        return self.draw(self.trials, "train")

    @abstractmethod
    def draw(self, count: int, role: str) -> Tensor:
        """Draw trials ``[T, count, 1]`` of a role; they do not depend on the run's seed."""

    def held_out(self, split: Split, count: int, second: bool = False) -> Tensor:
        """Trains ``[T, count]`` that nothing learns from; a second set is the ceiling of a sampler."""
        return self.draw(count, f"{split}, second set" if second else split)[..., 0]

    def batch(self, size: int, rng: torch.Generator) -> Batch:
        trials = self.trials_to_learn_from
        picks = torch.randint(trials.shape[1], (size,), generator=rng, device=rng.device).cpu()
        return Batch(trials[:, picks].to(rng.device))


def arms(
    neuron: StepResponse,
    discriminator: DiscriminatorSettings,
    *,
    kernel_fraction: float = 1.0,
    **gan: Any,
) -> dict[str, Any]:
    """Return Bayes-SpikeGAN as the arm of an experiment, SpikeGAN and maximum likelihood as references.

    Args:
        neuron: Each neuron.
        discriminator: Discriminator of both SpikeGANs.
        kernel_fraction: Share of the run in which the kernel of Bayes-SpikeGAN acts.
        gan: Other settings of both SpikeGANs.
    """
    settings: dict[str, Any] = {"beta2": 0.9, "advantage_floor": 0.05, "real_target": 1.0, **gan}
    likelihood = MaximumLikelihood(updates=gan["updates"], lr=0.05)
    spikegan = Arm(generator=neuron, discriminator=discriminator, learner=SpikeGAN(**settings))
    return {
        "label": "bayes",
        "generator": Particles(member=neuron),
        "discriminator": discriminator,
        "learner": BayesSpikeGAN(**settings, kernel_fraction=kernel_fraction),
        "references": {"spikegan": spikegan, "ml": Arm(generator=neuron, learner=likelihood)},
    }


def trains(trainer: Trained, name: str, count: int, role: str) -> Tensor:
    """Draw trains ``[T, count]`` of one arm."""
    return trainer.draw(name, count, trainer.stream(role))[..., 0]
