"""SpikeGAN on handwritten digits, its baseline and Bayes-SpikeGAN (SpikeGAN paper, section VIII-A)."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from typing import ClassVar, Literal, NamedTuple

import torch
from torch import Tensor

from snn_gan_ext import plots
from snn_gan_ext.algorithms.bayes import BayesSpikeGAN
from snn_gan_ext.algorithms.spikegan import SpikeGAN
from snn_gan_ext.coding.decoders import Rates, TimeSurface
from snn_gan_ext.coding.images import Labelled, add_noise, rate_encode
from snn_gan_ext.datasets.digits import DigitSplits, load_digits
from snn_gan_ext.errors import InputError
from snn_gan_ext.experiments.components import MLP, Basis, Conditional, Data, Particles, in_turn, pick
from snn_gan_ext.experiments.evaluation import Evaluation, Figures, Results, Trained
from snn_gan_ext.experiments.experiment import Experiment
from snn_gan_ext.functional.bases import exponential_basis
from snn_gan_ext.metrics import classifiers, distributions, references
from snn_gan_ext.metrics.c2st import c2st, image_classifier
from snn_gan_ext.metrics.references import ImageSampler, SpikeSampler
from snn_gan_ext.rng import stream
from snn_gan_ext.types import Batch, setting
from snn_gan_ext.validation import between, whole

__all__ = ["RECIPES", "ImageEvaluation", "RateCodedDigits"]

CLASSES, PIXELS, SIDE = 10, 64, 8


@dataclass(frozen=True, kw_only=True)
class Digits(Data):
    """Base class of data from scikit-learn's 8 x 8 digits; a trial has one neuron a pixel.

    Attributes:
        num_steps: Length of a trial in time steps.
    """

    num_steps: int = setting(5, whole(1, 10_000))

    @property
    def shape(self) -> tuple[int, ...]:
        return self.num_steps, PIXELS

    @cached_property
    def splits(self) -> DigitSplits:
        """Clean digits."""
        return load_digits()


@dataclass(frozen=True, kw_only=True)
class RateCodedDigits(Digits):
    """scikit-learn's 8 x 8 digits as spikes.

    Attributes:
        encoding: Bernoulli spikes at the pixels' rates; or one step, binary at one half or grey.
        noise_fraction: Share of noisy pixels in the images that a generator learns from (Fig. 5).
    """

    classes: ClassVar[int] = CLASSES
    encoding: Literal["rate", "binary", "grey"] = "rate"
    noise_fraction: float = setting(0.0, between(0, 1))

    def check(self) -> None:
        if self.encoding != "rate" and self.num_steps != 1:
            expected, cure = f"rate for trials of {self.num_steps} steps", "set data.num_steps to 1"
            raise InputError("encoding", expected=expected, got=self.encoding, cure=cure)

    @cached_property
    def train(self) -> Labelled:
        """Digits to learn from, with noise."""
        images, labels = self.splits.train
        return Labelled(self.noisy(images, "training digits"), labels)

    def batch(self, size: int, rng: torch.Generator) -> Batch:
        images, labels = pick(self.train, size, rng)
        return Batch(self.encode(images, rng), labels)

    def noisy(self, images: Tensor, role: str) -> Tensor:
        """Add noise to images; the noisy pixels do not depend on the run's seed."""
        return add_noise(images, self.noise_fraction, stream(0, f"noise of {role}"))

    def encode(self, images: Tensor, rng: torch.Generator) -> Tensor:
        """Encode images ``[B, N]`` as spikes ``[T, B, N]``."""
        if self.encoding == "rate":
            return rate_encode(images, self.num_steps, rng=rng)
        step = images.unsqueeze(0)
        return (step > 0.5).to(step.dtype) if self.encoding == "binary" else step


@dataclass(frozen=True, kw_only=True)
class ImageEvaluation(Evaluation):
    """Samples as images, decoded like the discriminator's: classification, distances, variety.

    Attributes:
        tests_on_coded: Test TSTR on encoded real digits, not on clean ones.
        synthetic_count: Number of trials that classifiers learn from.
        copies: Encodings of each real digit where distributions are compared.
    """

    tests_on_coded: ClassVar[bool] = False
    synthetic_count: int = setting(3000, whole(10 * CLASSES))
    copies: int = setting(4, whole(1))

    def decode(self, trainer: Trained, spikes: Tensor) -> Tensor:
        """Decode spikes ``[T, B, N]`` to the images ``[B, N]`` that are evaluated."""
        decode: Callable[[Tensor], Tensor] = getattr(trainer.learner, "decode", Rates())
        return decode(spikes)

    def monitor(self, trainer: Trained) -> dict[str, float]:
        """TSTR of one classifier on the validation split (Fig. 4)."""
        draw = partial(trainer.draw, trainer.label)
        synthetic = self._images(trainer, draw, in_turn(1000, CLASSES), "monitor")
        validation = trainer.data_as(RateCodedDigits).splits.validation
        model = classifiers.MLP(trainer.seed_of("tstr"))
        return {"validation_tstr": classifiers.tstr(model, synthetic, validation, repeats=1)}

    def evaluate(self, trainer: Trained) -> Results:
        """Score the generator beside real digits and samplers without a network."""
        data = trainer.data_as(RateCodedDigits)
        real = data.splits.held_out(trainer.split)
        noisy = Labelled(data.noisy(real.images, "held-out digits"), real.labels)
        kmeans = references.kmeans_mixture(data.train, seed=trainer.seed_of("clusters"))
        samplers: dict[str, SpikeSampler] = {
            "real": _encoded(data, references.real_images(data.train)),
            "class_means": _encoded(data, references.class_means(data.train)),
            "kmeans": _encoded(data, kmeans),
            trainer.label: partial(trainer.draw, trainer.label),
        }
        coded = self._coded(trainer, noisy, "held out")
        clean = classifiers.MLP(trainer.seed_of("trts"), epochs=100).fit(data.splits.train)
        held_out = HeldOut(real, noisy, coded, clean)
        rows = {
            name: self._row(trainer, draw, held_out) for name, draw in trainer.each(samplers.items())
        }
        # Training digits, each once, are the second real set; the classifier knows them, though.
        train = self._coded(trainer, data.train, "training digits")
        rows["real"]["energy_distance"] = distributions.energy_distance(coded, train)
        rows["real"]["trts"] = clean.accuracy(coded)
        figures = self._figures(trainer, coded, samplers[trainer.label])
        return Results(rows, figures, {"real_accuracy": clean.accuracy(noisy)})

    def _row(self, trainer: Trained, draw: SpikeSampler, held_out: "HeldOut") -> dict[str, float]:
        synthetic = self._images(trainer, draw, in_turn(self.synthetic_count, CLASSES), "synthetic")
        train = self._pair(trainer, draw, trainer.data_as(RateCodedDigits).train, "c2st train")
        test = self._pair(trainer, draw, held_out.noisy, "c2st test")
        tested = test[0] if self.tests_on_coded else held_out.real
        model = classifiers.MLP(trainer.seed_of("tstr"))
        spread = distributions.within_class_variance_ratio(held_out.coded, synthetic)
        return {
            "tstr": classifiers.tstr(model, synthetic, tested),
            "trts": held_out.classifier.accuracy(synthetic),
            "energy_distance": distributions.energy_distance(*test),
            "c2st": c2st(train, test, image_classifier(trainer.seed_of("c2st"))),
            "within_class_variance_ratio": spread,
        }

    def _pair(
        self, trainer: Trained, draw: SpikeSampler, real: Labelled, role: str
    ) -> tuple[Labelled, Labelled]:
        """Real digits, encoded several times each, and as many samples of their labels."""
        repeated = Labelled(real.images.repeat(self.copies, 1), real.labels.repeat(self.copies))
        coded = self._coded(trainer, repeated, f"{role} real")
        return coded, self._images(trainer, draw, repeated.labels, f"{role} synthetic")

    def _images(self, trainer: Trained, draw: SpikeSampler, labels: Tensor, role: str) -> Labelled:
        return Labelled(self.decode(trainer, draw(labels, trainer.stream(role))), labels)

    def _coded(self, trainer: Trained, real: Labelled, role: str) -> Labelled:
        """Real digits as spikes encode them."""
        encoded = _encoded(trainer.data_as(RateCodedDigits), lambda *_: real.images)
        return self._images(trainer, encoded, real.labels, role)

    def _figures(self, trainer: Trained, real: Labelled, draw: SpikeSampler) -> Figures:
        synthetic = self._images(trainer, draw, real.labels, "figures")
        real_points, points = distributions.pca_projection(real.images, synthetic.images)
        trials = draw(in_turn(CLASSES, CLASSES), trainer.stream("raster"))
        rows = {"real, rate-coded": real, "generated": synthetic}
        return {
            "samples": partial(plots.sample_grid, rows, CLASSES, SIDE),
            "pca": partial(plots.pca_scatter, real_points, points, real.labels, synthetic.labels),
            "raster": partial(plots.raster, {f"{k}": trials[:, k] for k in range(CLASSES)}),
        }

    def sample(self, trainer: Trained, labels: Tensor | int, rng: torch.Generator) -> dict[str, Tensor]:
        """As `Evaluation.sample`, with decoded ``images [B, N]``."""
        drawn = trainer.sample(labels, rng)
        return {**drawn, "images": self.decode(trainer, drawn["spikes"])}


class HeldOut(NamedTuple):
    """Held-out digits, clean, noisy and coded; and a classifier of clean training digits."""

    real: Labelled
    noisy: Labelled
    coded: Labelled
    classifier: classifiers.FittedMLP


def _encoded(data: RateCodedDigits, images: ImageSampler) -> SpikeSampler:
    def draw(labels: Tensor, rng: torch.Generator) -> Tensor:
        rng = rng if rng.device.type == "cpu" else torch.Generator().manual_seed(rng.initial_seed())
        return data.encode(images(labels, rng), rng)

    return draw


DIGITS = Experiment(
    name="digits",
    batch=200,
    data=RateCodedDigits(),
    generator=Conditional(),
    discriminator=MLP(),
    learner=SpikeGAN(updates=3000, decode=Rates(), baseline="leave_one_out"),
    evaluation=ImageEvaluation(),
)
HYBRID = DIGITS.vary(
    {"name": "digits-hybrid", "batch": 100, "learner.updates": 6000, "learner.estimator": "hybrid"}
)
# Raised cosines of the exponential's area: the same initial weights give potentials of the same size.
COSINES = Basis(
    kind="raised_cosine", functions=2, window=6, area=float(exponential_basis(6, 2.0).sum())
)
TIME_SURFACE = DIGITS.vary(
    {"name": "digits-time-surface", "generator.basis": COSINES, "learner.decode": TimeSurface()}
)
# The paper's baseline (its [27]): binary units, no time.
BELIEF = DIGITS.vary(
    {
        "name": "digits-belief",
        "label": "belief",
        "data": RateCodedDigits(num_steps=1, encoding="binary"),
        "generator": Conditional(
            hidden=128,
            latent_bits=0,
            gate_latent=False,
            hidden_feedback=0.0,
            hidden_delay=0,
            basis=Basis(kind="identity", window=1),
        ),
        "learner.r1": 0.3,
    }
)
BAYES = DIGITS.vary(
    {
        "name": "digits-bayes",
        "label": "bayes",
        "generator": Particles(member=Conditional()),
        "learner": BayesSpikeGAN(
            updates=3000, decode=Rates(), baseline="leave_one_out", estimator="hybrid"
        ),
    }
)
RECIPES = (DIGITS, HYBRID, TIME_SURFACE, BELIEF, BAYES)
