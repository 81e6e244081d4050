"""Fig. 5 of the SpikeGAN paper: generators that learn from noisy digits."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from snn_gan_ext import plots
from snn_gan_ext.coding.images import Labelled, add_noise
from snn_gan_ext.datasets.digits import load_digits
from snn_gan_ext.experiments import runs
from snn_gan_ext.experiments.evaluation import Figures
from snn_gan_ext.experiments.papers.common import (
    Scores,
    Settings,
    finish,
    gathered,
    mean,
    run_all,
    scorecards,
    with_range,
)
from snn_gan_ext.experiments.recipes.digits import BELIEF, CLASSES, HYBRID, SIDE, TIME_SURFACE
from snn_gan_ext.metrics.distributions import pca_projection
from snn_gan_ext.rng import stream

__all__ = ["digits_noise"]

FRACTIONS = (0.0, 0.05, 0.1, 0.2, 0.4, 0.8)
SHOWN = (0.0, 0.2)
LONG_TRIAL = 16

# Each line of Fig. 5: its title, its run, and the sampler whose TRTS it shows (None: uncoded digits).
LINES = {
    "noisy_real": ("noisy real digits", "spikegan", None),
    "spikegan_rate": (f"SpikeGAN, rates of {LONG_TRIAL} steps", "spikegan_rate", "spikegan"),
    "spikegan_rate_code": ("noisy real digits in that code", "spikegan_rate", "real"),
    "spikegan": ("SpikeGAN, time surfaces of 5 steps", "spikegan", "spikegan"),
    "spikegan_code": ("noisy real digits in that code", "spikegan", "real"),
    "belief": ("adversarial belief network", "belief", "belief"),
    "belief_code": ("noisy real digits in that code", "belief", "real"),
}
EXPERIMENTS = {
    "spikegan_rate": HYBRID.vary({"data.num_steps": LONG_TRIAL, "learner.updates": 3000}),
    "spikegan": TIME_SURFACE,
    "belief": BELIEF,
}
SOURCES = {"spikegan_rate": "SpikeGAN, rates", "spikegan": "SpikeGAN", "belief": "belief network"}


def digits_noise(settings: Settings) -> dict[str, Any]:
    """Fig. 5: does a classifier of clean digits know the classes of samples learned from noisy ones?

    ``metrics.json``: ``trts``, for each line of the figure an object of means over seeds by the
    fraction of noisy pixels, and ``per_seed`` with all numbers.

    References:
        SpikeGAN paper, section VIII-A and Fig. 5.
    """
    experiments = {
        _run_of(source, fraction): experiment.vary({"data.noise_fraction": fraction})
        for fraction in FRACTIONS
        for source, experiment in EXPERIMENTS.items()
    }
    found = run_all(experiments, settings)
    with scorecards(settings):
        return _finished(settings, found)


def _finished(settings: Settings, found: Scores) -> dict[str, Any]:
    per_seed = [
        {
            line: {f"{x}": _score(run[_run_of(source, x)], sampler, x) for x in FRACTIONS}
            for line, (_, source, sampler) in LINES.items()
        }
        for run in found
    ]
    figures = {name: each for x in SHOWN for name, each in _figures(settings, x).items()}
    cells = gathered(per_seed, with_range)
    rows = [[title, *cells[line].values()] for line, (title, _, _) in LINES.items()]
    header = ["TRTS, share of noisy pixels", *map(str, FRACTIONS)]
    metrics = {"trts": gathered(per_seed, mean), "per_seed": per_seed}
    return finish(settings, metrics, header, rows, figures)


def _run_of(source: str, fraction: float) -> str:
    return f"{EXPERIMENTS[source].name}-noise{fraction}"


def _score(metrics: Mapping[str, Any], sampler: str | None, fraction: float) -> float:
    """TRTS of a sampler, or of digits without a code."""
    if sampler:
        return float(metrics["samplers"][sampler]["trts"])
    return float(metrics["real_accuracy"])


def _figures(settings: Settings, fraction: float) -> Figures:
    """Sample grids and PCA panels, noisy real digits first."""
    real = load_digits().held_out(settings.evaluate_on)
    noisy = add_noise(real.images, fraction, stream(0, "noise of pictures"))
    rows = {"noisy real": Labelled(noisy, real.labels)}
    for source, title in SOURCES.items():
        trainer = runs.load_run(settings.out / f"{_run_of(source, fraction)}-seed0")
        drawn = trainer.experiment.evaluation.sample(trainer, real.labels, stream(0, "pictures"))
        rows[title] = Labelled(drawn["images"], real.labels)
    points = pca_projection(*(data.images for data in rows.values()))
    return {
        f"samples-{fraction}": partial(plots.sample_grid, rows, CLASSES, SIDE, per_class=4),
        f"pca-{fraction}": partial(plots.pca_panels, dict(zip(rows, points, strict=True)), real.labels),
    }
