"""Distributions over time: rate-encoded digits as spike trains (SpikeGAN paper, section VIII-B)."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from snn_gan_ext.algorithms.likelihood import MaximumLikelihood
from snn_gan_ext.algorithms.spikegan import SpikeGAN
from snn_gan_ext.coding.decoders import PooledRates, Rates, Spikes, TimeSurface
from snn_gan_ext.coding.images import rate_decode, rate_encode
from snn_gan_ext.experiments.components import MLP, Conditional, Prefixes, Temporal
from snn_gan_ext.experiments.evaluation import Trained
from snn_gan_ext.experiments.experiment import Experiment
from snn_gan_ext.experiments.recipes.digits import CLASSES, HeldOut, ImageEvaluation, RateCodedDigits
from snn_gan_ext.metrics import classifiers
from snn_gan_ext.metrics.references import SpikeSampler
from snn_gan_ext.types import Batch, setting
from snn_gan_ext.validation import whole

__all__ = ["RECIPES", "SpikeTrainEvaluation"]


@dataclass(frozen=True, kw_only=True)
class SpikeTrainEvaluation(ImageEvaluation):
    """Samples as rates, and as spike trains for a spiking classifier (Table I).

    Attributes:
        classifier_updates: Training updates of the spiking classifier, on fresh trials each.
    """

    tests_on_coded: ClassVar[bool] = True
    classifier_updates: int = setting(1000, whole(1))

    def decode(self, trainer: Trained, spikes: Tensor) -> Tensor:
        """Decode spikes to rates, whatever the discriminator receives."""
        return rate_decode(spikes)

    def _row(self, trainer: Trained, draw: SpikeSampler, held_out: HeldOut) -> dict[str, float]:
        row = super()._row(trainer, draw, held_out)
        spiking = classifiers.SpikingMLE(
            classes=CLASSES, seed=trainer.seed_of("spiking classifier"), updates=self.classifier_updates
        ).fit(draw)
        images = held_out.noisy.images.repeat(self.copies, 1)
        spikes = rate_encode(images, trainer.data.shape[0], rng=spiking.rng)
        found = spiking.accuracies(Batch(spikes, held_out.noisy.labels.repeat(self.copies)))
        return {**row, "snn_tstr": found["probability"], "snn_tstr_count": found["count"]}


POOLED = Experiment(
    name="digits-spikes-pooled",
    data=RateCodedDigits(num_steps=16),
    generator=Conditional(),
    discriminator=MLP(),
    learner=SpikeGAN(updates=3000, decode=PooledRates(), estimator="hybrid", baseline="leave_one_out"),
    evaluation=SpikeTrainEvaluation(),
)
# The paper's discriminator c128k4s2-c1k4s1.
CNN = POOLED.vary(
    {
        "name": "digits-spikes-cnn",
        "discriminator": Temporal(),
        "learner.decode": Spikes(),
        "learner.r1": 3.0,
    }
)
RATE = POOLED.vary({"name": "digits-spikes-rate", "learner.decode": Rates()})
TIME_SURFACE = POOLED.vary(
    {"name": "digits-spikes-time-surface", "learner.decode": TimeSurface(), "learner.r1": 3.0}
)
# The local rule alone, credited at every step (decision 24).
CREDIT = POOLED.vary(
    {
        "name": "digits-spikes-credit",
        "batch": 200,
        "discriminator": Prefixes(),
        "learner": SpikeGAN(updates=3000, baseline="leave_one_out", credit="step"),
    }
)
# No discriminator: the likelihood of the spikes, read-out neurons clamped to them (appendix A).
LIKELIHOOD = POOLED.vary(
    {
        "name": "digits-spikes-ml",
        "label": "ml",
        "discriminator": None,
        "learner": MaximumLikelihood(updates=3000, lr=1e-2),
    }
)
RECIPES = (POOLED, CNN, RATE, TIME_SURFACE, CREDIT, LIKELIHOOD)
