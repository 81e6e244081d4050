"""SpikeGAN (Algorithm 1): a spiking generator against a neural-network discriminator."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from snn_gan_ext.algorithms import averaging
from snn_gan_ext.algorithms.state import AdversarialState, check_pair
from snn_gan_ext.coding.decoders import Spikes
from snn_gan_ext.errors import InputError
from snn_gan_ext.estimators import adversarial, estimators
from snn_gan_ext.estimators.adversarial import Objective
from snn_gan_ext.estimators.estimators import Baseline
from snn_gan_ext.types import (
    LINEAR,
    SCHEDULE,
    Batch,
    Discriminator,
    Generator,
    Network,
    Sample,
    Schedule,
)
from snn_gan_ext.validation import above, at_least, between, check_settings, one_of, whole

__all__ = ["GAN_RULES", "Estimator", "SpikeGAN"]

Estimator = Literal["reinforce", "hybrid"]

SPIKES = Spikes()

GAN_RULES = {
    "updates": whole(1),
    "generator_lr": at_least(0),
    "discriminator_lr": at_least(0),
    "beta1": between(0, 1, closed="left"),
    "beta2": between(0, 1, closed="left"),
    "schedule": SCHEDULE,
    "averaging": between(0, 1, closed="left"),
    "r1": at_least(0),
}
"""Rules for the settings that `SpikeGAN` and `snn_gan_ext.algorithms.image_gan.ImageGAN` share."""


@dataclass(frozen=True, kw_only=True)
class SpikeGAN:
    r"""Adversarial training of a spiking generator by a local learning rule.

    Each update trains both networks once on a batch of real trials and as many generated ones:

    1. The discriminator descends its cross-entropy (eq. 6) plus an R1 penalty, by backpropagation.
    2. The generator ascends its expected reward :math:`r_b`, which the updated discriminator assigns to
       each generated trial (eq. 7-8). Each synapse adds up its trace times the error of its neuron.

    ==================== ============================================================= =============
    estimator            error of each neuron                                          bias
    ==================== ============================================================= =============
    ``reinforce``        :math:`A_b (s - \sigma(u))`                                   none (*)
    ``hybrid``           hidden neurons: as above;                                     read-outs
                         read-outs: :math:`\partial r / \partial s \; p (1 - p)`
    ==================== ============================================================= =============

    (*) With an unbiased baseline and a given discriminator. Algorithm 1 computes rewards before the
    discriminator's update, this class after it. ``normalise_rewards`` changes the length of the step.

    Attributes:
        decode: Differentiable map from spikes ``[T, B, ...]`` to the discriminator's input. The
            spikes themselves by default; see `snn_gan_ext.coding.decoders`.
        updates: Length of the run in updates.
        estimator: Estimator of the generator's gradient, see above.
        baseline: Number subtracted from rewards, see `snn_gan_ext.estimators.estimators.advantage`.
            ``variance_minimising`` works with ``reinforce`` only.
        normalise_rewards: Division of advantages by their standard deviation over the batch.
        advantage_floor: Number added to that standard deviation. It keeps noise small where all rewards
            are nearly equal, as those of a silent generator are.
        objective: Reward of a generated trial: ``non_saturating`` (:math:`\log D`), ``saturating``
            (:math:`-\log(1 - D)`, as in eq. 1) or ``jeffreys`` (:math:`e^l + l` of the logit l).
        generator_lr: Adam's learning rate for the generator.
        discriminator_lr: Adam's learning rate for the discriminator.
        beta1: Adam's first decay. 0.9 fails here.
        beta2: Adam's second decay.
        schedule: Factor on both learning rates over the run.
        averaging: Decay of the running mean of the generator's weights (`AdversarialState.averaged`); 0
            for none. Training circles around an equilibrium, and the mean lies near it.
        r1: Weight :math:`\gamma` of the penalty :math:`\gamma E\lVert\nabla_x D(x)\rVert^2` at real
            trials; D is the logit here.
        real_target: Target of the discriminator for real trials. Below 1 it is label smoothing.

    Raises:
        InputError: If a setting is out of its range, or two settings exclude each other.

    References:
        SpikeGAN paper, Algorithm 1, eq. 1 and 6-8.
    """

    decode: Callable[[Tensor], Tensor] = SPIKES
    updates: int = 3000
    estimator: Estimator = "reinforce"
    baseline: Baseline = "batch_mean"
    normalise_rewards: bool = True
    advantage_floor: float = 1e-8
    objective: Objective = "non_saturating"
    generator_lr: float = 3e-3
    discriminator_lr: float = 3e-3
    beta1: float = 0.5
    beta2: float = 0.999
    schedule: Schedule = LINEAR
    averaging: float = 0.0
    r1: float = 1.0
    real_target: float = 0.9

    def __post_init__(self) -> None:
        check_settings(
            self,
            **GAN_RULES,
            advantage_floor=above(0),
            real_target=between(0, 1, closed="right"),
            estimator=one_of(Estimator),
            baseline=one_of(Baseline),
            objective=one_of(Objective),
        )
        if self.estimator == "hybrid" and self.baseline == "variance_minimising":
            raise InputError(
                "baseline",
                expected="one number a trial for the hybrid estimator",
                got="variance_minimising",
                cure="take leave_one_out, or the reinforce estimator",
            )

    def init(
        self, generator: Generator, discriminator: Discriminator, rng: torch.Generator
    ) -> AdversarialState[Generator]:
        """Return the state of a new run.

        Args:
            generator: Spiking generator, such as `ConditionalGenerator` or an `Ensemble`.
            discriminator: Network that returns logits ``[B]`` for decoded trials and labels.
            rng: Random source of all noise of the run, on the networks' device.

        Raises:
            InputError: If the networks have different numbers of labels, or the baseline does not work
                with an ensemble.
        """
        if self.baseline == "variance_minimising" and generator.size > 1:
            raise InputError(
                "baseline",
                expected="one number a trial for an ensemble",
                got=self.baseline,
                cure="take leave_one_out",
            )
        check_pair(generator, discriminator)
        return AdversarialState(
            generator=generator,
            averaged=averaging.frozen_copy(generator) if self.averaging else generator,
            discriminator=discriminator,
            generator_optimizer=self._adam(generator, self.generator_lr),
            discriminator_optimizer=self._adam(discriminator, self.discriminator_lr),
            rng=rng,
        )

    def update(self, state: AdversarialState[Generator], batch: Batch) -> dict[str, float]:
        """Train both networks once, in place.

        Args:
            state: State from `init`.
            batch: Real trials; labels are None where the networks use none.

        Returns:
            Losses, mean logits and mean reward, by name.

        Raises:
            InputError: If the batch has fewer than two trials, is not as long or as wide as the
                generator's trials, or holds values outside [0, 1].
        """
        count = _trials(batch)
        sample = state.generator.sample(batch.labels, state.generator.noise(count, state.rng))
        batch = _checked(batch, sample)
        factor = self.schedule.at(state.updates, self.updates)
        state.set_learning_rates(self.generator_lr * factor, self.discriminator_lr * factor)
        metrics = self._update_discriminator(state, batch, sample)
        metrics |= self._update_generator(state, batch.labels, sample)
        state.updates += 1
        if state.averaged is not state.generator:
            averaging.update_average(state.averaged, state.generator, self.averaging, state.updates)
        return {name: float(value) for name, value in metrics.items()}

    def _update_discriminator(
        self, state: AdversarialState[Generator], batch: Batch, sample: Sample
    ) -> dict[str, Tensor]:
        real = self.decode(batch.spikes).detach().requires_grad_(self.r1 > 0)
        real_logits = state.discriminator(real, batch.labels)
        fake_logits = state.discriminator(self.decode(sample.spikes), batch.labels)
        loss = adversarial.discriminator_loss(real_logits, fake_logits, self.real_target)
        penalty = adversarial.r1_penalty(real_logits, real) if self.r1 > 0 else loss.new_zeros(())
        state.discriminator_optimizer.zero_grad()
        torch.autograd.backward(loss + self.r1 * penalty)
        state.discriminator_optimizer.step()
        return {
            "discriminator_loss": loss.detach(),
            "r1_penalty": penalty.detach(),
            "real_logit": real_logits.detach().mean(),
            "fake_logit": fake_logits.detach().mean(),
        }

    def _update_generator(
        self, state: AdversarialState[Generator], labels: Tensor | None, sample: Sample
    ) -> dict[str, Tensor]:
        rewards, slope = self._rewards(state, labels, sample.spikes)
        generator = state.generator
        if self.baseline == "variance_minimising":
            scores = {name: run.score for name, run in sample.runs.items()}
            per_sample = generator.gradients(sample, scores, per_sample=True)
            scaled = self._scaled(rewards)
            gradients = {
                name: estimators.variance_minimising_gradient(gradient, scaled)
                for name, gradient in per_sample.items()
            }
        else:
            advantages = self._advantages(rewards, labels, generator.size)
            errors = self._errors(sample, advantages, slope)
            gradients = {
                name: gradient / len(rewards)
                for name, gradient in generator.gradients(sample, errors).items()
            }
        self._ascend(state, gradients)
        return {"reward": rewards.mean()}

    def _rewards(
        self, state: AdversarialState[Generator], labels: Tensor | None, spikes: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """Return rewards ``[B]`` and, for the hybrid estimator, their slope at the spikes."""
        hybrid = self.estimator == "hybrid"
        spikes = spikes.detach().requires_grad_(hybrid)
        with torch.set_grad_enabled(hybrid):
            logits = state.discriminator(self.decode(spikes), labels)
            rewards = adversarial.generator_reward(logits, self.objective)
        slope = torch.autograd.grad(rewards.sum(), spikes)[0] if hybrid else None
        return rewards.detach(), slope

    def _advantages(self, rewards: Tensor, labels: Tensor | None, members: int) -> Tensor:
        """Return advantages ``[B]``, taken within each member's share of the batch."""
        groups = [None] * members if labels is None else labels.chunk(members)
        shares = zip(rewards.chunk(members), groups, strict=True)
        return torch.cat([self._scaled(estimators.advantage(r, self.baseline, y)) for r, y in shares])

    def _scaled(self, advantages: Tensor) -> Tensor:
        if not self.normalise_rewards:
            return advantages
        return estimators.normalised(advantages, self.advantage_floor)

    @staticmethod
    def _errors(sample: Sample, advantages: Tensor, slope: Tensor | None) -> dict[str, Tensor]:
        errors = {
            name: estimators.score_function_error(run.score, advantages)
            for name, run in sample.runs.items()
        }
        if slope is not None:
            potentials = sample.runs["readout"].potentials
            slope = slope.reshape(potentials.shape)
            errors["readout"] = estimators.straight_through_error(slope, potentials)
        return errors

    def _ascend(self, state: AdversarialState[Generator], gradients: Mapping[str, Tensor]) -> None:
        for name, parameter in state.generator.named_parameters():
            if parameter.requires_grad:
                parameter.grad = -gradients[name]
        state.generator_optimizer.step()

    def _adam(self, module: Network, rate: float) -> torch.optim.Adam:
        betas = (float(self.beta1), float(self.beta2))
        return torch.optim.Adam(module.parameters(), lr=rate, betas=betas, fused=True)


def _trials(batch: Batch) -> int:
    """Return the number of trials."""
    spikes = batch.spikes
    if not isinstance(spikes, Tensor) or spikes.dim() < 2:
        got = list(spikes.shape) if isinstance(spikes, Tensor) else type(spikes).__name__
        raise InputError("batch", expected="spikes in a tensor [T, B, ...]", got=f"{got}")
    if spikes.shape[1] < 2:
        raise InputError(
            "batch", expected="at least two trials, to be compared", got=f"{spikes.shape[1]}"
        )
    return spikes.shape[1]


def _checked(batch: Batch, sample: Sample) -> Batch:
    """Return the batch in the generator's precision."""
    if batch.spikes.shape != sample.spikes.shape:
        raise InputError(
            "batch",
            expected=f"spikes [T, B, ...] = {list(sample.spikes.shape)}, as the generator's",
            got=f"{list(batch.spikes.shape)}",
            cure="time comes first; build the generator for as many steps and neurons as trials have",
        )
    if not bool(((batch.spikes >= 0) & (batch.spikes <= 1)).all()):
        raise InputError("batch", expected="spikes of 0 and 1", got="other values, or NaN")
    return batch._replace(spikes=batch.spikes.to(sample.spikes.dtype))
