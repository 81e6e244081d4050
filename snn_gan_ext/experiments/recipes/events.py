"""Event recordings: data of any format, and the evaluation of generators of event frames."""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache, partial
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from snn_gan_ext import plots
from snn_gan_ext.coding.events import Binning, Sensor
from snn_gan_ext.coding.images import time_surface_decode
from snn_gan_ext.datasets import DATA_VARIABLE
from snn_gan_ext.datasets.event_frames import EventFrames
from snn_gan_ext.datasets.recordings import DataSetName, Recordings, open_recordings
from snn_gan_ext.errors import InputError
from snn_gan_ext.experiments.components import Data, in_turn
from snn_gan_ext.experiments.evaluation import Evaluation, Figures, Results, Trained
from snn_gan_ext.experiments.settings import location
from snn_gan_ext.metrics import classifiers, events, references
from snn_gan_ext.metrics.c2st import c2st
from snn_gan_ext.metrics.events import labels_of
from snn_gan_ext.metrics.references import ImageSampler, SpikeSampler
from snn_gan_ext.types import Batch, setting
from snn_gan_ext.validation import SEED, path_of, whole

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

    def check(self) -> None:
        _ = self.binning

    @property
    def binning(self) -> Binning:
        """Coding of recordings as spikes."""
        return Binning(
            sensor=Sensor(*self.sensor), num_steps=self.num_steps, step_us=self.step_us, pool=self.pool
        )

    @property
    def shape(self) -> tuple[int, ...]:
        return self.binning.shape

    def recordings(self) -> Recordings:
        """Open the recordings. A data set with a loader of its own overrides this."""
        return open_recordings(self.format, self.folder(), download=self.download)

    def folder(self) -> Path:
        """Return the folder of the recordings.

        Raises:
            InputError: If neither ``path`` nor the environment variable names it.
        """
        if self.path:
            return path_of("--data", self.path)
        if os.environ.get(DATA_VARIABLE):
            return path_of(DATA_VARIABLE, os.environ[DATA_VARIABLE]) / self.default_folder
        cure = "--data FOLDER, and --data.download to have Tonic fetch them into it"
        expected = f"a folder of {self.format} recordings"
        raise InputError("data", expected=expected, got="none", cure=cure)

    @cached_property
    def frames(self) -> EventFrames:
        """All recordings as spikes."""
        data = replace(self, path=f"{self.folder()}", shots=0, shots_seed=0)
        return _frames(data, data.recordings().key or object())

    def fingerprint(self) -> str:
        return self.frames.fingerprint()

    @cached_property
    def splits(self) -> dict[str, NDArray[np.int64]]:
        """Places of the recordings of each split."""
        counts = np.bincount(self.frames.targets, minlength=self.classes)
        if len(counts) > self.classes or counts.min() < 20:
            expected = f"at least 20 of each of {self.classes} classes"
            got = f"{dict(enumerate(counts.tolist()))}"
            raise InputError("recordings", expected=expected, got=got)
        splits = _split(self.frames.targets, self.classes)
        if self.shots:
            rng, by_class = np.random.default_rng(self.shots_seed), self._by_class(splits["train"])
            fewest = min(map(len, by_class))
            if fewest < self.shots:
                expected = f"at most {fewest}, as there are"
                raise InputError("shots", expected=expected, got=f"{self.shots}")
            few = [rng.choice(part, self.shots, replace=False) for part in by_class]
            splits["train"] = np.concatenate(few)
        return splits

    def _by_class(self, places: NDArray[np.int64]) -> list[NDArray[np.int64]]:
        return [places[self.frames.targets[places] == label] for label in range(self.classes)]

    @cached_property
    def _train(self) -> list[NDArray[np.int64]]:
        return self._by_class(self.splits["train"])

    def load(self) -> None:
        if float(self.class_rates().max()) < 0.01:
            expected = "a window in which the recordings have events"
            got = f"{self.num_steps} steps of {self.step_us} us, nearly silent"
            raise InputError("num_steps and step_us", expected=expected, got=got)

    def batch(self, size: int, rng: torch.Generator) -> Batch:
        if size % self.classes:
            expected = f"a multiple of the {self.classes} classes"
            raise InputError("batch", expected=expected, got=f"{size}")
        each = size // self.classes
        picks = [
            places[torch.randint(len(places), (each,), generator=rng, device=rng.device).cpu().numpy()]
            for places in self._train
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
        for picks in self._train:
            parts = np.array_split(picks, max(1, len(picks) // 500))
            counts.append(torch.stack([self.frames.spikes(part).sum(1) for part in parts]).sum(0))
        trials = torch.tensor([len(picks) for picks in self._train])
        spikes = torch.stack(counts, 1).flatten(2)
        overall = spikes.sum(1, keepdim=True) / trials.sum()
        return ((spikes + overall) / (trials.unsqueeze(1) + 1)).clamp(1e-3, 1 - 1e-3)


@lru_cache(maxsize=1)
def _frames(data: EventRecordings, key: object) -> EventFrames:
    """Return the spikes of recordings, which the key tells from others of the same settings."""
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
        synthetic = self.drawn(trainer, sampler(trainer), in_turn(1000, data.classes), "monitor")
        model = classifiers.FrameCNN(trainer.seed_of("tstr"), updates=200)
        found = classifiers.tstr(model, synthetic, data.trials("validation"), repeats=1)
        return {"validation_tstr": found}

    def evaluate(self, trainer: Trained) -> Results:
        """Score all arms beside held-out recordings and samplers without a network."""
        data = trainer.data_as(EventRecordings)
        train, real = data.trials("train"), data.trials(trainer.split)
        model = classifiers.FrameCNN(trainer.seed_of("trts"), self.classifier_updates).fit(train)
        images = references.as_images(train)
        kmeans = references.kmeans_mixture(images, seed=trainer.seed_of("clusters"))
        samplers: dict[str, SpikeSampler] = {
            "class_means": reference(data, references.class_means(images)),
            "kmeans": reference(data, kmeans),
            **{name: sampler(trainer, name) for name in trainer.generators},
        }
        # The ceiling: held-out recordings as if they were samples.
        again, accuracy = reference(data, references.real_images(images)), model.accuracy(real)
        ceiling = {"tstr": accuracy, "trts": accuracy, **_statistics(train, real, real)}
        pair = self._pair(trainer, again, train, real)
        rows = {"real": {**ceiling, "c2st": self._c2st(trainer, train, real, *pair)}}
        for name, draw in trainer.each(samplers.items()):
            rows[name] = self._row(trainer, model, draw, train, real)
        for row in rows.values():
            row["nearest_ratio"] = row["nearest_distance"] / max(rows["real"]["nearest_distance"], 1e-9)
        shown = self.drawn(trainer, sampler(trainer), in_turn(data.classes, data.classes), "figures")
        return Results(rows, frame_figures(real, shown), _peak_memory())

    def _row(
        self,
        trainer: Trained,
        model: classifiers.FittedNetwork,
        draw: SpikeSampler,
        train: Batch,
        real: Batch,
    ) -> dict[str, float]:
        labels = in_turn(self.synthetic_count, trainer.data.classes)
        synthetic = self.drawn(trainer, draw, labels, "synthetic")
        as_train, as_real = self._pair(trainer, draw, train, real)
        fresh = classifiers.FrameCNN(trainer.seed_of("tstr"), self.classifier_updates)
        return {
            "tstr": classifiers.tstr(fresh, synthetic, real, repeats=1),
            "trts": model.accuracy(as_real),
            **_statistics(train, as_train, as_real),
            "c2st": self._c2st(trainer, train, real, as_train, as_real),
        }

    def _pair(self, trainer: Trained, draw: SpikeSampler, train: Batch, real: Batch) -> list[Batch]:
        parts = {"as train": train, "as real": real}
        return [self.drawn(trainer, draw, labels_of(part), role) for role, part in parts.items()]

    def _c2st(self, trainer: Trained, train: Batch, real: Batch, *drawn: Batch) -> float:
        model = classifiers.FrameCNN(trainer.seed_of("c2st"), self.classifier_updates)
        return c2st((train, drawn[0]), (real, drawn[1]), model)

    def drawn(self, trainer: Trained, draw: SpikeSampler, labels: Tensor, role: str) -> Batch:
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


def sampler(trainer: Trained, name: str = "") -> SpikeSampler:
    """Return a sampler of one arm, by default the experiment's own; it draws 200 trials at a time."""

    def draw(labels: Tensor, rng: torch.Generator) -> Tensor:
        parts = labels.split(200)  # type: ignore[no-untyped-call]
        arm = name or trainer.label
        return torch.cat([trainer.draw(arm, part, rng) for part in parts], 1)

    return draw


def reference(data: EventRecordings, images: ImageSampler) -> SpikeSampler:
    """Return a sampler of event frames with the probabilities that a sampler of images draws."""
    draw = references.as_frames(images, data.shape)
    return lambda labels, rng: draw(labels, torch.Generator().manual_seed(rng.initial_seed()))


def frame_figures(real: Batch, synthetic: Batch) -> Figures:
    """Draw frames and time surfaces of a real and a synthetic trial of each class."""
    shown = {}
    for title, trials in (("real", real), ("generated", synthetic)):
        labels = labels_of(trials)
        places = [int((labels == k).nonzero()[0]) for k in sorted(set(labels.tolist()))]
        shown[title] = trials.spikes[:, places]
    surfaces = {title: _surfaces(spikes) for title, spikes in shown.items()}
    return {
        "frames": partial(plots.event_frames, shown),
        "time_surfaces": partial(plots.time_surfaces, surfaces),
    }


def _surfaces(spikes: Tensor) -> Tensor:
    """Time surfaces ``[B, C, H, W]`` of spikes ``[T, B, C, H, W]``."""
    flat = time_surface_decode(spikes.flatten(2), decay=len(spikes) / 3)
    return (flat / flat.max().clamp_min(1e-6)).reshape(-1, *spikes.shape[2:])


def _peak_memory() -> dict[str, float]:
    """Largest memory of the process so far, in MB; nothing on Windows, where it cannot be asked for."""
    if sys.platform == "win32":
        return {}
    import resource

    in_bytes = sys.platform == "darwin"  # kilobytes elsewhere
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"peak_memory_mb": used / (2**20 if in_bytes else 2**10)}
