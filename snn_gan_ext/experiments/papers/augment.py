"""Do synthetic recordings help a classifier that has few real ones?"""

import statistics
from typing import Any

from snn_gan_ext.experiments.papers.common import Settings, finish, markdown, mean, run_all
from snn_gan_ext.experiments.recipes.nmnist_augment import NMNISTAugment

__all__ = ["nmnist_augment"]

SHOTS = (5, 10)
TAUGHT = {
    "real": "real ones alone",
    "jitter": "and shifted copies",
    "class_means": "and class means",
    "ml": "and maximum likelihood's",
    "spikegan": "and SpikeGAN's",
    "jitter_and_spikegan": "and shifted copies and SpikeGAN's",
}


def nmnist_augment(settings: Settings) -> dict[str, Any]:
    """Accuracy on real recordings of classifiers that learned from 5 or 10 of each digit and more.

    Every seed draws recordings of its own; generators learn from the same few.

    Args:
        settings: of the reproduction; its seeds are the draws.

    Returns:
        The contents of ``metrics.json``: for each number of recordings an object of means over draws,
        by what else was learned from, and ``per_seed`` with all numbers.

    Raises:
        InputError: if ``judge_steps`` is given, ``out`` holds other runs, or there are no recordings.
        Interrupted: after Ctrl-C or SIGTERM; the same command goes on.
    """
    given = settings.of_recipes()
    recipes = {
        f"shots{shots}-seed{seed}": NMNISTAugment(shots=shots, seed=seed, **given)
        for seed in range(settings.seeds)
        for shots in SHOTS
    }
    found = run_all(recipes, settings)
    scores = {
        shots: {
            name: [found[f"shots{shots}-seed{seed}"][name] for seed in range(settings.seeds)]
            for name in TAUGHT
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
        for name, title in TAUGHT.items()
    ]
    header = ["accuracy on real recordings", *(f"{shots} of each digit" for shots in SHOTS)]
    return finish(settings, {**means, "per_seed": per_seed}, markdown(header, rows))


def _with_error(values: list[float]) -> str:
    """Mean and standard error of draws."""
    if len(values) < 2:
        return f"{values[0]:.3f}"
    return f"{statistics.mean(values):.3f} ± {statistics.stdev(values) / len(values) ** 0.5:.3f}"
