"""Discriminators: ordinary neural networks that tell real trials from generated ones."""

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from snn_gan_ext.errors import InputError
from snn_gan_ext.networks.generators import one_hot

__all__ = ["MLPDiscriminator"]


class MLPDiscriminator(nn.Module):
    """The feed-forward discriminator of the SpikeGAN paper, section VII-A, on decoded trials.

    It hears the decoded trial and the label (one-hot), and answers with a logit.

    Args:
        features: size ``N`` of a decoded trial.
        classes: number of labels.
        hidden: width of each hidden layer; the paper has one of 128.
        label_scale: factor on the one-hot label.
        generator: seeds the initial weights.

    Raises:
        InputError: if a size is below 1 or ``label_scale`` is not finite.
    """

    def __init__(
        self,
        features: int,
        classes: int,
        *,
        hidden: Sequence[int] = (128,),
        label_scale: float = 1.0,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        if min(features, classes, *hidden) < 1 or not math.isfinite(label_scale):
            raise InputError(
                "discriminator",
                expected="sizes of at least 1 and a finite label_scale",
                got=f"features {features}, classes {classes}, hidden {tuple(hidden)}, "
                f"label_scale {label_scale}",
            )
        self.classes, self.label_scale = classes, label_scale
        widths = (features + classes, *hidden)
        layers: list[nn.Module] = []
        for before, after in pairwise(widths):
            layers += [nn.Linear(before, after), nn.LeakyReLU(0.2)]
        self.layers = nn.Sequential(*layers, nn.Linear(widths[-1], 1))
        self._reset_parameters(generator)

    def forward(self, decoded: Tensor, labels: Tensor) -> Tensor:
        """Logits ``[B]`` for decoded trials ``[B, N]`` and labels ``[B]``."""
        label = self.label_scale * one_hot(labels, self.classes).to(decoded)
        logits: Tensor = self.layers(torch.cat([decoded, label], -1))
        return logits.squeeze(-1)

    @torch.no_grad()
    def _reset_parameters(self, generator: torch.Generator | None) -> None:
        """PyTorch's own initial law for `nn.Linear`, from a seeded source."""
        for layer in self.layers:
            if isinstance(layer, nn.Linear):
                bound = layer.in_features**-0.5
                layer.weight.uniform_(-bound, bound, generator=generator)
                layer.bias.uniform_(-bound, bound, generator=generator)
