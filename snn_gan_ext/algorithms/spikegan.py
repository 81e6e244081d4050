"""SpikeGAN (Algorithm 1): a spiking generator against a neural-network discriminator."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Literal, cast

import torch
from torch import Tensor

from snn_gan_ext.algorithms.gan import GAN
from snn_gan_ext.algorithms.state import AdversarialState, set_gradients
from snn_gan_ext.coding.decoders import Spikes
from snn_gan_ext.errors import InputError
from snn_gan_ext.estimators import adversarial, credit, estimators
from snn_gan_ext.estimators.adversarial import Objective
from snn_gan_ext.estimators.estimators import Baseline
from snn_gan_ext.types import Batch, Discriminator, Generator, PrefixJudge, Sample, setting
from snn_gan_ext.validation import (
    above,
    between,
    check_device,
    check_labels,
    check_parts,
    check_shapes,
    check_tensor,
    check_values,
    whole,
)

__all__ = ["Credit", "Estimator", "SpikeGAN"]

Estimator = Literal["reinforce", "hybrid"]
Credit = Literal["trial", "step"]

SPIKES = Spikes()


@dataclass(frozen=True, kw_only=True)
class SpikeGAN(GAN[Generator, Batch]):
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

    With ``credit="step"`` the discriminator judges every prefix of a trial, as `PrefixDiscriminator`
    does, and learns from random ones. A spike at step t is then credited with what the trial gains from
    there on (`snn_gan_ext.estimators.credit`); a hidden one with what it gains once the spike has
    reached the read-out neurons, d steps later:

    .. math:: e_{i,t} = A_{b,t+d} (s - \sigma(u)), \qquad
        A_{b,t} = \sum_{k \ge 0} \gamma^k (D_{b,t+k} - D_{b,t+k-1}) - c_{b,t}.

    Each step has a baseline of its own. At a discount :math:`\gamma` of 1 this is an unbiased estimate
    for the logit as a trial's reward. Below 1 it has less noise, and a bias that vanishes where the
    generator is perfect.

    Attributes:
        decode: Differentiable map from spikes ``[T, B, ...]`` to the discriminator's input. The
            spikes themselves by default; see `snn_gan_ext.coding.decoders`.
        estimator: Estimator of the generator's gradient.
        baseline: Number subtracted from rewards, see `snn_gan_ext.estimators.estimators.advantage`.
            ``variance_minimising`` works with ``reinforce`` only.
        normalise_rewards: Division of advantages by their standard deviation over the batch.
        advantage_floor: Number added to that standard deviation. It keeps noise small where all rewards
            are nearly equal, as those of a silent generator are.
        objective: Reward of a generated trial, see
            `snn_gan_ext.estimators.adversarial.generator_reward`.
        real_target: Target of the discriminator for real trials. Below 1 it is label smoothing.
        credit: One reward a ``trial``, or one a ``step``: the increments of the logit, which need
            ``reinforce``.
        discount: Discount of rewards of later steps, from one step to the next.
        prefixes: Number of random prefixes of each trial that the discriminator learns from.

    Raises:
        InputError: If a setting is out of its range, or two settings exclude each other.

    References:
        SpikeGAN paper, Algorithm 1, eq. 1 and 6-8.
    """

    decode: Callable[[Tensor], Tensor] = SPIKES
    estimator: Estimator = "reinforce"
    baseline: Baseline = "batch_mean"
    normalise_rewards: bool = True
    advantage_floor: float = setting(1e-8, above(0))
    objective: Objective = "non_saturating"
    real_target: float = setting(0.9, between(0, 1, closed="right"))
    credit: Credit = "trial"
    discount: float = setting(0.5, between(0, 1))
    prefixes: int = setting(4, whole(1))
    fused = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.estimator == "hybrid":
            self._check_baseline("the hybrid estimator", "take leave_one_out, or reinforce")
        if self.credit == "step":
            self._check_baseline("a step")
            self._check_steps("estimator", "the hybrid one needs the slope of one reward a trial")
            self._check_steps("objective", "rewards of steps are increments of the logit")

    def _check_steps(self, name: str, reason: str) -> None:
        if (got := getattr(self, name)) != (default := getattr(SpikeGAN, name)):
            expected, cure = f'{default} with credit="step"', f'{reason}; take credit="trial"'
            raise InputError(name, expected=expected, got=got, cure=cure)

    def _check_baseline(self, place: str, cure: str = "take leave_one_out") -> None:
        if self.baseline == "variance_minimising":
            expected = f"one number a trial for {place}"
            raise InputError("baseline", expected=expected, got=self.baseline, cure=cure)

    def _check_pair(self, generator: Generator, discriminator: Discriminator) -> None:
        expected = "a spiking generator, such as ConditionalGenerator"
        check_parts("generator", generator, expected, "sample", "gradients", "size")
        super()._check_pair(generator, discriminator)
        if self.credit == "step":
            expected = 'a logit at every step for credit="step", as of PrefixDiscriminator'
            check_parts("discriminator", discriminator, expected, "traces", "judge", "prefixes")
        if generator.size > 1:
            self._check_baseline("an ensemble")

    def _train(self, state: AdversarialState[Generator], batch: Batch) -> dict[str, Tensor]:
        self._check_batch(batch)
        spikes, labels = batch.spikes, batch.labels
        sample = state.generator.sample(labels, state.generator.noise(spikes.shape[1], state.rng))
        spikes = _checked(spikes, sample.spikes)
        real, fake = self.decode(spikes), self.decode(sample.spikes)
        if self.credit == "step":
            metrics = self._train_on_prefixes(state, real, fake, labels)
        else:
            metrics = self._train_discriminator(
                state, real, fake, lambda x: state.discriminator(x, labels), self.r1, self.real_target
            )
        return {**metrics, "reward": self._train_generator(state, labels, sample)}

    def _train_on_prefixes(
        self, state: AdversarialState[Generator], real: Tensor, fake: Tensor, labels: Tensor | None
    ) -> dict[str, Tensor]:
        """Train the discriminator on random prefixes of each trial."""
        network, (steps, batch) = cast(PrefixJudge, state.discriminator), real.shape[:2]
        ends = torch.randint(
            1, steps + 1, (batch * self.prefixes,), generator=state.rng, device=real.device
        )
        trials = torch.arange(batch, device=real.device).repeat_interleave(self.prefixes)
        real, fake = (network.traces(x)[ends - 1, trials] for x in (real, fake))
        judge = partial(network.judge, ends=ends, labels=None if labels is None else labels[trials])
        return self._train_discriminator(state, real, fake, judge, self.r1, self.real_target)

    @staticmethod
    def _check_batch(batch: Batch) -> None:
        check_parts("batch", batch, "a Batch(spikes, labels)", "spikes", "labels")
        check_tensor("batch", batch.spikes)
        shape = list(batch.spikes.shape)
        if len(shape) < 2 or shape[1] < 2:
            raise InputError("batch", expected="spikes [T, B >= 2, ...]", got=f"{shape}")
        if batch.labels is not None:
            check_labels(batch.labels, count=shape[1])

    def _train_generator(
        self, state: AdversarialState[Generator], labels: Tensor | None, sample: Sample
    ) -> Tensor:
        """Ascend the reward; return its mean before the change."""
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
            errors = self._errors(sample, advantages, slope, getattr(generator, "hidden_delay", 0))
            summed = generator.gradients(sample, errors)
            gradients = {name: gradient / len(rewards) for name, gradient in summed.items()}
        self._ascend(state, gradients)
        return rewards.mean()

    def _rewards(
        self, state: AdversarialState[Generator], labels: Tensor | None, spikes: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """Return rewards ``[B]`` and, for the hybrid estimator, their slope at the spikes.

        With credit at every step they are the rewards to go ``[B, T]``.
        """
        if self.credit == "step":
            with torch.no_grad():
                judge = cast(PrefixJudge, state.discriminator)
                logits = judge.prefixes(self.decode(spikes), labels)
            return credit.reward_to_go(credit.increments(logits), self.discount).T, None
        hybrid = self.estimator == "hybrid"
        spikes = spikes.detach().requires_grad_(hybrid)
        with torch.set_grad_enabled(hybrid):
            logits = state.discriminator(self.decode(spikes), labels)
            rewards = adversarial.generator_reward(logits, self.objective)
        return rewards.detach(), _slope(rewards, spikes) if hybrid else None

    def _advantages(self, rewards: Tensor, labels: Tensor | None, members: int) -> Tensor:
        """Return advantages ``[B]`` or ``[T, B]``, taken within each member's share of the batch."""
        groups = [None] * members if labels is None else labels.chunk(members)
        shares = zip(rewards.chunk(members), groups, strict=True)
        found = [self._scaled(estimators.advantage(r, self.baseline, y)) for r, y in shares]
        return torch.cat(found).movedim(0, -1)

    def _scaled(self, advantages: Tensor) -> Tensor:
        if not self.normalise_rewards:
            return advantages
        return estimators.normalised(advantages, self.advantage_floor)

    @staticmethod
    def _errors(
        sample: Sample, advantages: Tensor, slope: Tensor | None, hidden_delay: int
    ) -> dict[str, Tensor]:
        heard = advantages if advantages.dim() == 1 else credit.delayed(advantages, hidden_delay)
        errors = {
            name: estimators.score_function_error(run.score, advantages if name == "readout" else heard)
            for name, run in sample.runs.items()
        }
        if slope is not None:
            potentials = sample.runs["readout"].potentials
            slope = slope.reshape(potentials.shape)
            errors["readout"] = estimators.straight_through_error(slope, potentials)
        return errors

    def _ascend(self, state: AdversarialState[Generator], gradients: Mapping[str, Tensor]) -> None:
        set_gradients(state.generator, gradients)
        state.generator_optimizer.step()


def _slope(rewards: Tensor, spikes: Tensor) -> Tensor:
    """Return the slope of rewards at the spikes, which `decode` has to let through."""
    found = None
    if rewards.requires_grad:
        (found,) = torch.autograd.grad(rewards.sum(), spikes, allow_unused=True)
    if found is None:
        cure = "take a differentiable one, or estimator='reinforce'"
        expected, got = "a map with a slope at the spikes", "one without, as of a threshold"
        raise InputError("decode", expected=expected, got=got, cure=cure)
    return found


def _checked(real: Tensor, generated: Tensor) -> Tensor:
    """Return the real spikes in the generator's precision."""
    cure = "time comes first; build the generator for as many steps and neurons as trials have"
    check_shapes(cure, batch=(real, generated.shape))
    check_device("batch", real, generated.device)
    check_values("batch", real, (real >= 0) & (real <= 1), "values in [0, 1]")
    return real.to(generated.dtype)
