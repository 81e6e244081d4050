"""Common part of the adversarial algorithms: settings, the discriminator's update, averaging."""

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Generic, TypeVar

import torch
from torch import Tensor

from snn_gan_ext.algorithms.state import AdversarialState
from snn_gan_ext.errors import InputError
from snn_gan_ext.estimators import adversarial
from snn_gan_ext.functional._dispatch import trackable
from snn_gan_ext.types import (
    LINEAR,
    Discriminator,
    LabelledNetwork,
    Learner,
    Network,
    Schedule,
    setting,
)
from snn_gan_ext.validation import at_least, between, check_parts

__all__ = ["GAN", "update_average"]

G = TypeVar("G", bound=LabelledNetwork)
B = TypeVar("B")

SHARE = between(0, 1, closed="left")


@dataclass(frozen=True, kw_only=True)
class GAN(Learner, ABC, Generic[G, B]):
    r"""Base class of the adversarial algorithms: each update trains both networks once.

    The discriminator's loss has a penalty :math:`\gamma E\lVert\nabla_x D(x)\rVert^2` at real trials.
    Its weight is ``r1``; D is the logit here.

    Attributes:
        updates: Length of the run in updates.
        generator_lr: Adam's learning rate for the generator.
        discriminator_lr: Adam's learning rate for the discriminator.
        beta1: Adam's first decay. 0.9 fails here.
        beta2: Adam's second decay.
        schedule: Factor on both learning rates over the run.
        averaging: Decay of the running mean of the generator's weights (`AdversarialState.averaged`); 0
            for none. Training circles around an equilibrium, and the mean lies near it.
        r1: Weight of the penalty on the discriminator's squared gradient at real trials.

    Raises:
        InputError: If a setting is out of its range.
    """

    generator_lr: float = setting(3e-3, at_least(0))
    discriminator_lr: float = setting(3e-3, at_least(0))
    beta1: float = setting(0.5, SHARE)
    beta2: float = setting(0.999, SHARE)
    schedule: Schedule = LINEAR
    averaging: float = setting(0.0, SHARE)
    r1: float = setting(1.0, at_least(0))
    fused: ClassVar[bool | None] = None

    def init(
        self, generator: G, discriminator: Discriminator, rng: torch.Generator
    ) -> AdversarialState[G]:
        """Return the state of a new run.

        Args:
            generator: Generator, such as `ConditionalGenerator`; `TTFSGenerator` for `ImageGAN`.
            discriminator: Network that returns logits ``[B]`` for decoded trials and labels.
            rng: Random source of all noise of the run, on the networks' device.

        Raises:
            InputError: If a network is of another kind, they have different numbers of labels, or the
                generator is an `Ensemble` with ``variance_minimising``, or none with `BayesSpikeGAN`.
        """
        self._check_pair(generator, discriminator)
        return AdversarialState(
            generator=generator,
            averaged=copy.deepcopy(generator).requires_grad_(False) if self.averaging else generator,
            discriminator=discriminator,
            generator_optimizer=self._adam(generator, self.generator_lr),
            discriminator_optimizer=self._adam(discriminator, self.discriminator_lr),
            rng=rng,
        )

    def update(self, state: AdversarialState[G], batch: B) -> dict[str, float]:
        """Train both networks once, in place.

        Args:
            state: State from `init`.
            batch: Real trials; labels are None where the networks use none.

        Returns:
            Losses, mean logits, mean reward and other metrics, by name.

        Raises:
            InputError: If the batch has too few trials (spikes: 2, images: 1), other sizes than the
                generator's trials, or values outside [0, 1].
        """
        factor = self.schedule.at(state.updates, self.updates)
        state.generator_optimizer.param_groups[0]["lr"] = self.generator_lr * factor
        state.discriminator_optimizer.param_groups[0]["lr"] = self.discriminator_lr * factor
        metrics = self._train(state, batch)
        state.updates += 1
        if state.averaged is not state.generator:
            update_average(state.averaged, state.generator, self.averaging, state.updates)
        return {name: float(value) for name, value in metrics.items()}

    @abstractmethod
    def _train(self, state: AdversarialState[G], batch: B) -> dict[str, Tensor]:
        """Train both networks at the learning rates of the state's optimisers."""

    def _train_discriminator(
        self,
        state: AdversarialState[G],
        real: Tensor,
        fake: Tensor,
        judge: Callable[[Tensor], Tensor],
        r1: float,
        real_target: float = 1.0,
    ) -> dict[str, Tensor]:
        """Descend the cross-entropy of logits plus ``r1`` times the R1 penalty."""
        real = trackable(real).detach().requires_grad_(r1 > 0)
        real_logits, fake_logits = judge(real), judge(fake)
        loss = adversarial.discriminator_loss(real_logits, fake_logits, real_target)
        penalty = adversarial.r1_penalty(real_logits, real) if r1 > 0 else loss.new_zeros(())
        state.discriminator_optimizer.zero_grad()
        torch.autograd.backward(loss + r1 * penalty)
        state.discriminator_optimizer.step()
        return {
            "discriminator_loss": loss.detach(),
            "r1_penalty": penalty.detach(),
            "real_logit": real_logits.detach().mean(),
            "fake_logit": fake_logits.detach().mean(),
        }

    def _check_pair(self, generator: G, discriminator: Discriminator) -> None:
        check_parts("generator", generator, "a generator, with noise()", "noise", "classes")
        check_parts(
            "discriminator", discriminator, "a discriminator, or ModuleDiscriminator(net)", "classes"
        )
        if hasattr(discriminator, "noise"):
            got = type(discriminator).__name__
            raise InputError("discriminator", expected="a network that returns logits", got=got)
        # One class needs no label: 0 and 1 are the same.
        if max(generator.classes, 1) != max(discriminator.classes, 1):
            expected = f"the generator's number of labels, classes={generator.classes}"
            got, cure = f"classes={discriminator.classes}", "build both networks with the same classes"
            raise InputError("discriminator", expected=expected, got=got, cure=cure)

    def _adam(self, network: Network, rate: float) -> torch.optim.Adam:
        betas = (float(self.beta1), float(self.beta2))
        return torch.optim.Adam(network.parameters(), rate, betas, fused=self.fused)


@torch.no_grad()
def update_average(average: Network, network: Network, decay: float, updates: int) -> None:
    r"""Move an average of weights towards the current weights, in place, and copy all buffers.

    .. math:: \bar\theta \leftarrow \bar\theta + \max\bigl(1 - d, \tfrac1{t}\bigr) (\theta - \bar\theta)

    It begins as the plain mean of all weights since the first update.

    Args:
        average: Network that holds the average.
        network: Network in training, with the same parameters.
        decay: Decay :math:`d` in 0 .. 1.
        updates: Number of updates so far, :math:`t \ge 1`.

    References:
        Yazici et al. (2019), "The unusual effectiveness of averaging in GAN training", eq. 3.
    """
    weight = max(1 - decay, 1 / updates)
    for ours, theirs in zip(average.parameters(), network.parameters(), strict=True):
        ours.lerp_(theirs, weight)
    for kept, buffer in zip(average.buffers(), network.buffers(), strict=True):
        if kept.shape == buffer.shape:  # batch statistics, but no hidden states of another batch
            kept.copy_(buffer)
