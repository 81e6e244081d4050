"""Fig. 5 of the SpikeGAN paper: generators that learn from noisy digits."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from snn_gan_ext import plots
from snn_gan_ext.coding.images import Labelled, add_noise
from snn_gan_ext.datasets.digits import Split, load_digits
from snn_gan_ext.experiments import runs
from snn_gan_ext.experiments.experiment import Experiment
from snn_gan_ext.experiments.papers.common import (
    Settings,
    finish,
    markdown,
    mean,
    mean_and_range,
    run_all,
)
from snn_gan_ext.experiments.recipes.digits import BELIEF, CLASSES, HYBRID, SIDE, TIME_SURFACE
from snn_gan_ext.metrics.distributions import pca_projection
from snn_gan_ext.rng import stream

if TYPE_CHECKING:
    from matplotlib.figure import Figure

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
SOURCES = {"spikegan_rate": "SpikeGAN, rates", "spikegan": "SpikeGAN", "belief": "belief network"}


def digits_noise(settings: Settings) -> dict[str, Any]:
    """Fig. 5: does a classifier of clean digits know the classes of samples learned from noisy ones?

    ``metrics.json``: ``trts``, for each line of the figure an object of means over seeds by the
    fraction of noisy pixels, and ``per_seed`` with all numbers.

    References:
        SpikeGAN paper, section VIII-A and Fig. 5.
    """
    settings.refuse_classifier_updates()
    found = run_all(
        {
            _folder(experiment, fraction): experiment
            for seed in range(settings.seeds)
            for fraction in FRACTIONS
            for experiment in _experiments(settings, seed, fraction).values()
        },
        settings,
    )

    def score(line: str, seed: int, fraction: float) -> float:
        _, source, sampler = LINES[line]
        metrics = found[_folder(_experiments(settings, seed, fraction)[source], fraction)]
        value = (
            metrics["noisy_real_accuracy"] if sampler is None else metrics["samplers"][sampler]["trts"]
        )
        return float(value)

    per_seed = [
        {line: {f"{x}": score(line, seed, x) for x in FRACTIONS} for line in LINES}
        for seed in range(settings.seeds)
    ]
    trts = {
        line: {f"{x}": mean(scores[line][f"{x}"] for scores in per_seed) for x in FRACTIONS}
        for line in LINES
    }
    figures: dict[str, Figure] = {}
    for fraction in SHOWN:
        folders = {
            SOURCES[source]: settings.out / _folder(experiment, fraction)
            for source, experiment in _experiments(settings, 0, fraction).items()
        }
        figures |= _figures(folders, fraction, settings.evaluate_on)
    return finish(settings, {"trts": trts, "per_seed": per_seed}, _table(per_seed), figures)


def _experiments(settings: Settings, seed: int, fraction: float) -> dict[str, Experiment]:
    long = HYBRID.vary({"data.num_steps": LONG_TRIAL, "learner.updates": 3000})
    return {
        source: settings.variant(experiment.vary({"data.noise_fraction": fraction}), seed)
        for source, experiment in (
            ("spikegan_rate", long),
            ("spikegan", TIME_SURFACE),
            ("belief", BELIEF),
        )
    }


def _folder(experiment: Experiment, fraction: float) -> str:
    return f"{experiment.name}-noise{fraction}-seed{experiment.seed}"


def _figures(folders: dict[str, Path], fraction: float, split: Split) -> dict[str, "Figure"]:
    """Sample grids and PCA panels, noisy real digits first."""
    real = load_digits().held_out(split)
    noisy = add_noise(real.images, fraction, stream(0, "noise of pictures"))
    rows = {"noisy real": Labelled(noisy, real.labels)}
    for title, folder in folders.items():
        trainer = runs.load_run(folder)
        rng = stream(0, "pictures")
        drawn = trainer.experiment.evaluation.sample(trainer, real.labels, rng)
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
