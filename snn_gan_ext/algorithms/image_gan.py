"""GANs whose generator has a gradient: Spiking-GAN, and ordinary networks beside it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from snn_gan_ext.algorithms import averaging
from snn_gan_ext.algorithms.spikegan import GAN_RULES
from snn_gan_ext.algorithms.state import AdversarialState, check_pair
from snn_gan_ext.coding.images import check_images
from snn_gan_ext.errors import InputError
from snn_gan_ext.estimators import adversarial
from snn_gan_ext.functional.ttfs import clamp_passing
from snn_gan_ext.types import LATE, Discriminator, ImageBatch, ImageGenerator, Network, Schedule
from snn_gan_ext.validation import at_least, between, check_settings, whole

__all__ = ["ImageGAN"]


@dataclass(frozen=True, kw_only=True)
class ImageGAN:
    r"""Adversarial training by backpropagation, with the logistic loss.

    .. math::

        L_D &= E[\log(1 + e^{-D(x)})] + E[\log(1 + e^{D(G(z))})]
               + \gamma E\lVert\nabla_x D(x)\rVert^2 \\
        L_G &= E[\log(1 + e^{-D(G(z))})] + \lambda E[(\mathrm{activity} - a)_+]

    Attributes:
        updates: Length of the run in updates.
        generator_lr: Adam's learning rate for the generator.
        discriminator_lr: Adam's learning rate for the discriminator.
        beta1: Adam's first decay.
        beta2: Adam's second decay.
        schedule: Factor on both learning rates over the run.
        averaging: Decay of the running mean of the generator's weights; 0 for none.
        r1: Weight :math:`\gamma` of the R1 penalty.
        r1_every: Updates between two penalties. Each penalty weighs this many times as much.
        sparsity: Weight :math:`\lambda` of the generator's activity.
        activity: Activity :math:`a` that costs nothing.

    Raises:
        InputError: If a setting is out of its range.

    References:
        Mescheder, Geiger and Nowozin (2018), "Which training methods for GANs do actually converge?";
        Karras et al. (2020), "Analyzing and improving the image quality of StyleGAN", for the lazy
        penalty.
    """

    updates: int = 3000
    generator_lr: float = 1e-3
    discriminator_lr: float = 2e-3
    beta1: float = 0.5
    beta2: float = 0.999
    schedule: Schedule = LATE
    averaging: float = 0.995
    r1: float = 0.25
    r1_every: int = 2
    sparsity: float = 0.0
    activity: float = 0.0

    def __post_init__(self) -> None:
        check_settings(
            self, **GAN_RULES, r1_every=whole(1), sparsity=at_least(0), activity=between(0, 1)
        )

    def init(
        self, generator: ImageGenerator, discriminator: Discriminator, rng: torch.Generator
    ) -> AdversarialState[ImageGenerator]:
        """Return the state of a new run.

        Args:
            generator: Network that returns images ``[B, N]`` and its activity ``[B]`` for labels and
                noise, as `TTFSGenerator` does.
            discriminator: Network that returns logits ``[B]`` for images and labels.
            rng: Random source of all noise of the run, on the networks' device.

        Raises:
            InputError: If the networks have different numbers of labels.
        """
        check_pair(generator, discriminator)
        betas = (float(self.beta1), float(self.beta2))
        return AdversarialState(
            generator=generator,
            averaged=averaging.frozen_copy(generator) if self.averaging else generator,
            discriminator=discriminator,
            generator_optimizer=torch.optim.Adam(generator.parameters(), self.generator_lr, betas),
            discriminator_optimizer=torch.optim.Adam(
                discriminator.parameters(), self.discriminator_lr, betas
            ),
            rng=rng,
        )

    def update(self, state: AdversarialState[ImageGenerator], batch: ImageBatch) -> dict[str, float]:
        """Train both networks once, in place.

        Returns:
            Losses, mean logits and activity, by name.

        Raises:
            InputError: If the batch holds no images in [0, 1] of the generator's size.
        """
        factor = self.schedule.at(state.updates, self.updates)
        state.set_learning_rates(self.generator_lr * factor, self.discriminator_lr * factor)
        noise = state.generator.noise(len(batch.images), state.rng)
        images, activity = state.generator(batch.labels, noise)
        _check(batch, images)
        metrics = self._update_discriminator(state, batch, images.detach())
        metrics |= self._update_generator(state, batch.labels, images, activity)
        state.updates += 1
        if state.averaged is not state.generator:
            averaging.update_average(state.averaged, state.generator, self.averaging, state.updates)
        return {name: float(value) for name, value in metrics.items()}

    def _update_discriminator(
        self, state: AdversarialState[ImageGenerator], batch: ImageBatch, images: Tensor
    ) -> dict[str, Tensor]:
        penalised = self.r1 > 0 and state.updates % self.r1_every == 0
        real_images = batch.images.detach().requires_grad_(penalised)
        real = state.discriminator(real_images, batch.labels)
        fake = state.discriminator(images, batch.labels)
        loss = adversarial.discriminator_loss(real, fake)
        total = loss
        if penalised:
            penalty = adversarial.r1_penalty(real, real_images)
            total = loss + self.r1_every * self.r1 * penalty
        state.discriminator_optimizer.zero_grad()
        torch.autograd.backward(total)
        state.discriminator_optimizer.step()
        return {
            "discriminator_loss": loss.detach(),
            "real_logit": real.detach().mean(),
            "fake_logit": fake.detach().mean(),
        }

    def _update_generator(
        self,
        state: AdversarialState[ImageGenerator],
        labels: Tensor | None,
        images: Tensor,
        activity: Tensor,
    ) -> dict[str, Tensor]:
        with _frozen(state.discriminator):  # its weights' gradients would be half of the work
            logits = state.discriminator(images, labels)
            reward = adversarial.generator_reward(logits, "non_saturating").mean()
            excess = clamp_passing(activity - self.activity, 0).mean()
            state.generator_optimizer.zero_grad()
            torch.autograd.backward(self.sparsity * excess - reward)
        state.generator_optimizer.step()
        return {"reward": reward.detach(), "activity": activity.detach().mean()}


@contextmanager
def _frozen(module: Network) -> Iterator[None]:
    """Switch off gradients of the parameters for a while; those a user has frozen stay frozen."""
    trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
    for parameter in trained:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in trained:
            parameter.requires_grad_(True)


def _check(batch: ImageBatch, images: Tensor) -> None:
    check_images(batch.images)
    if not len(batch.images):
        raise InputError("batch", expected="at least one image", got="none")
    if batch.images.shape != images.shape:
        raise InputError(
            "batch",
            expected=f"images [B, N] = {list(images.shape)}, as the generator's",
            got=f"{list(batch.images.shape)}",
        )
