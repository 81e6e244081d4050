"""Do synthetic recordings help a classifier that has few real ones?"""

import statistics
from typing import Any

from snn_gan_ext.experiments.papers.common import (
    Scores,
    Settings,
    finish,
    gathered,
    mean,
    run_all,
    scorecards,
)
from snn_gan_ext.experiments.recipes.nmnist import AUGMENT

__all__ = ["nmnist_augment"]

SHOTS = (5, 10)
TITLES = {
    "real": "real ones alone",
    "jitter": "and shifted copies",
    "class_means": "and class means",
    "ml": "and maximum likelihood's",
    "spikegan": "and SpikeGAN's",
    "jitter_and_spikegan": "and shifted copies and SpikeGAN's",
}


def nmnist_augment(settings: Settings) -> dict[str, Any]:
    """Score classifiers that learned from 5 or 10 recordings of each digit, and from samples.

    Every seed draws recordings of its own; generators learn from the same few.

    ``metrics.json``: for each number of recordings an object of mean accuracies on real recordings,
    by the samples added, and ``per_seed`` with all numbers.
    """
    experiments = {f"shots{shots}": AUGMENT.vary({"data.shots": shots}) for shots in SHOTS}
    found = run_all(experiments, settings, seeded=("seed", "data.shots_seed"))
    with scorecards(settings):
        return _finished(settings, found)


def _finished(settings: Settings, found: Scores) -> dict[str, Any]:
    scores = [
        {
            f"{shots}": {name: run[f"shots{shots}"]["samplers"][name]["accuracy"] for name in TITLES}
            for shots in SHOTS
        }
        for run in found
    ]
    cells = gathered(scores, _with_error)
    rows = [[title, *(cells[f"{x}"][name] for x in SHOTS)] for name, title in TITLES.items()]
    header = ["accuracy on real recordings", *(f"{shots} of each digit" for shots in SHOTS)]
    metrics = {**gathered(scores, mean), "per_seed": gathered(scores)}
    return finish(settings, metrics, header, rows)


def _with_error(values: list[float]) -> str:
    """Return mean and standard error of draws."""
    if len(values) < 2:
        return f"{values[0]:.3f}"
    return f"{statistics.mean(values):.3f} ± {statistics.stdev(values) / len(values) ** 0.5:.3f}"
