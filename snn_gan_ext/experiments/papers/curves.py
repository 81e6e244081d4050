"""Fig. 4 of the SpikeGAN paper: TSTR while generators learn."""

from collections.abc import Mapping, Sequence
from typing import Any

from snn_gan_ext import plots
from snn_gan_ext.errors import InputError
from snn_gan_ext.experiments.experiment import Experiment
from snn_gan_ext.experiments.loop import read_metrics
from snn_gan_ext.experiments.papers.common import (
    Settings,
    finish,
    markdown,
    mean,
    mean_and_range,
    run_all,
)
from snn_gan_ext.experiments.recipes.digits import BELIEF, DIGITS, HYBRID, TIME_SURFACE

__all__ = ["digits_curves"]

LOOK = "validation_tstr"
MONITOR_EVERY = 250
UPDATES = 3000
SHOWN = (250, 500, 1000, 2000)
GREY = BELIEF.vary({"data.encoding": "grey"})
GENERATORS: dict[str, tuple[str, Experiment]] = {
    "digits": ("SpikeGAN, rates, REINFORCE", DIGITS),
    "digits-time-surface": ("SpikeGAN, time surfaces, REINFORCE", TIME_SURFACE),
    "digits-hybrid": ("SpikeGAN, rates, hybrid", HYBRID),
    "digits-belief": ("belief network, binary images", BELIEF),
    "digits-belief-grey": ("belief network, grey images", GREY),
}


def digits_curves(settings: Settings) -> dict[str, Any]:
    """Fig. 4: TSTR on the validation split against training steps, and at the end on the reported one.

    ``metrics.json``: ``steps``, ``validation_tstr`` (lists of means over seeds at these steps),
    ``tstr`` (at the end, on the reported split) and ``per_seed``.

    References:
        SpikeGAN paper, section VIII-A and Fig. 4.
    """
    settings.refuse_classifier_updates()
    experiments = {
        f"{key}-seed{seed}": settings.variant(
            experiment.vary({"learner.updates": UPDATES, "monitor_every": MONITOR_EVERY}), seed
        )
        for seed in range(settings.seeds)
        for key, (_, experiment) in GENERATORS.items()
    }
    found = run_all(experiments, settings)
    curves = {key: _mean_curve(settings, key) for key in GENERATORS}
    tstr = {
        key: [_tstr(found[f"{key}-seed{seed}"], experiment) for seed in range(settings.seeds)]
        for key, (_, experiment) in GENERATORS.items()
    }
    figure = plots.lines(
        {title: curves[key] for key, (title, _) in GENERATORS.items()},
        x_label="training update",
        y_label="train on synthetic, test on real (validation)",
    )
    metrics = {
        "updates": [step for step, _ in curves["digits"]],
        "validation_tstr": {key: [value for _, value in curve] for key, curve in curves.items()},
        "tstr": {key: mean(values) for key, values in tstr.items()},
        "per_seed": tstr,
    }
    return finish(settings, metrics, _table(curves, tstr), {"curves": figure})


def _tstr(metrics: Mapping[str, Any], experiment: Experiment) -> float:
    found: float = metrics["samplers"][experiment.label]["tstr"]
    return found


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
    return markdown(["TSTR after so many updates", *map(str, SHOWN), "end, reported split"], rows)
