"""GANs whose generator has a gradient: Spiking-GAN, and ordinary networks beside it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from snn_gan_ext.algorithms.gan import GAN, SHARE
from snn_gan_ext.algorithms.state import AdversarialState
from snn_gan_ext.coding.images import check_images
from snn_gan_ext.errors import InputError
from snn_gan_ext.estimators import adversarial
from snn_gan_ext.functional.ttfs import clamp_passing
from snn_gan_ext.types import (
    LATE,
    Discriminator,
    ImageBatch,
    ImageGenerator,
    Network,
    Schedule,
    setting,
)
from snn_gan_ext.validation import (
    at_least,
    between,
    check_device,
    check_parts,
    check_shapes,
    whole,
)

__all__ = ["ImageGAN"]


@dataclass(frozen=True, kw_only=True)
class ImageGAN(GAN[ImageGenerator, ImageBatch]):
    r"""Adversarial training by backpropagation, with the logistic loss.

    .. math::

        L_D &= E[\log(1 + e^{-D(x)})] + E[\log(1 + e^{D(G(z))})]
               + \gamma E\lVert\nabla_x D(x)\rVert^2 \\
        L_G &= E[\log(1 + e^{-D(G(z))})] + \lambda E[(\mathrm{activity} - a)_+]

    :math:`\gamma`, :math:`\lambda` and :math:`a` are the settings r1, sparsity and activity.

    Attributes:
        r1_every: Updates between two penalties. Each penalty weighs this many times as much.
        sparsity: Weight of the generator's activity.
        activity: Activity that costs nothing.

    References:
        Mescheder, Geiger and Nowozin (2018), "Which training methods for GANs do actually converge?";
        Karras et al. (2020), "Analyzing and improving the image quality of StyleGAN", for the lazy
        penalty.
    """

    generator_lr: float = setting(1e-3, at_least(0))
    discriminator_lr: float = setting(2e-3, at_least(0))
    schedule: Schedule = LATE
    averaging: float = setting(0.995, SHARE)
    r1: float = setting(0.25, at_least(0))
    r1_every: int = setting(2, whole(1))
    sparsity: float = setting(0.0, at_least(0))
    activity: float = setting(0.0, between(0, 1))

    def _check_pair(self, generator: ImageGenerator, discriminator: Discriminator) -> None:
        super()._check_pair(generator, discriminator)
        if hasattr(generator, "sample"):
            got = type(generator).__name__
            raise InputError("generator", expected="a generator of images, as TTFSGenerator", got=got)

    def _train(self, state: AdversarialState[ImageGenerator], batch: ImageBatch) -> dict[str, Tensor]:
        check_parts("batch", batch, "an ImageBatch(images, labels)", "images", "labels")
        check_images(batch.images)
        real, labels = batch.images, batch.labels
        images, activity = state.generator(labels, state.generator.noise(len(real), state.rng))
        if not len(real):
            raise InputError("batch", expected="at least one image", got="none")
        check_shapes(batch=(real, images.shape))
        check_device("batch", real, images.device)
        r1 = 0.0 if state.updates % self.r1_every else self.r1_every * self.r1
        metrics = self._train_discriminator(
            state, real, images.detach(), lambda x: state.discriminator(x, labels), r1
        )
        del metrics["r1_penalty"]  # of some updates only
        with _frozen(state.discriminator):  # its weights' gradients would be half of the work
            logits = state.discriminator(images, labels)
            reward = adversarial.generator_reward(logits, "non_saturating").mean()
            excess = clamp_passing(activity - self.activity, 0).mean()
            state.generator_optimizer.zero_grad()
            torch.autograd.backward(self.sparsity * excess - reward)
        state.generator_optimizer.step()
        return {**metrics, "reward": reward.detach(), "activity": activity.detach().mean()}


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
