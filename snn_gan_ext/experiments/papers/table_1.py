"""Table I of the SpikeGAN paper: classifiers that learned from real or generated spike trains."""

import json
import statistics
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from snn_gan_ext.experiments.checkpoint import write_atomically
from snn_gan_ext.experiments.loop import catch_signals
from snn_gan_ext.experiments.papers.common import (
    Settings,
    finish,
    markdown,
    mean,
    mean_and_range,
    run_all,
)
from snn_gan_ext.experiments.recipes.digit_spikes import (
    DigitSpikes,
    DigitSpikesCNN,
    DigitSpikesExperiment,
    DigitSpikesML,
    DigitSpikesPooled,
    DigitSpikesRate,
    DigitSpikesTimeSurface,
)
from snn_gan_ext.metrics import references

__all__ = ["TABLE_1", "digits_spikes"]

MEASURES = ("snn_tstr", "mlp_tstr", "c2st", "energy_distance")


@dataclass(frozen=True)
class Row:
    """A line of Table I: what the classifiers learned from, and what the paper reports."""

    title: str
    paper: float | None
    recipe: DigitSpikes | None = None


TABLE_1 = {
    "real": Row("real digits, rate-encoded", 0.85),
    "spikegan_cnn": Row("SpikeGAN, CNN discriminator", 0.82, DigitSpikesCNN()),
    "spikegan_time_surface": Row("SpikeGAN, time surfaces", 0.80, DigitSpikesTimeSurface()),
    "spikegan_rate": Row("SpikeGAN, rates", 0.80, DigitSpikesRate()),
    "spikegan_pooled": Row("SpikeGAN, counts in bins", None, DigitSpikesPooled()),
    "spikegan_cnn_reinforce": Row(
        "SpikeGAN, CNN, REINFORCE alone",
        None,
        DigitSpikesCNN(estimator="reinforce", batch=200, r1=10.0),
    ),
    "ml": Row("maximum likelihood (VAE)", 0.12, DigitSpikesML()),
    "class_mean": Row("class means, no network", None),
    "kmeans": Row("k-means mixture, no network", None),
}

Scores = Mapping[str, Mapping[str, float]]


def digits_spikes(settings: Settings) -> dict[str, Any]:
    """Table I: classifiers that learned from real or generated spike trains, on real ones.

    Args:
        settings: of the reproduction.

    Returns:
        The contents of ``metrics.json``: for each measure an object of means over seeds, and
        ``per_seed`` with all numbers.

    Raises:
        InputError: if ``out`` holds runs of other settings.
        Interrupted: after Ctrl-C or SIGTERM; the same command goes on.

    References:
        SpikeGAN paper, section VIII-B and Table I.
    """
    given = settings.of_recipes("judge_steps")
    trained = {key: row.recipe for key, row in TABLE_1.items() if row.recipe is not None}
    found = run_all(
        {
            f"{key}-seed{seed}": replace(recipe, seed=seed, **given)
            for seed in range(settings.seeds)
            for key, recipe in trained.items()
        },
        settings,
    )
    per_seed = []
    for seed in range(settings.seeds):
        scores = {key: found[f"{key}-seed{seed}"] for key in trained}
        path = settings.out / f"references-seed{seed}.json"
        scores |= _references(DigitSpikesPooled(seed=seed, **given), path)
        per_seed.append({key: scores[key] for key in TABLE_1})
    metrics = {
        **{
            measure: {key: mean(scores[key][measure] for scores in per_seed) for key in TABLE_1}
            for measure in MEASURES
        },
        "per_seed": per_seed,
    }
    return finish(settings, metrics, _table(per_seed))


def _references(recipe: DigitSpikes, path: Path) -> dict[str, dict[str, float]]:
    """The same measures of real digits and of samplers without a network."""
    if path.exists():
        found = json.loads(path.read_text())
        if found["config"] == recipe.to_config():
            scores: dict[str, dict[str, float]] = found["scores"]
            return scores
    recipe.check()
    judge = DigitSpikesExperiment(recipe, torch.device("cpu")).judge()
    samplers = {
        "real": judge.real_sampler(),
        "class_mean": judge.encoded(lambda labels, rng: references.class_means(judge.train, labels)),
        "kmeans": judge.encoded(references.kmeans_sampler(judge.train, seed=recipe.seed)),
    }
    with catch_signals("while judging; the same command goes on"):
        scores = {
            name: {key: round(value, 4) for key, value in judge.judge(draw).items()}
            for name, draw in samplers.items()
        }
    content = {"config": recipe.to_config(), "scores": scores}
    write_atomically(path, json.dumps(content, indent=2) + "\n")
    return scores


def _table(per_seed: list[dict[str, Any]]) -> str:
    """Table I in Markdown: the paper's value and ours, mean and range over seeds."""
    columns = ("snn_tstr", "snn_tstr_count", "mlp_tstr", "c2st", "energy_distance")
    rows = []
    for key, row in TABLE_1.items():
        seconds = statistics.mean(scores[key].get("train_seconds", 0.0) for scores in per_seed)
        rows.append(
            [
                row.title,
                "" if row.paper is None else f"{row.paper:.2f}",
                *(mean_and_range([scores[key][name] for scores in per_seed]) for name in columns),
                f"{seconds:.0f} s" if seconds else "",
            ]
        )
    header = "trained on|paper|SNN classifier|by spike count|MLP|C2ST|energy distance|training"
    return markdown(header.split("|"), rows)
