"""The scorecard: a table of samplers and measures, the same for all experiments."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias, TypeVar

import torch
from torch import Tensor, nn
from tqdm import tqdm

from snn_gan_ext import plots
from snn_gan_ext.datasets.digits import Split
from snn_gan_ext.errors import InputError
from snn_gan_ext.experiments.components import Data
from snn_gan_ext.experiments.settings import Settings
from snn_gan_ext.networks.ensembles import Ensemble
from snn_gan_ext.networks.glm import NetworkGenerator
from snn_gan_ext.rng import stream, stream_seed
from snn_gan_ext.types import TrainingState

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Evaluation", "Figures", "Results", "Trained", "in_one", "population_figures"]

D = TypeVar("D", bound=Data)
T = TypeVar("T")
Figures: TypeAlias = Mapping[str, Callable[[], "Figure"]]
"""Functions that draw pictures, by file name without ending; a failure there loses no numbers."""


@dataclass(frozen=True)
class Results:
    """Outcome of an evaluation.

    Attributes:
        samplers: Numbers by sampler and measure: ``real`` (a second real set, the ceiling), the
            references without a network, and the trained generators.
        figures: Functions that draw pictures, by file name without ending.
        others: Numbers that belong to no sampler, by name.
    """

    samplers: Mapping[str, Mapping[str, float]]
    figures: Figures = field(default_factory=dict)
    others: Mapping[str, Any] = field(default_factory=dict)


def in_one(rows: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """Return the numbers of several samplers in one row, as ``SAMPLER_MEASURE``."""
    return {f"{name}_{key}": value for name, row in rows.items() for key, value in row.items()}


def population_figures(sources: Mapping[str, Tensor], width: float) -> Figures:
    """Return pictures of the real set and another one: rasters, correlations, counts, intervals.

    Args:
        sources: Spikes ``[T, B, N]`` by title, the real ones first.
        width: Width of a bin in seconds.
    """
    return {
        "rasters": partial(plots.raster, {k: x[:, 0] for k, x in sources.items()}, "unit"),
        "populations": partial(plots.populations, dict(sources), width),
    }


class Trained:
    """Trained networks, as an evaluation uses them; `Trainer` is one.

    Attributes:
        data: Real trials.
        device: Device of the networks.
        seed: Seed of all randomness in the run.
        split: Split of the final evaluation.
        label: Name of the experiment's own generator.
        learner: Its learning algorithm.
        state: Training state.
        generators: Networks to draw from, by arm; kept in ``generator.safetensors``.
        progress: Show a progress bar of an evaluation on a terminal.
    """

    data: Data
    device: torch.device
    seed: int
    split: Split
    label: str
    learner: Any
    state: TrainingState
    generators: nn.ModuleDict
    progress: bool = False

    def each(self, parts: Iterable[T]) -> Iterable[T]:
        """Go through parts of an evaluation, with a progress bar."""
        shown = None if self.progress else True  # None disables it where there is no terminal
        bar: Iterable[T] = tqdm(parts, "evaluating", disable=shown, leave=False)
        return bar

    @property
    def generator(self) -> nn.Module:
        """The experiment's own generator, to draw from."""
        return self.generators[self.label]

    def data_as(self, kind: type[D]) -> D:
        """Return the experiment's data, which an evaluation needs to be of a kind.

        Raises:
            InputError: If they are of another kind.
        """
        if not isinstance(self.data, kind):
            raise InputError("data", expected=kind.__name__, got=type(self.data).__name__)
        return self.data

    def stream(self, role: str, device: torch.device | str | None = None) -> torch.Generator:
        """Return the run's random source of a role, by default on the networks' device."""
        return stream(self.seed, role, self.device if device is None else device)

    def seed_of(self, role: str) -> int:
        """Return the run's seed of a role, for classifiers and the like."""
        return stream_seed(self.seed, role)

    def sample(self, labels: Tensor | int, rng: torch.Generator) -> dict[str, Tensor]:
        """Draw trials of the experiment's own generator; see `Evaluation.sample`."""
        network, here = self.generator, self._here(labels)
        labelled = {"labels": labels} if isinstance(labels, Tensor) else {}
        if isinstance(network, Ensemble):
            spikes, members = network.draw(here, rng)
            return {"spikes": spikes.cpu(), **labelled, "particles": members.cpu()}
        if not isinstance(network, NetworkGenerator):
            kind, cure = type(network).__name__, "train spiking-gan-digits or spiking-gan-mnist"
            raise InputError("sample", expected="a run with a generator", got=kind, cure=cure)
        return {"spikes": network(here, rng).cpu(), **labelled}

    def draw(self, name: str, labels: Tensor | int, rng: torch.Generator) -> Tensor:
        """Draw spikes ``[T, B, ...]`` of one arm's generator, on the CPU."""
        if rng.device.type != self.device.type:
            there = int(torch.randint(2**31, (1,), generator=rng, device=rng.device))
            rng = torch.Generator(self.device).manual_seed(there)
        spikes: Tensor = self.generators[name](self._here(labels), rng)
        return spikes.cpu()

    def _here(self, labels: Tensor | int) -> Tensor | int:
        return labels.to(self.device) if isinstance(labels, Tensor) else labels


@dataclass(frozen=True, kw_only=True)
class Evaluation(Settings, ABC):
    """Measures of trained generators; subclasses are frozen dataclasses of settings.

    Attributes:
        panels: Logged metrics that the learning curves show, by the panel's title.
    """

    panels: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "losses": ("discriminator_loss", "r1_penalty"),
        "signal": ("reward", "real_logit", "fake_logit"),
        "train on synthetic, test on real": ("validation_tstr",),
    }

    @abstractmethod
    def monitor(self, trainer: Trained) -> dict[str, float]:
        """Evaluate quickly, on the validation split, while training."""

    @abstractmethod
    def evaluate(self, trainer: Trained) -> Results:
        """Evaluate in full, on the experiment's split."""

    def sample(self, trainer: Trained, labels: Tensor | int, rng: torch.Generator) -> dict[str, Tensor]:
        """Draw trials of the trained generator.

        Args:
            trainer: Trained networks.
            labels: Labels ``[B]``, or the number of trials without labels.
            rng: Random source, on the trainer's device.

        Returns:
            ``spikes [T, B, ...]``; ``labels [B]`` where there are some; ``particles [B]``, the
            members that draw them, for an ensemble.
        """
        return trainer.sample(labels, rng)
