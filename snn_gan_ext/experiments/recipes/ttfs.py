"""Digits named by the first spike: relative and aggressive targets side by side."""

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from snn_gan_ext import plots
from snn_gan_ext.algorithms.side_by_side import SideBySide, SideBySideState
from snn_gan_ext.algorithms.temporal_backprop import FiringTimes, Targets, TemporalBackprop
from snn_gan_ext.coding.augment import random_affine
from snn_gan_ext.coding.images import Labelled
from snn_gan_ext.coding.latency import latency_encode
from snn_gan_ext.datasets.digits import DigitSplits, load_digits
from snn_gan_ext.datasets.mnist import find_mnist, load_mnist
from snn_gan_ext.errors import InputError
from snn_gan_ext.experiments.loop import TrainingState
from snn_gan_ext.experiments.recipes.base import Experiment, Recipe, Results
from snn_gan_ext.functional.ttfs import StepSpikes, spikes_of
from snn_gan_ext.metrics import first_spikes
from snn_gan_ext.networks.ttfs import TTFSClassifier
from snn_gan_ext.settings import between, check_settings, whole

__all__ = ["TTFSMNIST", "TTFSDigits", "TTFSExperiment", "TTFSRecipe"]

CLASSES = 10
TARGETS: tuple[Targets, ...] = ("relative", "aggressive")
LARGEST_WINDOW = 4096


@dataclass(frozen=True, kw_only=True)
class TTFSRecipe(Recipe):
    """Two networks that differ in their targets alone, trained on the same batches.

    Attributes:
        window: length T of a trial in time steps.
        hidden: hidden neurons.
        margin: steps by which the other outputs should come later.
        deadline: step by which the label's output should fire, with aggressive targets.
        lr: Adam's learning rate.
        least_active: hidden neurons that fire in a smaller share of a batch are helped.
        boost: added to all weights of such a neuron.
        degrees: training images are turned by up to this angle,
        scale: made larger or smaller by up to this share,
        shift: and shifted by up to so many pixels.
    """

    batch: int = 64
    window: int = 64
    hidden: int = 400
    margin: float = 10.0
    deadline: float = 14.0
    lr: float = 3e-3
    least_active: float = 0.05
    boost: float = 2e-3
    degrees: float = 10.0
    scale: float = 0.1
    shift: int = 1

    def check(self) -> None:
        super().check()
        check_settings(
            self,
            window=whole(2, LARGEST_WINDOW),
            hidden=whole(1, 100_000),
            shift=whole(0, 4),
            degrees=between(0, 180),
            scale=between(0, 1, closed="left"),
        )
        for targets in TARGETS:
            self.algorithm(targets)

    def algorithm(self, targets: Targets) -> TemporalBackprop:
        """The learning algorithm with these targets."""
        return TemporalBackprop(
            updates=self.steps,
            window=self.window,
            targets=targets,
            margin=self.margin,
            deadline=self.deadline,
            lr=self.lr,
            least_active=self.least_active,
            boost=self.boost,
        )

    @abstractmethod
    def load(self) -> DigitSplits:
        """The digits."""

    def _build(self, device: torch.device) -> "TTFSExperiment":
        return TTFSExperiment(self, device)


@dataclass(frozen=True, kw_only=True)
class TTFSDigits(TTFSRecipe):
    """The 8 x 8 digits that scikit-learn ships."""

    name: ClassVar[str] = "ttfs-digits"
    summary: ClassVar[str] = "time-to-first-spike classifiers on 8 x 8 digits, relative and aggressive"

    steps: int = 3000
    hidden: int = 200
    degrees: float = 0.0
    scale: float = 0.0
    shift: int = 0

    def load(self) -> DigitSplits:
        return load_digits()


@dataclass(frozen=True, kw_only=True)
class TTFSMNIST(TTFSRecipe):
    """MNIST.

    Attributes:
        data: a .npz file with ``images`` and ``labels``, or Keras's; by default ``mnist/mnist8k.npz``
            in the folder that the environment variable SNN_GAN_EXT_DATA names.
        download: let scikit-learn fetch MNIST from OpenML instead.
        side: height and width of an image: 28, or 14.
    """

    name: ClassVar[str] = "ttfs-mnist"
    whereabouts: ClassVar[tuple[str, ...]] = ("data", "download")
    summary: ClassVar[str] = "time-to-first-spike classifiers on MNIST, relative and aggressive"

    steps: int = 12_000
    monitor_every: int = 2000
    checkpoint_every: int = 2000
    data: str = ""
    download: bool = False
    side: int = 28

    def load(self) -> DigitSplits:
        return load_mnist(find_mnist(self.data, self.download), self.side)


class TTFSExperiment(Experiment):
    """Networks, data and measures of a `TTFSRecipe`."""

    panels: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "strict accuracy, validation": tuple(f"{name}_strict_accuracy" for name in TARGETS),
        "latency, share of the window": tuple(f"{name}_latency" for name in TARGETS),
        "spikes to the decision": tuple(f"{name}_spikes_to_decision" for name in TARGETS),
    }

    state: SideBySideState

    def __init__(self, recipe: TTFSRecipe, device: torch.device) -> None:
        self.recipe, self.device = recipe, device
        self.splits = recipe.load()
        self._images = self.splits.train.images.to(device)
        self._labels = self.splits.train.labels.to(device)
        self.classifiers: dict[str, nn.Module] = {name: self._network() for name in TARGETS}
        self.generator = nn.ModuleDict(self.classifiers)
        algorithms: dict[str, Any] = {name: recipe.algorithm(name) for name in TARGETS}
        self.algorithm = SideBySide(algorithms)
        states: dict[str, TrainingState] = {
            name: algorithm.init(self.classifiers[name], self._rng(1))
            for name, algorithm in algorithms.items()
        }
        self.state = SideBySideState(states, self._rng(2))

    def fingerprint(self) -> str:
        """Of all digits."""
        return self.splits.fingerprint()

    def _network(self) -> TTFSClassifier:
        """A network; the same initial weights each time."""
        return TTFSClassifier(
            self.splits.train.images.shape[1],
            CLASSES,
            self.recipe.window,
            hidden=self.recipe.hidden,
            rng=torch.Generator().manual_seed(self.recipe.seed),
        ).to(self.device)

    def networks(self) -> dict[str, nn.Module]:
        """None: these are no networks of GLM layers."""
        return {}

    def next_batch(self, rng: torch.Generator) -> FiringTimes:
        """Training digits, moved a little, as firing times."""
        recipe = self.recipe
        size = (recipe.batch,)
        picks = torch.randint(len(self._labels), size, generator=rng, device=self.device)
        images = random_affine(
            self._images[picks],
            degrees=recipe.degrees,
            scale=recipe.scale,
            shift=recipe.shift,
            rng=rng,
        )
        return FiringTimes(latency_encode(images, recipe.window), self._labels[picks])

    def monitor(self) -> dict[str, float]:
        """The measures on the validation split."""
        return {
            f"{name}_{key}": value
            for name in TARGETS
            for key, value in self._decisions(name, self.splits.validation).items()
        }

    def evaluate(self) -> Results:
        """The measures of both on the recipe's split, and what aggressive targets save."""
        real = self.splits.held_out(self.recipe.evaluate_on)
        found: dict[str, dict[str, float]] = {name: self._decisions(name, real) for name in TARGETS}
        saved = {
            f"{name}_saved": 1 - found["aggressive"][key] / found["relative"][key]
            for name, key in (
                ("latency", "latency"),
                ("spikes_to_decision", "spikes_to_decision"),
                ("spikes_full", "spikes_full"),
            )
            if found["relative"][key] > 0
        }
        return Results({**found, **saved}, self.figures(real))

    def figures(self, real: Labelled) -> dict[str, Figure]:
        """Hidden and output spikes of one digit in both networks, and when they decide."""
        one = Labelled(real.images[:1], real.labels[:1])
        trials = {
            f"{name} targets": torch.cat(
                [spikes_of(layer.times, self.recipe.window)[:, 0] for layer in self._fire(name, one)], 1
            )
            for name in TARGETS
        }
        decided = {
            f"{name} targets": self._fire(name, real)[-1].times.min(1).values for name in TARGETS
        }
        title = "neuron (the last ten are outputs)"
        return {
            "raster": plots.raster(trials, title),
            "decisions": plots.histogram(decided, self.recipe.window, "first output spike, time step"),
        }

    def sample(self, labels: Tensor, rng: torch.Generator) -> dict[str, Tensor]:
        """Nothing: classifiers draw nothing.

        Raises:
            InputError: always.
        """
        raise InputError(
            "sample",
            expected="a run with a generator",
            got=f"recipe {self.recipe.name!r}, whose networks name digits",
            cure="train spiking-gan-digits or spiking-gan-mnist",
        )

    def labels(self, count: int, label: int | None = None) -> Tensor:
        """As `sample`."""
        return torch.zeros(count, dtype=torch.long)

    @torch.no_grad()
    def _fire(self, name: str, data: Labelled) -> list[StepSpikes]:
        times = latency_encode(data.images.to(self.device), self.recipe.window)
        fired: list[StepSpikes] = self.classifiers[name](times)
        return [StepSpikes(times.cpu(), potentials.cpu()) for times, potentials in fired]

    def _decisions(self, name: str, data: Labelled) -> dict[str, float]:
        hidden, outputs = self._fire(name, data)
        return first_spikes.decisions(
            hidden.times, outputs.times, outputs.potentials, data.labels, self.recipe.window
        )

    def _rng(self, salt: int) -> torch.Generator:
        return torch.Generator(self.device).manual_seed(self.recipe.seed + salt)
