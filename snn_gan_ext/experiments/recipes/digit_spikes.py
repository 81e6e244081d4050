"""Distributions over time: rate-encoded digits as spike trains (SpikeGAN paper, section VIII-B)."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import ClassVar, Literal

import torch
from torch import Tensor

from snn_gan_ext.algorithms.likelihood import MaximumLikelihood
from snn_gan_ext.algorithms.spikegan import Estimator
from snn_gan_ext.coding.images import pooled_decode, time_surface_decode
from snn_gan_ext.errors import InputError
from snn_gan_ext.estimators.likelihood import Signal
from snn_gan_ext.experiments.loop import Algorithm, TrainingState
from snn_gan_ext.experiments.recipes.base import Results
from snn_gan_ext.experiments.recipes.digits import (
    CLASSES,
    PIXELS,
    TIME_SURFACE_DECAY,
    Digits,
    DigitsExperiment,
)
from snn_gan_ext.experiments.recipes.judge import SpikeJudge
from snn_gan_ext.networks.discriminators import TemporalDiscriminator
from snn_gan_ext.settings import check_settings, whole

__all__ = [
    "DigitSpikesCNN",
    "DigitSpikesML",
    "DigitSpikesPooled",
    "DigitSpikesRate",
    "DigitSpikesTimeSurface",
]

POOL = 4

Teacher = Literal["cnn", "pooled", "rate", "time_surface", "likelihood"]


@dataclass(frozen=True, kw_only=True)
class DigitSpikes(Digits):
    """Spike trains of 16 steps, judged as such.

    Attributes:
        teacher: what the generator learns from: a discriminator of the spikes themselves (cnn), of
            counts in bins of four steps (pooled), of rates or time surfaces, or their likelihood.
        likelihood_lr: Adam's learning rate of likelihood training.
        copies: hidden draws for each trial of likelihood training.
        signal: what likelihood training credits hidden spikes with.
        update_every: steps of a trial between two updates of likelihood training; 0: one a trial.
        judge_steps: training steps of the spiking classifier.
    """

    steps: int = 3000
    batch: int = 100
    time_steps: int = 16
    estimator: Estimator = "hybrid"
    r1: float = 1.0
    teacher: Teacher = "pooled"
    likelihood_lr: float = 1e-2
    copies: int = 1
    signal: Signal = "reward_to_go"
    update_every: int = 0
    judge_steps: int = 1000

    def check(self) -> None:
        super().check()
        if self.teacher == "pooled" and self.time_steps % POOL:
            raise InputError("time_steps", expected=f"a multiple of {POOL}", got=f"{self.time_steps}")
        check_settings(self, copies=whole(1), judge_steps=whole(1))
        if self.decoding != "rate":
            raise InputError(
                "decoding", expected="rate, in which samples are judged", got=self.decoding
            )

    def _build(self, device: torch.device) -> "DigitSpikesExperiment":
        return DigitSpikesExperiment(self, device)


@dataclass(frozen=True, kw_only=True)
class DigitSpikesPooled(DigitSpikes):
    """The discriminator hears each neuron's spike counts in four bins of time."""

    name: ClassVar[str] = "digits-spikes-pooled"
    summary: ClassVar[str] = "spike trains of 16 steps, discriminator of counts in four bins"


@dataclass(frozen=True, kw_only=True)
class DigitSpikesCNN(DigitSpikes):
    """The paper's discriminator c128k4s2-c1k4s1 hears the spikes themselves."""

    name: ClassVar[str] = "digits-spikes-cnn"
    summary: ClassVar[str] = "the same with a discriminator that convolves over time"

    teacher: Teacher = "cnn"
    r1: float = 3.0


@dataclass(frozen=True, kw_only=True)
class DigitSpikesRate(DigitSpikes):
    """The discriminator hears rates."""

    name: ClassVar[str] = "digits-spikes-rate"
    summary: ClassVar[str] = "the same with a discriminator of rates"

    teacher: Teacher = "rate"


@dataclass(frozen=True, kw_only=True)
class DigitSpikesTimeSurface(DigitSpikes):
    """The discriminator hears time surfaces."""

    name: ClassVar[str] = "digits-spikes-time-surface"
    summary: ClassVar[str] = "the same with a discriminator of time surfaces"

    teacher: Teacher = "time_surface"
    r1: float = 3.0


@dataclass(frozen=True, kw_only=True)
class DigitSpikesML(DigitSpikes):
    """No discriminator: the likelihood of the spikes, read-out neurons clamped to them (appendix A)."""

    name: ClassVar[str] = "digits-spikes-ml"
    summary: ClassVar[str] = "the same generator trained by maximum likelihood (the paper's VAE)"

    teacher: Teacher = "likelihood"


class DigitSpikesExperiment(DigitsExperiment):
    """Networks, data and judges of a `DigitSpikes` recipe."""

    recipe: DigitSpikes

    def _learner(
        self, weights: torch.Generator, rng: torch.Generator
    ) -> tuple[Algorithm, TrainingState]:
        recipe = self.recipe
        if recipe.teacher == "likelihood":
            likelihood = MaximumLikelihood(
                updates=recipe.steps,
                lr=recipe.likelihood_lr,
                copies=recipe.copies,
                signal=recipe.signal,
                update_every=recipe.update_every,
            )
            return likelihood, likelihood.init(self.generator, rng)
        if recipe.teacher == "cnn":
            discriminator = TemporalDiscriminator(
                PIXELS,
                CLASSES,
                recipe.time_steps,
                label_scale=recipe.label_scale,
                rng=weights,
            ).to(self.device)
            algorithm = self._spikegan(decode=_as_they_are)
            return algorithm, algorithm.init(self.generator, discriminator, rng)
        decode, features = self._teachers_view()
        algorithm = self._spikegan(decode)
        return algorithm, algorithm.init(self.generator, self._mlp(features, weights), rng)

    def _teachers_view(self) -> tuple[Callable[[Tensor], Tensor], int]:
        """How an MLP discriminator hears a trial, and in how many numbers."""
        if self.recipe.teacher == "pooled":
            return partial(pooled_decode, width=POOL), PIXELS * self.recipe.time_steps // POOL
        if self.recipe.teacher == "time_surface":
            return partial(time_surface_decode, decay=TIME_SURFACE_DECAY), PIXELS
        return self.decode, PIXELS

    def judge(self) -> SpikeJudge:
        """The judge of the recipe's split."""
        return SpikeJudge(
            train=self.splits.train,
            real=self.splits.held_out(self.recipe.evaluate_on),
            time_steps=self.recipe.time_steps,
            seed=self.recipe.seed,
            count=self.recipe.synthetic_count,
            snn_steps=self.recipe.judge_steps,
        )

    def evaluate(self) -> Results:
        """All measures of `SpikeJudge`, on the recipe's split."""
        judge = self.judge()
        synthetic = self._synthetic(self.labels(self.recipe.synthetic_count), salt=3)
        return Results(judge.judge(self._draw), self.figures(judge.real, synthetic))

    def _draw(self, labels: Tensor, rng: torch.Generator) -> Tensor:
        return self.sample(labels, rng)["spikes"]


def _as_they_are(spikes: Tensor) -> Tensor:
    return spikes
