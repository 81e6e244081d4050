"""Spiking-GAN: both sides made of neurons that spike at most once (the Spiking-GAN paper)."""

from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, ClassVar

import torch
from matplotlib.figure import Figure
from sklearn.neural_network import MLPClassifier
from torch import Tensor, nn

from snn_gan_ext import plots
from snn_gan_ext.algorithms.image_gan import ImageGAN
from snn_gan_ext.algorithms.side_by_side import SideBySide, SideBySideState
from snn_gan_ext.coding.images import Labelled
from snn_gan_ext.datasets.digits import DigitSplits, load_digits
from snn_gan_ext.datasets.mnist import find_mnist, load_mnist
from snn_gan_ext.errors import InputError
from snn_gan_ext.experiments.loop import TrainingState
from snn_gan_ext.experiments.recipes.base import Experiment, Recipe, Results, digit_labels
from snn_gan_ext.metrics import classifiers, distributions, images, references
from snn_gan_ext.networks.discriminators import MLPDiscriminator
from snn_gan_ext.networks.images import MLPGenerator
from snn_gan_ext.networks.ttfs import OnOffDiscriminator, TTFSGenerator
from snn_gan_ext.settings import at_least, check_settings, whole

__all__ = [
    "SpikingGANDigits",
    "SpikingGANExperiment",
    "SpikingGANMNIST",
    "SpikingGANMNISTSmall",
    "SpikingGANRecipe",
]

CLASSES = 10
SIDES = {64: 8, 196: 14, 784: 28}
TICKS = 48
"""Steps into which the window is divided for spike trains: 32 of them for the pixels."""

Sampler = Callable[[Tensor], Tensor]
"""Draws images ``[B, N]`` for labels ``[B]``."""
Floor = Callable[[Tensor, int, int], Tensor]
"""Draws so many images from real ones ``[B, N]``, with a seed."""


@dataclass(frozen=True, kw_only=True)
class SpikingGANRecipe(Recipe):
    """A GAN of neurons that spike at most once, and one of ordinary neurons on the same batches.

    Attributes:
        conditional: draw digits of a given label; else any digit.
        latents: random inputs of both generators.
        hidden: hidden neurons of both generators.
        discriminator_hidden: hidden neurons of both discriminators.
        discriminator_init: scale of its hidden neurons' initial weights.
        generator_lr: Adam's learning rate for the spiking generator.
        discriminator_lr: that of its discriminator.
        r1: weight of the R1 penalty.
        sparsity: weight of the hidden neurons' activity.
        averaging: decay of the running mean of the generators' weights.
        ann_lr: Adam's learning rate for both ordinary networks.
        ann_r1: weight of their R1 penalty.
        synthetic_count: images drawn for the evaluation.
    """

    batch: int = 64
    monitor_every: int = 1000
    checkpoint_every: int = 1000
    conditional: bool = True
    latents: int = 32
    hidden: int = 128
    discriminator_hidden: int = 192
    discriminator_init: float = 3.0
    generator_lr: float = 1e-3
    discriminator_lr: float = 2e-3
    r1: float = 0.5
    sparsity: float = 0.0
    averaging: float = 0.995
    ann_lr: float = 1e-3
    ann_r1: float = 0.5
    synthetic_count: int = 3000

    def check(self) -> None:
        super().check()
        check_settings(
            self,
            latents=whole(1, 10_000),
            hidden=whole(1, 100_000),
            discriminator_hidden=whole(1, 100_000),
            discriminator_init=at_least(0),
            ann_lr=at_least(0),
            ann_r1=at_least(0),
            synthetic_count=whole(10 * CLASSES, 1_000_000),
        )
        self.algorithms()

    def algorithms(self) -> dict[str, ImageGAN]:
        """The learning algorithm of the spiking and of the ordinary GAN."""
        common: dict[str, Any] = {"updates": self.steps, "averaging": self.averaging}
        return {
            "spiking": ImageGAN(
                **common,
                generator_lr=self.generator_lr,
                discriminator_lr=self.discriminator_lr,
                r1=self.r1,
                sparsity=self.sparsity,
            ),
            "ann": ImageGAN(
                **common,
                generator_lr=self.ann_lr,
                discriminator_lr=self.ann_lr,
                r1=self.ann_r1,
            ),
        }

    @property
    @abstractmethod
    def pixels(self) -> int:
        """Pixels of an image."""

    @abstractmethod
    def load(self) -> DigitSplits:
        """The digits."""

    def _build(self, device: torch.device) -> "SpikingGANExperiment":
        return SpikingGANExperiment(self, device)


@dataclass(frozen=True, kw_only=True)
class SpikingGANDigits(SpikingGANRecipe):
    """The 8 x 8 digits that scikit-learn ships."""

    name: ClassVar[str] = "spiking-gan-digits"
    summary: ClassVar[str] = "Spiking-GAN (one spike a neuron) on 8 x 8 digits"

    steps: int = 3000
    r1: float = 1.0

    @property
    def pixels(self) -> int:
        return 64

    def load(self) -> DigitSplits:
        return load_digits()


@dataclass(frozen=True, kw_only=True)
class SpikingGANMNIST(SpikingGANRecipe):
    """MNIST, 28 x 28 pixels.

    Attributes:
        data: a .npz file with ``images`` and ``labels``, or Keras's; by default ``mnist/mnist8k.npz``
            in the folder that the environment variable SNN_GAN_EXT_DATA names.
        download: let scikit-learn fetch MNIST from OpenML instead.
    """

    name: ClassVar[str] = "spiking-gan-mnist"
    summary: ClassVar[str] = "Spiking-GAN (one spike a neuron) on MNIST, 28 x 28 pixels"
    side: ClassVar[int] = 28
    whereabouts: ClassVar[tuple[str, ...]] = ("data", "download")

    steps: int = 5000
    discriminator_init: float = 1.0
    generator_lr: float = 2e-3
    discriminator_lr: float = 1e-3
    r1: float = 2.0
    data: str = ""
    download: bool = False

    @property
    def pixels(self) -> int:
        return self.side**2

    def load(self) -> DigitSplits:
        return load_mnist(find_mnist(self.data, self.download), self.side)


@dataclass(frozen=True, kw_only=True)
class SpikingGANMNISTSmall(SpikingGANMNIST):
    """MNIST, four pixels made one: 14 x 14."""

    name: ClassVar[str] = "spiking-gan-mnist-small"
    summary: ClassVar[str] = "Spiking-GAN (one spike a neuron) on MNIST, 14 x 14 pixels"
    side: ClassVar[int] = 14

    steps: int = 6000
    discriminator_init: float = 3.0
    generator_lr: float = 1e-3
    discriminator_lr: float = 2e-3
    r1: float = 0.5


class SpikingGANExperiment(Experiment):
    """Networks, data and measures of a `SpikingGANRecipe`."""

    panels: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "discriminator's loss": ("spiking_discriminator_loss", "ann_discriminator_loss"),
        "logits": ("spiking_real_logit", "spiking_fake_logit"),
        "Frechet distance, validation": ("spiking_frechet", "ann_frechet"),
    }

    state: SideBySideState

    def __init__(self, recipe: SpikingGANRecipe, device: torch.device) -> None:
        self.recipe, self.device = recipe, device
        weights = torch.Generator().manual_seed(recipe.seed)
        algorithms: dict[str, Any] = {**recipe.algorithms()}
        states = {
            name: algorithm.init(*self._networks(name, weights), self._rng(1 + salt))
            for salt, (name, algorithm) in enumerate(algorithms.items())
        }
        self.generators: dict[str, nn.Module] = {name: s.averaged for name, s in states.items()}
        self.generator = nn.ModuleDict(self.generators)
        self.algorithm = SideBySide(algorithms)
        training: dict[str, TrainingState] = {**states}
        self.state = SideBySideState(training, self._rng(3))

    def prepare(self) -> None:
        """Loads the digits, so that missing ones are missed before anything is written."""
        _ = self._train

    def fingerprint(self) -> str:
        """Of all digits."""
        return self.splits.fingerprint()

    @cached_property
    def splits(self) -> DigitSplits:
        """The digits; loaded when first needed, as samples need none."""
        return self.recipe.load()

    @cached_property
    def _train(self) -> Labelled:
        """Training digits, on the experiment's device."""
        return Labelled(*(part.to(self.device) for part in self.splits.train))

    def _networks(self, name: str, weights: torch.Generator) -> tuple[nn.Module, nn.Module]:
        """A generator and its discriminator."""
        recipe, pixels = self.recipe, self.recipe.pixels
        classes = CLASSES if recipe.conditional else 1
        sizes: dict[str, Any] = {
            "latents": recipe.latents,
            "hidden": recipe.hidden,
            "rng": weights,
        }
        width = recipe.discriminator_hidden
        generator: nn.Module
        discriminator: nn.Module
        if name == "spiking":
            generator = TTFSGenerator(pixels, classes, **sizes)
            discriminator = OnOffDiscriminator(
                pixels,
                classes,
                hidden=width,
                weight_scale=recipe.discriminator_init,
                rng=weights,
            )
        else:
            generator = MLPGenerator(pixels, classes, **sizes)
            discriminator = MLPDiscriminator(pixels, classes, hidden=(width,), rng=weights)
        return generator.to(self.device), discriminator.to(self.device)

    def networks(self) -> dict[str, nn.Module]:
        """None: these are no networks of GLM layers."""
        return {}

    def next_batch(self, rng: torch.Generator) -> Labelled:
        """Real digits."""
        size = (self.recipe.batch,)
        train = self._train
        picks = torch.randint(len(train.labels), size, generator=rng, device=self.device)
        return Labelled(train.images[picks], self._known(train.labels[picks]))

    def labels(self, count: int, label: int | None = None) -> Tensor:
        """Labels ``[count]``: all of one class, or the classes in turn.

        Raises:
            InputError: if the label is none of the ten digits, or the generator has no labels.
        """
        if label is not None and not self.recipe.conditional:
            raise InputError("label", expected="none, as the run is unconditional", got=f"{label}")
        return digit_labels(count, label)

    @torch.no_grad()
    def sample(self, labels: Tensor, rng: torch.Generator) -> dict[str, Tensor]:
        """Images ``[B, N]``, and the pixels' firing times and spikes.

        Times ``[B, N]`` have their window from 0.5 to 1.5, and 1.5 where a pixel is silent; spikes
        ``[T, B, N]`` are on a clock of 32 steps. Labels are -1 where the run is unconditional.
        """
        generator = self.generators["spiking"]
        assert isinstance(generator, TTFSGenerator)
        noise = generator.noise(len(labels), rng)
        _, times = generator.fire(self._known(labels.to(self.device)), noise)
        return {
            "spikes": generator.spikes(times, TICKS).cpu(),
            "images": generator.images(times).cpu(),
            "times": times.cpu(),
            "labels": labels if self.recipe.conditional else torch.full_like(labels, -1),
        }

    def monitor(self) -> dict[str, float]:
        """Frechet distances from the validation split."""
        real, labels = self.splits.validation.images, digit_labels(1000)
        return {
            f"{name}_frechet": images.frechet_distance(self._judge, real, self._draw(name, labels))
            for name in self.generators
        }

    def evaluate(self) -> Results:
        """All measures on the recipe's split, beside floors and real images."""
        real = self.splits.held_out(self.recipe.evaluate_on)
        samplers: dict[str, Sampler] = {
            "ann_gan": partial(self._draw, "ann"),
            "real": self._per_class(_some),
            "pixel_marginals": self._regardless(references.pixel_marginals),
            "pca_gaussian": self._regardless(references.pca_gaussian),
            "pixel_marginals_per_class": self._per_class(references.pixel_marginals),
            "pca_gaussian_per_class": self._per_class(references.pca_gaussian),
        }
        others = {name: self._measures(draw, real) for name, draw in samplers.items()}
        ours = self._measures(partial(self._draw, "spiking"), real)
        metrics: dict[str, float | Mapping[str, float]] = {
            **ours,
            "over_pca_gaussian": ours["frechet"] / others["pca_gaussian"]["frechet"],
            "clocked_frechet": images.frechet_distance(self._judge, real.images, self._on_clock()),
            **self._spikes(),
            **others,
        }
        return Results(metrics, self.figures(real))

    def _per_class(self, floor: Floor) -> Sampler:
        return lambda labels: references.per_class(floor, self.splits.train, labels, self.recipe.seed)

    def _regardless(self, floor: Floor) -> Sampler:
        return lambda labels: floor(self.splits.train.images, len(labels), self.recipe.seed)

    def _measures(self, draw: Sampler, real: Labelled) -> dict[str, float]:
        labels = digit_labels(self.recipe.synthetic_count)
        synthetic = Labelled(draw(labels), labels)
        return {
            "frechet": images.frechet_distance(self._judge, real.images, synthetic.images),
            "inception_score": images.inception_score(self._judge, synthetic.images),
            "classes_covered": images.classes_covered(self._judge, synthetic.images),
            "tstr": classifiers.tstr(synthetic, real, self.recipe.seed),
            "trts": classifiers.accuracy(self._judge, synthetic),
        }

    @cached_property
    def _judge(self) -> MLPClassifier:
        """A classifier that learned from real training digits; the same for all runs."""
        return classifiers.fit_classifier(self.splits.train, seed=0)

    def _known(self, labels: Tensor) -> Tensor:
        """The labels as the networks know them: one for all where the run is unconditional."""
        return labels if self.recipe.conditional else torch.zeros_like(labels)

    @torch.no_grad()
    def _draw(self, name: str, labels: Tensor) -> Tensor:
        generator: Any = self.generators[name]
        noise = generator.noise(len(labels), self._rng(1000))
        drawn: Tensor = generator(self._known(labels.to(self.device)), noise).images
        return drawn.cpu()

    @torch.no_grad()
    def _fire(self, ticks: int | None = None) -> tuple[Tensor, Tensor]:
        """Firing times of hidden neurons and pixels, for the noise that `_draw` has as well."""
        generator = self.generators["spiking"]
        assert isinstance(generator, TTFSGenerator)
        labels = digit_labels(self.recipe.synthetic_count).to(self.device)
        noise = generator.noise(len(labels), self._rng(1000))
        return generator.fire(self._known(labels), noise, ticks)

    def _on_clock(self) -> Tensor:
        """Images of the spiking generator where neurons fire at ticks alone."""
        generator: Any = self.generators["spiking"]
        drawn: Tensor = generator.images(self._fire(TICKS)[1]).cpu()
        return drawn

    def _spikes(self) -> dict[str, float]:
        """Spikes of a sample, and the share of samples in which a neuron fires."""
        horizon = TTFSGenerator.horizon
        hidden, pixels = (times < horizon for times in self._fire())
        return {
            "hidden_active": float(hidden.double().mean()),
            "hidden_spikes": float(hidden.double().sum(1).mean()),
            "pixel_spikes": float(pixels.double().sum(1).mean()),
        }

    def _rng(self, salt: int) -> torch.Generator:
        return torch.Generator(self.device).manual_seed(self.recipe.seed + salt)

    def figures(self, real: Labelled) -> dict[str, Figure]:
        """Sample grids, and a PCA projection."""
        labels = digit_labels(len(real.labels))
        side = SIDES[real.images.shape[1]]
        drawn = {
            title: Labelled(self._draw(name, labels), labels)
            for name, title in (("spiking", "Spiking-GAN"), ("ann", "ordinary GAN"))
        }
        real_points, points = distributions.pca_projection(real.images, drawn["Spiking-GAN"].images)
        return {
            "samples": plots.sample_grid({"real": real, **drawn}, CLASSES, side),
            "pca": plots.pca_scatter(real_points, points, real.labels, labels),
        }


def _some(images: Tensor, count: int, seed: int) -> Tensor:
    """Images picked at random."""
    return images[torch.randint(len(images), (count,), generator=torch.Generator().manual_seed(seed))]
