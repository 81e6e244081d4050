"""Equivalence with Brian2: spike for spike on the same noise, and in statistics on independent noise.

Spikes are ``[T, B, N]``: B trials of N neurons over T steps. Times and rates are in seconds and Hz.
"""

import copy
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from snn_gan_ext.brian.network import CURE, BrianNetwork, require_brian2
from snn_gan_ext.errors import InputError
from snn_gan_ext.networks.labels import labels_and_count
from snn_gan_ext.validation import (
    SEED,
    above,
    between,
    check_setting,
    check_shapes,
    check_spikes,
    plain,
    require,
    whole,
)

__all__ = [
    "Comparison",
    "compare",
    "free_run",
    "mismatches",
    "replay",
    "require_elephant",
    "trial_statistics",
]

Array = NDArray[np.float64]

MOST_PAIRS = 64  # of neurons, whose spike-time tiling is computed in a trial


@dataclass(frozen=True)
class Comparison:
    """One statistic of our spikes and Brian2's.

    Attributes:
        name: Name of the statistic.
        ours: Mean over our trials.
        brian: Mean over Brian2's trials.
        p: p-value of one distribution, corrected for the number of tests. NaN, for no test, if fewer
            than 20 trials of either have the statistic.
        passed: Whether ``p`` is above the false-alarm rate, or there is no test.
    """

    name: str
    ours: float
    brian: float
    p: float
    passed: bool

    def as_json(self) -> dict[str, Any]:
        """Return plain values; None for NaN."""
        return {name: None if x != x else x for name, x in asdict(self).items()}


def replay(
    generator: nn.Module, labels: Tensor | int, rng: torch.Generator, dt: float = 1e-3
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Run a generator here and in Brian2 on the same noise, in double precision.

    Args:
        generator: Generator of GLM layers, such as a `ConditionalGenerator`.
        labels: Labels ``[B]``, or the number of trials of a generator without labels.
        rng: Random source of the noise.
        dt: Length of a time step in seconds.

    Returns:
        Our spikes and Brian2's, by layer.

    Raises:
        InputError: If Brian2 is missing or cannot express the generator.
    """
    twin = _double(generator)
    given, noise = _inputs(twin, labels, rng)
    ours = {name: plain(run.spikes) for name, run in twin.sample(given, noise).runs.items()}
    network = BrianNetwork(twin.network, twin.exogenous(given, noise), noise, dt)
    return ours, network.run()


def free_run(
    generator: nn.Module, labels: Tensor | int, rng: torch.Generator, seed: int, dt: float = 1e-3
) -> tuple[Tensor, Tensor]:
    """Run a generator here and in Brian2 on independent noise.

    Args:
        generator: Generator as for `replay`.
        labels: Labels ``[B]``, or the number of trials of a generator without labels.
        rng: Random source of our noise, and of the latent bits of both.
        seed: Seed of Brian2's noise.
        dt: Length of a time step in seconds.

    Returns:
        Our read-out spikes ``[T, B, N]`` and Brian2's.
    """
    twin = _double(generator)
    check_setting("seed", seed, SEED)
    ours = plain(twin(labels, rng))
    given, noise = _inputs(twin, labels, rng)
    require_brian2().seed(seed)
    network = BrianNetwork(twin.network, twin.exogenous(given, noise), dt=dt)
    return ours.flatten(2), network.run()["readout"].flatten(2)


def _inputs(
    twin: Any, labels: Tensor | int, rng: torch.Generator
) -> tuple[Tensor | None, dict[str, Tensor]]:
    """Return labels, if there are any, and noise in double precision."""
    given, count = labels_and_count(labels)
    return given, {name: x.double() for name, x in twin.noise(count, rng).items()}


def _double(generator: nn.Module) -> Any:
    if not all(hasattr(generator, name) for name in ("network", "exogenous", "noise", "sample")):
        raise InputError("run", expected="a generator of GLM layers", got=type(generator).__name__)
    return copy.deepcopy(generator).cpu().double()


def trial_statistics(spikes: Tensor, dt: float = 1e-3) -> dict[str, Array]:
    """Compute statistics of each trial by elephant; NaN where a trial has too few spikes.

    Args:
        spikes: Spikes ``[T, B, N]``.
        dt: Length of a time step in seconds.

    Returns:
        Arrays ``[B]`` by name: means over neurons of the rate (Hz), of the inter-spike interval (s),
        and of its coefficients of variation CV, CV2 and LV. Two neurons or more also have the Fano
        factor of their counts and the mean spike-time tiling coefficient of at most 64 neighbours.

    Raises:
        InputError: If there is no trial, or spikes are not zeros and ones, or elephant is missing.
    """
    check_setting("dt", dt, above(0))
    check_shapes(spikes=(spikes, ("T", "B >= 1", "N")))
    check_spikes("spikes", spikes)
    # One precision for all: ranks must not depend on rounding.
    trials = [_statistics_of(trial, dt) for trial in plain(spikes).double().transpose(0, 1)]
    return {name: np.array([trial[name] for trial in trials]) for name in trials[0]}


def require_elephant() -> list[Any]:
    """Return the modules that `trial_statistics` needs: neo, quantities, and two of elephant.

    Raises:
        InputError: If one of them is missing, or fails on import.
    """
    names = ("neo", "quantities", "elephant.statistics", "elephant.spike_train_correlation")
    return [require(name, CURE) for name in names]


def _statistics_of(trial: Tensor, dt: float) -> dict[str, float]:
    neo, pq, statistics, correlation = require_elephant()
    steps, neurons = trial.shape
    times = [neuron.nonzero().flatten().numpy() * dt * pq.s for neuron in trial.T]
    trains = [neo.SpikeTrain(spikes, t_stop=steps * dt * pq.s) for spikes in times]
    intervals = [np.asarray(statistics.isi(train)) for train in trains if len(train) > 1]
    regular = [isi for isi in intervals if len(isi) > 1]
    counts = trial.sum(0).numpy()
    found = {
        "rate": float(counts.mean() / (steps * dt)),
        "ISI": _mean(np.concatenate(intervals) if intervals else []),
        "CV": _mean([statistics.cv(isi) for isi in regular]),
        "CV2": _mean([statistics.cv2(isi, with_nan=True) for isi in regular]),
        "LV": _mean([statistics.lv(isi, with_nan=True) for isi in regular]),
    }
    if neurons > 1:
        found["Fano factor"] = float(counts.var() / counts.mean()) if counts.any() else np.nan
        neighbours = list(pairwise(trains))
        some = neighbours[:: -(-len(neighbours) // MOST_PAIRS)]
        pairs = [(a, b) for a, b in some if len(a) and len(b)]
        tiling = correlation.spike_time_tiling_coefficient
        found["STTC"] = _mean([tiling(a, b, dt=dt * pq.s) for a, b in pairs])
    return found


def _mean(values: Any) -> float:
    values = np.asarray(values, dtype=float)
    return float(np.nanmean(values)) if np.isfinite(values).any() else np.nan


def compare(
    ours: Tensor, brian: Tensor, dt: float = 1e-3, false_alarm: float = 0.01, comparisons: int = 1
) -> list[Comparison]:
    """Test whether two sets of trials follow one distribution.

    A two-sample Kolmogorov-Smirnov test over independent trials compares each statistic, a Mann-Whitney
    test each neuron's count. Holm's method corrects all p-values together: equal distributions fail in
    at most ``false_alarm`` of all comparisons. "counts of neurons" shows the neuron of the smallest p.

    Args:
        ours: Our spikes ``[T, B, N]``.
        brian: Brian2's spikes ``[T, B', N]``.
        dt: Length of a time step in seconds.
        false_alarm: Rate of false alarms in all comparisons together.
        comparisons: Number of comparisons, of which this is one; it multiplies p-values.

    Returns:
        A comparison for each statistic, and one for all neurons' counts.

    Raises:
        InputError: If there are fewer than 20 trials, shapes differ, or spikes are not zeros and ones.
    """
    from scipy import stats

    check_setting("dt", dt, above(0))
    check_setting("false_alarm", false_alarm, between(0, 1, closed="neither"))
    check_setting("comparisons", comparisons, whole(1))
    check_shapes(ours=(ours, "TBN"), brian=(brian, "TMN"))
    check_spikes("ours", ours)
    check_spikes("brian", brian)
    trials = [spikes.shape[1] for spikes in (ours, brian)]
    if min(trials) < 20:
        raise InputError("trials", expected="20 or more of each", got=f"{trials}")
    left, right = trial_statistics(ours, dt), trial_statistics(brian, dt)
    means, p_values = {}, []
    for name in left:
        a, b = (x[np.isfinite(x)] for x in (left[name], right[name]))
        means[name] = _mean(a), _mean(b)
        enough = min(len(a), len(b)) >= 20
        p_values.append(float(stats.ks_2samp(a, b).pvalue) if enough else np.nan)
    a, b = (plain(x).double().sum(0).numpy() for x in (ours, brian))
    means["counts of neurons"] = float(a.mean()), float(b.mean())
    by_neuron = stats.mannwhitneyu(a, b, axis=0, method="asymptotic").pvalue
    # Neurons with the same count in every trial of both have no ranks, and no difference.
    by_neuron = np.where(np.isfinite(by_neuron), by_neuron, 1.0)
    corrected = np.minimum(comparisons * _holm(np.concatenate([p_values, by_neuron])), 1.0)
    shown = [*corrected[: len(left)], corrected[len(left) :].min()]
    rows = zip(means.items(), map(float, shown), strict=True)
    return [Comparison(name, *pair, p, not p <= false_alarm) for (name, pair), p in rows]


def _holm(p: Array) -> Array:
    """Return p-values with Holm's step-down correction."""
    corrected = np.full_like(p, np.nan)
    order = np.argsort(p)[: np.isfinite(p).sum()]  # NaN, no test, comes last
    steps = np.maximum.accumulate(p[order] * np.arange(len(order), 0, -1))
    corrected[order] = np.minimum(steps, 1.0)
    return corrected


def mismatches(ours: Mapping[str, Tensor], brian: Mapping[str, Tensor]) -> dict[str, int]:
    """Count the spikes that only one of two runs has, by layer.

    Raises:
        InputError: If the two differ in layers, steps, trials or neurons.
    """
    shapes = [{name: tuple(x.shape) for name, x in spikes.items()} for spikes in (ours, brian)]
    if shapes[0] != shapes[1]:
        raise InputError("spikes", expected=f"layers {shapes[0]}", got=f"{shapes[1]}")
    return {name: int((plain(x) != plain(brian[name])).sum()) for name, x in ours.items()}
