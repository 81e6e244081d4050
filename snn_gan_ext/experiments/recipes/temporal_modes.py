"""One neuron, several firing modes: the SpikeGAN paper's third experiment (section VIII-C, Fig. 7)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from snn_gan_ext import plots
from snn_gan_ext.datasets.patterns import BURST, TONIC, Pattern, Phase, firing_modes
from snn_gan_ext.experiments.recipes.base import Results
from snn_gan_ext.experiments.recipes.single_neuron import (
    SALTS,
    TITLES,
    SingleNeuron,
    SingleNeuronExperiment,
)
from snn_gan_ext.functional.bases import identity_basis
from snn_gan_ext.metrics import spike_trains
from snn_gan_ext.networks.discriminators import TemporalDiscriminator

__all__ = ["TemporalModes", "TemporalModesExperiment"]

PATTERNS = {
    "two": (BURST, TONIC),
    "four": (BURST, TONIC, Pattern("plateau", 10, 8), Pattern("regular", 1, 4)),
}
SHOWN = 20


@dataclass(frozen=True, kw_only=True)
class TemporalModes(SingleNeuron):
    """Trials that each keep to one of several firing modes.

    Attributes:
        modes: two firing modes (burst and tonic) or four.
        phase: where in its period a trial begins.
        basis: raised cosines, or one free weight for each lag.
    """

    name: ClassVar[str] = "temporal-modes"
    summary: ClassVar[str] = "one neuron, two firing modes: likelihood, SpikeGAN and Bayes-SpikeGAN"
    shortest: ClassVar[int] = 23

    steps: int = 1500
    batch: int = 160
    monitor_every: int = 250
    time_steps: int = 50
    modes: Literal["two", "four"] = "two"
    phase: Phase = "random"
    window: int = 30
    basis: Literal["raised_cosine", "identity"] = "raised_cosine"
    basis_functions: int = 5
    bias_init: float = -1.0

    def filter_basis(self) -> Tensor:
        """Temporal basis ``[K, L]`` of the neuron's filters."""
        return identity_basis(self.window) if self.basis == "identity" else super().filter_basis()

    def _build(self, device: torch.device) -> "TemporalModesExperiment":
        return TemporalModesExperiment(self, device)


class TemporalModesExperiment(SingleNeuronExperiment):
    """Networks, data and measures of `TemporalModes`."""

    panels: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "valid trials": tuple(f"{name}_valid" for name in TITLES),
        "share of bursts": ("spikegan_burst", "bayes_burst", "ml_burst"),
        "discriminator's loss": ("spikegan_discriminator_loss", "bayes_discriminator_loss"),
    }

    recipe: TemporalModes

    def __init__(self, recipe: TemporalModes, device: torch.device) -> None:
        self.patterns = PATTERNS[recipe.modes]
        super().__init__(recipe, device)

    def _discriminator(self, weights: torch.Generator) -> nn.Module:
        return TemporalDiscriminator(
            1, 0, self.recipe.time_steps, layers=((16, 7, 2), (32, 5, 2)), rng=weights
        )

    def monitor(self) -> dict[str, float]:
        """Shares of the modes; trials are kept for Fig. 7."""
        found: dict[str, float] = {}
        drawn = []
        for name in TITLES:
            trains = self._trains(name, 300, salt=2)
            found |= {f"{name}_{key}": value for key, value in self._shares(trains).items()}
            drawn.append(trains[:, :SHOWN])
        self.state.drawn[f"{self.state.updates}"] = torch.stack(drawn).to(torch.uint8)
        return found

    def evaluate(self) -> Results:
        """Shares of the modes and distances to trials that nothing learned from."""
        salt = SALTS[self.recipe.evaluate_on]
        count = self.recipe.synthetic_count
        real = self._real(count, salt)[..., 0]
        drawn = {name: self._trains(name, count, salt + 1) for name in TITLES}
        metrics: dict[str, dict[str, float]] = {
            name: {
                **self._shares(trains),
                "isi_wasserstein": spike_trains.isi_wasserstein(real, trains),
                "mmd": spike_trains.autocorrelation_mmd(real, trains, min(30, len(real))),
            }
            for name, trains in ({"real": self._real(count, salt + 2)[..., 0]} | drawn).items()
        }
        metrics["bayes"]["silent_particles"] = self._silent_particles(salt + 3)
        return Results(metrics, self.figures({"real": real} | drawn))

    def figures(self, trains: Mapping[str, Tensor]) -> dict[str, Figure]:
        """Rasters at the end and, if the training was followed, on the way (Fig. 7)."""
        titles = {"real": "real"} | TITLES
        figures = {
            "raster": plots.raster(
                {titles[name]: spikes[:, :SHOWN] for name, spikes in trains.items()}, "trial"
            )
        }
        if self.state.drawn:
            figures["rasters_over_training"] = plots.raster_grid(
                {
                    title: {f"step {step}": drawn[place] for step, drawn in self._on_the_way().items()}
                    for place, title in enumerate(TITLES.values())
                }
            )
        return figures

    def _on_the_way(self, columns: int = 6) -> dict[str, Tensor]:
        steps = sorted(self.state.drawn, key=int)
        kept = {
            steps[round(place * (len(steps) - 1) / max(columns - 1, 1))] for place in range(columns)
        }
        return {step: self.state.drawn[step] for step in sorted(kept, key=int)}

    def _shares(self, trains: Tensor) -> dict[str, float]:
        """Share of valid trials, and of each mode."""
        modes = spike_trains.mode_of(trains, [(p.spikes, p.silence) for p in self.patterns])
        shares = {p.name: float((modes == k).float().mean()) for k, p in enumerate(self.patterns)}
        return {"valid": float((modes >= 0).float().mean()), **shares}

    def _silent_particles(self, salt: int, trials: int = 50) -> float:
        """Particles that fire at most one run of spikes in most trials."""
        population = self._population
        rng = torch.Generator(self.device).manual_seed(self.recipe.seed + 1000 * salt)
        labels = torch.zeros(trials * population.size, dtype=torch.long, device=self.device)
        spikes = population.sample(labels, population.noise(len(labels), rng)).spikes[..., 0].cpu()
        starts = (spikes[1:] > spikes[:-1]).sum(0).reshape(population.size, trials)
        return float(((starts <= 1).float().mean(1) > 0.5).sum())

    def _real(self, count: int, salt: int) -> Tensor:
        """Trials ``[T, count, 1]``; the data do not depend on the run's seed."""
        rng = torch.Generator().manual_seed(salt)
        recipe = self.recipe
        return firing_modes(count, recipe.time_steps, self.patterns, phase=recipe.phase, rng=rng)[0]
