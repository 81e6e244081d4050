"""The SpikeGAN paper's baseline on digits: an adversarial belief network (its [27])."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from snn_gan_ext.errors import InputError
from snn_gan_ext.experiments.recipes.digits import CLASSES, PIXELS, Digits, DigitsExperiment
from snn_gan_ext.functional.bases import identity_basis
from snn_gan_ext.networks.generators import ConditionalGenerator

__all__ = ["DigitsBelief"]


@dataclass(frozen=True, kw_only=True)
class DigitsBelief(Digits):
    """A conditional sigmoid belief network 10-128-64: binary units, no time; pure REINFORCE.

    Attributes:
        binarise: learn from images that are 1 where a pixel is above 0.5, as the paper does; else from
            grey ones, which a binary network cannot match.
    """

    name: ClassVar[str] = "digits-belief"
    summary: ClassVar[str] = "the paper's baseline: an adversarial belief network, binary images"

    time_steps: int = 1
    hidden: int = 128
    latent_bits: int = 0
    gate_latent: bool = False
    r1: float = 0.3
    binarise: bool = True

    def check(self) -> None:
        super().check()
        for name, value in (("time_steps", 1), ("decoding", "rate"), ("basis", "exponential")):
            if getattr(self, name) != value:
                raise InputError(
                    name, expected=f"{value}, as it has no time", got=f"{getattr(self, name)}"
                )

    def _build(self, device: torch.device) -> "DigitsBeliefExperiment":
        return DigitsBeliefExperiment(self, device)


class DigitsBeliefExperiment(DigitsExperiment):
    """Networks, data and judges of `DigitsBelief`."""

    recipe: DigitsBelief

    def _network(self, weights: torch.Generator) -> nn.Module:
        recipe = self.recipe
        return ConditionalGenerator(
            CLASSES,
            PIXELS,
            1,
            hidden=recipe.hidden,
            latent_bits=recipe.latent_bits,
            gate_latent=recipe.gate_latent,
            latent_scale=(recipe.latent_hidden_scale, recipe.latent_readout_scale),
            basis=identity_basis(1),
            hidden_feedback=0.0,
            hidden_delay=0,
            rng=weights,
        )

    def _encode(self, images: Tensor, rng: torch.Generator) -> Tensor:
        """One step: the image, with grey levels cut at one half."""
        step = images.unsqueeze(0)
        return (step > 0.5).to(step.dtype) if self.recipe.binarise else step
