"""Do synthetic recordings help a classifier that has few real ones?"""

import statistics
from typing import Any

from snn_gan_ext.experiments.papers.common import Settings, finish, markdown, mean, run_all
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
    settings.refuse_classifier_updates()
    experiments = {
        f"shots{shots}-seed{seed}": settings.variant(
            AUGMENT.vary({"data.shots": shots, "data.shots_seed": seed}), seed
        )
        for seed in range(settings.seeds)
        for shots in SHOTS
    }
    found = run_all(experiments, settings)
    scores = {
        shots: {
            name: [
                found[f"shots{shots}-seed{seed}"]["samplers"][name]["accuracy"]
                for seed in range(settings.seeds)
            ]
            for name in TITLES
        }
        for shots in SHOTS
    }
    means = {
        f"{shots}": {name: mean(values) for name, values in by_name.items()}
        for shots, by_name in scores.items()
    }
    per_seed = {f"{shots}": by_name for shots, by_name in scores.items()}
    rows = [
        [title, *(_with_error(scores[shots][name]) for shots in SHOTS)]
        for name, title in TITLES.items()
    ]
    header = ["accuracy on real recordings", *(f"{shots} of each digit" for shots in SHOTS)]
    return finish(settings, {**means, "per_seed": per_seed}, markdown(header, rows))


def _with_error(values: list[float]) -> str:
    """Return mean and standard error of draws."""
    if len(values) < 2:
        return f"{values[0]:.3f}"
    return f"{statistics.mean(values):.3f} ± {statistics.stdev(values) / len(values) ** 0.5:.3f}"
