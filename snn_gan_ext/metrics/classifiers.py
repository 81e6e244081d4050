"""Classifiers that score samples, and the accuracies TSTR and TRTS (SpikeGAN paper, section VII-B).

All of them follow `Classifier`: settings with a seed, and ``fit(data)``, which returns a model with
``accuracy(data)``. `SpikingMLE` learns from a sampler, the others from data.
"""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import Field, dataclass, field, replace
from functools import partial
from typing import Any, ClassVar, Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, max_pool1d
from torch.optim.lr_scheduler import CosineAnnealingLR, LRScheduler, OneCycleLR

from snn_gan_ext.algorithms.likelihood import MaximumLikelihood
from snn_gan_ext.coding.images import Labelled, check_labelled
from snn_gan_ext.errors import InputError
from snn_gan_ext.functional.bases import exponential_basis
from snn_gan_ext.metrics.events import labels_of
from snn_gan_ext.metrics.images import some_images
from snn_gan_ext.metrics.references import SpikeSampler
from snn_gan_ext.metrics.spike_trains import check_trains, trial_features
from snn_gan_ext.networks.classifiers import SpikingClassifier
from snn_gan_ext.types import Batch
from snn_gan_ext.validation import (
    SEED,
    at_least,
    check_setting,
    check_settings,
    check_shapes,
    check_spikes,
    plain,
    plain_floats,
    whole,
)

__all__ = [
    "MLP",
    "Classifier",
    "Fitted",
    "FittedMLP",
    "FittedNetwork",
    "FittedSpiking",
    "FittedTrees",
    "FrameCNN",
    "SpikingMLE",
    "TrainCNN",
    "Trees",
    "trts",
    "tstr",
]

Train = TypeVar("Train", contravariant=True)
Test = TypeVar("Test", contravariant=True)
Data = TypeVar("Data")
Real = TypeVar("Real")

MOST_CLASSES = 10_000  # whose networks still fit into memory
BATCH = 64  # trials of an update of the convolutional classifiers


class Fitted(Protocol[Test]):
    """A trained classifier."""

    def accuracy(self, data: Test) -> float:
        """Return the share of samples that get their own label."""
        ...


class Classifier(Protocol[Train, Test]):
    """Settings of a classifier; ``fit`` trains a fresh one without global random sources."""

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]

    @property
    def seed(self) -> int: ...
    def fit(self, data: Train) -> Fitted[Test]: ...


def tstr(classifier: Classifier[Data, Real], synthetic: Data, real: Real, repeats: int = 3) -> float:
    """Train on synthetic data, test on real data: whether samples cover all that classes differ in.

    Args:
        classifier: Classifier to train.
        synthetic: Synthetic training data.
        real: Real test data that no model was trained on.
        repeats: Number of classifiers, of consecutive seeds, whose accuracies are averaged.

    Raises:
        InputError: If ``repeats`` is below 1.
    """
    check_setting("repeats", repeats, whole(1))
    fresh = (replace(classifier, seed=classifier.seed + repeat) for repeat in range(repeats))
    return float(np.mean([one.fit(synthetic).accuracy(real) for one in fresh]))


def trts(classifier: Classifier[Data, Real], real: Data, synthetic: Real) -> float:
    """Train on real data, test on synthetic data: whether samples show their class.

    For several samplers, call ``classifier.fit(real)`` once and ``accuracy`` for each.
    """
    return classifier.fit(real).accuracy(synthetic)


@dataclass(frozen=True)
class MLP:
    """The paper's classifier of images: a ReLU network N-100-100-classes, trained by Adam.

    Attributes:
        seed: Seed of the initial weights and the batches.
        epochs: Number of passes over the data, in batches of 200.
        alpha: Weight of the L2 penalty.
    """

    seed: int = 0
    epochs: int = 60
    alpha: float = 1e-4

    def __post_init__(self) -> None:
        check_settings(self, seed=SEED, epochs=whole(1), alpha=at_least(0))

    def fit(self, data: Labelled) -> "FittedMLP":
        """Train on labelled images.

        Raises:
            InputError: If `check_labelled` refuses them.
        """
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.neural_network import MLPClassifier

        check_labelled(data)
        options = {"alpha": self.alpha, "max_iter": self.epochs, "random_state": self.seed}
        network = MLPClassifier((100, 100), **options)
        # One thread: on a busy machine a second one makes these small products several times slower.
        with warnings.catch_warnings(), threadpool_limits(1):
            # The number of epochs is a budget, which training is meant to use up.
            warnings.simplefilter("ignore", ConvergenceWarning)
            images, labels = plain_floats(data.images).numpy(), plain(data.labels).numpy()
            return FittedMLP(network.fit(images, labels))


@dataclass(frozen=True)
class FittedMLP:
    """A trained scikit-learn ``MLPClassifier``; `snn_gan_ext.metrics.images` takes it, too."""

    network: Any

    @property
    def classes(self) -> NDArray[np.int64]:
        """Labels of the training data, sorted."""
        return np.asarray(self.network.classes_)

    def accuracy(self, data: Labelled) -> float:
        """Return the share of images that get their own label."""
        check_labelled(data)
        return float(self.network.score(self._inputs(data.images), plain(data.labels).numpy()))

    def predict(self, images: Tensor) -> NDArray[np.int64]:
        """Return labels ``[B]`` of images ``[B, N]``."""
        return np.asarray(self.network.predict(self._inputs(images)))

    def probabilities(self, images: Tensor) -> NDArray[np.float64]:
        """Return class probabilities ``[B, classes]`` of images ``[B, N]``."""
        return np.asarray(self.network.predict_proba(self._inputs(images)), np.float64)

    def features(self, images: Tensor) -> NDArray[np.float64]:
        """Return activities ``[B, units]`` of the last hidden layer for images ``[B, N]``."""
        features = self._inputs(images).astype(np.float64)
        for weight, bias in zip(self.network.coefs_[:-1], self.network.intercepts_[:-1], strict=True):
            features = np.maximum(features @ weight + bias, 0)
        return features

    def _inputs(self, images: Tensor) -> NDArray[Any]:
        """Return one or more images of as many pixels as the training data had."""
        values = some_images(images)
        check_shapes(images=(values, ("B", self.network.n_features_in_)))
        return np.asarray(values)


@dataclass(frozen=True)
class Trees:
    """Gradient-boosted trees on features of spike trains ``[T, B]``.

    Attributes:
        seed: Seed of the trees.
        features: Map from spikes ``[T, B]`` to features ``[B, F]``; NaN marks a missing value.
    """

    seed: int = 0
    features: Callable[[Tensor], NDArray[np.float64]] = trial_features

    def __post_init__(self) -> None:
        check_settings(self, seed=SEED)

    def fit(self, data: Batch) -> "FittedTrees":
        """Train on labelled trains."""
        from sklearn.ensemble import HistGradientBoostingClassifier

        features, labels = self.features(data.spikes), labels_of(data).numpy()
        # Trees cannot bin a feature that no train has.
        absent: NDArray[np.bool_] = np.all(np.isnan(features), axis=0)
        trees = HistGradientBoostingClassifier(learning_rate=0.05, random_state=self.seed)
        with threadpool_limits(1):
            trees.fit(np.where(absent, 0.0, features), labels)
        return FittedTrees(trees, self.features, absent)


@dataclass(frozen=True)
class FittedTrees:
    """A trained ``HistGradientBoostingClassifier``, and the features that no training train has."""

    trees: Any
    features: Callable[[Tensor], NDArray[np.float64]]
    absent: NDArray[np.bool_]

    def accuracy(self, data: Batch) -> float:
        """Return the share of trains that get their own label."""
        features = np.where(self.absent, 0.0, self.features(data.spikes))
        with threadpool_limits(1):
            return float(self.trees.score(features, labels_of(data).numpy()))


@dataclass(frozen=True)
class TrainCNN:
    """A convolutional network on spike trains ``[T, B]`` of two classes, 0 and 1.

    Three convolutions find patterns at three scales; their mean and maximum over time decide. Its input
    is the spikes themselves, so it also suits generators whose discriminator receives intervals.

    Attributes:
        seed: Seed of the initial weights and the batches.
        updates: Number of updates, of 64 trains each.
    """

    seed: int = 0
    updates: int = 1000

    def __post_init__(self) -> None:
        check_settings(self, seed=SEED, updates=whole(1))

    def fit(self, data: Batch) -> "FittedNetwork":
        """Train on labelled trains.

        Raises:
            InputError: If trains have fewer than 60 time steps, or labels are not 0 and 1.
        """
        labels, trains = labels_of(data, 2).float(), _as_signals(data.spikes)
        loss = binary_cross_entropy_with_logits
        schedule = partial(OneCycleLR, max_lr=3e-3, total_steps=self.updates)
        network = _trained(_PatternNetwork, trains, labels, loss, self, 3e-3, schedule)
        return FittedNetwork(network, _as_signals, _by_sign)


@dataclass(frozen=True)
class FrameCNN:
    """A convolutional network on event frames ``[T, B, C, H, W]``: on spike counts in blocks of time.

    Two 3 x 3 convolutions of 32 and 64 channels with pooling precede a linear layer of 128. On frames
    wider or higher than 24 pixels the first convolution has stride 2.

    Attributes:
        seed: Seed of the initial weights, the batches and dropout.
        updates: Number of updates, of 64 trials each.
        blocks: Number of blocks of time; each step is a block where ``blocks`` does not divide ``T``.
    """

    seed: int = 0
    updates: int = 400
    blocks: int = 5

    def __post_init__(self) -> None:
        check_settings(self, seed=SEED, updates=whole(1), blocks=whole(1))

    def fit(self, data: Batch) -> "FittedNetwork":
        """Train on labelled trials; the classes are 0 to the highest label.

        Raises:
            InputError: If trials are not labelled frames of zeros and ones.
        """
        spikes = data.spikes
        labels, frames = labels_of(data, MOST_CLASSES), self._counts(spikes, spikes.shape)
        make = partial(_frame_network, frames, 1 + int(labels.max()))
        loss = partial(cross_entropy, label_smoothing=0.1)
        schedule = partial(CosineAnnealingLR, T_max=self.updates)
        network = _trained(make, frames, labels, loss, self, 2e-3, schedule)
        return FittedNetwork(network, partial(self._counts, like=spikes.shape), _by_largest)

    def _counts(self, spikes: Tensor, like: Sequence[int]) -> Tensor:
        """Return counts ``[B, blocks * C, H, W]`` of one or more trials as large as some others."""
        steps, _, *size = like
        check_shapes(spikes=(spikes, "TBCHW"), frames=(spikes, (steps, "B >= 1", *size)))
        check_spikes("spikes", spikes)
        spikes = plain_floats(spikes).float()
        blocks = self.blocks if len(spikes) % self.blocks == 0 else len(spikes)
        return torch.unflatten(spikes, 0, (blocks, -1)).sum(1).transpose(0, 1).flatten(1, 2)


@dataclass(frozen=True)
class FittedNetwork:
    """A trained network; ``prepare`` maps spikes to its inputs, ``decide`` its logits to labels."""

    network: nn.Module
    prepare: Callable[[Tensor], Tensor]
    decide: Callable[[Tensor], Tensor]

    @torch.no_grad()
    def predict(self, spikes: Tensor) -> Tensor:
        """Return labels ``[B]`` of trials ``[T, B, ...]``."""
        parts = torch.split(self.prepare(spikes), 500)
        return torch.cat([self.decide(self.network(part)) for part in parts])

    def accuracy(self, data: Batch) -> float:
        """Return the share of trials that get their own label."""
        return float((self.predict(data.spikes) == labels_of(data)).float().mean())


@dataclass(frozen=True, kw_only=True)
class SpikingMLE:
    """The spiking classifier of Table I, trained by maximum likelihood on fresh trials of a sampler.

    Attributes:
        classes: Number of classes; labels are drawn uniformly.
        seed: Seed of the initial weights, the labels and all noise.
        updates: Number of updates, of 100 trials each.
        hidden: Number of hidden neurons.

    References:
        SpikeGAN paper, section VIII-B and appendix A.
    """

    classes: int
    seed: int = 0
    updates: int = 1000
    hidden: int = 256

    def __post_init__(self) -> None:
        check_settings(self, classes=whole(1), seed=SEED, updates=whole(1), hidden=whole(1))

    def fit(self, data: SpikeSampler) -> "FittedSpiking":
        """Train on trials ``[T, B, N]`` that a sampler draws for labels."""
        # Seeds far from each other and from usual ones, so that weights and noise share no stream.
        weights, rng = (torch.Generator().manual_seed(self.seed + far) for far in (40_000, 41_000))

        def batch() -> Batch:
            labels = torch.randint(self.classes, (100,), generator=rng)
            return Batch(data(labels, rng), labels)

        first = batch()
        check_shapes(spikes=(first.spikes, "TBN"))
        num_steps, _, features = first.spikes.shape
        basis = exponential_basis(6, 2.0)
        network = SpikingClassifier(
            features, self.classes, num_steps, hidden=self.hidden, basis=basis, rng=weights
        )
        algorithm = MaximumLikelihood(updates=self.updates)
        state = algorithm.init(network, rng)
        for update in range(self.updates):
            algorithm.update(state, batch() if update else first)
        return FittedSpiking(network, rng)


@dataclass(frozen=True)
class FittedSpiking:
    """A trained spiking network, with the random source of its noise where training left it."""

    network: SpikingClassifier
    rng: torch.Generator = field(repr=False)

    def accuracies(self, data: Batch) -> dict[str, float]:
        """Return the accuracies of two read-outs of one run, ``probability`` and ``count``.

        The class is the label neuron of the highest mean firing probability, or of most spikes.
        """
        labels = labels_of(data)
        run = self.network.run(data.spikes, self.rng)
        votes = {"probability": torch.sigmoid(run.potentials).mean(0), "count": run.spikes.sum(0)}
        return {name: float((x.argmax(-1) == labels).float().mean()) for name, x in votes.items()}

    def accuracy(self, data: Batch) -> float:
        """Return the share of trials whose label neuron has the highest mean firing probability."""
        return self.accuracies(data)["probability"]


@torch.enable_grad()
def _trained(
    make: Callable[[], nn.Module],
    inputs: Tensor,
    targets: Tensor,
    loss_of: Callable[[Tensor, Tensor], Tensor],
    settings: TrainCNN | FrameCNN,
    lr: float,
    schedule: Callable[[torch.optim.Optimizer], LRScheduler],
) -> nn.Module:
    """Train a network by AdamW on batches drawn with replacement."""
    rng = torch.Generator().manual_seed(settings.seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        network = make().train()
        optimizer = torch.optim.AdamW(network.parameters(), lr, weight_decay=1e-2)
        scheduler = schedule(optimizer)
        for _ in range(settings.updates):
            picks = torch.randint(len(inputs), (BATCH,), generator=rng)
            loss = loss_of(network(inputs[picks]), targets[picks])
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
            scheduler.step()
    return network.eval()


def _as_signals(spikes: Tensor) -> Tensor:
    """Return trains ``[T, B]`` as ``[B, 1, T]``."""
    trains = check_trains(spikes)
    if len(spikes) < 60:
        raise InputError("trains", expected="60 time steps or more", got=f"{len(spikes)}")
    return trains.T.unsqueeze(1).float()


def _by_sign(logits: Tensor) -> Tensor:
    return (logits > 0).long()


def _by_largest(logits: Tensor) -> Tensor:
    return logits.argmax(1)


class _PatternNetwork(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv1d(1, 24, 9), nn.Conv1d(24, 32, 15, 2)
        self.third = nn.Conv1d(32, 32, 5)
        self.head = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1))

    def forward(self, trains: Tensor) -> Tensor:
        found = max_pool1d(self.first(trains).relu(), 2)
        found = self.third(self.second(found).relu()).relu()
        logits: Tensor = self.head(torch.cat([found.mean(2), found.amax(2)], 1))
        return logits.squeeze(-1)


def _pooled(channels: int, maps: int, stride: int) -> tuple[nn.Module, ...]:
    convolution = nn.Conv2d(channels, maps, 3, stride=stride, padding=1)
    return convolution, nn.ReLU(), nn.MaxPool2d(2, ceil_mode=True)


def _frame_network(frames: Tensor, classes: int) -> nn.Module:
    channels, *size = frames.shape[1:]
    convolutions = *_pooled(channels, 32, 2 if max(size) > 24 else 1), *_pooled(32, 64, 1)
    hidden = nn.Dropout(0.3), nn.LazyLinear(128), nn.ReLU(), nn.Dropout(0.3)
    network = nn.Sequential(*convolutions, nn.Flatten(), *hidden, nn.Linear(128, classes))
    network(frames[:1])  # sets the width of the lazy layer
    return network
