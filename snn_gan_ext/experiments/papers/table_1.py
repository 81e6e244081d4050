"""Table I of the SpikeGAN paper: classifiers that learned from real or generated spike trains."""

import statistics
from collections.abc import Mapping
from typing import Any, NamedTuple

from snn_gan_ext.experiments.experiment import Experiment
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
from snn_gan_ext.experiments.recipes.digit_spikes import (
    CNN,
    CREDIT,
    LIKELIHOOD,
    POOLED,
    RATE,
    TIME_SURFACE,
)

__all__ = ["TABLE_1", "digits_spikes"]

COLUMNS = ("snn_tstr", "snn_tstr_count", "tstr", "c2st", "energy_distance")


class Row(NamedTuple):
    """A line of Table I: the training data of the classifiers, and the paper's value.

    Attributes:
        title: Training data in words.
        paper: Accuracy in the paper.
        experiment: Experiment whose samples these are; None for a reference in any run's scorecard.
    """

    title: str
    paper: float | None
    experiment: Experiment | None = None


REINFORCE = CNN.vary({"batch": 200, "learner.estimator": "reinforce", "learner.r1": 10.0})
TABLE_1 = {
    "real": Row("real digits, rate-encoded", 0.85),
    "spikegan_cnn": Row("SpikeGAN, CNN discriminator", 0.82, CNN),
    "spikegan_time_surface": Row("SpikeGAN, time surfaces", 0.80, TIME_SURFACE),
    "spikegan_rate": Row("SpikeGAN, rates", 0.80, RATE),
    "spikegan_pooled": Row("SpikeGAN, counts in bins", None, POOLED),
    "spikegan_cnn_reinforce": Row("SpikeGAN, CNN, REINFORCE alone", None, REINFORCE),
    "spikegan_credit": Row("SpikeGAN, REINFORCE alone, credit at every step", None, CREDIT),
    "ml": Row("maximum likelihood (VAE)", 0.12, LIKELIHOOD),
    "class_means": Row("class means, no network", None),
    "kmeans": Row("k-means mixture, no network", None),
}


def digits_spikes(settings: Settings) -> dict[str, Any]:
    """Table I: classifiers that learned from real or generated spike trains, on real ones.

    ``metrics.json``: for each measure an object of means over seeds, and ``per_seed`` with all numbers.

    References:
        SpikeGAN paper, section VIII-B and Table I.
    """
    experiments = {key: row.experiment for key, row in TABLE_1.items() if row.experiment is not None}
    found = run_all(experiments, settings)
    with scorecards(settings):
        return _finished(settings, found)


def _finished(settings: Settings, found: Scores) -> dict[str, Any]:
    per_seed = [{key: _scores(run, key, row) for key, row in TABLE_1.items()} for run in found]
    columns = {
        name: [{key: scores[key][name] for key in TABLE_1} for scores in per_seed] for name in COLUMNS
    }
    cells = {name: gathered(columns[name], with_range) for name in COLUMNS}
    rows = []
    for key, row in TABLE_1.items():
        seconds = statistics.mean(scores[key].get("seconds", 0.0) for scores in per_seed)
        paper = "" if row.paper is None else f"{row.paper:.2f}"
        time = f"{seconds:.0f} s" if seconds else ""
        rows.append([row.title, paper, *(cells[name][key] for name in COLUMNS), time])
    header = "trained on|paper|SNN classifier|by spike count|MLP|C2ST|energy distance|training"
    means = {name: gathered(columns[name], mean) for name in COLUMNS if name != "snn_tstr_count"}
    return finish(settings, {**means, "per_seed": per_seed}, header.split("|"), rows)


def _scores(run: Mapping[str, Mapping[str, Any]], key: str, row: Row) -> dict[str, float]:
    """A row's numbers; references are the same in all runs of a seed."""
    if row.experiment is None:
        return dict(run["spikegan_pooled"]["samplers"][key])
    return {**run[key]["samplers"][row.experiment.label], "seconds": run[key]["seconds"]}
