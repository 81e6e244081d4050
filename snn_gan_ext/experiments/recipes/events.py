"""Event recordings: data of any format, and the evaluation of generators of event frames."""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from snn_gan_ext.coding.events import Binning, Sensor
from snn_gan_ext.coding.images import time_surface_decode
from snn_gan_ext.datasets import DATA_VARIABLE
from snn_gan_ext.datasets.event_frames import EventFrames
from snn_gan_ext.datasets.recordings import DataSetName, Recordings, open_recordings
from snn_gan_ext.errors import InputError
from snn_gan_ext.experiments.components import Data
from snn_gan_ext.experiments.evaluation import Evaluation, Results, Trained
from snn_gan_ext.experiments.settings import location
from snn_gan_ext.metrics import classifiers, events, references
from snn_gan_ext.metrics.c2st import c2st
from snn_gan_ext.metrics.events import labels_of
from snn_gan_ext.metrics.references import ImageSampler
from snn_gan_ext.metrics.references import SpikeSampler as Sampler
from snn_gan_ext.types import Batch, setting
from snn_gan_ext.validation import SEED, whole

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["EventEvaluation", "EventRecordings"]


@dataclass(frozen=True, kw_only=True)
class EventRecordings(Data):
    """Labelled recordings of an event camera, binned; 7 : 1 : 2 of them to train, validate and test.

    Attributes:
        format: Name of the data set.
        path: Folder of the recordings, as Tonic lays them out; by default ``nmnist-small`` in the
            folder that the environment variable SNN_GAN_EXT_DATA names.
        download: Let Tonic download the data set into that folder.
        sensor: Width, height and polarities of the sensor.
        classes: Number of classes.
        num_steps: Length of a trial in time steps.
        step_us: Length of a step in microseconds.
        pool: Side of the squares of pixels that become one.
        shots: Recordings of each class to learn from, drawn by ``shots_seed``; 0 for all.
        shots_seed: Seed of that draw.
    """

    default_folder: ClassVar[str] = "nmnist-small"
    format: DataSetName = "nmnist"
    path: str = location("")
    download: bool = location(False)
    sensor: tuple[int, int, int] = (34, 34, 2)
    classes: int = setting(10, whole(1, 10_000))
    num_steps: int = setting(10, whole(1, 10_000))
    step_us: int = setting(10_000, whole(1))
    pool: int = setting(2, whole(1))
    shots: int = setting(0, whole(0, 10_000))
    shots_seed: int = setting(0, SEED)

    @property
    def binning(self) -> Binning:
        """Coding of recordings as spikes."""
        return Binning(
            sensor=Sensor(*self.sensor),
            num_steps=self.num_steps,
            step_us=self.step_us,
            pool=self.pool,
        )

    @property
    def shape(self) -> tuple[int, ...]:
        return self.binning.shape

    def recordings(self) -> Recordings:
        """Open the recordings. A data set with a loader of its own overrides this."""
        return open_recordings(self.format, self._folder(), download=self.download)

    def _folder(self) -> Path:
        if self.path:
            return Path(self.path)
        if DATA_VARIABLE in os.environ:
            return Path(os.environ[DATA_VARIABLE]) / self.default_folder
        raise InputError(
            "data",
            expected=f"a folder of {self.format} recordings",
            got="none",
            cure="--data FOLDER, and --data.download to have Tonic fetch them into it",
        )

    @cached_property
    def frames(self) -> EventFrames:
        """All recordings as spikes."""
        return _frames(replace(self, shots=0, shots_seed=0))

    def fingerprint(self) -> str:
        return self.frames.fingerprint()

    @cached_property
    def splits(self) -> dict[str, NDArray[np.int64]]:
        """Places of the recordings of each split."""
        counts = np.bincount(self.frames.targets, minlength=self.classes)
        if len(counts) > self.classes or counts.min() < 20:
            raise InputError(
                "recordings",
                expected=f"at least 20 of each of {self.classes} classes",
                got=f"{dict(enumerate(counts.tolist()))}",
            )
        splits = _split(self.frames.targets, self.classes)
        return {**splits, "train": self._few(splits["train"])} if self.shots else splits

    def _few(self, places: NDArray[np.int64]) -> NDArray[np.int64]:
        rng = np.random.default_rng(self.shots_seed)
        by_class = [places[self.frames.targets[places] == label] for label in range(self.classes)]
        fewest = min(map(len, by_class))
        if fewest < self.shots:
            raise InputError("shots", expected=f"at most {fewest}, as there are", got=f"{self.shots}")
        return np.concatenate([rng.choice(part, self.shots, replace=False) for part in by_class])

    @cached_property
    def _by_class(self) -> list[NDArray[np.int64]]:
        train = self.splits["train"]
        return [train[self.frames.targets[train] == label] for label in range(self.classes)]

    def load(self) -> None:
        if float(self.class_rates().max()) < 0.01:
            raise InputError(
                "num_steps and step_us",
                expected="a window in which the recordings have events",
                got=f"{self.num_steps} steps of {self.step_us} us, nearly silent",
            )

    def batch(self, size: int, rng: torch.Generator) -> Batch:
        if size % self.classes:
            raise InputError(
                "batch", expected=f"a multiple of the {self.classes} classes", got=f"{size}"
            )
        each = size // self.classes
        picks = [
            places[torch.randint(len(places), (each,), generator=rng, device=rng.device).cpu().numpy()]
            for places in self._by_class
        ]
        labels = torch.arange(self.classes, device=rng.device).repeat_interleave(each)
        return Batch(self.frames.spikes(np.concatenate(picks)).to(rng.device), labels)

    def trials(self, split: str) -> Batch:
        """All recordings of a split."""
        picks = self.splits[split]
        return Batch(self.frames.spikes(picks), torch.from_numpy(self.frames.targets[picks]))

    def class_rates(self) -> Tensor:
        """Share of spikes ``[T, classes, N]`` in training trials and one more, of all classes' mean."""
        counts = []
        for picks in self._by_class:
            parts = np.array_split(picks, max(1, len(picks) // 500))
            counts.append(torch.stack([self.frames.spikes(part).sum(1) for part in parts]).sum(0))
        trials = torch.tensor([len(picks) for picks in self._by_class])
        spikes = torch.stack(counts, 1).flatten(2)
        overall = spikes.sum(1, keepdim=True) / trials.sum()
        return ((spikes + overall) / (trials.unsqueeze(1) + 1)).clamp(1e-3, 1 - 1e-3)


@lru_cache(maxsize=1)
def _frames(data: EventRecordings) -> EventFrames:
    return EventFrames(data.recordings(), data.binning, damaged="skip")


def _split(targets: NDArray[np.int64], classes: int) -> dict[str, NDArray[np.int64]]:
    """Places of the training (70 %), validation (10 %) and test recordings; the same for all runs."""
    rng = np.random.default_rng(0)
    splits: dict[str, list[NDArray[np.int64]]] = {"train": [], "validation": [], "test": []}
    for label in range(classes):
        order = rng.permutation(np.flatnonzero(targets == label))
        cuts = [round(0.7 * len(order)), round(0.8 * len(order))]
        for places, part in zip(splits.values(), np.split(order, cuts), strict=True):
            places.append(part)
    return {name: np.concatenate(places) for name, places in splits.items()}


@dataclass(frozen=True, kw_only=True)
class EventEvaluation(Evaluation):
    """Samples as event frames: convolutional classifiers, C2ST, and statistics of events.

    Attributes:
        synthetic_count: Number of trials that classifiers learn from.
        classifier_updates: Training updates of each classifier.
    """

    panels: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "losses": ("spikegan_discriminator_loss", "spikegan_r1_penalty"),
        "signal": ("spikegan_reward", "spikegan_real_logit", "spikegan_fake_logit"),
        "log-likelihood a trial": ("ml_log_likelihood",),
        "train on synthetic, test on real": ("validation_tstr",),
    }
    synthetic_count: int = setting(3000, whole(100, 1_000_000))
    classifier_updates: int = setting(400, whole(1))

    def monitor(self, trainer: Trained) -> dict[str, float]:
        """TSTR of a classifier that is trained for a short time, on the validation split."""
        data = trainer.data_as(EventRecordings)
        synthetic = self.drawn(trainer, sampler(trainer), _in_turn(data, 1000), "monitor")
        model = classifiers.FrameCNN(trainer.seed_of("tstr"), updates=200)
        return {
            "validation_tstr": classifiers.tstr(model, synthetic, data.trials("validation"), repeats=1)
        }

    def evaluate(self, trainer: Trained) -> Results:
        """Score all arms beside held-out recordings and samplers without a network."""
        data = trainer.data_as(EventRecordings)
        train, real = data.trials("train"), data.trials(trainer.split)
        model = classifiers.FrameCNN(trainer.seed_of("trts"), self.classifier_updates).fit(train)
        images = references.as_images(train)
        samplers: dict[str, Sampler] = {
            "class_means": reference(data, references.class_means(images)),
            "kmeans": reference(
                data, references.kmeans_mixture(images, seed=trainer.seed_of("clusters"))
            ),
            **{name: sampler(trainer, name) for name in trainer.generators},
        }
        rows = {"real": self._real_row(trainer, model, train, real)}
        for name, draw in samplers.items():
            rows[name] = self._row(trainer, model, draw, train, real)
        for row in rows.values():
            row["nearest_ratio"] = row["nearest_distance"] / max(rows["real"]["nearest_distance"], 1e-9)
        shown = self.drawn(trainer, sampler(trainer), _in_turn(data, data.classes), "figures")
        return Results(rows, frame_figures(real, shown), _peak_memory())

    def _real_row(
        self, trainer: Trained, model: classifiers.FittedNetwork, train: Batch, real: Batch
    ) -> dict[str, float]:
        """The ceiling: held-out recordings as if they were samples."""
        images = references.real_images(references.as_images(train))
        again = reference(trainer.data_as(EventRecordings), images)
        accuracy = model.accuracy(real)
        return {
            "tstr": accuracy,
            "trts": accuracy,
            **_statistics(train, real, real),
            "c2st": self._c2st(trainer, again, train, real),
        }

    def _row(
        self,
        trainer: Trained,
        model: classifiers.FittedNetwork,
        draw: Sampler,
        train: Batch,
        real: Batch,
    ) -> dict[str, float]:
        labels = _in_turn(trainer.data_as(EventRecordings), self.synthetic_count)
        synthetic = self.drawn(trainer, draw, labels, "synthetic")
        as_train, as_real = (
            self.drawn(trainer, draw, labels_of(part), role)
            for part, role in ((train, "as train"), (real, "as real"))
        )
        fresh = classifiers.FrameCNN(trainer.seed_of("tstr"), self.classifier_updates)
        return {
            "tstr": classifiers.tstr(fresh, synthetic, real, repeats=1),
            "trts": model.accuracy(as_real),
            **_statistics(train, as_train, as_real),
            "c2st": self._c2st(trainer, draw, train, real),
        }

    def _c2st(self, trainer: Trained, draw: Sampler, train: Batch, real: Batch) -> float:
        train_pair, test_pair = (
            (part, self.drawn(trainer, draw, labels_of(part), role))
            for part, role in ((train, "as train"), (real, "as real"))
        )
        model = classifiers.FrameCNN(trainer.seed_of("c2st"), self.classifier_updates)
        return c2st(train_pair, test_pair, model)

    def drawn(self, trainer: Trained, draw: Sampler, labels: Tensor, role: str) -> Batch:
        """Draw samples of labels with the run's random source of a role."""
        return Batch(draw(labels, trainer.stream(role)), labels)


def _statistics(train: Batch, as_train: Batch, as_real: Batch) -> dict[str, float]:
    """Statistics of samples of the training labels, and of samples of held-out labels."""
    return {
        "rate_ratio": float(as_train.spikes.mean() / train.spikes.mean()),
        "count_spread_ratio": events.count_spread_ratio(train, as_train),
        "autocorrelation_distance": events.autocorrelation_distance(train, as_train),
        "nearest_distance": events.nearest_distance(as_real, train),
    }


def sampler(trainer: Trained, name: str = "") -> Sampler:
    """Return a sampler of one arm, by default the experiment's own; it draws 200 trials at a time."""

    def draw(labels: Tensor, rng: torch.Generator) -> Tensor:
        parts = labels.split(200)  # type: ignore[no-untyped-call]
        arm = name or trainer.label
        return torch.cat([trainer.draw(arm, part, rng) for part in parts], 1)

    return draw


def reference(data: EventRecordings, images: ImageSampler) -> Sampler:
    """Return a sampler of event frames with the probabilities that a sampler of images draws."""
    draw = references.as_frames(images, data.shape)
    return lambda labels, rng: draw(labels, torch.Generator().manual_seed(rng.initial_seed()))


def frame_figures(real: Batch, synthetic: Batch) -> Mapping[str, "Figure"]:
    """Draw frames and time surfaces of a real trial of each class, and of synthetic ones."""
    from snn_gan_ext import plots

    labels = labels_of(real)
    places = [int((labels == k).nonzero()[0]) for k in sorted(set(labels.tolist()))]
    shown = {"real": real.spikes[:, places], "generated": synthetic.spikes}
    surfaces = {title: _surfaces(spikes) for title, spikes in shown.items()}
    return {"frames": plots.event_frames(shown), "time_surfaces": plots.time_surfaces(surfaces)}


def _surfaces(spikes: Tensor) -> Tensor:
    """Time surfaces ``[B, C, H, W]`` of spikes ``[T, B, C, H, W]``."""
    flat = time_surface_decode(spikes.flatten(2), decay=len(spikes) / 3)
    return (flat / flat.max().clamp_min(1e-6)).reshape(-1, *spikes.shape[2:])


def _in_turn(data: EventRecordings, count: int) -> Tensor:
    return torch.arange(count) % data.classes


def _peak_memory() -> dict[str, float]:
    """Largest memory of the process so far, in MB; nothing on Windows, where it cannot be asked for."""
    if sys.platform == "win32":
        return {}
    import resource

    in_bytes = sys.platform == "darwin"  # kilobytes elsewhere
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"peak_memory_mb": used / (2**20 if in_bytes else 2**10)}
