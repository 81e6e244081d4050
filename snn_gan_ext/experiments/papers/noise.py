"""Fig. 5 of the SpikeGAN paper: generators that learn from noisy digits."""

from pathlib import Path
from typing import Any

import torch
from matplotlib.figure import Figure

from snn_gan_ext import plots
from snn_gan_ext.coding.images import Labelled, add_noise
from snn_gan_ext.datasets.digits import Split, load_digits
from snn_gan_ext.experiments import runs
from snn_gan_ext.experiments.papers.common import (
    Settings,
    finish,
    markdown,
    mean,
    mean_and_range,
    run_all,
)
from snn_gan_ext.experiments.recipes.digits import (
    CLASSES,
    SIDE,
    Digits,
    DigitsHybrid,
    DigitsTimeSurface,
)
from snn_gan_ext.experiments.recipes.digits_belief import DigitsBelief
from snn_gan_ext.metrics.distributions import pca_projection

__all__ = ["digits_noise"]

FRACTIONS = (0.0, 0.05, 0.1, 0.2, 0.4, 0.8)
SHOWN = (0.0, 0.2)
LONG_TRIAL = 16

# What each line of Fig. 5 is called, and the run and the metric that it is read from.
LINES = {
    "noisy_real": ("noisy real digits", "spikegan", "noisy_real_accuracy"),
    "spikegan_rate": (f"SpikeGAN, rates of {LONG_TRIAL} steps", "spikegan_rate", "trts"),
    "spikegan_rate_code": ("noisy real digits in that code", "spikegan_rate", "coded_real_accuracy"),
    "spikegan": ("SpikeGAN, time surfaces of 5 steps", "spikegan", "trts"),
    "spikegan_code": ("noisy real digits in that code", "spikegan", "coded_real_accuracy"),
    "belief": ("adversarial belief network", "belief", "trts"),
    "belief_code": ("noisy real digits in that code", "belief", "coded_real_accuracy"),
}
SOURCES = {"spikegan_rate": "SpikeGAN, rates", "spikegan": "SpikeGAN", "belief": "belief network"}


def digits_noise(settings: Settings) -> dict[str, Any]:
    """Fig. 5: does a classifier of clean digits know the classes of samples learned from noisy ones?

    Args:
        settings: of the reproduction.

    Returns:
        The contents of ``metrics.json``: ``trts``, for each line of the figure an object of means over
        seeds by the fraction of noisy pixels, and ``per_seed`` with all numbers.

    Raises:
        InputError: if ``judge_steps`` is given, or ``out`` holds other runs.
        Interrupted: after Ctrl-C or SIGTERM; the same command goes on.

    References:
        SpikeGAN paper, section VIII-A and Fig. 5.
    """
    given = settings.of_recipes()
    found = run_all(
        {
            _folder(recipe): recipe
            for seed in range(settings.seeds)
            for fraction in FRACTIONS
            for recipe in _recipes(seed, fraction, given).values()
        },
        settings,
    )
    per_seed = [
        {
            line: {
                f"{fraction}": found[_folder(_recipes(seed, fraction, given)[source])][metric]
                for fraction in FRACTIONS
            }
            for line, (_, source, metric) in LINES.items()
        }
        for seed in range(settings.seeds)
    ]
    trts = {
        line: {f"{x}": mean(scores[line][f"{x}"] for scores in per_seed) for x in FRACTIONS}
        for line in LINES
    }
    figures: dict[str, Figure] = {}
    for fraction in SHOWN:
        folders = {
            SOURCES[source]: settings.out / _folder(recipe)
            for source, recipe in _recipes(0, fraction, given).items()
        }
        figures |= _figures(folders, fraction, settings.evaluate_on)
    return finish(settings, {"trts": trts, "per_seed": per_seed}, _table(per_seed), figures)


def _recipes(seed: int, fraction: float, given: dict[str, Any]) -> dict[str, Digits]:
    common = {"seed": seed, "noise_fraction": fraction, **given}
    return {
        "spikegan_rate": DigitsHybrid(time_steps=LONG_TRIAL, **{"steps": 3000, **common}),
        "spikegan": DigitsTimeSurface(**common),
        "belief": DigitsBelief(**common),
    }


def _folder(recipe: Digits) -> str:
    return f"{recipe.name}-noise{recipe.noise_fraction}-seed{recipe.seed}"


def _figures(folders: dict[str, Path], fraction: float, split: Split) -> dict[str, Figure]:
    """Sample grids and PCA panels, noisy real digits first."""
    real = load_digits().held_out(split)
    noisy = add_noise(real.images, fraction, torch.Generator().manual_seed(0))
    rows = {"noisy real": Labelled(noisy, real.labels)}
    for title, folder in folders.items():
        _, experiment = runs.load_run(folder)
        drawn = experiment.sample(real.labels, torch.Generator().manual_seed(0))
        rows[title] = Labelled(drawn["images"], real.labels)
    points = pca_projection(*(data.images for data in rows.values()))
    return {
        f"samples-{fraction}": plots.sample_grid(rows, CLASSES, SIDE, per_class=4),
        f"pca-{fraction}": plots.pca_panels(dict(zip(rows, points, strict=True)), real.labels),
    }


def _table(per_seed: list[dict[str, dict[str, float]]]) -> str:
    rows = [
        [title, *(mean_and_range([scores[line][f"{x}"] for scores in per_seed]) for x in FRACTIONS)]
        for line, (title, _, _) in LINES.items()
    ]
    return markdown(["TRTS, share of noisy pixels", *map(str, FRACTIONS)], rows)
