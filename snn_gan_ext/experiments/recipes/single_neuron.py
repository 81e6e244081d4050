"""What experiments on a single neuron share: three ways to learn its law from the same batches."""

import math
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from snn_gan_ext.algorithms.bayes import BayesSpikeGAN, check_shares
from snn_gan_ext.algorithms.likelihood import MaximumLikelihood
from snn_gan_ext.algorithms.side_by_side import SideBySide, SideBySideState
from snn_gan_ext.algorithms.spikegan import Batch, SpikeGAN
from snn_gan_ext.errors import InputError
from snn_gan_ext.estimators.adversarial import Objective
from snn_gan_ext.estimators.svgd import Kernel
from snn_gan_ext.experiments.recipes.base import Experiment, Recipe
from snn_gan_ext.functional.bases import raised_cosine_basis
from snn_gan_ext.networks.ensembles import Ensemble
from snn_gan_ext.networks.generators import StepResponseGenerator
from snn_gan_ext.settings import at_least, between, check_settings, whole

__all__ = ["SALTS", "TITLES", "SingleNeuron", "SingleNeuronExperiment"]

SALTS = {"validation": 500, "test": 1000}
"""Of the trials that are held out."""
TITLES = {"ml": "maximum likelihood", "spikegan": "SpikeGAN", "bayes": "Bayes-SpikeGAN"}


@dataclass(frozen=True, kw_only=True)
class SingleNeuron(Recipe):
    """Maximum likelihood, SpikeGAN and Bayes-SpikeGAN on the same single neuron and the same batches.

    Attributes:
        time_steps: length T of a trial in time steps.
        trials: trials in the data set.
        window: memory of the neuron's filters in time steps.
        basis_functions: number of raised cosines.
        particles: generators J of Bayes-SpikeGAN, among which a batch is split.
        kernel: how strongly its particles share gradients and repel each other: printed (the paper's,
            of bandwidth 1), median (as wide as they are apart), none.
        kernel_fraction: share of the run, from its start, in which they do.
        prior_std: standard deviation of its Gaussian prior; 0 for an improper constant one.
        shared_std: standard deviation of the initial weights, the same for all particles.
        particle_std: standard deviation of what each particle has beside them.
        bias_init: mean of the initial biases.
        bias_std: their standard deviation.
        normalise_rewards: divide advantages by their standard deviation over a particle's trials.
        advantage_floor: added to that standard deviation.
        objective: reward of both SpikeGANs: log D (non_saturating), -log(1 - D) (saturating) or
            that of Jeffreys' divergence (jeffreys).
        generator_lr: Adam's learning rate for both.
        discriminator_lr: that of their discriminators.
        likelihood_lr: that of maximum likelihood.
        r1: weight of the R1 penalty.
        averaging: decay of the running mean of both SpikeGANs' weights; 0 for none.
        synthetic_count: trials drawn for the evaluation.
    """

    time_steps: int
    trials: int = 10_000
    window: int
    basis_functions: int
    particles: int = 5
    kernel: Kernel = "unit"
    kernel_fraction: float = 1.0
    prior_std: float = 0.0
    shared_std: float = 0.1
    particle_std: float = 0.1
    bias_init: float = 0.0
    bias_std: float = 0.3
    normalise_rewards: bool = True
    advantage_floor: float = 0.05
    objective: Objective = "non_saturating"
    generator_lr: float = 0.05
    discriminator_lr: float = 1e-3
    likelihood_lr: float = 0.05
    r1: float = 0.0
    averaging: float = 0.0
    synthetic_count: int = 2000

    shortest: ClassVar[int] = 1

    def check(self) -> None:
        super().check()
        check_settings(
            self,
            time_steps=whole(self.shortest, 100_000),
            trials=whole(2, 10_000_000),
            window=whole(1, 10_000),
            particles=whole(1, 1000),
            kernel_fraction=between(0, 1),
            prior_std=at_least(0),
            shared_std=at_least(0),
            particle_std=at_least(0),
            bias_std=at_least(0),
            synthetic_count=whole(100),
        )
        check_settings(self, basis_functions=whole(1, self.window))
        check_shares(self.batch, self.particles)

    def filter_basis(self) -> Tensor:
        """Temporal basis ``[K, L]`` of the neuron's filters."""
        return raised_cosine_basis(self.basis_functions, self.window)


class SingleNeuronExperiment(Experiment):
    """Three generators that learn together, and what is drawn from them."""

    state: SideBySideState

    def __init__(self, recipe: SingleNeuron, device: torch.device) -> None:
        self.recipe, self.device = recipe, device
        weights = torch.Generator().manual_seed(recipe.seed)
        networks = {
            "ml": self._neurons(1, weights)[0].to(device),
            "spikegan": self._neurons(1, weights)[0].to(device),
            "bayes": Ensemble(self._neurons(recipe.particles, weights)).to(device),
        }
        self.algorithm, self.state, self.generators = self._learners(networks, weights)
        self.generator = nn.ModuleDict(self.generators)

    @cached_property
    def _data(self) -> Tensor:
        """Trials to learn from, ``[T, trials, 1]``."""
        return self._real(self.recipe.trials, salt=0).to(self.device)

    @abstractmethod
    def _real(self, count: int, salt: int) -> Tensor:
        """Real trials ``[T, count, 1]``; they do not depend on the run's seed."""

    @abstractmethod
    def _discriminator(self, weights: torch.Generator) -> nn.Module:
        """A fresh discriminator of trials."""

    @property
    def _population(self) -> Ensemble:
        population = self.generators["bayes"]
        assert isinstance(population, Ensemble)
        return population

    def _neurons(self, count: int, weights: torch.Generator) -> list[StepResponseGenerator]:
        """Neurons that share a part of their initial weights."""
        recipe = self.recipe
        basis = recipe.filter_basis()
        neurons = [
            StepResponseGenerator(
                1,
                recipe.time_steps,
                basis=basis,
                weight_std=recipe.particle_std,
                bias_init=recipe.bias_init,
                rng=weights,
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

    def _learners(
        self, networks: Mapping[str, nn.Module], weights: torch.Generator
    ) -> tuple[SideBySide, SideBySideState, dict[str, nn.Module]]:
        """Algorithms, their states, and the generators to draw from."""
        recipe = self.recipe
        common: dict[str, Any] = {
            "decode": _as_they_are,
            "updates": recipe.steps,
            "normalise_rewards": recipe.normalise_rewards,
            "advantage_floor": recipe.advantage_floor,
            "objective": recipe.objective,
            "generator_lr": recipe.generator_lr,
            "discriminator_lr": recipe.discriminator_lr,
            "beta2": 0.9,
            "r1": recipe.r1,
            "averaging": recipe.averaging,
            "real_target": 1.0,
        }
        likelihood = MaximumLikelihood(updates=recipe.steps, lr=recipe.likelihood_lr)
        spikegan = SpikeGAN(**common)
        bayes = BayesSpikeGAN(
            **common,
            kernel=recipe.kernel,
            kernel_fraction=recipe.kernel_fraction,
            prior_std=recipe.prior_std or math.inf,
        )

        def discriminator() -> nn.Module:
            return self._discriminator(weights).to(self.device)

        def rng(salt: int) -> torch.Generator:
            return torch.Generator(self.device).manual_seed(recipe.seed + salt)

        ml_state = likelihood.init(networks["ml"], rng(1))
        spikegan_state = spikegan.init(networks["spikegan"], discriminator(), rng(2))
        bayes_state = bayes.init(networks["bayes"], discriminator(), rng(3))
        together = SideBySide({"ml": likelihood, "spikegan": spikegan, "bayes": bayes})
        states = {"ml": ml_state, "spikegan": spikegan_state, "bayes": bayes_state}
        judged = {
            "ml": networks["ml"],
            "spikegan": spikegan_state.averaged,
            "bayes": bayes_state.averaged,
        }
        return together, SideBySideState(states, rng(4)), judged

    def networks(self) -> dict[str, nn.Module]:
        """The single neurons: of maximum likelihood, of SpikeGAN, and each particle."""
        population = self._population
        particles = {f"particle {j}": population.member(j) for j in range(population.size)}
        return {"ml": self.generators["ml"], "spikegan": self.generators["spikegan"], **particles}

    def next_batch(self, rng: torch.Generator) -> Batch:
        """Trials of the data set."""
        size = (self.recipe.batch,)
        picks = torch.randint(self._data.shape[1], size, generator=rng, device=self.device)
        return Batch(self._data[:, picks], torch.zeros_like(picks))

    def labels(self, count: int, label: int | None = None) -> Tensor:
        """Zeros ``[count]``: the trials have no label.

        Raises:
            InputError: if a label is asked for.
        """
        if label is not None:
            raise InputError("label", expected="none, as the trials have no labels", got=f"{label}")
        return torch.zeros(count, dtype=torch.long)

    def sample(self, labels: Tensor, rng: torch.Generator) -> dict[str, Tensor]:
        """Trials of Bayes-SpikeGAN: spikes ``[T, B, 1]``, and which particle each is from."""
        spikes, particles = self._population.draw(labels.to(self.device), rng)
        return {"spikes": spikes.cpu(), "labels": labels, "particles": particles.cpu()}

    def _trains(self, name: str, count: int, salt: int) -> Tensor:
        """ImageSample trials ``[T, count]`` of one generator."""
        rng = torch.Generator(self.device).manual_seed(self.recipe.seed + 1000 * salt)
        labels = torch.zeros(count, dtype=torch.long, device=self.device)
        spikes: Tensor = self.generators[name](labels, rng)
        return spikes[..., 0].cpu()


def _as_they_are(spikes: Tensor) -> Tensor:
    return spikes
