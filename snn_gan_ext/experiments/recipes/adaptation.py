"""Scores of samples on the way through within-task training."""

from collections.abc import Sequence

import numpy as np
from sklearn.neural_network import MLPClassifier

from snn_gan_ext.coding.images import Labelled
from snn_gan_ext.metrics import classifiers, distributions

__all__ = ["Curves", "Judge"]


class Judge:
    """What samples of one task are worth.

    Args:
        classifier: one that learned from the task's real images.
        real: others of its real images.
        seed: of the classifiers.
        quick: TRTS alone, which needs no new classifier for each sample.
    """

    def __init__(self, classifier: MLPClassifier, real: Labelled, seed: int, quick: bool) -> None:
        self.classifier, self.real, self.seed, self.quick = classifier, real, seed, quick

    def __call__(self, synthetic: Labelled) -> dict[str, float]:
        """TRTS, TSTR and the energy distance."""
        trts = classifiers.accuracy(self.classifier, synthetic)
        if self.quick:
            return {"trts": trts}
        return {
            "trts": trts,
            "tstr": classifiers.tstr(synthetic, self.real, self.seed, repeats=1),
            "energy": distributions.energy_distance(self.real, synthetic),
        }


class Curves:
    """Scores of some tasks at some within-task steps.

    Args:
        times: the steps.
    """

    def __init__(self, times: list[int]) -> None:
        self.times = times
        self.scores: list[list[dict[str, float]]] = []
        self.samples: dict[int, Labelled] = {}

    def add(self, samples: Sequence[Labelled], judges: Sequence[Judge]) -> None:
        """Judges the samples of all tasks at the next of the steps; keeps those of the first task."""
        self.samples[self.times[len(self.scores)]] = samples[0]
        self.scores.append([judge(x) for judge, x in zip(judges, samples, strict=True)])

    def mean(self, key: str) -> list[float]:
        """Mean over the tasks at each step."""
        return [float(np.mean([score[key] for score in scores])) for scores in self.scores]

    def std(self, key: str) -> list[float]:
        """Standard deviation over the tasks at each step."""
        return [float(np.std([score[key] for score in scores])) for scores in self.scores]

    def summary(self) -> dict[str, list[float]]:
        """All of it as lists over the steps, for ``metrics.json``."""
        keys = ("trts", "tstr", "energy")
        return {
            f"{key}_{name}": of(key)
            for key in keys
            for name, of in (("mean", self.mean), ("std", self.std))
        }
