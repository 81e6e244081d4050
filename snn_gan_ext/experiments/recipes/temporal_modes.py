"""One neuron, several firing modes: the SpikeGAN paper's third experiment (section VIII-C, Fig. 7)."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import ClassVar, Literal

import torch
from torch import Tensor

from snn_gan_ext import plots
from snn_gan_ext.algorithms.side_by_side import SideBySideState
from snn_gan_ext.datasets.patterns import BURST, TONIC, Pattern, Phase, firing_modes
from snn_gan_ext.experiments.components import Basis, StepResponse, Temporal
from snn_gan_ext.experiments.evaluation import Evaluation, Figures, Results, Trained, in_one
from snn_gan_ext.experiments.experiment import Experiment
from snn_gan_ext.experiments.recipes.single_neuron import TITLES, SingleNeuronData, arms, trains
from snn_gan_ext.metrics import spike_trains
from snn_gan_ext.networks.ensembles import Ensemble
from snn_gan_ext.rng import stream
from snn_gan_ext.types import setting
from snn_gan_ext.validation import whole

__all__ = ["RECIPES", "FiringModes", "FiringModesEvaluation"]

PATTERNS = {
    "two": (BURST, TONIC),
    "four": (BURST, TONIC, Pattern("plateau", 10, 8), Pattern("regular", 1, 4)),
}
SHOWN = 20


@dataclass(frozen=True, kw_only=True)
class FiringModes(SingleNeuronData):
    """Trials that each keep to one of several firing modes.

    Attributes:
        modes: Two firing modes (burst and tonic) or four.
        phase: Place in its period where a trial begins.
    """

    shortest: ClassVar[int] = 23
    modes: Literal["two", "four"] = "two"
    phase: Phase = "random"

    @property
    def patterns(self) -> tuple[Pattern, ...]:
        """The firing modes."""
        return PATTERNS[self.modes]

    def draw(self, count: int, role: str) -> Tensor:
        rng = stream(0, f"firing modes, {role}")
        return firing_modes(count, self.num_steps, self.patterns, phase=self.phase, rng=rng)[0]


@dataclass(frozen=True, kw_only=True)
class FiringModesEvaluation(Evaluation):
    """Shares of the modes, and distances to trials that nothing learned from.

    Attributes:
        synthetic_count: Number of trials drawn of each sampler.
    """

    panels: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "valid trials": tuple(f"{name}_valid" for name in TITLES),
        "share of bursts": ("spikegan_burst", "bayes_burst", "ml_burst"),
        "discriminator's loss": ("spikegan_discriminator_loss", "bayes_discriminator_loss"),
    }
    synthetic_count: int = setting(2000, whole(100))

    def monitor(self, trainer: Trained) -> dict[str, float]:
        """Shares of the modes; trials are kept for Fig. 7."""
        drawn = {name: trains(trainer, name, 300, "monitor") for name in TITLES}
        state = _state(trainer)
        kept = torch.stack([trials[:, :SHOWN] for trials in drawn.values()])
        state.drawn[f"{state.updates}"] = kept.to(torch.uint8)
        return in_one({name: _shares(trainer, trials) for name, trials in drawn.items()})

    def evaluate(self, trainer: Trained) -> Results:
        """Score all arms beside a second set of real trials."""
        data, split, count = trainer.data_as(FiringModes), trainer.split, self.synthetic_count
        real = data.held_out(split, count)
        drawn = {name: trains(trainer, name, count, f"{split} synthetic") for name in TITLES}
        samplers = {"real": data.held_out(split, count, second=True)} | drawn
        rows = {name: _shares(trainer, trials) for name, trials in samplers.items()}
        for name, trials in samplers.items():
            rows[name]["isi_wasserstein"] = spike_trains.isi_wasserstein(real, trials)
            rows[name]["mmd"] = spike_trains.autocorrelation_mmd(real, trials, min(30, len(real)))
        rows["bayes"]["silent_particles"] = _silent_particles(trainer)
        return Results(rows, self._figures(trainer, {"real": real} | drawn))

    def _figures(self, trainer: Trained, drawn: Mapping[str, Tensor]) -> Figures:
        """Rasters at the end and, if training was followed, on the way (Fig. 7)."""
        titles = {"real": "real"} | TITLES
        shown = {titles[name]: spikes[:, :SHOWN] for name, spikes in drawn.items()}
        figures = {"raster": partial(plots.raster, shown, "trial")}
        kept = _on_the_way(_state(trainer).drawn)
        if kept:
            grid = {
                title: {f"update {update}": spikes[place] for update, spikes in kept.items()}
                for place, title in enumerate(TITLES.values())
            }
            figures["rasters_over_training"] = partial(plots.raster_grid, grid)
        return figures


def _state(trainer: Trained) -> SideBySideState:
    assert isinstance(trainer.state, SideBySideState)
    return trainer.state


def _on_the_way(drawn: Mapping[str, Tensor], columns: int = 6) -> dict[str, Tensor]:
    updates = sorted(drawn, key=int)
    places = {round(k * (len(updates) - 1) / (columns - 1)) for k in range(columns if updates else 0)}
    return {updates[place]: drawn[updates[place]] for place in sorted(places)}


def _shares(trainer: Trained, trials: Tensor) -> dict[str, float]:
    """Share of valid trials, and of each mode."""
    patterns = trainer.data_as(FiringModes).patterns
    modes = spike_trains.mode_of(trials, [(p.spikes, p.silence) for p in patterns])
    shares = {p.name: float((modes == k).float().mean()) for k, p in enumerate(patterns)}
    return {"valid": float((modes >= 0).float().mean()), **shares}


def _silent_particles(trainer: Trained, trials: int = 50) -> float:
    """Particles that fire at most one run of spikes in most trials."""
    ensemble = trainer.generators["bayes"]
    assert isinstance(ensemble, Ensemble)
    noise = ensemble.noise(trials * ensemble.size, trainer.stream("silent particles"))
    spikes = ensemble.sample(None, noise).spikes[..., 0].cpu()
    bursts = (spikes[1:] > spikes[:-1]).sum(0).reshape(ensemble.size, trials)
    return float(((bursts <= 1).float().mean(1) > 0.5).sum())


TEMPORAL_MODES = Experiment(
    name="temporal-modes",
    batch=160,
    monitor_every=250,
    data=FiringModes(),
    **arms(
        StepResponse(basis=Basis(kind="raised_cosine", functions=5, window=30)),
        Temporal(layers=((16, 7, 2), (32, 5, 2))),
        updates=1500,
        generator_lr=0.05,
        discriminator_lr=1e-3,
        r1=0.0,
    ),
    evaluation=FiringModesEvaluation(),
)
RECIPES = (TEMPORAL_MODES,)
