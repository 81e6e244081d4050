"""SpikeGAN on handwritten digits: the SpikeGAN paper's first experiment (section VIII-A)."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import ClassVar, Literal

import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from snn_gan_ext import plots
from snn_gan_ext.algorithms.spikegan import Batch, Estimator, SpikeGAN
from snn_gan_ext.coding.images import (
    Labelled,
    add_noise,
    rate_decode,
    rate_encode,
    time_surface_decode,
)
from snn_gan_ext.datasets.digits import load_digits
from snn_gan_ext.estimators.adversarial import Objective
from snn_gan_ext.estimators.estimators import Baseline
from snn_gan_ext.experiments.loop import Algorithm, TrainingState
from snn_gan_ext.experiments.recipes.base import Experiment, Recipe, Results, digit_labels
from snn_gan_ext.functional.bases import exponential_basis, raised_cosine_basis
from snn_gan_ext.metrics import classifiers, distributions, references
from snn_gan_ext.networks.discriminators import MLPDiscriminator
from snn_gan_ext.networks.generators import ConditionalGenerator
from snn_gan_ext.settings import between, check_settings, whole

__all__ = ["Digits", "DigitsExperiment", "DigitsHybrid", "DigitsTimeSurface"]

CLASSES, PIXELS, SIDE = 10, 64, 8
TIME_SURFACE_DECAY = 2.0


@dataclass(frozen=True, kw_only=True)
class Digits(Recipe):
    """Pure REINFORCE: every neuron learns by the local three-factor rule.

    Attributes:
        time_steps: length T of a trial in time steps.
        decoding: how a trial becomes the image that the discriminator judges.
        basis: temporal filters: exp(-lag / 2), or two raised cosines, over six steps.
        hidden: hidden neurons of the generator.
        latent_bits: random bits drawn once a trial and held through it.
        gate_latent: give each class synapses of its own from the latent bits.
        latent_hidden_scale: factor on the initial latent-to-hidden weights.
        latent_readout_scale: factor on the initial latent-to-read-out weights.
        discriminator_hidden: units of each hidden layer of the discriminator.
        discriminator_layers: number of these layers.
        label_scale: factor on the label that the discriminator hears.
        estimator: gradient estimator of the generator.
        baseline: what is subtracted from the rewards.
        normalise_rewards: divide advantages by their standard deviation over the batch.
        objective: reward log D (non_saturating), -log(1 - D) (saturating) or that of
            Jeffreys' divergence (jeffreys).
        generator_lr: Adam's learning rate for the generator.
        discriminator_lr: Adam's learning rate for the discriminator.
        r1: weight of the R1 penalty.
        real_target: the discriminator's target for real trials.
        noise_fraction: share of noisy pixels in the images that the generator learns from (Fig. 5).
        synthetic_count: trials drawn for the evaluation.
    """

    name: ClassVar[str] = "digits"
    summary: ClassVar[str] = "SpikeGAN on handwritten digits, pure REINFORCE (the local rule alone)"

    steps: int = 3000
    batch: int = 200
    time_steps: int = 5
    decoding: Literal["rate", "time_surface"] = "rate"
    basis: Literal["exponential", "raised_cosine"] = "exponential"
    hidden: int = 64
    latent_bits: int = 32
    gate_latent: bool = True
    latent_hidden_scale: float = 0.5
    latent_readout_scale: float = 0.3
    discriminator_hidden: int = 256
    discriminator_layers: int = 2
    label_scale: float = 4.0
    estimator: Estimator = "reinforce"
    baseline: Baseline = "leave_one_out"
    normalise_rewards: bool = True
    objective: Objective = "non_saturating"
    generator_lr: float = 3e-3
    discriminator_lr: float = 3e-3
    r1: float = 1.0
    real_target: float = 0.9
    noise_fraction: float = 0.0
    synthetic_count: int = 3000

    def check(self) -> None:
        super().check()
        check_settings(
            self,
            discriminator_layers=whole(1),
            noise_fraction=between(0, 1),
            synthetic_count=whole(10 * CLASSES),
        )

    def _build(self, device: torch.device) -> "DigitsExperiment":
        return DigitsExperiment(self, device)


@dataclass(frozen=True, kw_only=True)
class DigitsHybrid(Digits):
    """Straight-through for read-out neurons, REINFORCE for hidden ones: closer to the data."""

    name: ClassVar[str] = "digits-hybrid"
    summary: ClassVar[str] = "the same with the hybrid estimator: more varied samples"

    steps: int = 6000
    batch: int = 100
    estimator: Estimator = "hybrid"


@dataclass(frozen=True, kw_only=True)
class DigitsTimeSurface(Digits):
    """Two raised-cosine filters a synapse, decoded by a time surface."""

    name: ClassVar[str] = "digits-time-surface"
    summary: ClassVar[str] = "pure REINFORCE, time-surface decoding, two raised-cosine filters"

    decoding: Literal["rate", "time_surface"] = "time_surface"
    basis: Literal["exponential", "raised_cosine"] = "raised_cosine"


class DigitsExperiment(Experiment):
    """Networks, data and judges of a `Digits` recipe."""

    def __init__(self, recipe: Digits, device: torch.device) -> None:
        self.recipe, self.device = recipe, device
        self.splits = load_digits()
        self.decode = self._decoder()
        weights = torch.Generator().manual_seed(recipe.seed)
        self.generator = self._network(weights).to(device)
        rng = torch.Generator(device).manual_seed(recipe.seed + 1)
        self.algorithm, self.state = self._learner(weights, rng)
        self._learned_from = self._noisy(self.splits.train.images, salt=1)
        self._train_images = self._learned_from.to(device)
        self._train_labels = self.splits.train.labels.to(device)

    def _network(self, weights: torch.Generator) -> nn.Module:
        recipe = self.recipe
        return ConditionalGenerator(
            CLASSES,
            PIXELS,
            recipe.time_steps,
            hidden=recipe.hidden,
            latent_bits=recipe.latent_bits,
            gate_latent=recipe.gate_latent,
            latent_scale=(recipe.latent_hidden_scale, recipe.latent_readout_scale),
            basis=self._basis(),
            rng=weights,
        )

    def _learner(
        self, weights: torch.Generator, rng: torch.Generator
    ) -> tuple[Algorithm, TrainingState]:
        """The algorithm and its state, with a discriminator whose weights are drawn from a source."""
        algorithm = self._spikegan(self.decode)
        return algorithm, algorithm.init(self.generator, self._mlp(PIXELS, weights), rng)

    def _mlp(self, features: int, weights: torch.Generator) -> nn.Module:
        recipe = self.recipe
        return MLPDiscriminator(
            features,
            CLASSES,
            hidden=(recipe.discriminator_hidden,) * recipe.discriminator_layers,
            label_scale=recipe.label_scale,
            rng=weights,
        ).to(self.device)

    def _spikegan(self, decode: Callable[[Tensor], Tensor]) -> SpikeGAN:
        recipe = self.recipe
        return SpikeGAN(
            decode=decode,
            updates=recipe.steps,
            estimator=recipe.estimator,
            baseline=recipe.baseline,
            normalise_rewards=recipe.normalise_rewards,
            objective=recipe.objective,
            generator_lr=recipe.generator_lr,
            discriminator_lr=recipe.discriminator_lr,
            r1=recipe.r1,
            real_target=recipe.real_target,
        )

    def next_batch(self, rng: torch.Generator) -> Batch:
        """Real digits, rate-encoded afresh."""
        size = (self.recipe.batch,)
        picks = torch.randint(len(self._train_labels), size, generator=rng, device=self.device)
        return Batch(self._encode(self._train_images[picks], rng), self._train_labels[picks])

    def labels(self, count: int, label: int | None = None) -> Tensor:
        """Labels ``[count]``: all of one class, or the classes in turn.

        Raises:
            InputError: if the label is none of the ten digits.
        """
        return digit_labels(count, label)

    def sample(self, labels: Tensor, rng: torch.Generator) -> dict[str, Tensor]:
        """Trials for these labels: spikes ``[T, B, 64]``, decoded images ``[B, 64]``, labels."""
        spikes = self.generator(labels.to(self.device), rng)
        return {
            "spikes": spikes.cpu(),
            "images": self.decode(spikes).cpu(),
            "labels": labels,
        }

    def monitor(self) -> dict[str, float]:
        """TSTR of one classifier on the validation split (Fig. 4)."""
        synthetic = self._synthetic(self.labels(1000), salt=2)
        seed = self.recipe.seed
        return {"validation_tstr": classifiers.tstr(synthetic, self.splits.validation, seed, repeats=1)}

    def evaluate(self) -> Results:
        """All measures on the recipe's split, beside the floors and the real data."""
        recipe, train = self.recipe, self.splits.train
        real = self.splits.held_out(recipe.evaluate_on)
        noisy = Labelled(self._noisy(real.images, salt=2), real.labels)
        coded = self._coded(*noisy, salt=4)
        balanced = self.labels(recipe.synthetic_count)
        synthetic = self._synthetic(balanced, salt=3)
        judge = classifiers.fit_classifier(train, recipe.seed, epochs=100)
        metrics = {
            "tstr": classifiers.tstr(synthetic, real, recipe.seed),
            "trts": classifiers.accuracy(judge, synthetic),
            "real_accuracy": classifiers.tstr(train, real, recipe.seed),
            "noisy_real_accuracy": classifiers.accuracy(judge, noisy),
            "coded_real_accuracy": classifiers.accuracy(judge, coded),
            **self._distances(self._synthetic, noisy, ""),
            "within_class_variance_ratio": distributions.within_class_variance_ratio(coded, synthetic),
            "real_energy_distance": distributions.energy_distance(
                coded, self._coded(self._learned_from, train.labels, salt=5)
            ),
        }
        for name, floor in (
            ("class_mean", references.class_means),
            ("kmeans", partial(references.kmeans_mixture, seed=recipe.seed)),
        ):
            draw = partial(self._floor, floor)
            metrics[f"{name}_tstr"] = classifiers.tstr(draw(balanced, salt=6), real, recipe.seed)
            metrics |= self._distances(draw, noisy, f"{name}_")
        return Results(metrics, self.figures(noisy, synthetic))

    def _distances(
        self, draw: Callable[..., Labelled], real: Labelled, prefix: str, copies: int = 4
    ) -> dict[str, float]:
        """Energy distance and C2ST of a sampler; the test's classifier learns on training digits.

        Each real digit is rate-encoded ``copies`` times, with as many samples of its label beside.
        """

        def pair(data: Labelled, salt: int) -> tuple[Labelled, Labelled]:
            labels = data.labels.repeat(copies)
            coded = self._coded(data.images.repeat(copies, 1), labels, salt)
            return coded, draw(labels, salt=salt + 1)

        test = pair(real, salt=20)
        return {
            f"{prefix}energy_distance": distributions.energy_distance(*test),
            f"{prefix}c2st": distributions.classifier_two_sample_test(
                pair(Labelled(self._learned_from, self.splits.train.labels), salt=10),
                test,
                self.recipe.seed,
            ),
        }

    def figures(self, real: Labelled, synthetic: Labelled) -> dict[str, Figure]:
        """Sample grids, a PCA projection and rasters."""
        coded = self._coded(real.images, real.labels, salt=4)
        shown = Labelled(*(part[: len(real.labels)] for part in synthetic))
        real_points, points = distributions.pca_projection(coded.images, shown.images)
        trials = self.sample(self.labels(CLASSES), self._rng(7))["spikes"]
        return {
            "samples": plots.sample_grid(
                {"real, rate-coded": coded, "generated": synthetic}, CLASSES, SIDE
            ),
            "pca": plots.pca_scatter(real_points, points, coded.labels, shown.labels),
            "raster": plots.raster({f"{k}": trials[:, k] for k in range(CLASSES)}),
        }

    def _synthetic(self, labels: Tensor, salt: int) -> Labelled:
        return Labelled(self.sample(labels, self._rng(salt))["images"], labels)

    def _floor(self, floor: Callable[..., Tensor], labels: Tensor, salt: int) -> Labelled:
        learned_from = Labelled(self._learned_from, self.splits.train.labels)
        return self._coded(floor(learned_from, labels), labels, salt)

    def _coded(self, images: Tensor, labels: Tensor, salt: int) -> Labelled:
        """Images as the discriminator sees them: encoded to spikes and decoded again."""
        rng = self._rng(salt, torch.device("cpu"))
        return Labelled(self.decode(self._encode(images, rng)), labels)

    def _encode(self, images: Tensor, rng: torch.Generator) -> Tensor:
        return rate_encode(images, self.recipe.time_steps, rng=rng)

    def _noisy(self, images: Tensor, salt: int) -> Tensor:
        """Images as the generator's are; which pixels are noisy does not depend on the run's seed."""
        return add_noise(images, self.recipe.noise_fraction, torch.Generator().manual_seed(salt))

    def _rng(self, salt: int, device: torch.device | None = None) -> torch.Generator:
        """A source for evaluation alone, so that looking does not change the training."""
        return torch.Generator(device or self.device).manual_seed(self.recipe.seed + 1000 * salt)

    def _decoder(self) -> Callable[[Tensor], Tensor]:
        if self.recipe.decoding == "rate":
            return rate_decode
        return partial(time_surface_decode, decay=TIME_SURFACE_DECAY)

    def _basis(self) -> Tensor:
        exponential = exponential_basis(6, 2.0)
        if self.recipe.basis == "exponential":
            return exponential
        # Of the same area, so that the same initial weights give potentials of the same size.
        cosines = raised_cosine_basis(2, 6)
        return cosines * (exponential.sum() / cosines.sum())
