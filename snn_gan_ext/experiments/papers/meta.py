"""Fig. 8 of the SpikeGAN paper: within-task training from learned initialisations."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np

from snn_gan_ext import plots
from snn_gan_ext.experiments.loop import read_metrics
from snn_gan_ext.experiments.papers.common import Settings, finish, mean, run_all, scorecards
from snn_gan_ext.experiments.recipes.digits_meta import ARMS, DIGITS_META

__all__ = ["digits_meta"]

TITLES = {
    "random": "random initialisation",
    "meta": "learned initialisation",
    "meta_generator": "learned generator, random discriminator",
}
MEASURES = ("trts", "tstr", "energy_distance")
WITHIN = (5, 10, 20)
"""Within-task updates of Fig. 8's lines."""


def digits_meta(settings: Settings) -> dict[str, Any]:
    """Fig. 8: scores on held-out tasks against within-task updates, and against meta-updates.

    ``metrics.json``: ``within_task_updates``; for ``random``, ``meta`` and ``meta_generator`` lists
    of means and standard deviations over tasks and seeds (``trts_mean``, ``trts_std``,
    ``tstr_mean``, ...); ``tasks``, ``seeds``, ``meta_updates``; and ``first_tasks`` and
    ``last_tasks`` of the stream.

    References:
        SpikeGAN paper, section VIII-D and Fig. 8.
    """
    found = run_all({"digits-meta": DIGITS_META}, settings)
    with scorecards(settings):
        return _finished(settings, [run["digits-meta"] for run in found])


def _finished(settings: Settings, found: list[dict[str, Any]]) -> dict[str, Any]:
    steps = found[0]["within_task_updates"]
    arms: dict[str, dict[str, list[float]]] = {
        arm: _over_seeds([run["curves"][arm] for run in found]) for arm in ARMS
    }
    parts = ("first_tasks", "last_tasks")
    again = {name: _over_seeds([run["stream"][name] for run in found]) for name in parts}
    figures = {
        key: partial(
            plots.lines,
            {TITLES[arm]: list(zip(steps, arms[arm][f"{key}_mean"], strict=True)) for arm in ARMS},
            x_label="within-task update",
            y_label=key.upper(),
        )
        for key in MEASURES
    }
    figures["meta_updates"] = partial(
        plots.lines,
        {f"{i} within-task updates": _against_updates(settings, i) for i in WITHIN},
        x_label="meta-update",
        y_label="TRTS on validation tasks",
    )
    metrics = {
        "within_task_updates": steps,
        **arms,
        **again,
        "tasks": found[0]["tasks"],
        "meta_updates": found[0]["updates"],
    }
    rows = [
        [f"{key.upper()}, {TITLES[arm]}", *(f"{x:.3f}" for x in arms[arm][f"{key}_mean"])]
        for key in MEASURES
        for arm in ARMS
    ]
    return finish(settings, metrics, ["within-task update", *map(str, steps)], rows, figures)


def _over_seeds(runs: list[Mapping[str, list[float]]]) -> dict[str, list[float]]:
    """Means over seeds; the spread is that over tasks and seeds."""
    merged = {}
    for key in MEASURES:
        means = np.array([run[f"{key}_mean"] for run in runs])
        within = np.square([run[f"{key}_std"] for run in runs]).mean(0)
        merged[f"{key}_mean"] = means.mean(0).round(4).tolist()
        merged[f"{key}_std"] = np.sqrt(within + means.var(0)).round(4).tolist()
    return merged


def _against_updates(settings: Settings, within: int) -> list[tuple[int, float]]:
    """TRTS on validation tasks after some within-task updates, by meta-updates; mean over seeds."""
    looks: dict[int, list[float]] = {}
    for seed in range(settings.seeds):
        for line in read_metrics(settings.out / f"digits-meta-seed{seed}" / "metrics.jsonl"):
            if f"trts_{within}" in line:
                looks.setdefault(int(line["update"]), []).append(line[f"trts_{within}"])
    return [(step, mean(values)) for step, values in sorted(looks.items())]
