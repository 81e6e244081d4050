"""SpikeGAN on event-camera recordings of digits (N-MNIST)."""

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor, nn

from snn_gan_ext import plots
from snn_gan_ext.algorithms.likelihood import MaximumLikelihood
from snn_gan_ext.algorithms.side_by_side import SideBySide, SideBySideState
from snn_gan_ext.algorithms.spikegan import Batch, Estimator, SpikeGAN
from snn_gan_ext.coding.events import Binning, Sensor, pooled_counts
from snn_gan_ext.coding.images import Labelled, time_surface_decode
from snn_gan_ext.datasets import DATA_VARIABLE
from snn_gan_ext.datasets.event_frames import EventFrames
from snn_gan_ext.datasets.recordings import open_recordings
from snn_gan_ext.errors import InputError
from snn_gan_ext.experiments.recipes.base import Experiment, Recipe, Results, digit_labels
from snn_gan_ext.experiments.recipes.event_judge import EventJudge
from snn_gan_ext.functional.bases import raised_cosine_basis
from snn_gan_ext.metrics import events, references
from snn_gan_ext.metrics.events import LabelledFrames
from snn_gan_ext.networks.discriminators import MLPDiscriminator
from snn_gan_ext.networks.generators import ConditionalGenerator, ConvolutionalGenerator
from snn_gan_ext.settings import check_settings, whole

__all__ = [
    "NMNIST",
    "NMNISTExperiment",
    "NMNISTSmall",
]

CLASSES = 10
SENSOR = Sensor(34, 34, 2)
STRIDE = 4

Sampler = Callable[[Tensor, torch.Generator], Tensor]
"""Draws spikes ``[T, B, C, H, W]`` for labels ``[B]``."""


@dataclass(frozen=True, kw_only=True)
class NMNISTSmall(Recipe):
    """SpikeGAN and maximum likelihood on N-MNIST, pooled to 17 x 17 pixels.

    Attributes:
        data: folder with N-MNIST recordings, as Tonic lays them out; by default ``nmnist-small`` in the
            folder that the environment variable SNN_GAN_EXT_DATA names.
        download: let Tonic download N-MNIST into that folder.
        time_steps: length T of a trial in time steps.
        step_us: length of a step in microseconds.
        pool: side of the squares of pixels that become one.
        generator: dense (every bit and neuron to every read-out neuron), or convolutional (hidden maps
            of a quarter of the frame's side, and a transposed convolution).
        hidden: hidden neurons of the dense generator.
        maps: hidden maps of the convolutional one.
        latent_bits: fair coins tossed once a trial.
        basis_functions: temporal filters of the read-out neurons.
        label_std: standard deviation of the initial weights of label-to-hidden synapses.
        weight_std: that of the initial weights onto read-out neurons, bits and hidden neurons.
        estimator: gradient estimator of the generator.
        discriminator_hidden: width of its hidden layer.
        label_scale: factor on the label in the discriminator's input.
        generator_lr: Adam's learning rate for the generator.
        discriminator_lr: that of the discriminator.
        likelihood_lr: that of the generator trained by maximum likelihood.
        r1: weight of the R1 penalty.
        real_target: the discriminator's target for real trials.
        averaging: decay of the running mean of the generator's weights; 0 for none.
        synthetic_count: trials drawn for the evaluation.
        judge_updates: training steps of each classifier in the evaluation.
    """

    name: ClassVar[str] = "nmnist-small"
    whereabouts: ClassVar[tuple[str, ...]] = ("data", "download")
    summary: ClassVar[str] = "SpikeGAN on event-camera digits, 17 x 17 pixels"

    data: str = ""
    download: bool = False
    steps: int = 3000
    batch: int = 60
    monitor_every: int = 500
    time_steps: int = 10
    step_us: int = 10_000
    pool: int = 2
    generator: Literal["dense", "convolutional"] = "dense"
    hidden: int = 0
    maps: int = 16
    latent_bits: int = 32
    basis_functions: int = 5
    label_std: float = 0.9
    weight_std: float = 0.1
    estimator: Estimator = "hybrid"
    discriminator_hidden: int = 256
    label_scale: float = 4.0
    generator_lr: float = 5e-3
    discriminator_lr: float = 1e-3
    likelihood_lr: float = 5e-3
    r1: float = 2.0
    real_target: float = 0.9
    averaging: float = 0.0
    synthetic_count: int = 3000
    judge_updates: int = 400

    def check(self) -> None:
        super().check()
        check_settings(
            self,
            time_steps=whole(1, 10_000),
            step_us=whole(1),
            pool=whole(1, 17),
            basis_functions=whole(1, self.time_steps),
            maps=whole(1, 1000),
            latent_bits=whole(0, 10_000),
            hidden=whole(0, 100_000),
            discriminator_hidden=whole(1),
            judge_updates=whole(1),
            synthetic_count=whole(10 * CLASSES, 1_000_000),
        )
        if self.batch % CLASSES or self.time_steps % 2:
            raise InputError(
                "batch and time_steps",
                expected=f"a multiple of the {CLASSES} classes, and of 2",
                got=f"{self.batch} and {self.time_steps}",
            )

    def folder(self) -> Path:
        """Where the recordings are.

        Raises:
            InputError: if neither ``data`` nor the environment variable says.
        """
        if self.data:
            return Path(self.data)
        if DATA_VARIABLE in os.environ:
            return Path(os.environ[DATA_VARIABLE]) / "nmnist-small"
        raise InputError(
            "data",
            expected="a folder with N-MNIST recordings",
            got="none",
            cure="--data FOLDER, and --download to have Tonic fetch them into it (1 GB)",
        )

    def _build(self, device: torch.device) -> "NMNISTExperiment":
        return NMNISTExperiment(self, device)


@dataclass(frozen=True, kw_only=True)
class NMNIST(NMNISTSmall):
    """The same with all 34 x 34 pixels."""

    name: ClassVar[str] = "nmnist"
    summary: ClassVar[str] = "SpikeGAN on event-camera digits, 34 x 34 pixels"

    pool: int = 1
    steps: int = 2000


class NMNISTExperiment(Experiment):
    """Recordings, networks and judges of an N-MNIST recipe."""

    panels: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "losses": ("spikegan_discriminator_loss", "spikegan_r1_penalty"),
        "signal": ("spikegan_reward", "spikegan_real_logit", "spikegan_fake_logit"),
        "log-likelihood a trial": ("ml_log_likelihood",),
        "train on synthetic, test on real": ("validation_tstr",),
    }

    state: SideBySideState

    def __init__(self, recipe: NMNISTSmall, device: torch.device) -> None:
        self.recipe, self.device = recipe, device
        self.binning: Binning = Binning(
            sensor=SENSOR, num_steps=recipe.time_steps, step_us=recipe.step_us, pool=recipe.pool
        )
        weights = torch.Generator().manual_seed(recipe.seed)
        networks = {"spikegan": self._spiking(weights), "ml": self._dense(0, 0, weights)}
        self.algorithm, self.state, self.generators = self._learners(networks, weights)
        self.generator = nn.ModuleDict(self.generators)

    def _spiking(self, weights: torch.Generator) -> nn.Module:
        """SpikeGAN's generator."""
        recipe = self.recipe
        if recipe.generator == "dense":
            return self._dense(recipe.latent_bits, recipe.hidden, weights)
        _, channels, height, width = self.binning.shape
        return ConvolutionalGenerator(
            CLASSES,
            (channels, height, width),
            recipe.time_steps,
            maps=recipe.maps,
            kernel_size=STRIDE + 2 - height % 2,  # of the frame's parity, for even margins
            stride=STRIDE,
            latent_bits=recipe.latent_bits,
            basis=self._basis(),
            rng=weights,
        ).to(self.device)

    def _basis(self) -> Tensor:
        return raised_cosine_basis(self.recipe.basis_functions, self.recipe.time_steps)

    def _dense(self, latent_bits: int, hidden: int, weights: torch.Generator) -> nn.Module:
        recipe = self.recipe
        return ConditionalGenerator(
            CLASSES,
            int(np.prod(self.binning.shape[1:])),
            recipe.time_steps,
            hidden=hidden,
            latent_bits=latent_bits,
            gate_latent=True,
            latent_scale=(0.5, 1.0),
            basis=self._basis(),
            label_std=recipe.label_std,
            weight_std=recipe.weight_std,
            rng=weights,
        ).to(self.device)

    @cached_property
    def frames(self) -> EventFrames:
        """The real recordings."""
        return _frames(self.recipe.folder(), self.recipe.download, self.binning)

    def fingerprint(self) -> str:
        """Of all recordings."""
        return self.frames.fingerprint()

    @cached_property
    def splits(self) -> dict[str, NDArray[np.int64]]:
        """Places of the recordings of each split."""
        fewest = int(np.bincount(self.frames.targets, minlength=CLASSES).min())
        if fewest < 20:
            raise InputError(
                f"{self.recipe.folder()}",
                expected="at least 20 recordings of each digit",
                got=f"{fewest} of one, {len(self.frames)} in all",
            )
        return _split(self.frames.targets)

    @cached_property
    def _by_class(self) -> list[NDArray[np.int64]]:
        train = self.splits["train"]
        return [train[self.frames.targets[train] == label] for label in range(CLASSES)]

    def prepare(self) -> None:
        """Lets dense generators start at the classes' rates."""
        rates = self._class_rates().to(self.device)
        if float(rates.max()) < 0.01:
            raise InputError(
                "time_steps and step_us",
                expected="a window in which the recordings have events",
                got=f"{self.recipe.time_steps} steps of {self.recipe.step_us} us, nearly silent",
            )
        for algorithm_state in self.state.states.values():
            for network in _generators(algorithm_state):
                if isinstance(network, ConditionalGenerator):
                    network.initialise_rates(rates)

    def _class_rates(self) -> Tensor:
        """Share of spikes ``[T, classes, N]`` in training trials and one more, of all classes' mean."""
        counts = []
        for picks in self._by_class:
            parts = np.array_split(picks, max(1, len(picks) // 500))
            counts.append(torch.stack([self.frames.spikes(part).sum(1) for part in parts]).sum(0))
        trials = torch.tensor([len(picks) for picks in self._by_class])
        spikes = torch.stack(counts, 1).flatten(2)
        overall = spikes.sum(1, keepdim=True) / trials.sum()
        return ((spikes + overall) / (trials.unsqueeze(1) + 1)).clamp(1e-3, 1 - 1e-3)

    def _learners(
        self, networks: Mapping[str, nn.Module], weights: torch.Generator
    ) -> tuple[SideBySide, SideBySideState, dict[str, nn.Module]]:
        recipe = self.recipe
        spikegan = SpikeGAN(
            decode=self._pooled,
            updates=recipe.steps,
            estimator=recipe.estimator,
            generator_lr=recipe.generator_lr,
            discriminator_lr=recipe.discriminator_lr,
            final_lr_fraction=0.03,
            averaging=recipe.averaging,
            r1=recipe.r1,
            real_target=recipe.real_target,
        )
        likelihood = MaximumLikelihood(updates=recipe.steps, lr=recipe.likelihood_lr)
        silence = torch.zeros(recipe.time_steps, 1, int(np.prod(self.binning.shape[1:])))
        features = self._pooled(silence).shape[1]
        discriminator = MLPDiscriminator(
            features,
            CLASSES,
            hidden=(recipe.discriminator_hidden,),
            label_scale=recipe.label_scale,
            projection=True,
            rng=weights,
        ).to(self.device)

        def rng(salt: int) -> torch.Generator:
            return torch.Generator(self.device).manual_seed(recipe.seed + salt)

        state = spikegan.init(networks["spikegan"], discriminator, rng(1))
        states: dict[str, Any] = {"spikegan": state, "ml": likelihood.init(networks["ml"], rng(2))}
        together = SideBySide({"spikegan": spikegan, "ml": likelihood})
        judged = {"spikegan": state.averaged, "ml": networks["ml"]}
        return together, SideBySideState(states, rng(3)), judged

    def networks(self) -> dict[str, nn.Module]:
        return dict(self.generators)

    def next_batch(self, rng: torch.Generator) -> Batch:
        """Real trials, as many of each class."""
        each = self.recipe.batch // CLASSES
        picks = [
            places[torch.randint(len(places), (each,), generator=rng, device=self.device).cpu().numpy()]
            for places in self._by_class
        ]
        labels = torch.arange(CLASSES, device=self.device).repeat_interleave(each)
        spikes = self.frames.spikes(np.concatenate(picks)).to(self.device)
        return Batch(spikes.flatten(2) if self.recipe.generator == "dense" else spikes, labels)

    def labels(self, count: int, label: int | None = None) -> Tensor:
        """Labels ``[count]``: all of one class, or the classes in turn.

        Raises:
            InputError: if the label is none of the ten digits.
        """
        return digit_labels(count, label)

    def sample(self, labels: Tensor, rng: torch.Generator) -> dict[str, Tensor]:
        """Trials for these labels: spikes ``[T, B, C, H, W]`` and the labels."""
        return {"spikes": self._draw("spikegan")(labels, rng), "labels": labels}

    def monitor(self) -> dict[str, float]:
        """TSTR of a classifier that is trained for a short time, on the validation split."""
        judge = EventJudge(self.recipe.seed, updates=200)
        synthetic = self._synthetic(self._draw("spikegan"), self.labels(1000), salt=2)
        return {"validation_tstr": judge.tstr(synthetic, self._real("validation"), CLASSES)}

    def evaluate(self) -> Results:
        """All measures on the recipe's split, beside the floors and the real recordings."""
        recipe = self.recipe
        judge = EventJudge(recipe.seed, recipe.judge_updates)
        train, real = self._real("train"), self._real(recipe.evaluate_on)
        flat = as_images(train)
        samplers: dict[str, Sampler] = {
            "": self._draw("spikegan"),
            "ml_": self._draw("ml"),
            "class_mean_": self._floor(lambda labels, rng: references.class_means(flat, labels)),
            "kmeans_": self._floor(references.kmeans_sampler(flat, seed=recipe.seed)),
        }
        taught = judge.fit(train, CLASSES)
        metrics = {
            "real_accuracy": judge.accuracy(taught, real),
            "real_nearest_distance": events.nearest_distance(real, train),
            "real_autocorrelation_distance": events.autocorrelation_distance(real, train),
        }
        for prefix, draw in samplers.items():
            found = self._measures(judge, taught, draw, train, real)
            if prefix in ("", "kmeans_"):
                found["c2st"] = self._told_apart(judge, draw, train, real)
            metrics |= {f"{prefix}{name}": value for name, value in found.items()}
        held_out = max(metrics["real_nearest_distance"], 1e-9)
        metrics["nearest_ratio"] = metrics["nearest_distance"] / held_out
        metrics |= _peak_memory()
        shown = self._synthetic(samplers[""], self.labels(CLASSES), salt=7)
        return Results(metrics, self.figures(real, shown))

    def _measures(
        self,
        judge: EventJudge,
        taught: nn.Module,
        draw: Sampler,
        train: LabelledFrames,
        real: LabelledFrames,
    ) -> dict[str, float]:
        synthetic = self._synthetic(draw, self.labels(self.recipe.synthetic_count), salt=3)
        as_train, as_real = (
            self._synthetic(draw, data.labels, salt) for data, salt in ((train, 4), (real, 5))
        )
        return {
            "tstr": judge.tstr(synthetic, real, CLASSES),
            "trts": judge.accuracy(taught, as_real),
            "rate_ratio": float(as_train.spikes.mean() / train.spikes.mean()),
            "count_spread_ratio": events.count_spread_ratio(train, as_train),
            "autocorrelation_distance": events.autocorrelation_distance(train, as_train),
            "nearest_distance": events.nearest_distance(as_real, train),
        }

    def _told_apart(
        self, judge: EventJudge, draw: Sampler, train: LabelledFrames, real: LabelledFrames
    ) -> float:
        pairs = [
            (data, self._synthetic(draw, data.labels, salt)) for data, salt in ((train, 4), (real, 5))
        ]
        return judge.told_apart(*pairs)

    def figures(self, real: LabelledFrames, synthetic: LabelledFrames) -> dict[str, Figure]:
        """Frames and time surfaces of real and of synthetic trials."""
        places = [int((real.labels == k).nonzero()[0]) for k in range(CLASSES)]
        shown = {"real": real.spikes[:, places], "generated": synthetic.spikes}
        surfaces = {title: self._surfaces(spikes) for title, spikes in shown.items()}
        return {"frames": plots.event_frames(shown), "time_surfaces": plots.time_surfaces(surfaces)}

    def _surfaces(self, spikes: Tensor) -> Tensor:
        """Time surfaces ``[B, C, H, W]`` of spikes ``[T, B, C, H, W]``."""
        flat = time_surface_decode(spikes.flatten(2), decay=len(spikes) / 3)
        return (flat / flat.max().clamp_min(1e-6)).reshape(-1, *self.binning.shape[1:])

    def _draw(self, name: str) -> Sampler:
        def draw(labels: Tensor, rng: torch.Generator) -> Tensor:
            parts = [
                self.generators[name](part.to(self.device), rng).cpu()
                for part in labels.split(200)  # type: ignore[no-untyped-call]
            ]
            return self._as_frames(torch.cat(parts, 1))

        return draw

    def _floor(self, rates: Callable[[Tensor, torch.Generator], Tensor]) -> Sampler:
        """Spikes drawn from probabilities ``[B, T * N]``."""

        def draw(labels: Tensor, rng: torch.Generator) -> Tensor:
            rng = torch.Generator().manual_seed(rng.initial_seed())
            probabilities = rates(labels, rng)
            spikes = (torch.rand(probabilities.shape, generator=rng) < probabilities).float()
            return spikes.reshape(len(labels), *self.binning.shape).transpose(0, 1)

        return draw

    def _synthetic(self, draw: Sampler, labels: Tensor, salt: int) -> LabelledFrames:
        rng = torch.Generator(self.device).manual_seed(self.recipe.seed + 1000 * salt)
        return LabelledFrames(draw(labels, rng), labels)

    def _real(self, split: str) -> LabelledFrames:
        picks = self.splits[split]
        return LabelledFrames(self.frames.spikes(picks), torch.from_numpy(self.frames.targets[picks]))

    def _as_frames(self, spikes: Tensor) -> Tensor:
        """``[T, B, N]``, or what is so already, to ``[T, B, C, H, W]``."""
        return spikes.reshape(*spikes.shape[:2], *self.binning.shape[1:])

    def _pooled(self, spikes: Tensor) -> Tensor:
        return pooled_counts(self._as_frames(spikes), ((2, 1), (5 if len(spikes) % 5 == 0 else 1, 2)))


@lru_cache(maxsize=1)
def _frames(folder: Path, download: bool, binning: Binning) -> EventFrames:
    recordings = open_recordings("nmnist", folder, download=download)
    return EventFrames(recordings, binning, damaged="skip")


def as_images(data: LabelledFrames) -> Labelled:
    """Trials as images ``[B, T * N]``."""
    return Labelled(data.spikes.transpose(0, 1).flatten(1), data.labels)


def _peak_memory() -> dict[str, float]:
    """Largest memory of the process so far, in MB; nothing on Windows, where it cannot be asked for."""
    if sys.platform == "win32":
        return {}
    import resource

    in_bytes = sys.platform == "darwin"  # kilobytes elsewhere
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"peak_memory_mb": used / (2**20 if in_bytes else 2**10)}


def _generators(state: Any) -> list[nn.Module]:
    """Those that a learner's state holds: of likelihood, or as trained and as averaged."""
    return [state.network] if hasattr(state, "network") else [state.generator, state.averaged]


def _split(targets: NDArray[np.int64], seed: int = 0) -> dict[str, NDArray[np.int64]]:
    """Places of the training (70 %), validation (10 %) and test recordings; the same for all runs."""
    rng = np.random.default_rng(seed)
    splits: dict[str, list[NDArray[np.int64]]] = {"train": [], "validation": [], "test": []}
    for label in range(CLASSES):
        order = rng.permutation(np.flatnonzero(targets == label))
        cuts = [round(0.7 * len(order)), round(0.8 * len(order))]
        for places, part in zip(splits.values(), np.split(order, cuts), strict=True):
            places.append(part)
    return {name: np.concatenate(places) for name, places in splits.items()}
