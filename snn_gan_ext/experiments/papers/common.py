"""Common parts of the papers' tables: runs that are done once, and numbers over seeds."""

import json
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeAlias

from snn_gan_ext.datasets.digits import Split
from snn_gan_ext.errors import InputError
from snn_gan_ext.experiments import runs
from snn_gan_ext.experiments.checkpoint import write_atomically
from snn_gan_ext.experiments.evaluation import Figures
from snn_gan_ext.experiments.experiment import Experiment
from snn_gan_ext.experiments.loop import Interrupted
from snn_gan_ext.experiments.recipes.digit_spikes import SpikeTrainEvaluation
from snn_gan_ext.validation import check_setting, one_of, path_of, whole

__all__ = ["Scores", "Settings", "finish", "gathered", "mean", "run_all", "scorecards", "with_range"]


Scores: TypeAlias = list[dict[str, dict[str, Any]]]
"""Contents of ``metrics.json`` by seed and by name of the run."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Settings of a paper's table or figure.

    Attributes:
        out: Folder for all of it.
        seeds: Number of seeds, from 0.
        updates: Training updates, if not the recipes' own.
        classifier_updates: Training updates of the spiking classifier, if not the recipes' own.
        evaluate_on: Split of the evaluation.
        progress: Show progress bars, and the number of the current run.
    """

    out: Path
    seeds: int = 3
    updates: int | None = None
    classifier_updates: int | None = None
    evaluate_on: Split = "test"
    progress: bool = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "out", path_of("--out", self.out))
        check_setting("--seeds", self.seeds, whole(1, 1000))
        check_setting("--evaluate-on", self.evaluate_on, one_of(Split))
        for name in ("updates", "classifier_updates"):
            if getattr(self, name) is not None:
                check_setting(f"--{name}".replace("_", "-"), getattr(self, name), whole(1))
        is_run = (self.out / "config.json").exists()
        if is_run or (self.out.exists() and not self.out.is_dir()):
            cure, got = "give another --out", "a run folder" if is_run else "a file"
            raise InputError(f"{self.out}", expected="a folder for many runs", got=got, cure=cure)

    def variant(self, experiment: Experiment, seed: int, seeded: Sequence[str]) -> Experiment:
        """Return an experiment with these settings, and with a seed in all ``seeded`` settings.

        Raises:
            InputError: If ``classifier_updates`` are given and nothing uses them.
        """
        changes = {**dict.fromkeys(seeded, seed), "evaluate_on": self.evaluate_on}
        if self.classifier_updates is not None:
            if not isinstance(experiment.evaluation, SpikeTrainEvaluation):
                got = f"{self.classifier_updates}"
                raise InputError("--classifier-updates", expected="none in this experiment", got=got)
            changes["evaluation.classifier_updates"] = self.classifier_updates
        changed = experiment.vary(changes)
        return changed if self.updates is None else changed.with_updates(self.updates)


def run_all(
    experiments: Mapping[str, Experiment], settings: Settings, seeded: Sequence[str] = ("seed",)
) -> Scores:
    """Train and evaluate experiments with every seed, or go on with them, or read their scores.

    Args:
        experiments: Experiments by name; the run folders are ``NAME-seedN``.
        settings: Settings of the whole.
        seeded: Settings of an experiment that take the seed.

    Returns:
        The ``metrics.json`` of each, by the same names, for every seed.

    Raises:
        InputError: If a folder holds a run of other settings, or data are missing.
        Interrupted: After Ctrl-C or SIGTERM; the same command goes on.
    """
    todo = [
        (seed, name, settings.variant(experiment, seed, seeded))
        for seed in range(settings.seeds)
        for name, experiment in experiments.items()
    ]
    for seed, name, experiment in todo:  # all of them before the first is trained
        experiment.check()
        if not _is_begun(experiment, settings.out / f"{name}-seed{seed}"):
            experiment.data.load()
    settings.out.mkdir(parents=True, exist_ok=True)
    found: Scores = [{} for _ in range(settings.seeds)]
    started = time.monotonic()
    for number, (seed, name, experiment) in enumerate(todo, start=1):
        folder = settings.out / f"{name}-seed{seed}"
        if settings.progress:
            minutes = (time.monotonic() - started) / 60
            print(f"[{number}/{len(todo)}] {folder.name}, {minutes:.0f} min so far", file=sys.stderr)
        found[seed][name] = _run(experiment, folder, settings.progress)
    return found


def _is_begun(experiment: Experiment, folder: Path) -> bool:
    """Whether a folder holds a run of the experiment; one of another is refused."""
    begun = (folder / "config.json").exists()
    if begun and runs.read_experiment(folder).identity() != experiment.identity():
        expected, cure = "a run of these settings", "give another --out"
        raise InputError(f"{folder}", expected=expected, got="one of others", cure=cure)
    return begun


def _run(experiment: Experiment, folder: Path, progress: bool) -> dict[str, Any]:
    begun = _is_begun(experiment, folder)
    if begun and (folder / "metrics.json").exists():
        return runs.read_metrics_json(folder)
    if (folder / "generator.safetensors").exists():
        return runs.evaluate(folder, progress=progress)
    resume = (folder / "checkpoint.pt").exists()
    force = begun and not resume
    try:
        return runs.train(experiment, folder, resume=resume, force=force, progress=progress)
    except Interrupted as error:
        raise Interrupted(error.signal_number, f"{folder}; the same command goes on") from None


@contextmanager
def scorecards(settings: Settings) -> Iterator[None]:
    """Take errors in the use of runs' numbers for a ``metrics.json`` that was changed.

    Raises:
        InputError: In place of errors of missing keys, of types and of values, which it chains.
    """
    try:
        yield
    except InputError:
        raise
    except (LookupError, TypeError, ValueError) as error:
        expected, got = "all numbers of the runs", f"{type(error).__name__}: {error}"
        cure = "evaluate the run that was changed again, or remove its folder"
        place = f"{settings.out}/*/metrics.json"
        raise InputError(place, expected=expected, got=f"{got:.100}", cure=cure) from error


def finish(
    settings: Settings,
    found: dict[str, Any],
    header: Sequence[str],
    rows: Iterable[Sequence[str]],
    figures: Figures = MappingProxyType({}),
) -> dict[str, Any]:
    """Write ``metrics.json``, ``table.md`` and the pictures; return the contents of the first."""
    found = {**found, "seeds": settings.seeds, "evaluated_on": settings.evaluate_on}
    write_atomically(settings.out / "metrics.json", json.dumps(found, indent=2) + "\n")
    lines = ["| " + " | ".join(line) + " |\n" for line in (header, ["---"] * len(header), *rows)]
    write_atomically(settings.out / "table.md", "".join(lines) + f"\n{settings.seeds} seed(s).\n")
    runs.save_pictures(figures, settings.out)
    return found


def gathered(numbers: Sequence[Any], of: Callable[[list[float]], Any] = list) -> Any:
    """Return nested numbers of several seeds as one object: ``of`` the list of values in each place."""
    if isinstance(numbers[0], Mapping):
        return {key: gathered([each[key] for each in numbers], of) for key in numbers[0]}
    return of(list(numbers))


def mean(values: Iterable[float]) -> float:
    """Return the mean, rounded for files."""
    return round(statistics.mean(values), 4)


def with_range(values: Sequence[float]) -> str:
    """Return mean and range as a cell of a table."""
    spread = f" ({min(values):.3f} to {max(values):.3f})" if len(values) > 1 else ""
    return f"{statistics.mean(values):.3f}{spread}"
