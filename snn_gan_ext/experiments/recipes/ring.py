"""A ring of coupled neurons, whose filters are known: does a generator learn who hears whom?"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from snn_gan_ext import plots
from snn_gan_ext.algorithms.likelihood import MaximumLikelihood
from snn_gan_ext.algorithms.spikegan import SpikeGAN
from snn_gan_ext.datasets.digits import Split
from snn_gan_ext.datasets.ring import ring_spikes
from snn_gan_ext.experiments.components import Basis, Data, Population, Temporal
from snn_gan_ext.experiments.evaluation import Evaluation, Results, Trained, in_one
from snn_gan_ext.experiments.experiment import Arm, Experiment
from snn_gan_ext.metrics import populations
from snn_gan_ext.rng import stream
from snn_gan_ext.types import Batch, setting
from snn_gan_ext.validation import whole

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["RECIPES", "Ring", "RingEvaluation"]

TITLES = {
    "spikegan": "SpikeGAN",
    "local": "local rule alone",
    "ml": "likelihood",
    "uncoupled": "16 bits, uncoupled",
}
UPDATES = 1600


@dataclass(frozen=True, kw_only=True)
class Ring(Data):
    """Trials of neurons on a ring, each of which hears its two neighbours.

    Attributes:
        neurons: Number of neurons.
        num_steps: Length of a trial in time steps.
        trials: Number of trials to learn from.
    """

    neurons: int = setting(8, whole(3, 1000))
    num_steps: int = setting(100, whole(10, 100_000))
    trials: int = setting(2000, whole(2, 1_000_000))

    @property
    def shape(self) -> tuple[int, ...]:
        return self.num_steps, self.neurons

    @cached_property
    def trials_to_learn_from(self) -> Tensor:
        """Training trials ``[T, trials, N]``."""
        return self.draw(self.trials, "train")

    def draw(self, count: int, role: str) -> Tensor:
        """Draw trials ``[T, count, N]`` of a role; they do not depend on the run's seed."""
        return ring_spikes(count, self.num_steps, self.neurons, rng=stream(0, f"ring, {role}"))

    def held_out(self, split: Split, count: int, second: bool = False) -> Tensor:
        """Trials that nothing learns from; a second set is the ceiling of a sampler."""
        return self.draw(count, f"{split}, second set" if second else split)

    def batch(self, size: int, rng: torch.Generator) -> Batch:
        picks = torch.randint(self.trials, (size,), generator=rng, device=rng.device).cpu()
        return Batch(self.trials_to_learn_from[:, picks].to(rng.device))


@dataclass(frozen=True, kw_only=True)
class RingEvaluation(Evaluation):
    """Correlograms, rates and population counts beside those of trials that nothing learned from.

    Attributes:
        synthetic_count: Number of trials drawn of each sampler.
    """

    panels: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "error of all correlograms": tuple(f"{name}_correlogram_error" for name in TITLES),
        "discriminator's loss": tuple(
            f"{name}_discriminator_loss" for name in ("spikegan", "local", "uncoupled")
        ),
    }
    synthetic_count: int = setting(2000, whole(10, 1_000_000))

    def monitor(self, trainer: Trained) -> dict[str, float]:
        """Errors of all arms, on 500 trials."""
        real = trainer.data_as(Ring).held_out("validation", 500)
        drawn = {name: trainer.draw(name, 500, trainer.stream("monitor")) for name in TITLES}
        return in_one({name: _agreement(real, spikes) for name, spikes in drawn.items()})

    def evaluate(self, trainer: Trained) -> Results:
        """Score all arms beside a second set of real trials and neurons that are independent."""
        data, split, count = trainer.data_as(Ring), trainer.split, self.synthetic_count
        real = data.held_out(split, count)
        rng = trainer.stream(f"{split} synthetic", "cpu")
        rates = data.trials_to_learn_from.mean((0, 1))
        samplers = {
            "real": data.held_out(split, count, second=True),
            "independent": (torch.rand(real.shape, generator=rng) < rates).float(),
            **{name: trainer.draw(name, count, trainer.stream(f"{split} {name}")) for name in TITLES},
        }
        rows = {name: _agreement(real, spikes) for name, spikes in samplers.items()}
        shown = {"real": real} | {title: samplers[name] for name, title in TITLES.items()}
        correlograms = {title: populations.covariances(x, 6) for title, x in shown.items()}
        figures = {
            "raster": partial(plots.raster, {title: x[:, 0] for title, x in shown.items()}, "neuron"),
            "correlograms": partial(_correlograms, correlograms),
        }
        return Results(rows, figures)


def _agreement(real: Tensor, spikes: Tensor) -> dict[str, float]:
    return {
        "correlogram_error": populations.correlogram_error(real, spikes),
        "rate_error": populations.rate_error(real, spikes),
        "count_divergence": populations.count_divergence(real, spikes),
    }


def _correlograms(sources: Mapping[str, Tensor]) -> "Figure":
    """Draw the covariance of a neuron with the next one, over lags in both directions."""
    curves = {}
    for title, found in sources.items():
        both = torch.cat([found[1:, 1, 0].flip(0), found[:, 0, 1]]).tolist()
        curves[title] = list(zip(range(1 - len(found), len(found)), both, strict=True))
    return plots.lines(curves, x_label="lag from a neuron to the next, steps", y_label="covariance")


COUPLED = Population(basis=Basis(kind="raised_cosine", functions=3, window=6), coupling_std=0.1)
CRITIC = Temporal(layers=((64, 6, 1),))
HYBRID = SpikeGAN(
    updates=UPDATES,
    estimator="hybrid",
    generator_lr=0.02,
    discriminator_lr=2e-3,
    averaging=0.99,
)
RING = Experiment(
    name="ring",
    batch=64,
    monitor_every=200,
    data=Ring(),
    generator=COUPLED,
    discriminator=CRITIC,
    learner=HYBRID,
    references={
        "local": Arm(
            generator=COUPLED, discriminator=CRITIC, learner=replace(HYBRID, estimator="reinforce")
        ),
        "ml": Arm(generator=COUPLED, learner=MaximumLikelihood(updates=UPDATES, lr=0.03)),
        "uncoupled": Arm(
            generator=replace(COUPLED, coupling=False, latent_bits=16, latent_std=0.3),
            discriminator=CRITIC,
            learner=HYBRID,
        ),
    },
    evaluation=RingEvaluation(),
)
RECIPES = (RING,)
