"""Common parts of the papers' tables: runs that are done once, and numbers over seeds."""

import json
import statistics
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure


from snn_gan_ext import plots
from snn_gan_ext.datasets.digits import Split
from snn_gan_ext.errors import InputError
from snn_gan_ext.experiments import runs
from snn_gan_ext.experiments.checkpoint import write_atomically
from snn_gan_ext.experiments.experiment import Experiment
from snn_gan_ext.experiments.loop import Interrupted
from snn_gan_ext.validation import check_setting, whole

__all__ = ["Scores", "Settings", "finish", "markdown", "mean", "mean_and_range", "run_all"]


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
        check_setting("--seeds", self.seeds, whole(1, 1000))
        if (self.out / "config.json").exists():
            raise InputError(
                f"{self.out}",
                expected="a folder for many runs",
                got="a run folder",
                cure="give another --out",
            )

    def variant(self, experiment: Experiment, seed: int) -> Experiment:
        """Return an experiment with a seed, and with these settings."""
        changed = experiment.vary({"seed": seed, "evaluate_on": self.evaluate_on})
        return changed if self.updates is None else changed.with_updates(self.updates)

    def refuse_classifier_updates(self) -> None:
        """Refuse a setting that only Table I uses.

        Raises:
            InputError: If it is given.
        """
        if self.classifier_updates is not None:
            raise InputError(
                "--classifier-updates",
                expected="none in this experiment",
                got=f"{self.classifier_updates}",
            )


Scores = dict[str, dict[str, float]]
"""Numbers by sampler and measure."""


def run_all(experiments: Mapping[str, Experiment], settings: Settings) -> dict[str, dict[str, Any]]:
    """Train and evaluate experiments, or go on with them, or read their scores.

    Args:
        experiments: Experiments by the name of their run folders.
        settings: Settings of the whole.

    Returns:
        The ``metrics.json`` of each, by the same names.

    Raises:
        InputError: If a folder holds a run of other settings.
        Interrupted: After Ctrl-C or SIGTERM; the same command goes on.
    """
    found = {}
    started = time.monotonic()
    for number, (name, experiment) in enumerate(experiments.items(), start=1):
        if settings.progress:
            minutes = (time.monotonic() - started) / 60
            print(f"[{number}/{len(experiments)}] {name}, {minutes:.0f} min so far", file=sys.stderr)
        found[name] = _run(experiment, settings.out / name, settings.progress)
    return found


def _run(experiment: Experiment, folder: Path, progress: bool) -> dict[str, Any]:
    done = folder / "metrics.json"
    begun = (folder / "config.json").exists()
    if begun and runs.read_experiment(folder).identity() != experiment.identity():
        raise InputError(
            f"{folder}",
            expected="a run of these settings",
            got="one of others",
            cure="give another --out",
        )
    if begun and done.exists():
        return runs.read_metrics_json(folder)
    if (folder / "generator.safetensors").exists():
        return runs.evaluate(folder, progress=progress)
    resume = (folder / "checkpoint.pt").exists()
    try:
        return runs.train(
            experiment, folder, resume=resume, force=begun and not resume, progress=progress
        )
    except Interrupted as error:
        raise Interrupted(error.signal_number, f"{folder}; the same command goes on") from None


def finish(
    settings: Settings, found: dict[str, Any], table: str, figures: Mapping[str, "Figure"] | None = None
) -> dict[str, Any]:
    """Write ``metrics.json``, ``table.md`` and the pictures; return the contents of the first."""
    found = {**found, "seeds": settings.seeds, "evaluated_on": settings.evaluate_on}
    write_atomically(settings.out / "metrics.json", json.dumps(found, indent=2) + "\n")
    write_atomically(settings.out / "table.md", f"{table}\n{settings.seeds} seed(s).\n")
    for name, figure in (figures or {}).items():
        plots.save(figure, settings.out / f"{name}.png")
    return found


def mean(values: Iterable[float]) -> float:
    """Return the mean, rounded for files."""
    return round(statistics.mean(values), 4)


def mean_and_range(values: Sequence[float]) -> str:
    """Return mean and range as a cell of a table."""
    spread = f" ({min(values):.3f} to {max(values):.3f})" if len(values) > 1 else ""
    return f"{statistics.mean(values):.3f}{spread}"


def markdown(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table in Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)
