"""Digits classified by the first spike: relative and aggressive targets side by side."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import ClassVar, Literal

import torch

from snn_gan_ext import plots
from snn_gan_ext.algorithms.temporal_backprop import FiringTimes, TemporalBackprop
from snn_gan_ext.coding.augment import random_affine
from snn_gan_ext.coding.images import Labelled
from snn_gan_ext.coding.latency import latency_encode
from snn_gan_ext.datasets.digits import DigitSplits, load_digits
from snn_gan_ext.datasets.mnist import find_mnist, load_mnist
from snn_gan_ext.errors import InputError
from snn_gan_ext.experiments.components import Classifier, Data, pick
from snn_gan_ext.experiments.evaluation import Evaluation, Figures, Results, Trained, in_one
from snn_gan_ext.experiments.experiment import Arm, Experiment
from snn_gan_ext.experiments.settings import location
from snn_gan_ext.functional.ttfs import StepSpikes, spikes_of
from snn_gan_ext.metrics import first_spikes
from snn_gan_ext.types import setting
from snn_gan_ext.validation import between, whole

__all__ = ["RECIPES", "DecisionEvaluation", "DigitSource", "LatencyCodedDigits"]

CLASSES = 10
ARMS = ("relative", "aggressive")
LONGEST = 4096


@dataclass(frozen=True, kw_only=True)
class DigitSource(Data):
    """Digits of scikit-learn (8 x 8 pixels) or MNIST.

    Attributes:
        source: ``digits`` or ``mnist``.
        path: MNIST as a .npz file with ``images`` and ``labels``, or Keras's; by default
            ``mnist/mnist8k.npz`` in the folder that the environment variable SNN_GAN_EXT_DATA names.
        download: Let scikit-learn fetch MNIST from OpenML instead.
        side: Height and width of an image: 8; of MNIST 28, or 14.
    """

    source: Literal["digits", "mnist"] = "digits"
    path: str = location("")
    download: bool = location(False)
    side: int = 8

    def check(self) -> None:
        sides = {"digits": (8,), "mnist": (14, 28)}[self.source]
        if self.side not in sides:
            expected = f"{' or '.join(map(str, sides))} for {self.source}"
            raise InputError("side", expected=expected, got=f"{self.side}")
        if self.source == "digits" and (self.path or self.download):
            got = self.path or "--data.download"
            raise InputError("path", expected="none for scikit-learn's digits", got=got)

    @cached_property
    def splits(self) -> DigitSplits:
        """The digits."""
        if self.source == "digits":
            return load_digits()
        return load_mnist(find_mnist(self.path, self.download), self.side)

    def load(self) -> None:
        _ = self.splits

    def fingerprint(self) -> str:
        return self.splits.fingerprint()


@dataclass(frozen=True, kw_only=True)
class LatencyCodedDigits(DigitSource):
    """Digits, moved a little, as firing times: bright pixels first.

    Attributes:
        window: Length of a trial in time steps.
        degrees: Largest angle by which training images are turned.
        scale: Largest share by which they are made larger or smaller.
        shift: Largest number of pixels by which they are shifted.
    """

    classes: ClassVar[int] = CLASSES
    window: int = setting(64, whole(2, LONGEST))
    degrees: float = setting(0.0, between(0, 180))
    scale: float = setting(0.0, between(0, 1, closed="left"))
    shift: int = setting(0, whole(0, 4))

    @property
    def shape(self) -> tuple[int, ...]:
        return self.window, self.side**2

    def batch(self, size: int, rng: torch.Generator) -> FiringTimes:
        images, labels = pick(self.splits.train, size, rng)
        moved = random_affine(images, degrees=self.degrees, scale=self.scale, shift=self.shift, rng=rng)
        return FiringTimes(latency_encode(moved, self.window), labels)


@dataclass(frozen=True, kw_only=True)
class DecisionEvaluation(Evaluation):
    """Accuracy, latency and spikes of decisions by the first output spike."""

    panels: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "strict accuracy, validation": tuple(f"{name}_strict_accuracy" for name in ARMS),
        "latency, share of the window": tuple(f"{name}_latency" for name in ARMS),
        "spikes to the decision": tuple(f"{name}_spikes_to_decision" for name in ARMS),
    }

    def monitor(self, trainer: Trained) -> dict[str, float]:
        """Score all arms on the validation split."""
        validation = trainer.data_as(LatencyCodedDigits).splits.validation
        return in_one({name: _decisions(trainer, name, validation) for name in trainer.generators})

    def evaluate(self, trainer: Trained) -> Results:
        """Score all arms, and the share that aggressive targets save."""
        real = trainer.data_as(LatencyCodedDigits).splits.held_out(trainer.split)
        rows = {name: _decisions(trainer, name, real) for name in ARMS}
        saved = {
            f"{name}_saved": 1 - rows["aggressive"][name] / rows["relative"][name]
            for name in ("latency", "spikes_to_decision", "spikes_full")
            if rows["relative"][name] > 0
        }
        return Results(rows, _figures(trainer, real), saved)


@torch.no_grad()
def _fire(trainer: Trained, name: str, data: Labelled) -> list[StepSpikes]:
    times = latency_encode(data.images.to(trainer.device), trainer.data_as(LatencyCodedDigits).window)
    fired: list[StepSpikes] = trainer.generators[name](times)
    return [StepSpikes(times.cpu(), potentials.cpu()) for times, potentials in fired]


def _decisions(trainer: Trained, name: str, data: Labelled) -> dict[str, float]:
    hidden, outputs = _fire(trainer, name, data)
    window = trainer.data_as(LatencyCodedDigits).window
    return first_spikes.decisions(hidden.times, *outputs, data.labels, window)


def _figures(trainer: Trained, real: Labelled) -> Figures:
    """Hidden and output spikes of one digit in both networks, and when they decide."""
    window = trainer.data_as(LatencyCodedDigits).window
    one = Labelled(real.images[:1], real.labels[:1])
    trials, decided = {}, {}
    for name in ARMS:
        layers = [spikes_of(layer.times, window)[:, 0] for layer in _fire(trainer, name, one)]
        trials[f"{name} targets"] = torch.cat(layers, 1)
        decided[f"{name} targets"] = _fire(trainer, name, real)[-1].times.min(1).values
    return {
        "raster": partial(plots.raster, trials, "neuron (the last ten are outputs)"),
        "decisions": partial(plots.histogram, decided, window, "first output spike, time step"),
    }


RELATIVE = TemporalBackprop(updates=3000, window=64, targets="relative")
DIGITS = Experiment(
    name="ttfs-digits",
    label="aggressive",
    batch=64,
    same_weights=True,
    data=LatencyCodedDigits(),
    generator=Classifier(hidden=200),
    learner=replace(RELATIVE, targets="aggressive"),
    references={"relative": Arm(generator=Classifier(hidden=200), learner=RELATIVE)},
    evaluation=DecisionEvaluation(),
)
MNIST = replace(
    DIGITS,
    name="ttfs-mnist",
    monitor_every=2000,
    checkpoint_every=2000,
    data=LatencyCodedDigits(source="mnist", side=28, degrees=10.0, scale=0.1, shift=1),
    generator=Classifier(),
    references={"relative": Arm(generator=Classifier(), learner=RELATIVE)},
).with_updates(12_000)
RECIPES = (DIGITS, MNIST)
