"""What all reproductions share: runs that are done once, and numbers over seeds."""

import json
import statistics
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from snn_gan_ext.errors import InputError
from snn_gan_ext.experiments import runs
from snn_gan_ext.experiments.checkpoint import write_atomically
from snn_gan_ext.experiments.loop import Interrupted
from snn_gan_ext.experiments.recipes.base import Recipe, Split
from snn_gan_ext.validation import check_setting, whole

__all__ = ["Settings", "finish", "markdown", "mean", "mean_and_range", "run_all"]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How to run a reproduction.

    Attributes:
        out: the folder for all of it.
        seeds: number of seeds, from 0.
        steps: training steps, if not the recipes' own.
        judge_steps: training steps of the spiking classifier, if not the recipes' own.
        evaluate_on: the split to judge on.
        progress: say which run is on, and show progress bars.
    """

    out: Path
    seeds: int = 3
    steps: int | None = None
    judge_steps: int | None = None
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

    def of_recipes(self, *names: str) -> dict[str, Any]:
        """Those of the settings that are given, to be passed on to recipes.

        Raises:
            InputError: if one is given that this reproduction has no use for.
        """
        given = {
            name: value
            for name in ("evaluate_on", "steps", "judge_steps")
            if (value := getattr(self, name)) is not None
        }
        for name in set(given) - set(names) - {"evaluate_on", "steps"}:
            option = "--" + name.replace("_", "-")
            raise InputError(option, expected="none in this experiment", got=f"{given[name]}")
        return given


def run_all(recipes: Mapping[str, Recipe], settings: Settings) -> dict[str, dict[str, Any]]:
    """Trains and judges recipes, or goes on with them, or reads what they scored.

    Args:
        recipes: by the name of their run folders.
        settings: of the reproduction.

    Returns:
        The ``metrics.json`` of each, by the same names.

    Raises:
        InputError: if a folder holds a run of other settings.
        Interrupted: after Ctrl-C or SIGTERM; the same command goes on.
    """
    found = {}
    started = time.monotonic()
    for number, (name, recipe) in enumerate(recipes.items(), start=1):
        folder = settings.out / name
        if settings.progress:
            minutes = (time.monotonic() - started) / 60
            print(f"[{number}/{len(recipes)}] {name}, {minutes:.0f} min so far", file=sys.stderr)
        found[name] = _run(recipe, folder, settings.progress)
    return found


def _run(recipe: Recipe, folder: Path, progress: bool) -> dict[str, Any]:
    done = folder / "metrics.json"
    begun = (folder / "config.json").exists()
    if begun and runs.read_recipe(folder) != recipe:
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
        return runs.train(recipe, folder, resume=resume, force=begun and not resume, progress=progress)
    except Interrupted as error:
        raise Interrupted(error.signal_number, f"{folder}; the same command goes on") from None


def finish(
    settings: Settings, found: dict[str, Any], table: str, figures: Mapping[str, Figure] | None = None
) -> dict[str, Any]:
    """Writes ``metrics.json``, ``table.md`` and the pictures, and returns the contents of the first."""
    found = {**found, "seeds": settings.seeds, "evaluated_on": settings.evaluate_on}
    write_atomically(settings.out / "metrics.json", json.dumps(found, indent=2) + "\n")
    write_atomically(settings.out / "table.md", f"{table}\n{settings.seeds} seed(s).\n")
    for name, figure in (figures or {}).items():
        figure.savefig(settings.out / f"{name}.png", dpi=110)
    return found


def mean(values: Iterable[float]) -> float:
    """The mean, rounded for files."""
    return round(statistics.mean(values), 4)


def mean_and_range(values: Sequence[float]) -> str:
    """A cell of a table."""
    spread = f" ({min(values):.3f} to {max(values):.3f})" if len(values) > 1 else ""
    return f"{statistics.mean(values):.3f}{spread}"


def markdown(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)
