"""Fig. 4 of the SpikeGAN paper: TSTR while generators learn."""

from functools import partial
from typing import Any

from snn_gan_ext import plots
from snn_gan_ext.errors import InputError
from snn_gan_ext.experiments.loop import read_metrics
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
from snn_gan_ext.experiments.recipes.digits import BELIEF, DIGITS, HYBRID, TIME_SURFACE

__all__ = ["digits_curves"]

LOOK = "validation_tstr"
MONITOR_EVERY = 250
UPDATES = 3000
SHOWN = (250, 500, 1000, 2000)
TITLES = {
    "digits": "SpikeGAN, rates, REINFORCE",
    "digits-time-surface": "SpikeGAN, time surfaces, REINFORCE",
    "digits-hybrid": "SpikeGAN, rates, hybrid",
    "digits-belief": "belief network, binary images",
    "digits-belief-grey": "belief network, grey images",
}
GREY = BELIEF.vary({"data.encoding": "grey"})
EXPERIMENTS = {
    name: experiment.vary({"learner.updates": UPDATES, "monitor_every": MONITOR_EVERY})
    for name, experiment in zip(TITLES, (DIGITS, TIME_SURFACE, HYBRID, BELIEF, GREY), strict=True)
}


def digits_curves(settings: Settings) -> dict[str, Any]:
    """Fig. 4: TSTR on the validation split against updates, and at the end on the reported one.

    ``metrics.json``: ``updates``, ``validation_tstr`` (lists of means over seeds at these updates),
    ``tstr`` (at the end, on the reported split) and ``per_seed``.

    References:
        SpikeGAN paper, section VIII-A and Fig. 4.
    """
    found = run_all(EXPERIMENTS, settings)
    with scorecards(settings):
        return _finished(settings, found)


def _finished(settings: Settings, found: Scores) -> dict[str, Any]:
    curves = {name: _mean_curve(settings, name) for name in EXPERIMENTS}
    tstr: list[dict[str, float]] = [
        {name: run[name]["samplers"][each.label]["tstr"] for name, each in EXPERIMENTS.items()}
        for run in found
    ]
    figure = partial(
        plots.lines,
        {title: curves[name] for name, title in TITLES.items()},
        x_label="training update",
        y_label="train on synthetic, test on real (validation)",
    )
    metrics = {
        "updates": [update for update, _ in curves["digits"]],
        "validation_tstr": {name: [value for _, value in curve] for name, curve in curves.items()},
        "tstr": gathered(tstr, mean),
        "per_seed": gathered(tstr),
    }
    ends, rows = gathered(tstr, with_range), []
    for name, title in TITLES.items():
        at = dict(curves[name])
        rows.append([title, *(f"{at[x]:.3f}" if x in at else "" for x in SHOWN), ends[name]])
    header = ["TSTR after so many updates", *map(str, SHOWN), "end, reported split"]
    return finish(settings, metrics, header, rows, {"curves": figure})


def _mean_curve(settings: Settings, name: str) -> list[tuple[int, float]]:
    """TSTR by update, mean over seeds."""
    folders = [settings.out / f"{name}-seed{seed}" for seed in range(settings.seeds)]
    logs = [read_metrics(folder / "metrics.jsonl") for folder in folders]
    looks = [{int(x["update"]): x[LOOK] for x in log if LOOK in x} for log in logs]
    if not looks[0] or any(look.keys() != looks[0].keys() for look in looks):
        raise InputError(
            f"{settings.out / name}-seed*/metrics.jsonl",
            expected="looks at the same updates for all seeds",
            got=f"{[len(look) for look in looks]} looks",
            cure="remove the damaged run's folder; the same command trains it again",
        )
    return [(update, mean(look[update] for look in looks)) for update in looks[0]]
