"""Fig. 4 of the SpikeGAN paper: TSTR while generators learn."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from snn_gan_ext import plots
from snn_gan_ext.errors import InputError
from snn_gan_ext.experiments.loop import read_metrics
from snn_gan_ext.experiments.papers.common import (
    Settings,
    finish,
    markdown,
    mean,
    mean_and_range,
    run_all,
)
from snn_gan_ext.experiments.recipes.digits import Digits, DigitsHybrid, DigitsTimeSurface
from snn_gan_ext.experiments.recipes.digits_belief import DigitsBelief

__all__ = ["digits_curves"]

LOOK = "validation_tstr"
MONITOR_EVERY = 250
SHOWN = (250, 500, 1000, 2000)
GENERATORS: dict[str, tuple[str, Digits]] = {
    "digits": ("SpikeGAN, rates, REINFORCE", Digits()),
    "digits-time-surface": ("SpikeGAN, time surfaces, REINFORCE", DigitsTimeSurface()),
    "digits-hybrid": ("SpikeGAN, rates, hybrid", DigitsHybrid()),
    "digits-belief": ("belief network, binary images", DigitsBelief()),
    "digits-belief-grey": ("belief network, grey images", DigitsBelief(binarise=False)),
}


def digits_curves(settings: Settings) -> dict[str, Any]:
    """Fig. 4: TSTR on the validation split against training steps, and at the end on the reported one.

    Args:
        settings: of the reproduction.

    Returns:
        The contents of ``metrics.json``: ``steps``, ``validation_tstr`` (lists of means over
        seeds at these steps), ``tstr`` (at the end, on the reported split) and ``per_seed``.

    Raises:
        InputError: if ``judge_steps`` is given, or ``out`` holds other runs.
        Interrupted: after Ctrl-C or SIGTERM; the same command goes on.

    References:
        SpikeGAN paper, section VIII-A and Fig. 4.
    """
    given = {"steps": 3000, "monitor_every": MONITOR_EVERY} | settings.of_recipes()
    runs = {
        (key, seed): replace(recipe, seed=seed, **given)
        for seed in range(settings.seeds)
        for key, (_, recipe) in GENERATORS.items()
    }
    found = run_all({f"{key}-seed{seed}": run for (key, seed), run in runs.items()}, settings)
    curves = {key: _mean_curve(settings, key) for key in GENERATORS}
    tstr = {
        key: [found[f"{key}-seed{seed}"]["tstr"] for seed in range(settings.seeds)]
        for key in GENERATORS
    }
    figure = plots.lines(
        {title: curves[key] for key, (title, _) in GENERATORS.items()},
        x_label="training step",
        y_label="train on synthetic, test on real (validation)",
    )
    metrics = {
        "steps": [step for step, _ in curves["digits"]],
        "validation_tstr": {key: [value for _, value in curve] for key, curve in curves.items()},
        "tstr": {key: mean(values) for key, values in tstr.items()},
        "per_seed": tstr,
    }
    return finish(settings, metrics, _table(curves, tstr), {"curves": figure})


def _mean_curve(settings: Settings, key: str) -> list[tuple[int, float]]:
    """TSTR by step, mean over seeds."""
    logs = [
        read_metrics(settings.out / f"{key}-seed{seed}" / "metrics.jsonl")
        for seed in range(settings.seeds)
    ]
    looks = [{int(x["update"]): x[LOOK] for x in log if LOOK in x} for log in logs]
    if not looks[0] or any(look.keys() != looks[0].keys() for look in looks):
        raise InputError(
            f"{settings.out / key}-seed*/metrics.jsonl",
            expected="looks at the same steps for all seeds",
            got=f"{[len(look) for look in looks]} looks",
            cure="remove the damaged run's folder; the same command trains it again",
        )
    return [(step, mean(look[step] for look in looks)) for step in looks[0]]


def _table(curves: Mapping[str, Sequence[tuple[int, float]]], tstr: Mapping[str, list[float]]) -> str:
    """Validation TSTR at some steps, and at the end on the reported split."""
    rows = []
    for key, (title, _) in GENERATORS.items():
        at = dict(curves[key])
        shown = [f"{at[step]:.3f}" if step in at else "" for step in SHOWN]
        rows.append([title, *shown, mean_and_range(tstr[key])])
    return markdown(["TSTR after so many steps", *map(str, SHOWN), "end, reported split"], rows)
