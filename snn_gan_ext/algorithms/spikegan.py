"""SpikeGAN (Algorithm 1): a spiking generator against a neural-network discriminator."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from snn_gan_ext.algorithms import averaging
from snn_gan_ext.algorithms.state import NetworksState
from snn_gan_ext.errors import InputError
from snn_gan_ext.estimators import adversarial, estimators
from snn_gan_ext.estimators.adversarial import Objective
from snn_gan_ext.estimators.estimators import Baseline
from snn_gan_ext.settings import above, at_least, between, check_settings, one_of, whole

__all__ = ["GAN_RULES", "Batch", "Estimator", "Generator", "SpikeGAN", "SpikeGANState"]

Estimator = Literal["reinforce", "hybrid"]

GAN_RULES = {
    "updates": whole(1),
    "generator_lr": at_least(0),
    "discriminator_lr": at_least(0),
    "beta1": between(0, 1, closed="left"),
    "beta2": between(0, 1, closed="left"),
    "final_lr_fraction": between(0, 1),
    "averaging": between(0, 1, closed="left"),
    "r1": at_least(0),
}
"""What `SpikeGAN` and `snn_gan_ext.algorithms.image_gan.ImageGAN` ask of the settings they share."""


class LayerRun(Protocol):
    """What a layer did: its potentials and the score of its spikes, each ``[T, B, N]``."""

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

    The layer named ``readout`` emits the spikes the discriminator judges.
    """

    def noise(self, batch: int, rng: torch.Generator | None = None) -> dict[str, Tensor]: ...
    def sample(self, labels: Tensor, noise: Mapping[str, Tensor]) -> Any: ...
    def gradients(
        self, sample: Any, errors: Mapping[str, Tensor], *, per_sample: bool = False
    ) -> dict[str, Tensor]: ...


class Batch(NamedTuple):
    """Real trials ``[T, B, N]`` with their labels ``[B]``."""

    spikes: Tensor
    labels: Tensor


@dataclass
class SpikeGANState(NetworksState):
    """Everything that training changes.

    Attributes:
        generator: as it is trained.
        averaged: the generator to draw from in the end: the running mean of its weights, or itself
            where none is taken.
        discriminator: its opponent.
        generator_optimizer: of the generator's weights.
        discriminator_optimizer: of the discriminator's.
        rng: the random source.
        updates: number of updates so far.
    """

    generator: nn.Module
    averaged: nn.Module
    discriminator: nn.Module
    generator_optimizer: torch.optim.Adam
    discriminator_optimizer: torch.optim.Adam
    rng: torch.Generator
    updates: int = 0

    def _parts(self) -> dict[str, nn.Module | torch.optim.Adam]:
        averaged = {} if self.averaged is self.generator else {"averaged": self.averaged}
        return {
            **averaged,
            "generator": self.generator,
            "discriminator": self.discriminator,
            "generator_optimizer": self.generator_optimizer,
            "discriminator_optimizer": self.discriminator_optimizer,
        }


def _checked(batch: Batch, sample: Sample) -> Batch:
    """The batch in the generator's precision."""
    if not isinstance(batch.spikes, Tensor):
        raise InputError("batch", expected="spikes in a tensor", got=type(batch.spikes).__name__)
    if len(batch.labels) < 2:
        raise InputError(
            "batch", expected="at least two trials, to be compared", got=f"{len(batch.labels)}"
        )
    if batch.spikes.shape != sample.spikes.shape:
        raise InputError(
            "batch",
            expected=f"spikes [T, B, N] = {list(sample.spikes.shape)}, as the generator's",
            got=f"{list(batch.spikes.shape)}",
            cure="time comes first; build the generator for as many steps and neurons as trials have",
        )
    if not bool(((batch.spikes >= 0) & (batch.spikes <= 1)).all()):
        raise InputError("batch", expected="spikes of 0 and 1", got="other values, or NaN")
    return batch._replace(spikes=batch.spikes.to(sample.spikes.dtype))


@dataclass(frozen=True, kw_only=True)
class SpikeGAN:
    r"""One step of Algorithm 1: the discriminator by backpropagation, the generator by a local rule.

    The discriminator descends eq. 6 plus an R1 penalty; the generator then ascends its expected
    reward :math:`r_b`, which the updated discriminator gives each trial (eq. 7-8). (Algorithm 1 takes
    rewards from before the update. "Bias" below takes the discriminator as given, as if it had not just
    learned from these very trials.)

    ==================== ============================================================= =============
    estimator            error at each neuron                                          bias
    ==================== ============================================================= =============
    ``reinforce``        :math:`A_b (s - \sigma(u))` everywhere                        none (*)
    ``hybrid``           that for hidden neurons; straight-through for read-outs:      read-outs
                         :math:`\partial r / \partial s \; p (1 - p)`
    ==================== ============================================================= =============

    (*) if the baseline is an unbiased one; dividing by the batch's standard deviation
    (``normalise_rewards``) changes the length of the step. The variance-minimising baseline is for
    ``reinforce`` alone.

    Attributes:
        decode: spikes ``[T, B, N]`` to what the discriminator judges ``[B, ...]``; differentiable.
        updates: length of the run; both learning rates fall linearly over it.
        estimator: see above.
        baseline: what is subtracted from the rewards; see `snn_gan_ext.estimators.estimators`.
        normalise_rewards: divide advantages by their standard deviation over the batch.
        advantage_floor: added to that standard deviation. Where rewards are nearly alike, as those of a
            generator that has fallen silent, dividing by it alone would blow up what is noise.
        objective: ``non_saturating`` (log D), ``saturating`` (the printed -log(1 - D)) or
            ``jeffreys`` (e^logit + logit).
        generator_lr: Adam's learning rate for the generator.
        discriminator_lr: that of the discriminator.
        beta1: Adam's first decay; 0.9 fails here.
        beta2: Adam's second decay.
        final_lr_fraction: what is left of both learning rates at the last step.
        averaging: decay of a running mean of the generator's weights (`SpikeGANState.averaged`); 0 for
            none. Where training circles around an equilibrium, the mean is near it.
        r1: weight of the R1 penalty.
        real_target: the discriminator's target for real trials; below 1 is label smoothing.

    Raises:
        InputError: if a setting has no meaning, or two of them cannot go together.

    References:
        SpikeGAN paper, Algorithm 1, eq. 1 and 6-8.
    """

    decode: Callable[[Tensor], Tensor]
    updates: int
    estimator: Estimator = "reinforce"
    baseline: Baseline = "batch_mean"
    normalise_rewards: bool = True
    advantage_floor: float = 1e-8
    objective: Objective = "non_saturating"
    generator_lr: float = 3e-3
    discriminator_lr: float = 3e-3
    beta1: float = 0.5
    beta2: float = 0.999
    final_lr_fraction: float = 0.05
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
        self, generator: nn.Module, discriminator: nn.Module, rng: torch.Generator
    ) -> SpikeGANState:
        """Pairs fresh optimisers with the networks.

        Args:
            generator: a module that also is a `Generator`.
            discriminator: logits ``[B]`` from decoded trials and labels.
            rng: the seeded source of all noise of the run, on the networks' device.

        Raises:
            InputError: if the baseline is one for each parameter and the generator a population.
        """
        if self.baseline == "variance_minimising" and hasattr(generator, "size"):
            raise InputError(
                "baseline",
                expected="one number a trial, for a population",
                got=self.baseline,
                cure="take leave_one_out",
            )
        return SpikeGANState(
            generator=generator,
            averaged=averaging.twin(generator) if self.averaging else generator,
            discriminator=discriminator,
            generator_optimizer=self._adam(generator, self.generator_lr),
            discriminator_optimizer=self._adam(discriminator, self.discriminator_lr),
            rng=rng,
        )

    def update(self, state: SpikeGANState, batch: Batch) -> dict[str, float]:
        """One adversarial step, in place.

        Returns:
            The step's losses, mean logits and mean reward, by name.

        Raises:
            InputError: if the batch has fewer than two trials, is not as long or as wide as the
                generator's trials, or holds something else than numbers from 0 to 1.
        """
        generator: Any = state.generator
        sample = generator.sample(batch.labels, generator.noise(len(batch.labels), state.rng))
        batch = _checked(batch, sample)
        self._set_learning_rates(state)
        metrics = self._update_discriminator(state, batch, sample)
        metrics |= self._update_generator(state, batch.labels, sample)
        state.updates += 1
        if state.averaged is not state.generator:
            averaging.follow(state.averaged, state.generator, self.averaging, state.updates)
        return {name: float(value) for name, value in metrics.items()}

    def _update_discriminator(
        self, state: SpikeGANState, batch: Batch, sample: Sample
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
        self, state: SpikeGANState, labels: Tensor, sample: Sample
    ) -> dict[str, Tensor]:
        rewards, slope = self._rewards(state, labels, sample.spikes)
        generator: Any = state.generator
        if self.baseline == "variance_minimising":
            scores = {name: run.score for name, run in sample.runs.items()}
            per_sample = generator.gradients(sample, scores, per_sample=True)
            scaled = self._scaled(rewards)
            gradients = {
                name: estimators.variance_minimising_gradient(gradient, scaled)
                for name, gradient in per_sample.items()
            }
        else:
            advantages = self._advantages(state, rewards, labels)
            errors = self._errors(sample, advantages, slope)
            gradients = {
                name: gradient / len(labels)
                for name, gradient in generator.gradients(sample, errors).items()
            }
        self._ascend(state, gradients)
        return {"reward": rewards.mean()}

    def _rewards(
        self, state: SpikeGANState, labels: Tensor, spikes: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """Rewards ``[B]``, and for the hybrid estimator their slope at the spikes ``[T, B, N]``."""
        hybrid = self.estimator == "hybrid"
        spikes = spikes.detach().requires_grad_(hybrid)
        with torch.set_grad_enabled(hybrid):
            logits = state.discriminator(self.decode(spikes), labels)
            rewards = adversarial.generator_reward(logits, self.objective)
        slope = torch.autograd.grad(rewards.sum(), spikes)[0] if hybrid else None
        return rewards.detach(), slope

    def _advantages(self, state: SpikeGANState, rewards: Tensor, labels: Tensor) -> Tensor:
        """Advantages ``[B]``; in a population they are taken within each member's share."""
        members: int = getattr(state.generator, "size", 1)
        shares = zip(rewards.chunk(members), labels.chunk(members), strict=True)
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
            errors["readout"] = estimators.straight_through_error(slope, potentials)
        return errors

    def _ascend(self, state: SpikeGANState, gradients: Mapping[str, Tensor]) -> None:
        for name, parameter in state.generator.named_parameters():
            if parameter.requires_grad:
                parameter.grad = -gradients[name]
        state.generator_optimizer.step()

    def _set_learning_rates(self, state: SpikeGANState) -> None:
        progress = min(state.updates / self.updates, 1.0)
        factor = 1.0 - (1.0 - self.final_lr_fraction) * progress
        for optimizer, rate in (
            (state.generator_optimizer, self.generator_lr),
            (state.discriminator_optimizer, self.discriminator_lr),
        ):
            optimizer.param_groups[0]["lr"] = rate * factor

    def _adam(self, module: nn.Module, rate: float) -> torch.optim.Adam:
        betas = (float(self.beta1), float(self.beta2))
        return torch.optim.Adam(module.parameters(), lr=rate, betas=betas, fused=True)
