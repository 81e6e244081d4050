"""Spiking-GAN: both networks of neurons that spike at most once (the Spiking-GAN paper)."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any, ClassVar

import torch
from torch import Tensor

from snn_gan_ext import plots
from snn_gan_ext.algorithms.image_gan import ImageGAN
from snn_gan_ext.coding.images import Labelled
from snn_gan_ext.experiments.components import MLP, TTFS, OnOff, OrdinaryGenerator, in_turn, pick
from snn_gan_ext.experiments.evaluation import Evaluation, Figures, Results, Trained
from snn_gan_ext.experiments.experiment import Arm, Experiment
from snn_gan_ext.experiments.recipes.ttfs import DigitSource
from snn_gan_ext.metrics import classifiers, distributions, images, references
from snn_gan_ext.metrics.references import ImageSampler as Sampler
from snn_gan_ext.networks.ttfs import TTFSGenerator
from snn_gan_ext.types import ImageBatch, setting
from snn_gan_ext.validation import whole

__all__ = ["RECIPES", "DigitImages", "GreyImageEvaluation"]

CLASSES = 10
TICKS = 48
"""Steps into which the window is divided for spike trains: 32 of them for the pixels."""


@dataclass(frozen=True, kw_only=True)
class DigitImages(DigitSource):
    """Digits as images.

    Attributes:
        conditional: Give the labels to the networks, so that digits can be drawn by label.
    """

    conditional: bool = True

    @property
    def classes(self) -> int:
        """Ten, or 0 without labels."""
        return CLASSES if self.conditional else 0

    @property
    def shape(self) -> tuple[int, ...]:
        return 1, self.side**2

    @cached_property
    def classifier(self) -> classifiers.FittedMLP:
        """A classifier that learned from the training digits; the same for all runs."""
        return classifiers.MLP(seed=0).fit(self.splits.train)

    def batch(self, size: int, rng: torch.Generator) -> ImageBatch:
        images, labels = pick(self.splits.train, size, rng)
        return ImageBatch(images, labels if self.conditional else None)


@dataclass(frozen=True, kw_only=True)
class GreyImageEvaluation(Evaluation):
    """Samples as grey images: Frechet distance, inception score, classification, spikes.

    Attributes:
        synthetic_count: Number of images drawn of each sampler.
    """

    panels: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "discriminator's loss": ("spiking_gan_discriminator_loss", "ann_gan_discriminator_loss"),
        "logits": ("spiking_gan_real_logit", "spiking_gan_fake_logit"),
        "Frechet distance, validation": ("spiking_gan_frechet", "ann_gan_frechet"),
    }
    synthetic_count: int = setting(3000, whole(10 * CLASSES, 1_000_000))

    def monitor(self, trainer: Trained) -> dict[str, float]:
        """Frechet distances from the validation split."""
        data = trainer.data_as(DigitImages)
        real, labels = data.splits.validation.images, in_turn(1000, CLASSES)
        drawn = {name: _images(trainer, name, labels) for name in trainer.generators}
        return {
            f"{name}_frechet": images.frechet_distance(data.classifier, real, each)
            for name, each in drawn.items()
        }

    def evaluate(self, trainer: Trained) -> Results:
        """Score both GANs beside real images and samplers without a network."""
        data = trainer.data_as(DigitImages)
        real, train = data.splits.held_out(trainer.split), data.splits.train
        seed = trainer.seed_of("references")
        samplers: dict[str, Sampler] = {
            "real": references.real_images(train),
            "pixel_marginals": references.pixel_marginals(train.images),
            "pca_gaussian": references.pca_gaussian(train.images, seed),
            "pixel_marginals_per_class": references.per_class(
                lambda each, _: references.pixel_marginals(each), train, seed
            ),
            "pca_gaussian_per_class": references.per_class(references.pca_gaussian, train, seed),
            **{name: partial(_draw, trainer, name) for name in trainer.generators},
        }
        each = trainer.each(samplers.items())
        rows = {name: self._row(trainer, draw, real) for name, draw in each}
        ours = rows[trainer.label]
        ours["over_pca_gaussian"] = ours["frechet"] / rows["pca_gaussian"]["frechet"]
        # As if neurons fired at ticks of a clock alone.
        _, times = _fire(trainer, in_turn(self.synthetic_count, CLASSES), "images", TICKS)
        drawn = _spiking(trainer).images(times).cpu()
        ours["clocked_frechet"] = images.frechet_distance(data.classifier, real.images, drawn)
        ours |= self._spikes(trainer)
        return Results(rows, _figures(trainer, real))

    def _row(self, trainer: Trained, draw: Sampler, real: Labelled) -> dict[str, float]:
        model = trainer.data_as(DigitImages).classifier
        labels = in_turn(self.synthetic_count, CLASSES)
        synthetic = Labelled(draw(labels, trainer.stream("images", "cpu")), labels)
        return {
            "frechet": images.frechet_distance(model, real.images, synthetic.images),
            "inception_score": images.inception_score(model, synthetic.images),
            "classes_covered": images.classes_covered(model, synthetic.images),
            "tstr": classifiers.tstr(classifiers.MLP(trainer.seed_of("tstr")), synthetic, real),
            "trts": model.accuracy(synthetic),
        }

    def _spikes(self, trainer: Trained) -> dict[str, float]:
        """Spikes of a sample, and the share of samples in which a neuron fires."""
        fired = _fire(trainer, in_turn(self.synthetic_count, CLASSES), "images")
        hidden, pixels = (times < TTFSGenerator.horizon for times in fired)
        return {
            "hidden_active": float(hidden.double().mean()),
            "hidden_spikes": float(hidden.double().sum(1).mean()),
            "pixel_spikes": float(pixels.double().sum(1).mean()),
        }

    @torch.no_grad()
    def sample(self, trainer: Trained, labels: Tensor | int, rng: torch.Generator) -> dict[str, Tensor]:
        """Draw images, and their pixels' firing times and spikes.

        Returns:
            ``images [B, N]``; ``times [B, N]`` from 0.5 to 1.5, which is silence;
            ``spikes [T, B, N]`` on a clock of 32 steps; ``labels [B]`` where there are some.
        """
        generator = _spiking(trainer)
        labelled = {"labels": labels} if isinstance(labels, Tensor) else {}
        count = len(labels) if isinstance(labels, Tensor) else labels
        here = labels.to(trainer.device) if isinstance(labels, Tensor) else None
        _, times = generator.fire(here, generator.noise(count, rng))
        spikes, images = generator.spikes(times, TICKS), generator.images(times)
        return {"spikes": spikes.cpu(), "images": images.cpu(), "times": times.cpu(), **labelled}


def _spiking(trainer: Trained) -> TTFSGenerator:
    assert isinstance(trainer.generator, TTFSGenerator)
    return trainer.generator


def _known(trainer: Trained, labels: Tensor) -> Tensor | None:
    """Labels, where the networks receive them."""
    return labels.to(trainer.device) if trainer.data_as(DigitImages).conditional else None


@torch.no_grad()
def _draw(trainer: Trained, name: str, labels: Tensor, rng: torch.Generator) -> Tensor:
    generator: Any = trainer.generators[name]
    there = torch.Generator(trainer.device).manual_seed(rng.initial_seed())
    drawn: Tensor = generator(_known(trainer, labels), generator.noise(len(labels), there)).images
    return drawn.cpu()


@torch.no_grad()
def _fire(
    trainer: Trained, labels: Tensor, role: str, ticks: int | None = None
) -> tuple[Tensor, Tensor]:
    """Firing times of hidden neurons and pixels, on the noise that `_draw` has as well."""
    generator = _spiking(trainer)
    noise = generator.noise(len(labels), trainer.stream(role))
    return generator.fire(_known(trainer, labels), noise, ticks)


def _images(trainer: Trained, name: str, labels: Tensor) -> Tensor:
    return _draw(trainer, name, labels, trainer.stream("images"))


def _figures(trainer: Trained, real: Labelled) -> Figures:
    """Sample grids, and a PCA projection."""
    labels = in_turn(len(real.labels), CLASSES)
    titles = {"spiking_gan": "Spiking-GAN", "ann_gan": "ordinary GAN"}
    drawn = {title: Labelled(_images(trainer, name, labels), labels) for name, title in titles.items()}
    real_points, points = distributions.pca_projection(real.images, drawn["Spiking-GAN"].images)
    grids, side = {"real": real, **drawn}, trainer.data_as(DigitImages).side
    return {
        "samples": partial(plots.sample_grid, grids, CLASSES, side),
        "pca": partial(plots.pca_scatter, real_points, points, real.labels, labels),
    }


DIGITS = Experiment(
    name="spiking-gan-digits",
    label="spiking_gan",
    batch=64,
    monitor_every=1000,
    checkpoint_every=1000,
    data=DigitImages(),
    generator=TTFS(),
    discriminator=OnOff(),
    learner=ImageGAN(updates=3000, r1=0.5),
    references={
        "ann_gan": Arm(
            generator=OrdinaryGenerator(),
            discriminator=MLP(hidden=(192,), label_scale=1.0),
            learner=ImageGAN(updates=3000, discriminator_lr=1e-3),
        )
    },
    evaluation=GreyImageEvaluation(),
)
MNIST = replace(
    DIGITS,
    name="spiking-gan-mnist",
    data=DigitImages(source="mnist", side=28),
    discriminator=OnOff(weight_scale=1.0),
    learner=ImageGAN(generator_lr=2e-3, discriminator_lr=1e-3, r1=1.0),
).with_updates(5000)
MNIST_14 = DigitImages(source="mnist", side=14)
SMALL = replace(DIGITS, name="spiking-gan-mnist-small", data=MNIST_14, learner=ImageGAN())
SMALL = SMALL.with_updates(6000)
RECIPES = (DIGITS, MNIST, SMALL)
