"""Table I of the SpikeGAN paper: classifiers that learned from real or generated spike trains."""

import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from snn_gan_ext.experiments.experiment import Experiment
from snn_gan_ext.experiments.papers.common import (
    Scores,
    Settings,
    finish,
    markdown,
    mean,
    mean_and_range,
    run_all,
)
from snn_gan_ext.experiments.recipes.digit_spikes import (
    CNN,
    LIKELIHOOD,
    POOLED,
    RATE,
    TIME_SURFACE,
)

__all__ = ["TABLE_1", "digits_spikes"]

MEASURES = ("snn_tstr", "tstr", "c2st", "energy_distance")
COLUMNS = ("snn_tstr", "snn_tstr_count", "tstr", "c2st", "energy_distance")


@dataclass(frozen=True)
class Row:
    """A line of Table I: the training data of the classifiers, and the paper's value.

    Attributes:
        title: Training data in words.
        paper: Accuracy in the paper.
        experiment: Experiment whose samples these are; None for a reference in any run's scorecard.
    """

    title: str
    paper: float | None
    experiment: Experiment | None = None


TABLE_1 = {
    "real": Row("real digits, rate-encoded", 0.85),
    "spikegan_cnn": Row("SpikeGAN, CNN discriminator", 0.82, CNN),
    "spikegan_time_surface": Row("SpikeGAN, time surfaces", 0.80, TIME_SURFACE),
    "spikegan_rate": Row("SpikeGAN, rates", 0.80, RATE),
    "spikegan_pooled": Row("SpikeGAN, counts in bins", None, POOLED),
    "spikegan_cnn_reinforce": Row(
        "SpikeGAN, CNN, REINFORCE alone",
        None,
        CNN.vary({"batch": 200, "learner.estimator": "reinforce", "learner.r1": 10.0}),
    ),
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
    found = run_all(
        {
            f"{key}-seed{seed}": _variant(settings, row.experiment, seed)
            for seed in range(settings.seeds)
            for key, row in TABLE_1.items()
            if row.experiment is not None
        },
        settings,
    )
    per_seed = [
        {key: _scores(found, key, row, seed) for key, row in TABLE_1.items()}
        for seed in range(settings.seeds)
    ]
    metrics = {
        **{
            measure: {key: mean(scores[key][measure] for scores in per_seed) for key in TABLE_1}
            for measure in MEASURES
        },
        "per_seed": per_seed,
    }
    return finish(settings, metrics, _table(per_seed))


def _variant(settings: Settings, experiment: Experiment, seed: int) -> Experiment:
    changed = settings.variant(experiment, seed)
    if settings.classifier_updates is None:
        return changed
    return changed.vary({"evaluation.classifier_updates": settings.classifier_updates})


def _scores(found: Mapping[str, Mapping[str, Any]], key: str, row: Row, seed: int) -> dict[str, float]:
    """A row's numbers; references are the same in all runs of a seed."""
    if row.experiment is None:
        samplers: Scores = found[f"spikegan_pooled-seed{seed}"]["samplers"]
        return samplers[key]
    metrics = found[f"{key}-seed{seed}"]
    return {**metrics["samplers"][row.experiment.label], "seconds": metrics["seconds"]}


def _table(per_seed: list[Scores]) -> str:
    """Table I in Markdown: the paper's value and ours, mean and range over seeds."""
    rows = []
    for key, row in TABLE_1.items():
        seconds = statistics.mean(scores[key].get("seconds", 0.0) for scores in per_seed)
        rows.append(
            [
                row.title,
                "" if row.paper is None else f"{row.paper:.2f}",
                *(mean_and_range([scores[key][name] for scores in per_seed]) for name in COLUMNS),
                f"{seconds:.0f} s" if seconds else "",
            ]
        )
    header = "trained on|paper|SNN classifier|by spike count|MLP|C2ST|energy distance|training"
    return markdown(header.split("|"), rows)
