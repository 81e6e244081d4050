"""Bayes-SpikeGAN on handwritten digits: does a set of generators cover more than one?"""

import math
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import ClassVar

import torch
from torch import Tensor, nn

from snn_gan_ext.algorithms.bayes import BayesSpikeGAN, check_shares
from snn_gan_ext.algorithms.spikegan import Estimator, SpikeGAN
from snn_gan_ext.estimators.svgd import Kernel
from snn_gan_ext.experiments.recipes.digits import Digits, DigitsExperiment
from snn_gan_ext.networks.ensembles import Ensemble
from snn_gan_ext.settings import check_settings, whole

__all__ = ["DigitsBayes"]


@dataclass(frozen=True, kw_only=True)
class DigitsBayes(Digits):
    """The generator of `digits-hybrid` as a set of particles, among which a batch is split.

    Attributes:
        particles: generators J; with 1 it is `digits-hybrid`.
        kernel: how strongly they share gradients and repel each other: printed (the paper's, of
            bandwidth 1), median (as wide as they are apart), none.
        prior_std: standard deviation of a Gaussian prior; 0 for an improper constant one.
    """

    name: ClassVar[str] = "digits-bayes"
    summary: ClassVar[str] = "Bayes-SpikeGAN: five generators that share a discriminator"

    batch: int = 200
    estimator: Estimator = "hybrid"
    particles: int = 5
    kernel: Kernel = "unit"
    prior_std: float = 0.0

    def check(self) -> None:
        super().check()
        check_settings(self, particles=whole(1))
        check_shares(self.batch, self.particles)

    def _build(self, device: torch.device) -> "DigitsBayesExperiment":
        return DigitsBayesExperiment(self, device)


class DigitsBayesExperiment(DigitsExperiment):
    """Networks, data and judges of `DigitsBayes`."""

    recipe: DigitsBayes

    def _network(self, weights: torch.Generator) -> nn.Module:
        one = super()._network
        return Ensemble([one(weights) for _ in range(self.recipe.particles)])

    def networks(self) -> dict[str, nn.Module]:
        """Each particle."""
        population = self.generator
        assert isinstance(population, Ensemble)
        return {f"particle {j}": population.member(j) for j in range(population.size)}

    def _spikegan(self, decode: Callable[[Tensor], Tensor]) -> SpikeGAN:
        plain = super()._spikegan(decode)
        settings = {field.name: getattr(plain, field.name) for field in fields(plain)}
        prior_std = self.recipe.prior_std or math.inf
        return BayesSpikeGAN(**settings, kernel=self.recipe.kernel, prior_std=prior_std)
