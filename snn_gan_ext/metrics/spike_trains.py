"""Statistics of single neurons' spike trains, and distances between sets of them.

All take spikes ``[T, B]`` of exact 0 and 1: B trains of T time steps.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from scipy.stats import wasserstein_distance
from sklearn.ensemble import HistGradientBoostingClassifier
from threadpoolctl import threadpool_limits
from torch import Tensor

from snn_gan_ext.errors import InputError
from snn_gan_ext.settings import SEED, check_setting

__all__ = [
    "Runs",
    "autocorrelation",
    "autocorrelation_mmd",
    "check_trains",
    "interspike_intervals",
    "isi_wasserstein",
    "mode_of",
    "runs_of",
    "shuffled",
    "told_apart",
    "trial_features",
]


class Runs(NamedTuple):
    """A train as alternating runs.

    Attributes:
        lengths: of each run in time steps.
        spiking: whether it is one of spikes.
    """

    lengths: list[int]
    spiking: list[bool]


def runs_of(train: Tensor) -> Runs:
    """Cuts a train ``[T]`` into runs of spikes and of silence.

    >>> runs_of(torch.tensor([1.0, 1, 0, 0, 0, 1]))
    Runs(lengths=[2, 3, 1], spiking=[True, False, True])
    """
    values, lengths = torch.unique_consecutive(train, return_counts=True)
    return Runs(lengths.tolist(), (values > 0).tolist())


def mode_of(
    spikes: Tensor, modes: Sequence[tuple[int, int]], tolerance: tuple[int, int] = (1, 2)
) -> Tensor:
    """The firing mode that each train keeps to, or -1 where it keeps to none.

    A mode is so many consecutive spikes, then so many silent steps. A train keeps to it if

    - each run of spikes that has an end on both sides is within 1 of the mode's, each such run of
      silence within 2 (the tolerances),
    - the first and the last run, which the trial may have cut off, are no longer than that allows,
    - and at least one run of spikes has an end on both sides.

    Args:
        spikes: ``[T, B]``.
        modes: consecutive spikes and silent steps of each mode. Where a train would do for two, it
            counts as the first.
        tolerance: of runs of spikes and of silence, in time steps.

    Returns:
        Index of the mode ``[B]``, or -1.

    Raises:
        InputError: if the spikes are no trains ``[T, B]`` of 0 and 1.

    >>> train = torch.tensor([0.0, 1, 1, 1, 0, 0, 0, 1, 1]).unsqueeze(1)
    >>> mode_of(train, [(3, 3)]), mode_of(train, [(6, 3)])
    (tensor([0]), tensor([-1]))
    """
    check_trains(spikes)
    kept = [[_keeps_to(runs_of(train), mode, tolerance) for mode in modes] for train in spikes.T]
    return torch.tensor([row.index(True) if True in row else -1 for row in kept], dtype=torch.long)


def _keeps_to(runs: Runs, mode: tuple[int, int], tolerance: tuple[int, int]) -> bool:
    complete = False
    last = len(runs.lengths) - 1
    for place, (length, spiking) in enumerate(zip(*runs, strict=True)):
        wanted, allowed = (mode[0], tolerance[0]) if spiking else (mode[1], tolerance[1])
        whole = 0 < place < last
        if length > wanted + allowed or (whole and length < wanted - allowed):
            return False
        complete = complete or (whole and spiking)
    return complete


def interspike_intervals(spikes: Tensor) -> Tensor:
    """Steps between successive spikes of one train, all trains together ``[n]``.

    Args:
        spikes: ``[T, B]``.

    >>> interspike_intervals(torch.tensor([[1.0, 0, 1, 1], [0, 0, 1, 0]]).T)
    tensor([2, 1])
    """
    check_trains(spikes)
    train, step = spikes.T.nonzero().unbind(1)
    return (step[1:] - step[:-1])[train[1:] == train[:-1]]


def isi_wasserstein(real: Tensor, synthetic: Tensor) -> float:
    r"""Wasserstein-1 distance of the inter-spike-interval distributions, in time steps.

    .. math:: \int \lvert F(\tau) - \tilde F(\tau) \rvert \, d\tau

    Trials that end before a second spike have no interval. If none of the synthetic trains has one, the
    trial's length stands for it.

    Args:
        real: ``[T, B]``, with at least one interval.
        synthetic: ``[T, B']``.

    Raises:
        InputError: if the real trains have no interval, or one of the two are no trains.
    """
    intervals = interspike_intervals(real), interspike_intervals(synthetic)
    if not len(intervals[0]):
        raise InputError("real", expected="trains with two spikes or more", got="none")
    fallback = torch.tensor([len(synthetic)])
    return float(wasserstein_distance(intervals[0], intervals[1] if len(intervals[1]) else fallback))


def autocorrelation(spikes: Tensor, lags: int) -> Tensor:
    r"""How often spikes are so many steps apart: :math:`\frac1T \sum_t s_t s_{t+\tau}` of each train.

    Args:
        spikes: ``[T, B]``.
        lags: number of lags, from 0 (the rate).

    Returns:
        ``[B, lags]``.
    """
    check_trains(spikes)
    steps = len(spikes)
    if not 1 <= lags <= steps:
        raise InputError("lags", expected=f"1 .. {steps}", got=f"{lags}")
    sums = [(spikes[: steps - lag] * spikes[lag:]).sum(0) for lag in range(lags)]
    return torch.stack(sums, 1) / steps


def autocorrelation_mmd(real: Tensor, synthetic: Tensor, lags: int = 30, seed: int = 0) -> float:
    r"""Squared maximum mean discrepancy of the trains' autocorrelations.

    .. math:: E\,k(x, x') + E\,k(y, y') - 2 E\,k(x, y), \qquad
        k(x, y) = \exp(-\lVert x - y\rVert^2 / h^2)

    with pairs of different trains only, so that two samples of one law give 0 on average, and
    :math:`h` the median distance of two real trains. At most 1,000 trains of each are taken.

    Args:
        real: ``[T, B]``, ``B >= 2``.
        synthetic: ``[T, B']``, ``B' >= 2``.
        lags: number of lags compared, in time steps.
        seed: of the choice of trains.

    Raises:
        InputError: if there are fewer than two trains.

    References:
        Gretton et al. (2012), "A kernel two-sample test", eq. 3.
    """
    features = []
    for trains in (real, synthetic):
        if trains.dim() == 2 and trains.shape[1] < 2:
            raise InputError("trains", expected="at least two", got=f"{trains.shape[1]}")
        rng = np.random.default_rng(seed)
        kept = rng.permutation(trains.shape[1])[:1000]
        features.append(autocorrelation(trains[:, torch.from_numpy(kept)], lags).double())
    x, y = features
    squared = {
        key: torch.cdist(a, b).square() for key, a, b in (("xx", x, x), ("yy", y, y), ("xy", x, y))
    }
    pairs = torch.triu_indices(len(x), len(x), 1)
    bandwidth = float(squared["xx"][pairs[0], pairs[1]].median()) or 1.0
    kernel = {key: torch.exp(-value / bandwidth) for key, value in squared.items()}
    return sum(_mean_of_pairs(kernel[key]) for key in ("xx", "yy")) - 2 * float(kernel["xy"].mean())


def told_apart(real: Tensor, synthetic: Tensor, seed: int) -> float:
    """C2ST of spike trains: how often gradient-boosted trees know a train's origin.

    They hear each train's `trial_features`, learn on one half of the trains and are tested on the
    other; 0.5 is perfect.

    Args:
        real: ``[T, B]``, ``B >= 20``.
        synthetic: ``[T, B']``, ``B' >= 20``; of the larger set, as many are taken, at random.
        seed: of the trees, and of which trains they learn from.

    Raises:
        InputError: if there are fewer than 20 trains, or one of the two are no trains.

    References:
        Lopez-Paz and Oquab (2017), "Revisiting classifier two-sample tests".
    """
    half = min(real.shape[-1], synthetic.shape[-1]) // 2
    if half < 10 or len(real) != len(synthetic):
        raise InputError(
            "trains",
            expected="at least 20 of each, of one length",
            got=f"{list(real.shape)} and {list(synthetic.shape)}",
        )
    check_setting("seed", seed, SEED)
    real, synthetic = shuffled(real, seed), shuffled(synthetic, seed + 1)
    heard = [trial_features(trains) for trains in (real, synthetic)]
    # The trees cannot bin what no train has.
    nobody_has = np.isnan(np.concatenate(heard)).all(0)
    for features in heard:
        features[:, nobody_has] = 0.0
    train, test = (
        np.concatenate([features[part] for features in heard])
        for part in (slice(half), slice(half, 2 * half))
    )
    answers = np.repeat([1, 0], half)
    trees = HistGradientBoostingClassifier(learning_rate=0.05, random_state=seed)
    with threadpool_limits(1):
        return float(trees.fit(train, answers).score(test, answers))


def shuffled(trains: Tensor, seed: int) -> Tensor:
    """Trains ``[T, B]`` in a random order: halves of what is sorted would differ in their law."""
    order = torch.randperm(trains.shape[-1], generator=torch.Generator().manual_seed(seed))
    return trains[:, order.to(trains.device)]


def trial_features(spikes: Tensor) -> np.ndarray:
    """What is to be known of each train: its intervals, and where they begin and end.

    Args:
        spikes: ``[T, B]``.

    Returns:
        ``[B, 26]``: number of spikes, steps before the first and after the last one, a histogram of the
        intervals in 19 bins that are about logarithmic, their smallest, their largest, their standard
        deviation, and the mean absolute difference of successive ones; NaN where there are too few
        spikes.
    """
    check_trains(spikes)
    return np.stack([_features_of(np.flatnonzero(train), len(spikes)) for train in spikes.T.numpy()])


INTERVALS = np.array([1, 2, 3, 4, 5, 6, 8, 10, 13, 16, 20, 25, 32, 40, 50, 64, 80, 100, 130, np.inf])


def _features_of(times: np.ndarray, num_steps: int) -> np.ndarray:
    intervals = np.diff(times)
    ends = (times[0], num_steps - times[-1]) if len(times) else (np.nan, np.nan)
    extremes = (intervals.min(), intervals.max()) if len(intervals) else (np.nan, np.nan)
    spread = (np.nan, np.nan)
    if len(intervals) > 1:
        spread = (intervals.std(), np.abs(np.diff(intervals)).mean())
    histogram = np.histogram(intervals, INTERVALS)[0]
    return np.array([len(times), *ends, *histogram, *extremes, *spread])


def _mean_of_pairs(kernel: Tensor) -> float:
    count = len(kernel)
    return float((kernel.sum() - kernel.diagonal().sum()) / (count * (count - 1)))


def check_trains(spikes: Tensor) -> None:
    """Makes sure of trains ``[T, B]`` of 0 and 1.

    Raises:
        InputError: if they are something else.
    """
    if not isinstance(spikes, Tensor) or spikes.dim() != 2 or 0 in spikes.shape:
        got = f"{list(spikes.shape)}" if isinstance(spikes, Tensor) else type(spikes).__name__
        raise InputError("spikes", expected="a tensor of trains [T, B]", got=got)
    if not bool(((spikes == 0) | (spikes == 1)).all()):
        raise InputError("spikes", expected="zeros and ones", got="other values, or NaN")
