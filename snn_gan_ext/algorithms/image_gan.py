"""GANs whose generator has a gradient: Spiking-GAN, and ordinary networks beside it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from snn_gan_ext.algorithms import averaging
from snn_gan_ext.algorithms.spikegan import GAN_RULES, SpikeGANState
from snn_gan_ext.coding.images import Labelled, check_images
from snn_gan_ext.errors import InputError
from snn_gan_ext.estimators import adversarial
from snn_gan_ext.settings import at_least, between, check_settings, whole

__all__ = ["ImageGAN"]


@dataclass(frozen=True, kw_only=True)
class ImageGAN:
    r"""One step of each network by backpropagation, with the logistic loss.

    .. math::

        L_D &= E[\log(1 + e^{-D(x)})] + E[\log(1 + e^{D(G(z))})]
               + \tfrac{\gamma}{2} E\lVert\nabla_x D(x)\rVert^2 \\
        L_G &= E[\log(1 + e^{-D(G(z))})] + \lambda E[(\mathrm{activity} - a)_+]

    Attributes:
        updates: length of the run; both learning rates fall linearly over its second half.
        generator_lr: Adam's learning rate for the generator.
        discriminator_lr: that of the discriminator.
        beta1: Adam's first decay.
        beta2: Adam's second decay.
        final_lr_fraction: what is left of both learning rates at the last step.
        averaging: decay of the running mean of the generator's weights; 0 for none.
        r1: weight :math:`\gamma` of the R1 penalty.
        r1_every: steps between two penalties, each of which weighs so many times as much.
        sparsity: weight :math:`\lambda` of the generator's activity.
        activity: what of it is free, :math:`a`.

    Raises:
        InputError: if a setting has no meaning.

    References:
        Mescheder, Geiger and Nowozin (2018), "Which training methods for GANs do actually converge?";
        Karras et al. (2020), "Analyzing and improving the image quality of StyleGAN", for the lazy
        penalty.
    """

    updates: int
    generator_lr: float = 1e-3
    discriminator_lr: float = 2e-3
    beta1: float = 0.5
    beta2: float = 0.999
    final_lr_fraction: float = 0.05
    averaging: float = 0.995
    r1: float = 0.5
    r1_every: int = 2
    sparsity: float = 0.0
    activity: float = 0.0

    def __post_init__(self) -> None:
        check_settings(
            self, **GAN_RULES, r1_every=whole(1), sparsity=at_least(0), activity=between(0, 1)
        )

    def init(
        self, generator: nn.Module, discriminator: nn.Module, rng: torch.Generator
    ) -> SpikeGANState:
        """Pairs fresh optimisers with the networks.

        Args:
            generator: draws ``noise(batch, rng)``; called with labels and noise it returns images
                ``[B, N]`` and its activity ``[B]``, as `TTFSGenerator` does.
            discriminator: called with images and labels it returns logits ``[B]``.
            rng: the seeded source of all noise of the run, on the networks' device.
        """
        betas = (float(self.beta1), float(self.beta2))
        return SpikeGANState(
            generator=generator,
            averaged=averaging.twin(generator) if self.averaging else generator,
            discriminator=discriminator,
            generator_optimizer=torch.optim.Adam(generator.parameters(), self.generator_lr, betas),
            discriminator_optimizer=torch.optim.Adam(
                discriminator.parameters(), self.discriminator_lr, betas
            ),
            rng=rng,
        )

    def update(self, state: SpikeGANState, batch: Labelled) -> dict[str, float]:
        """One adversarial step, in place.

        Returns:
            The step's losses, mean logits and activity, by name.

        Raises:
            InputError: if the batch holds no images in [0, 1] of the generator's size.
        """
        self._set_learning_rates(state)
        generator: Any = state.generator
        images, activity = generator(batch.labels, generator.noise(len(batch.labels), state.rng))
        _check(batch, images)
        metrics = self._update_discriminator(state, batch, images.detach())
        metrics |= self._update_generator(state, batch.labels, images, activity)
        state.updates += 1
        if state.averaged is not state.generator:
            averaging.follow(state.averaged, state.generator, self.averaging, state.updates)
        return {name: float(value) for name, value in metrics.items()}

    def _update_discriminator(
        self, state: SpikeGANState, batch: Labelled, images: Tensor
    ) -> dict[str, Tensor]:
        penalised = self.r1 > 0 and state.updates % self.r1_every == 0
        real_images = batch.images.detach().requires_grad_(penalised)
        real = state.discriminator(real_images, batch.labels)
        fake = state.discriminator(images, batch.labels)
        loss = adversarial.discriminator_loss(real, fake)
        total = loss
        if penalised:
            penalty = adversarial.r1_penalty(real, real_images)
            total = loss + self.r1_every * self.r1 / 2 * penalty
        state.discriminator_optimizer.zero_grad()
        torch.autograd.backward(total)
        state.discriminator_optimizer.step()
        return {
            "discriminator_loss": loss.detach(),
            "real_logit": real.detach().mean(),
            "fake_logit": fake.detach().mean(),
        }

    def _update_generator(
        self, state: SpikeGANState, labels: Tensor, images: Tensor, activity: Tensor
    ) -> dict[str, Tensor]:
        with _frozen(state.discriminator):  # its weights' gradients would be half of the work
            logits = state.discriminator(images, labels)
            reward = adversarial.generator_reward(logits, "non_saturating").mean()
            excess = (activity - self.activity).clamp(min=0).mean()
            state.generator_optimizer.zero_grad()
            torch.autograd.backward(self.sparsity * excess - reward)
        state.generator_optimizer.step()
        return {"reward": reward.detach(), "activity": activity.detach().mean()}

    def _set_learning_rates(self, state: SpikeGANState) -> None:
        decayed = min(max(2 * state.updates / self.updates - 1, 0.0), 1.0)
        factor = 1.0 - (1.0 - self.final_lr_fraction) * decayed
        for optimizer, rate in (
            (state.generator_optimizer, self.generator_lr),
            (state.discriminator_optimizer, self.discriminator_lr),
        ):
            optimizer.param_groups[0]["lr"] = rate * factor


@contextmanager
def _frozen(module: nn.Module) -> Iterator[None]:
    """Without gradients for its parameters; those that a user has frozen stay so."""
    trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
    for parameter in trained:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in trained:
            parameter.requires_grad_(True)


def _check(batch: Labelled, images: Tensor) -> None:
    check_images(batch.images)
    if not len(batch.images):
        raise InputError("batch", expected="at least one image", got="none")
    if batch.images.shape != images.shape:
        raise InputError(
            "batch",
            expected=f"images [B, N] = {list(images.shape)}, as the generator's",
            got=f"{list(batch.images.shape)}",
        )
