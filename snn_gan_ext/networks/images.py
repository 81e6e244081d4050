"""Generators of images: their output, and an ordinary network."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from snn_gan_ext.networks.labels import one_hot
from snn_gan_ext.validation import check_device, check_positive, check_setting, check_shapes, whole

__all__ = ["ImageSample", "MLPGenerator"]


class ImageSample(NamedTuple):
    """Images ``[B, N]`` in [0, 1], and activity ``[B]``.

    Activity is the share of the window after a neuron's spike, averaged over hidden neurons.
    """

    images: Tensor
    activity: Tensor


class MLPGenerator(nn.Module):
    """Uniform noise and a label to pixels, through one hidden layer (leaky ReLU, sigmoid).

    Args:
        pixels: Number of pixels ``N``.
        classes: Number of labels; 0 for images without labels. With 0 or 1, labels may be None.
        latents: Number of random inputs.
        hidden: Number of hidden units.
        rng: Random source of the initial weights.

    Raises:
        InputError: If a size is below 1, or ``classes`` is negative.
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
        check_positive(pixels=pixels, latents=latents, hidden=hidden)
        check_setting("classes", classes, whole(0))
        self.classes, self.latents = classes, latents
        self.hidden = _linear(latents + classes, hidden, rng)
        self.readout = _linear(hidden, pixels, rng)

    def noise(self, batch: int, rng: torch.Generator | None = None) -> Tensor:
        """Draw noise ``[B, latents]`` in [-1, 1)."""
        device = self.hidden.weight.device
        return 2 * torch.rand(batch, self.latents, generator=rng, device=device) - 1

    def forward(self, labels: Tensor | None, noise: Tensor) -> ImageSample:
        """Return images for labels ``[B]``, or None, and noise ``[B, latents]``."""
        check_shapes(noise=(noise, ("B", self.latents)))
        check_device("noise", noise, self.hidden.weight.device)
        label = one_hot(labels, self.classes, len(noise)).to(noise)
        hidden = nn.functional.leaky_relu(self.hidden(torch.cat([noise, label], 1)), 0.2)
        return ImageSample(torch.sigmoid(self.readout(hidden)), noise.new_zeros(len(noise)))


def _linear(before: int, after: int, rng: torch.Generator | None) -> nn.Linear:
    """Return a linear layer with weights of variance 2 over its inputs, from a seeded source."""
    layer = nn.Linear(before, after)
    with torch.no_grad():
        layer.weight.normal_(0, (2 / before) ** 0.5, generator=rng)
        layer.bias.zero_()
    return layer
