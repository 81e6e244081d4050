"""SpikeGANs that learn from neurons with detailed dynamics, simulated in Brian2."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import ClassVar

import torch
from torch import Tensor

from snn_gan_ext import plots
from snn_gan_ext.datasets.simulated_neurons import Neuron, record
from snn_gan_ext.errors import InputError
from snn_gan_ext.experiments.components import Basis, Intervals, StepResponse
from snn_gan_ext.experiments.evaluation import Evaluation, Results, Trained, in_one
from snn_gan_ext.experiments.experiment import Experiment
from snn_gan_ext.experiments.recipes.single_neuron import TITLES, SingleNeuronData, arms, trains
from snn_gan_ext.metrics import classifiers, references, spike_trains
from snn_gan_ext.metrics.c2st import c2st, halves
from snn_gan_ext.rng import stream, stream_seed
from snn_gan_ext.types import setting
from snn_gan_ext.validation import whole

__all__ = ["RECIPES", "SimulatedNeurons", "SpikeTrainStatistics"]

DT = 1e-3
"""Seconds of a time step."""
BURST = 8
"""Intervals below so many steps are those within bursts."""
SHOWN = 20
_recorded = lru_cache(maxsize=16)(record)


@dataclass(frozen=True, kw_only=True)
class SimulatedNeurons(SingleNeuronData):
    """Trials of ongoing activity, each of another neuron; a time step is 1 ms.

    Attributes:
        neurons: Kinds of neurons, an equal share of the trials each.
    """

    shortest: ClassVar[int] = 60
    num_steps: int = 200
    neurons: tuple[Neuron, ...] = ("adex",)

    def check(self) -> None:
        super().check()
        if not self.neurons:
            raise InputError("neurons", expected="at least one kind", got="none")

    def draw(self, count: int, role: str) -> Tensor:
        """Draw trials ``[T, count, 1]`` of the kinds, in a mixed order."""
        kinds = len(self.neurons)
        if count < kinds:
            raise InputError("trials", expected=f"{kinds} or more", got=f"{count}")
        trials = []
        for place, kind in enumerate(self.neurons):
            share, seed = len(range(place, count, kinds)), stream_seed(0, f"{kind} neurons, {role}")
            trials.append(_recorded(kind, share, self.num_steps, seed=seed, dt=DT))
        order = torch.randperm(count, generator=stream(0, f"order of neurons, {role}"))
        return torch.cat(trials, 1)[:, order]


@dataclass(frozen=True, kw_only=True)
class SpikeTrainStatistics(Evaluation):
    """Statistics of intervals, and C2STs against new simulations that nothing learned from.

    Attributes:
        synthetic_count: Number of trials drawn of each sampler.
        classifier_updates: Training updates of the convolutional classifier of the C2ST.
    """

    panels: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "interval distance, ms": tuple(f"{name}_isi_wasserstein" for name in TITLES),
        "rate, Hz": tuple(f"{name}_rate" for name in TITLES),
        "discriminator's loss": ("spikegan_discriminator_loss", "bayes_discriminator_loss"),
    }
    synthetic_count: int = setting(4000, whole(100))
    classifier_updates: int = setting(1000, whole(1, 1_000_000))

    def monitor(self, trainer: Trained) -> dict[str, float]:
        """Statistics of some trials beside those of validation."""
        real = trainer.data_as(SimulatedNeurons).held_out("validation", 1000)
        drawn = {name: trains(trainer, name, 1000, "monitor") for name in TITLES}
        return in_one({name: _statistics(trials, real) for name, trials in drawn.items()})

    def evaluate(self, trainer: Trained) -> Results:
        """Score all arms beside a second set of simulations and a Poisson process."""
        data, split, count = trainer.data_as(SimulatedNeurons), trainer.split, self.synthetic_count
        real = data.held_out(split, count)
        poisson = references.poisson(float(real.mean()), len(real))
        samplers = {
            "real": data.held_out(split, count, second=True),
            "poisson": poisson(count, trainer.stream(f"{split} poisson", "cpu")),
            **{name: trains(trainer, name, count, f"{split} synthetic") for name in TITLES},
        }
        each = trainer.each(samplers.items())
        rows = {name: self._row(trainer, real, drawn) for name, drawn in each}
        for row in rows.values():
            row["over_poisson"] = row["isi_wasserstein"] / rows["poisson"]["isi_wasserstein"]
        titles = {"real": "Brian2", "poisson": "Poisson"} | TITLES
        named = {titles[name]: drawn for name, drawn in samplers.items()}
        figures = {
            "raster": partial(plots.raster, {name: x[:, :SHOWN] for name, x in named.items()}, "trial"),
            "statistics": partial(plots.train_statistics, named, DT),
        }
        return Results(rows, figures)

    def _row(self, trainer: Trained, real: Tensor, drawn: Tensor) -> dict[str, float]:
        parts = halves(real, drawn, trainer.seed_of("halves"))
        convolutions = classifiers.TrainCNN(trainer.seed_of("c2st"), self.classifier_updates)
        return {
            **_statistics(drawn, real),
            "c2st": c2st(*parts, classifiers.Trees(trainer.seed_of("c2st"))),
            "c2st_convolutions": c2st(*parts, convolutions),
        }


def _statistics(drawn: Tensor, real: Tensor) -> dict[str, float]:
    """Rate in Hz, CV of all intervals, share of those within bursts, and their distance in ms."""
    intervals = spike_trains.interspike_intervals(drawn).double()
    found = {"rate": float(drawn.mean()) / DT, "cv": 0.0, "burst_share": 0.0}
    if len(intervals) > 1:
        found["cv"] = float(intervals.std() / intervals.mean())
        found["burst_share"] = float((intervals < BURST).double().mean())
    return found | {"isi_wasserstein": 1e3 * DT * spike_trains.isi_wasserstein(real, drawn)}


NEURON = StepResponse(bias_init=-3.0, basis=Basis(kind="raised_cosine", functions=12, window=100))
ADEX = Experiment(
    name="brian-adex",
    batch=200,
    monitor_every=250,
    data=SimulatedNeurons(),
    **arms(
        NEURON,
        Intervals(),
        updates=1500,
        kernel_fraction=0.5,
        objective="jeffreys",
        generator_lr=0.01,
        discriminator_lr=3e-3,
        r1=3.0,
        averaging=0.99,
    ),
    evaluation=SpikeTrainStatistics(),
)
# Irregular firing, short bursts, chattering.
KINDS: tuple[Neuron, ...] = ("lif", "adex", "chattering")
MODES = ADEX.vary({"name": "brian-modes", "batch": 396, "data.neurons": KINDS, "generator.size": 12})
RECIPES = (ADEX, MODES)
