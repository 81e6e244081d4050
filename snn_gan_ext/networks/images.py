"""Generators of images: what they return, and an ordinary network that does."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from snn_gan_ext.layers.checks import check_positive
from snn_gan_ext.networks.labels import one_hot

__all__ = ["ImageSample", "MLPGenerator"]


class ImageSample(NamedTuple):
    """What a generator made.

    Attributes:
        images: ``[B, N]`` in [0, 1].
        activity: ``[B]``, what share of the window its hidden neurons have fired for, on average: 0 if
            none did.
    """

    images: Tensor
    activity: Tensor


class MLPGenerator(nn.Module):
    """Uniform noise and a label to pixels, through one hidden layer (leaky ReLU, sigmoid).

    Args:
        pixels: number of pixels ``N``.
        classes: number of labels.
        latents: number of random inputs.
        hidden: number of hidden units.
        rng: seeds the initial weights.

    Raises:
        InputError: if a size is too small.
    """

    def __init__(
        self,
        pixels: int,
        classes: int,
        *,
        latents: int = 32,
        hidden: int = 128,
        rng: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        check_positive(pixels=pixels, classes=classes, latents=latents, hidden=hidden)
        self.classes, self.latents = classes, latents
        self.hidden = _linear(latents + classes, hidden, rng)
        self.readout = _linear(hidden, pixels, rng)

    def noise(self, batch: int, rng: torch.Generator | None = None) -> Tensor:
        """Noise ``[B, latents]`` in [-1, 1)."""
        device = self.hidden.weight.device
        return 2 * torch.rand(batch, self.latents, generator=rng, device=device) - 1

    def forward(self, labels: Tensor, noise: Tensor) -> ImageSample:
        """Images for labels ``[B]`` and noise ``[B, latents]``."""
        label = one_hot(labels, self.classes).to(noise)
        hidden = nn.functional.leaky_relu(self.hidden(torch.cat([noise, label], 1)), 0.2)
        return ImageSample(torch.sigmoid(self.readout(hidden)), noise.new_zeros(len(noise)))


def _linear(before: int, after: int, rng: torch.Generator | None) -> nn.Linear:
    """A linear layer with weights of variance 2 over its inputs, from a seeded source."""
    layer = nn.Linear(before, after)
    with torch.no_grad():
        layer.weight.normal_(0, (2 / before) ** 0.5, generator=rng)
        layer.bias.zero_()
    return layer
