"""A recording of one's own: a coupled population that is fitted to spike trains from a file."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from snn_gan_ext.algorithms.moments import MomentMatching
from snn_gan_ext.algorithms.population_fit import FitBatch, PopulationFit
from snn_gan_ext.datasets.spike_train_files import read_spike_trains
from snn_gan_ext.datasets.spike_trains import BinnedSpikes, SpikeTrains
from snn_gan_ext.errors import InputError
from snn_gan_ext.experiments.components import Basis, Data, Population
from snn_gan_ext.experiments.evaluation import Evaluation, Results, Trained, population_figures
from snn_gan_ext.experiments.experiment import Experiment
from snn_gan_ext.experiments.settings import location
from snn_gan_ext.metrics import populations
from snn_gan_ext.metrics.scorecard import scorecard
from snn_gan_ext.networks.glm import NetworkGenerator
from snn_gan_ext.rng import stream
from snn_gan_ext.types import Batch, setting
from snn_gan_ext.validation import above, at_least, whole

__all__ = ["RECIPES", "Recording", "RecordingEvaluation", "choices", "experiment_for"]


@dataclass(frozen=True, kw_only=True)
class Recording(Data):
    """Spike trains from a file, in bins: blocks of time or trials to learn from, and held-out ones.

    Attributes:
        path: File.
        bin_ms: Width of a bin in milliseconds.
        window_ms: Length of a window in milliseconds; of trials the whole trial by default (0), of
            ongoing activity 100 bins.
        label: Column of the trials with their labels, if the file has several.
        intervals: Name of the table of trials or intervals, if the file has several.
        units: Names of the units; found by `fitted_to`.
        label_names: Names of the labels; found by `fitted_to`.
        num_steps: Bins of a window; found by `fitted_to`.
        trials: Whether windows are trials, aligned at their starts; found by `fitted_to`.
    """

    path: str = location("")
    bin_ms: float = setting(20.0, above(0))
    window_ms: float = setting(0.0, at_least(0))
    label: str = ""
    intervals: str = ""
    units: tuple[str, ...] = ()
    label_names: tuple[str, ...] = ()
    num_steps: int = setting(0, whole(0))
    trials: bool = False

    def check(self) -> None:
        if not self.units or not self.num_steps:
            expected, cure = "a recording", "run `snn-gan-ext fit FILE`"
            raise InputError("data", expected=expected, got="none", cure=cure)

    def fitted_to(self) -> Self:
        """Return the settings with all that is found in the file: units, labels, bins, trials."""
        trains = self._read()
        binned = trains.bin(self.bin_ms / 1000, self._window)
        return replace(
            self,
            units=trains.units,
            label_names=trains.label_names,
            num_steps=len(binned.spikes),
            trials=trains.trials,
        )

    @property
    def classes(self) -> int:
        return len(self.label_names)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.num_steps, len(self.units)

    @property
    def _window(self) -> float | None:
        return self.window_ms / 1000 or None

    def _read(self) -> SpikeTrains:
        return read_spike_trains(self.path, label=self.label, intervals=self.intervals)

    @cached_property
    def trains(self) -> SpikeTrains:
        """Spike trains of the file."""
        found = self._read()
        if missing := set(self.units) - set(found.units):
            got = f"a file without {sorted(missing)}"
            raise InputError("recording", expected=f"units {list(self.units)}", got=got)
        return found.select(self.units)

    @cached_property
    def parts(self) -> dict[str, BinnedSpikes]:
        """Windows to learn from, for validation and for the test, from parts that do not overlap."""
        names, width = ("train", "validation", "test"), self.bin_ms / 1000
        parts = self.trains.split((0.6, 0.2, 0.2))
        window = self.num_steps * width
        return {n: x.bin(width, window) for n, x in zip(names, parts, strict=True)}

    def load(self) -> None:
        assert self.parts

    def fingerprint(self) -> str:
        return self.trains.fingerprint()

    def finer_bin(self) -> float:
        """Return a width of bins in milliseconds that loses under 1 % of the spikes."""
        width = self.bin_ms
        window = self.num_steps * self.bin_ms / 1000
        while width > 0.1 and self.trains.bin(width / 1000, window).lost > 0.01:
            width /= 2
        return float(f"{width:.2g}")

    def class_rates(self) -> Tensor:
        """Smoothed rates ``[T, classes, N]`` of the training windows, above 0 and below 1."""
        train = self.parts["train"]
        spikes, labels = train.spikes, train.labels
        if labels is None:
            labels = torch.zeros(spikes.shape[1], dtype=torch.long)
        each = [spikes[:, labels == label] for label in range(max(self.classes, 1))]
        rates = torch.stack([x.mean(1) for x in each], 1)
        least = torch.tensor([0.5 / (x.shape[0] * x.shape[1]) for x in each])[:, None]
        padded = torch.nn.functional.pad(rates.permute(1, 2, 0), (2, 2), "replicate")
        kernel = torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0]) / 16
        smooth = padded.unfold(2, 5, 1) @ kernel
        return torch.maximum(torch.minimum(smooth.permute(2, 0, 1), 1 - least), least)

    def batch(self, size: int, rng: torch.Generator) -> FitBatch:
        train = self.parts["train"]
        labels = None if train.labels is None else train.labels.to(rng.device)
        return FitBatch(Batch(train.spikes.to(rng.device), labels), self.judge)

    def judge(self, network: NetworkGenerator) -> float:
        """Return the disagreement of a generator's free run with the validation windows."""
        validation = self.parts["validation"]
        device = next(network.parameters()).device
        drawn = self.free_run(network, validation, 200, stream(0, "judge", device))
        return populations.disagreement(validation.spikes, drawn)

    def free_run(
        self, network: NetworkGenerator, like: BinnedSpikes, least: int, rng: torch.Generator
    ) -> Tensor:
        """Draw trials, or ongoing activity long after its start, ``[T, B, N]``.

        Args:
            network: Generator.
            like: Windows whose labels the trials have.
            least: Least number of trials.
            rng: Random source.
        """
        copies = -(-least // like.spikes.shape[1])
        labels = None if like.labels is None else like.labels.repeat(copies)
        return self.drawn(network, copies * like.spikes.shape[1] if labels is None else labels, rng)

    def drawn(self, network: NetworkGenerator, labels: Tensor | int, rng: torch.Generator) -> Tensor:
        """Draw trials of given labels or of a number, or as much ongoing activity, ``[T, B, N]``."""
        here = labels.to(rng.device) if isinstance(labels, Tensor) else labels
        if self.trials:
            trials: Tensor = network(here, rng)
            return trials.cpu()
        return network.free_run(here, 6 * self.num_steps, rng)[5 * self.num_steps :].cpu()

    def trains_of(self, drawn: Mapping[str, Tensor], rng: torch.Generator) -> SpikeTrains:
        """Return drawn windows as spike trains; times within a bin are uniform."""
        labels = drawn.get("labels")
        names = None if labels is None else [self.label_names[label] for label in labels]
        width = self.bin_ms / 1000
        found = SpikeTrains.from_dense(
            drawn["spikes"], width, trials=self.trials, labels=names, units=self.units
        )
        # Spikes lie in the middle of their bins.
        offsets = [torch.rand(len(x), generator=rng).double().numpy() - 0.5 for x in found.times]
        times = (x + width * 0.999 * y for x, y in zip(found.times, offsets, strict=True))
        return replace(found, times=tuple(times), source="snn_gan_ext")


@dataclass(frozen=True, kw_only=True)
class RecordingEvaluation(Evaluation):
    """Statistics of the free run beside those of held-out windows.

    Attributes:
        synthetic_count: Least number of windows drawn.
        judges: Train classifiers that tell windows from real ones, where there are 20 or more.
    """

    panels: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "disagreement of the free run": ("disagreement", "best"),
        "log-likelihood": ("log_likelihood",),
    }
    synthetic_count: int = setting(400, whole(10, 1_000_000))
    judges: bool = True

    def sample(self, trainer: Trained, labels: Tensor | int, rng: torch.Generator) -> dict[str, Tensor]:
        """Draw trials, or windows of ongoing activity long after its start; see `Evaluation.sample`."""
        data, network = trainer.data_as(Recording), trainer.generator
        assert isinstance(network, NetworkGenerator)
        labelled = {"labels": labels} if isinstance(labels, Tensor) else {}
        return {"spikes": data.drawn(network, labels, rng), **labelled}

    def monitor(self, trainer: Trained) -> dict[str, float]:
        """Nothing: the learner looks at the free run itself."""
        return {}

    def evaluate(self, trainer: Trained) -> Results:
        """Score the generator beside halves of the held-out windows and reference samplers."""
        data, split = trainer.data_as(Recording), trainer.split
        real, train = data.parts[split], data.parts["train"]
        network = trainer.generator
        assert isinstance(network, NetworkGenerator)
        rng = trainer.stream(f"{split} synthetic")
        drawn = data.free_run(network, real, self.synthetic_count, rng)
        card = scorecard(
            real.spikes,
            drawn,
            trials=data.trials,
            train=train.spikes,
            judges=self.judges and real.spikes.shape[1] >= 20,
            resamples=0,
            seed=trainer.seed,
            name="population",
        )
        _warn_of_rates(real, drawn)
        figures = population_figures({"real": real.spikes, "fitted": drawn}, real.width)
        weights = sum(layer.free_parameters for _, layer in network.network.glm_layers())
        return Results(card.table, figures, {"free_parameters": weights})


def _warn_of_rates(real: BinnedSpikes, drawn: Tensor) -> None:
    """Name the units whose rate in the free run is off by more than a factor of two."""
    ratios = populations.rate_ratios(real.spikes, drawn)
    off = [
        f"{name} ({float(ratio):.2g} times)"
        for name, ratio in zip(real.units, ratios, strict=True)
        if not 0.5 <= ratio <= 2
    ]
    if off:
        cure = "give more --learner.moment-updates, or a larger --bin"
        print(f"warning: rates of the free run are off for {', '.join(off)}; {cure}", file=sys.stderr)


RECORDING = Experiment(
    name="recording",
    label="population",
    monitor_every=1000,
    checkpoint_every=1,
    data=Recording(  # the one that ships, which `fit` replaces
        path="example",
        bin_ms=4.0,
        units=tuple(map(str, range(30))),
        num_steps=100,
        trials=True,
    ),
    generator=Population(
        by_step=True,
        latent_bits=1,
        same_step=True,
        counts=8,
        class_rates=True,
        readout_bias=-3.0,
        basis=Basis(kind="raised_cosine", functions=5, window=20),
    ),
    learner=PopulationFit(moment_updates=0, moments=MomentMatching(updates=50, lr=3e-3, ongoing=False)),
    evaluation=RecordingEvaluation(),
)
RECIPES = (RECORDING,)


def experiment_for(path: Path | str, changes: Mapping[str, Any]) -> Experiment:
    """Return the experiment of a recording, with all choices that its data decide.

    Args:
        path: File of the recording.
        changes: Settings by the names that options have; they win over choices.

    Raises:
        InputError: If the file holds no recording, or a setting is unknown.
    """
    of_data = {name: value for name, value in changes.items() if name.startswith("data.")}
    asked = RECORDING.vary({"data": Recording(path=f"{path}")}).vary(of_data).data
    assert isinstance(asked, Recording)
    data = asked.fitted_to()
    windows = data.parts["train"].spikes.shape[1]
    chosen = {
        "data": data,
        "generator.by_step": data.trials,
        "generator.latent_bits": 1 if data.trials else 0,
        "learner.moments": MomentMatching(
            updates=50, lr=3e-3, ongoing=not data.trials, chains=max(min(32, windows), 2)
        ),
        "learner.moment_updates": 0 if data.trials else 6,
    }
    others = {name: value for name, value in changes.items() if not name.startswith("data.")}
    return RECORDING.vary({**chosen, **others})


def choices(experiment: Experiment) -> list[str]:
    """Return lines that say how a recording is read and fitted, with the options that change it."""
    data, generator, learner = experiment.data, experiment.generator, experiment.learner
    assert isinstance(data, Recording)
    assert isinstance(generator, Population)
    assert isinstance(learner, PopulationFit)
    parts = data.parts
    rates = data.trains.rates
    windows = ", ".join(f"{part.spikes.shape[1]} {name}" for name, part in parts.items())
    kind = "trials" if data.trials else "windows of ongoing activity"
    lost = max(part.lost for part in parts.values())
    labels = f", {data.classes} labels" if data.classes else ""
    shared = f"{lost:.1%} of spikes share a bin"
    if lost > 0.01:
        shared += f" (--bin {data.finer_bin():g}ms would lose under 1 %)"
    drive = "a drive by step" if generator.by_step else "a constant drive"
    return [
        f"{len(data.units)} units, {rates.min():.2g} to {rates.max():.2g} spikes/s, "
        f"{data.trains.duration:.4g} s",
        f"{data.num_steps} bins of {data.bin_ms:g} ms (--bin, --window): {windows} {kind}{labels}; "
        f"{shared}",
        f"coupled neurons with {drive}, {generator.latent_bits} latent bits "
        "(--generator.latent-bits), an order within the step",
        f"{learner.updates} updates, {learner.moment_updates} of them on moments of the free run "
        "(--updates, --learner.moment-updates)",
    ]
