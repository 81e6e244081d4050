"""SpikeGANs that learn from neurons with detailed dynamics, simulated in Brian2."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from snn_gan_ext import plots
from snn_gan_ext.algorithms.spikegan import SpikeGANState
from snn_gan_ext.datasets.simulated_neurons import Neuron, record
from snn_gan_ext.errors import InputError
from snn_gan_ext.estimators.adversarial import Objective
from snn_gan_ext.experiments.recipes.base import Results
from snn_gan_ext.experiments.recipes.single_neuron import (
    SALTS,
    TITLES,
    SingleNeuron,
    SingleNeuronExperiment,
)
from snn_gan_ext.experiments.recipes.train_judge import told_apart_by_convolutions
from snn_gan_ext.metrics import spike_trains
from snn_gan_ext.networks.discriminators import IntervalDiscriminator
from snn_gan_ext.settings import check_settings, whole

__all__ = ["BrianAdex", "BrianModes", "BrianNeurons", "BrianNeuronsExperiment"]

DT = 1e-3
"""Seconds of a time step."""
BURST = 8
"""Intervals below so many steps are those within bursts."""
SHOWN = 20


@dataclass(frozen=True, kw_only=True)
class BrianNeurons(SingleNeuron):
    """Trials of ongoing activity, each of another neuron; a time step is 1 ms.

    Attributes:
        judge_updates: training steps of each convolutional judge.
    """

    neurons: ClassVar[tuple[Neuron, ...]]
    shortest: ClassVar[int] = 60

    steps: int = 1500
    batch: int = 200
    monitor_every: int = 250
    time_steps: int = 200
    window: int = 100
    basis_functions: int = 12
    kernel_fraction: float = 0.5
    bias_init: float = -3.0
    objective: Objective = "jeffreys"
    generator_lr: float = 0.01
    discriminator_lr: float = 3e-3
    r1: float = 3.0
    averaging: float = 0.99
    synthetic_count: int = 4000
    judge_updates: int = 1000

    def check(self) -> None:
        super().check()
        check_settings(self, judge_updates=whole(1, 1_000_000))

    def _build(self, device: torch.device) -> "BrianNeuronsExperiment":
        return BrianNeuronsExperiment(self, device)


@dataclass(frozen=True, kw_only=True)
class BrianAdex(BrianNeurons):
    """Adaptive exponential integrate-and-fire neurons: short bursts, and pauses between them."""

    name: ClassVar[str] = "brian-adex"
    summary: ClassVar[str] = "learns from AdEx neurons simulated in Brian2"
    neurons: ClassVar[tuple[Neuron, ...]] = ("adex",)


@dataclass(frozen=True, kw_only=True)
class BrianModes(BrianNeurons):
    """Three kinds of neurons, a third of the trials each: irregular, short bursts, chattering."""

    name: ClassVar[str] = "brian-modes"
    summary: ClassVar[str] = "learns from three kinds of neurons simulated in Brian2"
    neurons: ClassVar[tuple[Neuron, ...]] = ("lif", "adex", "chattering")

    batch: int = 396
    particles: int = 12


class BrianNeuronsExperiment(SingleNeuronExperiment):
    """Data and measures of `BrianNeurons`."""

    panels: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "interval distance, ms": tuple(f"{name}_isi_wasserstein" for name in TITLES),
        "rate, Hz": tuple(f"{name}_rate" for name in TITLES),
        "discriminator's loss": ("spikegan_discriminator_loss", "bayes_discriminator_loss"),
    }

    recipe: BrianNeurons

    def _discriminator(self, weights: torch.Generator) -> nn.Module:
        return IntervalDiscriminator(1, self.recipe.time_steps, rng=weights)

    def prepare(self) -> None:
        """Tells discriminators how many spikes a trial has."""
        spikes = max(1.0, float(self._data.sum(0).mean()))
        for state in self.state.states.values():
            if isinstance(state, SpikeGANState):
                state.discriminator.get_buffer("scale").fill_(spikes)

    def monitor(self) -> dict[str, float]:
        """Statistics of some trials beside those of validation."""
        real = self._real(1000, salt=SALTS["validation"])[..., 0]
        return {
            f"{name}_{key}": value
            for name in TITLES
            for key, value in _statistics(self._trains(name, 1000, salt=2), real).items()
        }

    def evaluate(self) -> Results:
        """Statistics, and how well trials are told from new simulations that nothing learned from."""
        recipe = self.recipe
        salt = SALTS[recipe.evaluate_on]
        count = recipe.synthetic_count
        real = self._real(count, salt)[..., 0]
        poisson = torch.rand(real.shape, generator=torch.Generator().manual_seed(salt)) < real.mean()
        drawn = {
            "real": self._real(count, salt + 1)[..., 0],
            "poisson": poisson.float(),
            **{name: self._trains(name, count, salt + 2) for name in TITLES},
        }
        metrics = {
            name: {
                **_statistics(trains, real),
                "c2st": spike_trains.told_apart(real, trains, recipe.seed),
                "c2st_convolutions": told_apart_by_convolutions(
                    real, trains, recipe.seed, recipe.judge_updates
                ),
            }
            for name, trains in drawn.items()
        }
        for scores in metrics.values():
            scores["over_poisson"] = scores["isi_wasserstein"] / metrics["poisson"]["isi_wasserstein"]
        return Results(metrics, self.figures(drawn))

    def figures(self, trains: Mapping[str, Tensor]) -> dict[str, Figure]:
        """Rasters, and the intervals and autocorrelograms behind them."""
        titles = {"real": "Brian2", "poisson": "Poisson"} | TITLES
        named = {titles[name]: spikes for name, spikes in trains.items()}
        return {
            "raster": plots.raster({name: x[:, :SHOWN] for name, x in named.items()}, "trial"),
            "statistics": plots.train_statistics(named, DT),
        }

    def _real(self, count: int, salt: int) -> Tensor:
        """Trials ``[T, count, 1]`` of the kinds in turn, in a mixed order."""
        kinds = self.recipe.neurons
        if count < len(kinds):
            raise InputError("trials", expected=f"{len(kinds)} or more", got=f"{count}")
        shares = [len(range(k, count, len(kinds))) for k in range(len(kinds))]
        trials = [
            _recorded(kind, share, self.recipe.time_steps, salt)
            for kind, share in zip(kinds, shares, strict=True)
        ]
        order = torch.randperm(count, generator=torch.Generator().manual_seed(salt))
        return torch.cat(trials, 1)[:, order]


@lru_cache(maxsize=16)
def _recorded(neuron: Neuron, count: int, steps: int, seed: int) -> Tensor:
    return record(neuron, count, steps, seed=seed, dt=DT)


def _statistics(trains: Tensor, real: Tensor) -> dict[str, float]:
    """Rate in Hz, CV of all intervals, share of those within bursts, and their distance in ms."""
    intervals = spike_trains.interspike_intervals(trains).double()
    found = {"rate": float(trains.mean()) / DT, "cv": 0.0, "burst_share": 0.0}
    if len(intervals) > 1:
        found["cv"] = float(intervals.std() / intervals.mean())
        found["burst_share"] = float((intervals < BURST).double().mean())
    return found | {"isi_wasserstein": 1e3 * DT * spike_trains.isi_wasserstein(real, trains)}
