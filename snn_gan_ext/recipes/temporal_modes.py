"""One neuron, several firing modes: the SpikeGAN paper's third experiment (section VIII-C, Fig. 7)."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from snn_gan_ext import plots
from snn_gan_ext.core.bases import identity_basis, raised_cosine_basis
from snn_gan_ext.data.patterns import BURST, TONIC, Pattern, Phase, firing_modes
from snn_gan_ext.errors import InputError
from snn_gan_ext.learning.svgd import Kernel
from snn_gan_ext.metrics import spike_trains
from snn_gan_ext.networks.discriminators import TemporalDiscriminator
from snn_gan_ext.networks.generators import StepResponseGenerator
from snn_gan_ext.networks.population import Population
from snn_gan_ext.recipes.base import Experiment, Recipe, Results
from snn_gan_ext.training.bayes import BayesSpikeGAN
from snn_gan_ext.training.likelihood import MaximumLikelihood
from snn_gan_ext.training.spikegan import Batch, SpikeGAN
from snn_gan_ext.training.together import Together, TogetherState

__all__ = ["TemporalModes", "TemporalModesExperiment"]

PATTERNS = {
    "two": (BURST, TONIC),
    "four": (BURST, TONIC, Pattern("plateau", 10, 8), Pattern("regular", 1, 4)),
}
TITLES = {"ml": "maximum likelihood", "spikegan": "SpikeGAN", "bayes": "Bayes-SpikeGAN"}
SHOWN = 20


@dataclass(frozen=True, kw_only=True)
class TemporalModes(Recipe):
    """Maximum likelihood, SpikeGAN and Bayes-SpikeGAN on the same single neuron and the same batches.

    Attributes:
        time_steps: length T of a trial in time steps.
        modes: two firing modes (burst and tonic) or four.
        phase: where in its period a trial begins.
        trials: trials in the data set.
        window: memory of the neuron's filters in time steps.
        basis: raised cosines, or one free weight for each lag.
        basis_functions: number of raised cosines.
        particles: generators J of Bayes-SpikeGAN, among which a batch is split.
        kernel: how its particles hear of each other.
        kernel_fraction: share of the run in which they do.
        prior_std: standard deviation of its Gaussian prior; 0 for an improper constant one.
        shared_std: standard deviation of the initial weights, the same for all particles.
        particle_std: standard deviation of what each particle has beside them.
        bias_std: standard deviation of the initial biases around -1.
        normalise_rewards: divide advantages by their standard deviation over a particle's trials.
        advantage_floor: added to that standard deviation.
        generator_lr: Adam's learning rate for both SpikeGANs.
        discriminator_lr: that of their discriminators.
        likelihood_lr: that of maximum likelihood.
        r1: weight of the R1 penalty.
        synthetic_count: trials drawn for the evaluation.
    """

    name: ClassVar[str] = "temporal-modes"
    summary: ClassVar[str] = "one neuron, two firing modes: likelihood, SpikeGAN and Bayes-SpikeGAN"

    steps: int = 1500
    batch: int = 160
    monitor_every: int = 250
    time_steps: int = 50
    modes: Literal["two", "four"] = "two"
    phase: Phase = "random"
    trials: int = 10_000
    window: int = 30
    basis: Literal["raised_cosine", "identity"] = "raised_cosine"
    basis_functions: int = 5
    particles: int = 5
    kernel: Kernel = "printed"
    kernel_fraction: float = 1.0
    prior_std: float = 0.0
    shared_std: float = 0.1
    particle_std: float = 0.1
    bias_std: float = 0.3
    normalise_rewards: bool = True
    advantage_floor: float = 0.05
    generator_lr: float = 0.05
    discriminator_lr: float = 1e-3
    likelihood_lr: float = 0.05
    r1: float = 0.0
    synthetic_count: int = 2000

    def check(self) -> None:
        super().check()
        for name in ("shared_std", "particle_std", "bias_std", "prior_std"):
            if getattr(self, name) < 0:
                raise InputError(name, expected="0 or more", got=f"{getattr(self, name)}")
        if self.basis_functions < 1:
            raise InputError("basis_functions", expected="at least 1", got=f"{self.basis_functions}")
        if not 0 <= self.kernel_fraction <= 1:
            raise InputError("kernel_fraction", expected="0 .. 1", got=f"{self.kernel_fraction}")
        least = {"trials": 2, "window": 1, "particles": 1, "time_steps": 23, "synthetic_count": 100}
        for name, smallest in least.items():
            if getattr(self, name) < smallest:
                raise InputError(name, expected=f"at least {smallest}", got=f"{getattr(self, name)}")
        if self.batch % self.particles or self.batch < 2 * self.particles:
            raise InputError(
                "batch",
                expected=f"a multiple of the {self.particles} particles, two trials each or more",
                got=f"{self.batch}",
            )

    def _build(self, device: torch.device) -> "TemporalModesExperiment":
        return TemporalModesExperiment(self, device)


class TemporalModesExperiment(Experiment):
    """Networks, data and measures of `TemporalModes`."""

    panels: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "valid trials": tuple(f"{name}_valid" for name in TITLES),
        "share of bursts": ("spikegan_burst", "bayes_burst", "ml_burst"),
        "discriminator's loss": ("spikegan_discriminator_loss", "bayes_discriminator_loss"),
    }

    state: TogetherState

    def __init__(self, recipe: TemporalModes, device: torch.device) -> None:
        self.recipe, self.device = recipe, device
        self.patterns = PATTERNS[recipe.modes]
        self._data = self._real(recipe.trials, salt=0).to(device)
        weights = torch.Generator().manual_seed(recipe.seed)
        self.generators = {
            "ml": self._neurons(1, weights)[0].to(device),
            "spikegan": self._neurons(1, weights)[0].to(device),
            "bayes": Population(self._neurons(recipe.particles, weights)).to(device),
        }
        self.generator = nn.ModuleDict(self.generators)
        self.algorithm, self.state = self._learners(weights)

    @property
    def _population(self) -> Population:
        population = self.generators["bayes"]
        assert isinstance(population, Population)
        return population

    def _neurons(self, count: int, weights: torch.Generator) -> list[StepResponseGenerator]:
        """Neurons that share a part of their initial weights."""
        recipe = self.recipe
        if recipe.basis == "identity":
            basis = identity_basis(recipe.window)
        else:
            basis = raised_cosine_basis(recipe.basis_functions, recipe.window)
        neurons = [
            StepResponseGenerator(
                1, recipe.time_steps, basis=basis, weight_std=recipe.particle_std, generator=weights
            )
            for _ in range(count)
        ]
        shared: dict[str, Tensor] = {}
        for neuron in neurons:
            for name, parameter in neuron.named_parameters():
                if name.endswith("bias"):
                    offset = recipe.bias_std * torch.randn(parameter.shape, generator=weights)
                else:
                    drawn = recipe.shared_std * torch.randn(parameter.shape, generator=weights)
                    offset = shared.setdefault(name, drawn)
                parameter.data += offset
        return neurons

    def _learners(self, weights: torch.Generator) -> tuple[Together, TogetherState]:
        recipe = self.recipe
        common: dict[str, Any] = {
            "decode": _as_they_are,
            "steps": recipe.steps,
            "normalise_rewards": recipe.normalise_rewards,
            "advantage_floor": recipe.advantage_floor,
            "generator_lr": recipe.generator_lr,
            "discriminator_lr": recipe.discriminator_lr,
            "beta2": 0.9,
            "r1": recipe.r1,
            "real_target": 1.0,
        }
        likelihood = MaximumLikelihood(steps=recipe.steps, lr=recipe.likelihood_lr)
        spikegan = SpikeGAN(**common)
        prior_std = recipe.prior_std or math.inf
        bayes = BayesSpikeGAN(
            **common,
            kernel=recipe.kernel,
            kernel_fraction=recipe.kernel_fraction,
            prior_std=prior_std,
        )

        def discriminator() -> nn.Module:
            return TemporalDiscriminator(
                1, 0, recipe.time_steps, layers=((16, 7, 2), (32, 5, 2)), generator=weights
            ).to(self.device)

        def rng(salt: int) -> torch.Generator:
            return torch.Generator(self.device).manual_seed(recipe.seed + salt)

        states = {
            "ml": likelihood.init(self.generators["ml"], rng(1)),
            "spikegan": spikegan.init(self.generators["spikegan"], discriminator(), rng(2)),
            "bayes": bayes.init(self.generators["bayes"], discriminator(), rng(3)),
        }
        together = Together({"ml": likelihood, "spikegan": spikegan, "bayes": bayes})
        return together, TogetherState(states, rng(4))

    def networks(self) -> dict[str, nn.Module]:
        """The single neurons: of maximum likelihood, of SpikeGAN, and each particle."""
        population = self._population
        particles = {f"particle {j}": population.member(j) for j in range(population.size)}
        return {"ml": self.generators["ml"], "spikegan": self.generators["spikegan"], **particles}

    def next_batch(self, rng: torch.Generator) -> Batch:
        """Trials of the data set, in whichever mode."""
        size = (self.recipe.batch,)
        picks = torch.randint(self._data.shape[1], size, generator=rng, device=self.device)
        return Batch(self._data[:, picks], torch.zeros_like(picks))

    def labels(self, count: int, label: int | None = None) -> Tensor:
        """Zeros ``[count]``: the trials have no label.

        Raises:
            InputError: if a label is asked for.
        """
        if label is not None:
            raise InputError("label", expected="none, as the modes are not labelled", got=f"{label}")
        return torch.zeros(count, dtype=torch.long)

    def sample(self, labels: Tensor, rng: torch.Generator) -> dict[str, Tensor]:
        """Trials of Bayes-SpikeGAN: spikes ``[T, B, 1]``, and which particle each is from."""
        spikes, particles = self._population.draw(labels.to(self.device), rng)
        return {"spikes": spikes.cpu(), "labels": labels, "particles": particles.cpu()}

    def monitor(self) -> dict[str, float]:
        """Shares of the modes; trials are kept for Fig. 7."""
        found: dict[str, float] = {}
        drawn = []
        for name in TITLES:
            trains = self._trains(name, 300, salt=2)
            found |= {f"{name}_{key}": value for key, value in self._shares(trains).items()}
            drawn.append(trains[:, :SHOWN])
        self.state.drawn[f"{self.state.step}"] = torch.stack(drawn).to(torch.uint8)
        return found

    def evaluate(self) -> Results:
        """Shares of the modes and distances to trials that nothing learned from."""
        salt = 1000 if self.recipe.evaluate_on == "test" else 500
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

    def _trains(self, name: str, count: int, salt: int) -> Tensor:
        rng = torch.Generator(self.device).manual_seed(self.recipe.seed + 1000 * salt)
        labels = torch.zeros(count, dtype=torch.long, device=self.device)
        spikes: Tensor = self.generators[name](labels, rng)
        return spikes[..., 0].cpu()

    def _real(self, count: int, salt: int) -> Tensor:
        """Trials ``[T, count, 1]``; the data do not depend on the run's seed."""
        rng = torch.Generator().manual_seed(salt)
        recipe = self.recipe
        return firing_modes(count, recipe.time_steps, self.patterns, phase=recipe.phase, generator=rng)[
            0
        ]


def _as_they_are(spikes: Tensor) -> Tensor:
    return spikes
