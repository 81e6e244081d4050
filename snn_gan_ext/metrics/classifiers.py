"""Classifiers that score samples, and the accuracies TSTR and TRTS (SpikeGAN paper, section VII-B).

============== ================================================= =======================
classifier     learns from                                       is tested on
============== ================================================= =======================
`MLP`          images `Labelled`                                 images `Labelled`
`Trees`        spike trains ``[T, B]`` in a `Batch`              spike trains
`TrainCNN`     spike trains ``[T, B]`` of two classes            spike trains
`FrameCNN`     event frames ``[T, B, C, H, W]`` in a `Batch`     event frames
`SpikingMLE`   a sampler, of which it draws spikes ``[T, B, N]`` spikes in a `Batch`
============== ================================================= =======================

All of them follow `Classifier`: settings with a seed, and ``fit(data)``, which returns a model with
``accuracy(data)``.
"""

from collections.abc import Callable
from dataclasses import Field, dataclass, field, replace
from typing import Any, ClassVar, Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from snn_gan_ext.algorithms.likelihood import MaximumLikelihood
from snn_gan_ext.coding.images import Labelled, check_images, check_labelled
from snn_gan_ext.errors import InputError
from snn_gan_ext.functional.bases import exponential_basis
from snn_gan_ext.metrics.events import labels_of
from snn_gan_ext.metrics.references import SpikeSampler
from snn_gan_ext.metrics.spike_trains import check_trains, trial_features
from snn_gan_ext.networks.classifiers import SpikingClassifier
from snn_gan_ext.types import Batch
from snn_gan_ext.validation import SEED, at_least, check_setting, check_settings, whole

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

BATCH = 64
"""Trials of an update of the convolutional classifiers."""


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

    To score several samplers by one classifier, call ``classifier.fit(real)`` once and ``accuracy`` for
    each.

    Args:
        classifier: Classifier to train.
        real: Real training data.
        synthetic: Synthetic test data.
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
            InputError: If they are not as `check_labelled` requires.
        """
        import warnings

        from sklearn.exceptions import ConvergenceWarning
        from sklearn.neural_network import MLPClassifier
        from threadpoolctl import threadpool_limits

        check_labelled(data)
        network = MLPClassifier(
            (100, 100), alpha=self.alpha, max_iter=self.epochs, random_state=self.seed
        )
        # One thread: on a busy machine a second one makes these small products several times slower.
        with warnings.catch_warnings(), threadpool_limits(1):
            # The number of epochs is a budget, which training is meant to use up.
            warnings.simplefilter("ignore", ConvergenceWarning)
            return FittedMLP(network.fit(data.images.numpy(), data.labels.numpy()))


@dataclass(frozen=True)
class FittedMLP:
    """A trained `MLP`, which also gives features to the measures in `snn_gan_ext.metrics.images`.

    Attributes:
        network: The scikit-learn ``MLPClassifier``.
    """

    network: Any

    @property
    def classes(self) -> NDArray[np.int64]:
        """Labels of the training data, sorted."""
        known: NDArray[np.int64] = self.network.classes_
        return known

    def accuracy(self, data: Labelled) -> float:
        """Return the share of images that get their own label."""
        check_labelled(data)
        return float(self.network.score(data.images.numpy(), data.labels.numpy()))

    def predict(self, images: Tensor) -> NDArray[np.int64]:
        """Return labels ``[B]`` of images ``[B, N]``."""
        check_images(images)
        labels: NDArray[np.int64] = self.network.predict(images.numpy())
        return labels

    def probabilities(self, images: Tensor) -> NDArray[np.float64]:
        """Return class probabilities ``[B, classes]`` of images ``[B, N]``."""
        check_images(images)
        return np.asarray(self.network.predict_proba(images.numpy()), np.float64)

    def features(self, images: Tensor) -> NDArray[np.float64]:
        """Return activities ``[B, units]`` of the last hidden layer for images ``[B, N]``."""
        check_images(images)
        features = images.numpy().astype(np.float64)
        hidden = zip(self.network.coefs_[:-1], self.network.intercepts_[:-1], strict=True)
        for weight, bias in hidden:
            features = np.maximum(features @ weight + bias, 0)
        return features


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
        from threadpoolctl import threadpool_limits

        features, labels = self.features(data.spikes), labels_of(data).numpy()
        # Trees cannot bin a feature that no train has.
        absent: NDArray[np.bool_] = np.all(np.isnan(features), axis=0)
        trees = HistGradientBoostingClassifier(learning_rate=0.05, random_state=self.seed)
        with threadpool_limits(1):
            trees.fit(np.where(absent, 0.0, features), labels)
        return FittedTrees(trees, self.features, absent)


@dataclass(frozen=True)
class FittedTrees:
    """Trained `Trees`.

    Attributes:
        trees: The scikit-learn ``HistGradientBoostingClassifier``.
        features: Map from spikes to features.
        absent: Features ``[F]`` that no training train has.
    """

    trees: Any
    features: Callable[[Tensor], NDArray[np.float64]]
    absent: NDArray[np.bool_]

    def accuracy(self, data: Batch) -> float:
        """Return the share of trains that get their own label."""
        from threadpoolctl import threadpool_limits

        features = np.where(self.absent, 0.0, self.features(data.spikes))
        with threadpool_limits(1):
            return float(self.trees.score(features, labels_of(data).numpy()))


@dataclass(frozen=True)
class TrainCNN:
    """A convolutional network on spike trains ``[T, B]`` of two classes, 0 and 1.

    Three convolutions find patterns of spikes at three scales; their mean and their maximum over time
    decide. Its input is the spikes themselves, so it also suits generators whose discriminator receives
    intervals.

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
        labels = labels_of(data, 2)
        trains = _as_signals(data.spikes)
        network = _trained(
            _PatternNetwork,
            trains,
            labels.float(),
            binary_cross_entropy_with_logits,
            self,
            lr=3e-3,
            schedule=lambda optimizer: torch.optim.lr_scheduler.OneCycleLR(
                optimizer, 3e-3, total_steps=self.updates
            ),
        )
        return FittedNetwork(network, _as_signals, lambda logits: (logits > 0).long())


@dataclass(frozen=True)
class FrameCNN:
    """A convolutional network on event frames ``[T, B, C, H, W]``.

    Its input is spike counts in blocks of time. Two 3 x 3 convolutions of 32 and 64 channels with
    pooling precede a linear layer of 128. On frames wider or higher than 24 pixels the first
    convolution has stride 2.

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
        """Train on labelled trials; the classes are 0 to the highest label."""
        labels = labels_of(data)
        frames = self._counts(data.spikes)

        def network() -> nn.Module:
            made = _frame_network(frames.shape[1:], 1 + int(labels.max()))
            made(frames[:1])  # sets the width of the lazy layer
            return made

        trained = _trained(
            network,
            frames,
            labels,
            lambda logits, wanted: cross_entropy(logits, wanted, label_smoothing=0.1),
            self,
            lr=2e-3,
            schedule=lambda optimizer: torch.optim.lr_scheduler.CosineAnnealingLR(
                optimizer, self.updates
            ),
        )
        return FittedNetwork(trained, self._counts, lambda logits: logits.argmax(1))

    def _counts(self, spikes: Tensor) -> Tensor:
        """Return counts ``[B, blocks * C, H, W]``."""
        if spikes.dim() != 5:
            raise InputError("spikes", expected="[T, B, C, H, W]", got=f"{list(spikes.shape)}")
        steps, batch, channels, height, width = spikes.shape
        blocks = self.blocks if steps % self.blocks == 0 else steps
        counts = spikes.reshape(blocks, steps // blocks, batch, channels, height, width).sum(1)
        return counts.transpose(0, 1).reshape(batch, blocks * channels, height, width)


@dataclass(frozen=True)
class FittedNetwork:
    """A trained convolutional network.

    Attributes:
        network: Map from inputs to logits.
        prepare: Map from spikes ``[T, B, ...]`` to inputs.
        decide: Map from logits to labels ``[B]``.
    """

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
        num_steps, _, features = first.spikes.shape
        network = SpikingClassifier(
            features,
            self.classes,
            num_steps,
            hidden=self.hidden,
            basis=exponential_basis(6, 2.0),
            rng=weights,
        )
        algorithm = MaximumLikelihood(updates=self.updates)
        state = algorithm.init(network, rng)
        algorithm.update(state, first)
        for _ in range(self.updates - 1):
            algorithm.update(state, batch())
        return FittedSpiking(network, rng)


@dataclass(frozen=True)
class FittedSpiking:
    """A trained `SpikingMLE`.

    Attributes:
        network: The spiking network.
        rng: Random source of its neurons' noise, where training left it.
    """

    network: SpikingClassifier
    rng: torch.Generator = field(repr=False)

    def accuracies(self, data: Batch) -> dict[str, float]:
        """Return the accuracies of two read-outs of one run, ``probability`` and ``count``.

        The class is the label neuron of the highest mean firing probability, or of most spikes.
        """
        labels = labels_of(data)
        run = self.network.run(data.spikes, self.rng)
        guesses = {"probability": torch.sigmoid(run.potentials).mean(0), "count": run.spikes.sum(0)}
        return {
            name: float((guess.argmax(-1) == labels).float().mean()) for name, guess in guesses.items()
        }

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
    *,
    lr: float,
    schedule: Callable[[torch.optim.Optimizer], torch.optim.lr_scheduler.LRScheduler],
) -> nn.Module:
    """Train a network by AdamW on batches drawn with replacement."""
    rng = torch.Generator().manual_seed(settings.seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        network = make()
        optimizer = torch.optim.AdamW(network.parameters(), lr, weight_decay=1e-2)
        scheduler = schedule(optimizer)
        network.train()
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
    check_trains(spikes)
    if len(spikes) < 60:
        raise InputError("trains", expected="60 time steps or more", got=f"{len(spikes)}")
    return spikes.T.unsqueeze(1).float()


class _PatternNetwork(nn.Module):
    """Patterns of spikes at three scales, read out by their mean and their maximum over time."""

    def __init__(self) -> None:
        super().__init__()
        self.patterns = nn.Sequential(
            nn.Conv1d(1, 24, 9),
            nn.ReLU(),
            nn.MaxPool1d(2),
            nn.Conv1d(24, 32, 15, 2),
            nn.ReLU(),
            nn.Conv1d(32, 32, 5),
            nn.ReLU(),
        )
        self.head = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1))

    def forward(self, trains: Tensor) -> Tensor:
        found = self.patterns(trains)
        logits: Tensor = self.head(torch.cat([found.mean(2), found.amax(2)], 1))
        return logits.squeeze(-1)


def _frame_network(shape: torch.Size, classes: int) -> nn.Module:
    channels, height, width = shape
    return nn.Sequential(
        nn.Conv2d(channels, 32, 3, stride=2 if max(height, width) > 24 else 1, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2, ceil_mode=True),
        nn.Conv2d(32, 64, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2, ceil_mode=True),
        nn.Flatten(),
        nn.Dropout(0.3),
        nn.LazyLinear(128),
        nn.ReLU(),
        nn.Dropout(0.3),
        nn.Linear(128, classes),
    )
