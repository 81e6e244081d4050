"""Does Brian2 do what we do? Spike for spike on one noise, and by statistics on its own.

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
from scipy import stats
from torch import Tensor, nn

from snn_gan_ext.brian.network import BrianNetwork, require_brian2
from snn_gan_ext.errors import InputError
from snn_gan_ext.settings import check_setting, whole

__all__ = ["Comparison", "compare", "free_run", "mismatches", "replay", "trial_statistics"]

Array = NDArray[np.float64]

MOST_PAIRS = 64
"""Of neurons whose spike-time tiling is taken in a trial."""


@dataclass(frozen=True)
class Comparison:
    """One statistic of our spikes beside Brian2's.

    Attributes:
        name: of the statistic.
        ours: its mean over trials.
        brian: the same in Brian2.
        p: of the test that both come from one law, corrected for the number of tests; NaN if fewer than
            20 trials of either have the statistic, so that there is nothing to test.
        passed: whether that is above the false-alarm rate, or there is nothing to test.
    """

    name: str
    ours: float
    brian: float
    p: float
    passed: bool

    def as_json(self) -> dict[str, Any]:
        """Plain values; None for a mean of nothing."""
        values = asdict(self)
        return {name: None if x != x else x for name, x in values.items()}


def replay(
    generator: nn.Module, labels: Tensor, rng: torch.Generator, dt: float = 1e-3
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Spikes of every layer, ours and Brian2's, on the same noise in double precision.

    Args:
        generator: with the methods of `snn_gan_ext.networks.generators.ConditionalGenerator`.
        labels: ``[B]``.
        rng: of the noise.
        dt: length of a time step in seconds.

    Returns:
        Ours and Brian2's, by layer.

    Raises:
        InputError: if Brian2 is missing or cannot express the generator.
    """
    twin = _double(generator)
    noise = {name: x.double() for name, x in twin.noise(len(labels), rng).items()}
    ours = {name: run.spikes for name, run in twin.sample(labels, noise).runs.items()}
    network = BrianNetwork(twin.network, twin.exogenous(labels, noise), noise, dt)
    return ours, network.run()


def free_run(
    generator: nn.Module, labels: Tensor, rng: torch.Generator, seed: int, dt: float = 1e-3
) -> tuple[Tensor, Tensor]:
    """Read-out spikes ``[T, B, N]``, ours and Brian2's, each on noise of its own.

    Args:
        generator: as for `replay`.
        labels: ``[B]``.
        rng: of our noise, and of the latent bits in both.
        seed: of Brian2's.
        dt: length of a time step in seconds.
    """
    twin = _double(generator)
    ours = twin(labels, rng)
    noise = {name: x.double() for name, x in twin.noise(len(labels), rng).items()}
    require_brian2().seed(seed)
    network = BrianNetwork(twin.network, twin.exogenous(labels, noise), dt=dt)
    return ours.flatten(2), network.run()["readout"].flatten(2)


def _double(generator: nn.Module) -> Any:
    if not all(hasattr(generator, name) for name in ("network", "exogenous", "noise", "sample")):
        raise InputError(
            "run",
            expected="a generator of GLM layers",
            got=type(generator).__name__,
        )
    return copy.deepcopy(generator).cpu().double()


def trial_statistics(spikes: Tensor, dt: float = 1e-3) -> dict[str, Array]:
    """Statistics of each trial, by elephant; NaN where a trial has too few spikes for one.

    Args:
        spikes: ``[T, B, N]``.
        dt: length of a time step in seconds.

    Returns:
        By name, ``[B]``: means over neurons of the rate (Hz), of the inter-spike interval (s), and of
        its coefficients of variation CV, CV2 and LV; with two neurons or more the Fano factor of their
        counts and the mean spike-time tiling coefficient of neighbours (of large layers, of some).
    """
    # One precision for all: ranks must not depend on how a number was rounded.
    trials = [_statistics_of(trial, dt) for trial in spikes.double().transpose(0, 1)]
    return {name: np.array([trial[name] for trial in trials]) for name in trials[0]}


def _statistics_of(trial: Tensor, dt: float) -> dict[str, float]:
    import neo
    import quantities as pq
    from elephant import spike_train_correlation, statistics

    steps, neurons = trial.shape
    stop = steps * dt * pq.s
    trains = [
        neo.SpikeTrain(trial[:, n].nonzero().flatten().numpy() * dt * pq.s, t_stop=stop)
        for n in range(neurons)
    ]
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
        tiling = spike_train_correlation.spike_time_tiling_coefficient
        found["STTC"] = _mean([tiling(a, b, dt=dt * pq.s) for a, b in pairs])
    return found


def _mean(values: Any) -> float:
    values = np.asarray(values, dtype=float)
    return float(np.nanmean(values)) if np.isfinite(values).any() else np.nan


def compare(
    ours: Tensor,
    brian: Tensor,
    dt: float = 1e-3,
    false_alarm: float = 0.01,
    comparisons: int = 1,
) -> list[Comparison]:
    """Tests whether two sets of trials follow one law.

    Trials are independent, so each statistic of a trial is compared by a two-sample
    Kolmogorov-Smirnov test over trials, and each neuron's count by a Mann-Whitney test. The p-values
    are corrected together by Holm's method: two equal laws fail in a share of ``false_alarm`` of all
    comparisons at most. ("counts of neurons" stands for the neuron with the smallest p.)

    Args:
        ours: ``[T, B, N]``.
        brian: ``[T, B', N]``.
        dt: length of a time step in seconds.
        false_alarm: of all comparisons together.
        comparisons: how many there are, of which this is one; p-values are that many times as large.

    Returns:
        A comparison for each statistic, and one for all neurons' counts.

    Raises:
        InputError: if there are fewer than 20 trials, the two differ in length or neurons, or something
            else than zeros and ones is compared.
    """
    if not (0 < dt < np.inf and 0 < false_alarm < 1):
        raise InputError(
            "dt and false_alarm", expected="seconds, and a rate below 1", got=f"{dt} and {false_alarm}"
        )
    check_setting("comparisons", comparisons, whole(1))
    for spikes in (ours, brian):
        if spikes.dim() != 3 or not bool(((spikes == 0) | (spikes == 1)).all()):
            raise InputError(
                "spikes",
                expected="zeros and ones [T, B, N]",
                got=f"{list(spikes.shape)}, others or NaN",
            )
    if ours.shape[::2] != brian.shape[::2] or min(ours.shape[1], brian.shape[1]) < 20:
        raise InputError(
            "trials",
            expected="20 or more of as many steps and neurons",
            got=f"{list(ours.shape)} and {list(brian.shape)}",
        )
    left, right = trial_statistics(ours, dt), trial_statistics(brian, dt)
    values: dict[str, tuple[float, float, float]] = {}
    for name in left:
        a, b = (x[np.isfinite(x)] for x in (left[name], right[name]))
        enough = min(len(a), len(b)) >= 20
        p = float(stats.ks_2samp(a, b).pvalue) if enough else np.nan
        values[name] = (_mean(a), _mean(b), p)
    counts = [x.sum(0).double().numpy() for x in (ours, brian)]
    by_neuron = stats.mannwhitneyu(counts[0], counts[1], axis=0, method="asymptotic").pvalue
    # Neurons that fire as often in every trial of both have no rank to differ in.
    by_neuron = np.where(np.isfinite(by_neuron), by_neuron, 1.0)
    corrected = _holm(np.concatenate([[p for *_, p in values.values()], by_neuron]))
    corrected = np.minimum(comparisons * corrected, 1.0)
    table = [
        Comparison(name, a, b, float(p), not p <= false_alarm)
        for (name, (a, b, _)), p in zip(values.items(), corrected, strict=False)
    ]
    smallest = float(corrected[len(values) :].min())
    ours_mean, brian_mean = (float(x.mean()) for x in counts)
    passed = smallest > false_alarm
    return [*table, Comparison("counts of neurons", ours_mean, brian_mean, smallest, passed)]


def _holm(p: Array) -> Array:
    """Holm's step-down correction of p-values."""
    corrected = np.full_like(p, np.nan)
    order = np.argsort(p)[: np.isfinite(p).sum()]  # NaN, no test, comes last
    steps = np.maximum.accumulate(p[order] * np.arange(len(order), 0, -1))
    corrected[order] = np.minimum(steps, 1.0)
    return corrected


def mismatches(ours: Mapping[str, Tensor], brian: Mapping[str, Tensor]) -> dict[str, int]:
    """Number of steps at which a neuron fired in one and not in the other, by layer.

    Raises:
        InputError: if the two do not have the same layers, steps, trials and neurons.
    """
    shapes = [{name: tuple(x.shape) for name, x in spikes.items()} for spikes in (ours, brian)]
    if shapes[0] != shapes[1]:
        raise InputError("spikes", expected=f"layers {shapes[0]}", got=f"{shapes[1]}")
    return {name: int((spikes != brian[name]).sum()) for name, spikes in ours.items()}
