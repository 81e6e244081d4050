"""Statistics of single neurons' spike trains, and distances between sets of them.

Arguments are spikes ``[T, B]``, exactly 0 or 1: B trains of T time steps.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from snn_gan_ext.errors import InputError

__all__ = [
    "Runs",
    "autocorrelation",
    "autocorrelation_mmd",
    "check_trains",
    "interspike_intervals",
    "isi_wasserstein",
    "mode_of",
    "runs_of",
    "trial_features",
]


class Runs(NamedTuple):
    """A train as alternating runs of spikes and of silence.

    Attributes:
        lengths: Length of each run in time steps.
        spiking: Whether each run consists of spikes.
    """

    lengths: list[int]
    spiking: list[bool]


def runs_of(train: Tensor) -> Runs:
    """Cut a train ``[T]`` into runs of spikes and of silence.

    >>> runs_of(torch.tensor([1.0, 1, 0, 0, 0, 1]))
    Runs(lengths=[2, 3, 1], spiking=[True, False, True])
    """
    values, lengths = torch.unique_consecutive(train, return_counts=True)
    return Runs(lengths.tolist(), (values > 0).tolist())


def mode_of(
    spikes: Tensor, modes: Sequence[tuple[int, int]], tolerance: tuple[int, int] = (1, 2)
) -> Tensor:
    """Return the firing mode that each train follows, or -1.

    A mode is a number of consecutive spikes, then a number of silent steps. A train follows it if

    - each complete run, one with an end on both sides, is as long as the mode's, within the tolerance,
    - the first and the last run, which the trial may have cut off, are no longer than that,
    - and at least one run of spikes is complete.

    Args:
        spikes: Spikes ``[T, B]``.
        modes: Consecutive spikes and silent steps of each mode. The first one that fits counts.
        tolerance: Allowed deviations of runs of spikes and of silence, in time steps.

    Returns:
        Indices of modes ``[B]``.

    Raises:
        InputError: If ``spikes`` are not trains ``[T, B]`` of 0 and 1.

    >>> train = torch.tensor([0.0, 1, 1, 1, 0, 0, 0, 1, 1]).unsqueeze(1)
    >>> mode_of(train, [(3, 3)]), mode_of(train, [(6, 3)])
    (tensor([0]), tensor([-1]))
    """
    check_trains(spikes)
    follows = [[_follows(runs_of(train), mode, tolerance) for mode in modes] for train in spikes.T]
    return torch.tensor([row.index(True) if True in row else -1 for row in follows], dtype=torch.long)


def _follows(runs: Runs, mode: tuple[int, int], tolerance: tuple[int, int]) -> bool:
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
    """Return the intervals ``[n]`` between successive spikes of all trains, in time steps.

    Args:
        spikes: Spikes ``[T, B]``.

    >>> interspike_intervals(torch.tensor([[1.0, 0, 1, 1], [0, 0, 1, 0]]).T)
    tensor([2, 1])
    """
    check_trains(spikes)
    train, step = spikes.T.nonzero().unbind(1)
    return (step[1:] - step[:-1])[train[1:] == train[:-1]]


def isi_wasserstein(real: Tensor, synthetic: Tensor) -> float:
    r"""Return the Wasserstein-1 distance of the distributions of intervals, in time steps.

    .. math:: \int \lvert F(\tau) - \tilde F(\tau) \rvert \, d\tau

    Trials that end before a second spike have no interval. If no synthetic trial has one, the length of
    a trial replaces it.

    Args:
        real: Real spikes ``[T, B]``, with at least one interval.
        synthetic: Synthetic spikes ``[T, B']``.

    Raises:
        InputError: If the real trains have no interval, or an argument is not trains.
    """
    from scipy.stats import wasserstein_distance

    intervals = interspike_intervals(real), interspike_intervals(synthetic)
    if not len(intervals[0]):
        raise InputError("real", expected="trains with two spikes or more", got="none")
    fallback = torch.tensor([len(synthetic)])
    return float(wasserstein_distance(intervals[0], intervals[1] if len(intervals[1]) else fallback))


def autocorrelation(spikes: Tensor, lags: int) -> Tensor:
    r"""Return each train's autocorrelation :math:`\frac1T \sum_t s_t s_{t+\tau}`.

    Args:
        spikes: Spikes ``[T, B]``.
        lags: Number of lags :math:`\tau`, from 0 (the rate).

    Returns:
        Autocorrelations ``[B, lags]``.

    Raises:
        InputError: If ``lags`` is below 1 or above ``T``.
    """
    check_trains(spikes)
    steps = len(spikes)
    if not 1 <= lags <= steps:
        raise InputError("lags", expected=f"1 .. {steps}", got=f"{lags}")
    sums = [(spikes[: steps - lag] * spikes[lag:]).sum(0) for lag in range(lags)]
    return torch.stack(sums, 1) / steps


def autocorrelation_mmd(real: Tensor, synthetic: Tensor, lags: int = 30, seed: int = 0) -> float:
    r"""Return the squared maximum mean discrepancy of the trains' autocorrelations.

    .. math:: E\,k(x, x') + E\,k(y, y') - 2 E\,k(x, y), \qquad
        k(x, y) = \exp(-\lVert x - y\rVert^2 / h^2)

    :math:`h` is the median distance of two real trains. Pairs are of different trains, so two sets of
    one distribution give 0 on average. At most 1,000 trains of each set are used.

    Args:
        real: Real spikes ``[T, B]``, ``B >= 2``.
        synthetic: Synthetic spikes ``[T, B']``, ``B' >= 2``.
        lags: Number of lags compared, in time steps.
        seed: Seed of the choice of trains.

    Raises:
        InputError: If a set has fewer than two trains.

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


def trial_features(spikes: Tensor) -> np.ndarray:
    """Return features of each train: the number of spikes, both ends, and statistics of intervals.

    Args:
        spikes: Spikes ``[T, B]``.

    Returns:
        Features ``[B, 26]``: number of spikes, steps before the first and after the last one, a
        histogram of the intervals in 19 roughly logarithmic bins, their minimum, maximum and standard
        deviation, and the mean absolute difference of successive ones. NaN marks too few spikes.
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
    """Check that spikes are trains ``[T, B]`` of 0 and 1.

    Raises:
        InputError: If they are anything else.
    """
    if not isinstance(spikes, Tensor) or spikes.dim() != 2 or 0 in spikes.shape:
        got = f"{list(spikes.shape)}" if isinstance(spikes, Tensor) else type(spikes).__name__
        raise InputError("spikes", expected="a tensor of trains [T, B]", got=got)
    if not bool(((spikes == 0) | (spikes == 1)).all()):
        raise InputError("spikes", expected="zeros and ones", got="other values, or NaN")
