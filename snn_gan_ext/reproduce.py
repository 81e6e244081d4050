"""The papers' tables and figures, each from one command: train, judge, compare with the paper.

A folder holds a run folder for each recipe and seed, what the references scored
(``references-seedN.json``), ``metrics.json`` and ``table.md``. Finished parts are not done again.
"""

import json
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from snn_gan_ext import runs
from snn_gan_ext.errors import InputError
from snn_gan_ext.metrics import floors
from snn_gan_ext.recipes.base import Recipe, Split
from snn_gan_ext.recipes.digit_spikes import (
    DigitSpikes,
    DigitSpikesCNN,
    DigitSpikesExperiment,
    DigitSpikesML,
    DigitSpikesPooled,
    DigitSpikesRate,
    DigitSpikesTimeSurface,
)
from snn_gan_ext.recipes.digits import DigitsTimeSurface
from snn_gan_ext.recipes.digits_belief import DigitsBelief
from snn_gan_ext.training.checkpoint import write_atomically
from snn_gan_ext.training.loop import catch_signals

__all__ = ["REPRODUCTIONS", "digits_noise", "digits_spikes"]

FIGURE_5 = {
    "noisy_real": "noisy real digits",
    "spikegan": "SpikeGAN, time surfaces",
    "belief": "adversarial belief network",
}
NOISE_FRACTIONS = (0.0, 0.05, 0.1, 0.2, 0.4, 0.8)
MEASURES = ("snn_tstr", "mlp_tstr", "c2st", "energy_distance")


@dataclass(frozen=True)
class Row:
    """A line of Table I: what the classifiers learned from, and what the paper reports."""

    title: str
    paper: float | None
    recipe: type[DigitSpikes] | None = None


TABLE_1 = {
    "real": Row("real digits, rate-encoded", 0.85),
    "spikegan_cnn": Row("SpikeGAN, CNN discriminator", 0.82, DigitSpikesCNN),
    "spikegan_time_surface": Row("SpikeGAN, time surfaces", 0.80, DigitSpikesTimeSurface),
    "spikegan_rate": Row("SpikeGAN, rates", 0.80, DigitSpikesRate),
    "spikegan_pooled": Row("SpikeGAN, counts in bins", None, DigitSpikesPooled),
    "ml": Row("maximum likelihood (VAE)", 0.12, DigitSpikesML),
    "class_mean": Row("class means, no network", None),
    "kmeans": Row("k-means mixture, no network", None),
}


def digits_spikes(
    out: Path,
    seeds: int = 3,
    *,
    steps: int | None = None,
    judge_steps: int | None = None,
    evaluate_on: Split = "test",
    progress: bool = True,
) -> dict[str, Any]:
    """Table I: classifiers that learned from real or generated spike trains, on real ones.

    Args:
        out: where all of it goes; what is finished there is kept.
        seeds: number of seeds, from 0.
        steps: training steps, if not the recipes' own.
        judge_steps: training steps of the spiking classifier, if not the recipes' own.
        evaluate_on: the split to judge on.
        progress: show progress bars.

    Returns:
        The contents of ``metrics.json``: for each measure an object of means over seeds, and
        ``per_seed`` with all numbers.

    Raises:
        InputError: if there is no seed, or ``out`` holds runs of other settings.
        Interrupted: after Ctrl-C or SIGTERM; the same command goes on.

    References:
        SpikeGAN paper, section VIII-B and Table I.
    """
    if seeds < 1:
        raise InputError("--seeds", expected="at least 1", got=f"{seeds}")
    settings = _given(evaluate_on=evaluate_on, steps=steps, judge_steps=judge_steps)
    started = time.monotonic()
    per_seed = []
    for seed in range(seeds):
        trained = {
            key: _run(row.recipe(seed=seed, **settings), out, progress)
            for key, row in TABLE_1.items()
            if row.recipe is not None
        }
        judged = DigitSpikesPooled(seed=seed, **settings)
        references = _references(judged, out / f"references-seed{seed}.json")
        per_seed.append({key: (trained | references)[key] for key in TABLE_1})
    metrics = {
        **{measure: _means(per_seed, measure) for measure in MEASURES},
        "per_seed": per_seed,
        "seeds": seeds,
        "evaluated_on": evaluate_on,
        "seconds_now": round(time.monotonic() - started, 1),
    }
    write_atomically(out / "metrics.json", json.dumps(metrics, indent=2) + "\n")
    write_atomically(out / "table.md", _table(per_seed))
    return metrics


def digits_noise(
    out: Path,
    seeds: int = 3,
    *,
    steps: int | None = None,
    judge_steps: int | None = None,
    evaluate_on: Split = "test",
    progress: bool = True,
) -> dict[str, Any]:
    """Fig. 5: does a classifier of clean digits know the classes of samples learned from noisy ones?

    Args:
        out: where all of it goes; what is finished there is kept.
        seeds: number of seeds, from 0.
        steps: training steps, if not the recipes' own.
        judge_steps: not for this experiment.
        evaluate_on: the split to judge on.
        progress: show progress bars.

    Returns:
        The contents of ``metrics.json``: ``trts``, for each source an object of means over seeds by the
        fraction of noisy pixels, and ``per_seed`` with all numbers.

    Raises:
        InputError: if there is no seed, ``judge_steps`` is given, or ``out`` holds other runs.
        Interrupted: after Ctrl-C or SIGTERM; the same command goes on.

    References:
        SpikeGAN paper, section VIII-A and Fig. 5.
    """
    if seeds < 1:
        raise InputError("--seeds", expected="at least 1", got=f"{seeds}")
    if judge_steps is not None:
        raise InputError("--judge-steps", expected="none: no spiking classifier", got=f"{judge_steps}")
    settings = _given(evaluate_on=evaluate_on, steps=steps)
    per_seed = [_trts_by_noise(seed, settings, out, progress) for seed in range(seeds)]
    means = {
        source: {
            fraction: round(statistics.mean(scores[source][fraction] for scores in per_seed), 4)
            for fraction in per_seed[0][source]
        }
        for source in FIGURE_5
    }
    found = {"trts": means, "per_seed": per_seed, "seeds": seeds, "evaluated_on": evaluate_on}
    write_atomically(out / "metrics.json", json.dumps(found, indent=2) + "\n")
    write_atomically(out / "table.md", _table_by_noise(means, seeds))
    return found


def _trts_by_noise(
    seed: int, settings: Mapping[str, Any], out: Path, progress: bool
) -> dict[str, dict[str, float]]:
    """TRTS by source and by fraction of noisy pixels, for one seed."""
    scores: dict[str, dict[str, float]] = {source: {} for source in FIGURE_5}
    for fraction in NOISE_FRACTIONS:
        for source, recipe in (("spikegan", DigitsTimeSurface), ("belief", DigitsBelief)):
            noisy = recipe(seed=seed, noise_fraction=fraction, **settings)
            metrics = _run(noisy, out, progress, f"-noise{fraction}")
            scores[source][f"{fraction}"] = metrics["trts"]
            scores["noisy_real"][f"{fraction}"] = metrics["noisy_real_accuracy"]
    return scores


def _table_by_noise(means: Mapping[str, Mapping[str, float]], seeds: int) -> str:
    lines = [
        "| TRTS, share of noisy pixels | " + " | ".join(map(str, NOISE_FRACTIONS)) + " |",
        "| --- " * (len(NOISE_FRACTIONS) + 1) + "|",
    ]
    for source, title in FIGURE_5.items():
        cells = " | ".join(f"{value:.3f}" for value in means[source].values())
        lines.append(f"| {title} | {cells} |")
    return "\n".join(lines) + f"\n\n{seeds} seed(s).\n"


def _given(**settings: Any) -> dict[str, Any]:
    return {name: value for name, value in settings.items() if value is not None}


def _run(recipe: Recipe, out: Path, progress: bool, suffix: str = "") -> dict[str, float]:
    """Trains and judges a recipe, or goes on with it, or reads what it scored."""
    folder = out / f"{recipe.name}{suffix}-seed{recipe.seed}"
    done = folder / "metrics.json"
    begun = (folder / "config.json").exists()
    if begun and done.exists():
        stored = runs.read_recipe(folder)
        if stored != recipe:
            raise InputError(
                f"{folder}",
                expected="a run of these settings",
                got="one of others",
                cure="give another --out",
            )
        metrics: dict[str, float] = json.loads(done.read_text())
        return metrics
    if (folder / "generator.safetensors").exists():
        return runs.evaluate(folder)
    return runs.train(recipe, folder, resume=begun, progress=progress)


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
        "class_mean": judge.encoded(lambda labels, rng: floors.class_means(judge.train, labels)),
        "kmeans": judge.encoded(floors.kmeans_sampler(judge.train, seed=recipe.seed)),
    }
    with catch_signals("while judging; the same command goes on"):
        scores = {
            name: {key: round(value, 4) for key, value in judge.judge(draw).items()}
            for name, draw in samplers.items()
        }
    content = {"config": recipe.to_config(), "scores": scores}
    write_atomically(path, json.dumps(content, indent=2) + "\n")
    return scores


def _means(per_seed: list[dict[str, dict[str, float]]], measure: str) -> dict[str, float]:
    return {
        key: round(statistics.mean(scores[key][measure] for scores in per_seed), 4) for key in TABLE_1
    }


def _table(per_seed: list[dict[str, dict[str, float]]]) -> str:
    """Table I in Markdown: the paper's value and ours, mean and range over seeds."""

    def cell(key: str, measure: str) -> str:
        values = [scores[key][measure] for scores in per_seed]
        spread = f" ({min(values):.3f} to {max(values):.3f})" if len(values) > 1 else ""
        return f"{statistics.mean(values):.3f}{spread}"

    columns = ("snn_tstr", "snn_tstr_count", "mlp_tstr", "c2st", "energy_distance")
    seconds = {
        key: statistics.mean(scores[key].get("train_seconds", 0.0) for scores in per_seed)
        for key in TABLE_1
    }
    lines = [
        "| trained on | paper | SNN classifier | by spike count | MLP | C2ST | energy distance "
        "| training |",
        "| --- " * 8 + "|",
    ]
    for key, row in TABLE_1.items():
        cells = " | ".join(cell(key, measure) for measure in columns)
        paper = "" if row.paper is None else f"{row.paper:.2f}"
        took = f"{seconds[key]:.0f} s" if seconds[key] else ""
        lines.append(f"| {row.title} | {paper} | {cells} | {took} |")
    return "\n".join(lines) + f"\n\n{len(per_seed)} seed(s).\n"


Reproduction = Callable[..., Mapping[str, Any]]

REPRODUCTIONS: dict[str, Reproduction] = {
    "digits-spikes": digits_spikes,
    "digits-noise": digits_noise,
}
