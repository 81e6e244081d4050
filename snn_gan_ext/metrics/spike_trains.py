"""Statistics of single neurons' spike trains, and distances between sets of them.

Arguments are spikes ``[T, B]`` of any dtype, exactly 0 or 1: B trains of T time steps. Anything else is
an `InputError`. Results are on the CPU, without graph.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from snn_gan_ext.errors import InputError
from snn_gan_ext.validation import SEED, check_setting, check_shapes, check_spikes, plain_floats, whole

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
    """The lengths of a train's alternating runs in time steps, and whether each consists of spikes."""

    lengths: list[int]
    spiking: list[bool]


def runs_of(train: Tensor) -> Runs:
    """Cut a train ``[T]`` into runs of spikes and of silence.

    >>> runs_of(torch.tensor([1.0, 1, 0, 0, 0, 1]))
    Runs(lengths=[2, 3, 1], spiking=[True, False, True])
    """
    check_shapes(train=(train, "T"))
    check_spikes("train", train)
    values, lengths = torch.unique_consecutive(plain_floats(train), return_counts=True)
    return Runs(lengths.tolist(), (values > 0).tolist())


def mode_of(
    spikes: Tensor, modes: Sequence[tuple[int, int]], tolerance: tuple[int, int] = (1, 2)
) -> Tensor:
    """Return the index ``[B]`` of the firing mode that each train follows, or -1.

    A mode is a number of consecutive spikes, then a number of silent steps. A train follows it if

    - each complete run, one with an end on both sides, is as long as the mode's, within the tolerance,
    - the first and the last run, which the trial may have cut off, are no longer than that,
    - and at least one run of spikes is complete.

    Args:
        spikes: Spikes ``[T, B]``.
        modes: Consecutive spikes and silent steps of each mode. The first one that fits counts.
        tolerance: Allowed deviations of runs of spikes and of silence, in time steps.

    >>> train = torch.tensor([0.0, 1, 1, 1, 0, 0, 0, 1, 1]).unsqueeze(1)
    >>> mode_of(train, [(3, 3)]), mode_of(train, [(6, 3)])
    (tensor([0]), tensor([-1]))
    """
    runs = [runs_of(train) for train in check_trains(spikes).T]
    follows = [[_follows(train, mode, tolerance) for mode in modes] for train in runs]
    return torch.tensor([row.index(True) if True in row else -1 for row in follows], dtype=torch.long)


def _follows(runs: Runs, mode: tuple[int, int], tolerance: tuple[int, int]) -> bool:
    complete, last = False, len(runs.lengths) - 1
    for place, (length, spiking) in enumerate(zip(*runs, strict=True)):
        wanted, allowed = (mode[0], tolerance[0]) if spiking else (mode[1], tolerance[1])
        whole = 0 < place < last
        if length > wanted + allowed or (whole and length < wanted - allowed):
            return False
        complete = complete or (whole and spiking)
    return complete


def interspike_intervals(spikes: Tensor) -> Tensor:
    """Return the intervals ``[n]`` between successive spikes of all trains, in time steps.

    >>> interspike_intervals(torch.tensor([[1.0, 0, 1, 1], [0, 0, 1, 0]]).T)
    tensor([2, 1])
    """
    train, step = check_trains(spikes).T.nonzero().unbind(1)
    return (step[1:] - step[:-1])[train[1:] == train[:-1]]


def isi_wasserstein(real: Tensor, synthetic: Tensor) -> float:
    r"""Return the Wasserstein-1 distance of the distributions of intervals, in time steps.

    .. math:: \int \lvert F(\tau) - \tilde F(\tau) \rvert \, d\tau

    If no synthetic trial has two spikes, and so an interval, the length of a trial replaces it.

    Args:
        real: Real spikes ``[T, B]``, with at least one interval.
        synthetic: Synthetic spikes ``[T, B']``.

    Raises:
        InputError: If the real trains have no interval.
    """
    from scipy.stats import wasserstein_distance

    wanted, found = interspike_intervals(real), interspike_intervals(synthetic)
    if not len(wanted):
        raise InputError("real", expected="trains with two spikes or more", got="none")
    return float(wasserstein_distance(wanted, found if len(found) else [len(synthetic)]))


def autocorrelation(spikes: Tensor, lags: int) -> Tensor:
    r"""Return each train's autocorrelation :math:`\frac1T \sum_t s_t s_{t+\tau}`, ``[B, lags]``.

    Args:
        spikes: Spikes ``[T, B]``.
        lags: Number of lags :math:`\tau`, from 0 (the rate).

    Raises:
        InputError: If ``lags`` is below 1 or above ``T``.
    """
    spikes = check_trains(spikes)
    steps = len(spikes)
    check_setting("lags", lags, whole(1, steps))
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
        InputError: If a set has fewer than two trains, or ``lags`` is above ``T``.

    References:
        Gretton et al. (2012), "A kernel two-sample test", eq. 3.
    """
    check_setting("seed", seed, SEED)
    features = []
    for trains in map(check_trains, (real, synthetic)):
        if trains.shape[1] < 2:
            raise InputError("trains", expected="at least two", got=f"{trains.shape[1]}")
        kept = np.random.default_rng(seed).permutation(trains.shape[1])[:1000]
        features.append(autocorrelation(trains[:, torch.from_numpy(kept)], lags).double())
    x, y = features
    squared = [torch.cdist(a, b).square() for a, b in ((x, x), (y, y), (x, y))]
    rows, columns = torch.triu_indices(len(x), len(x), 1)
    bandwidth = float(squared[0][rows, columns].median()) or 1.0
    xx, yy, xy = (torch.exp(-value / bandwidth) for value in squared)
    return _mean_of_pairs(xx) + _mean_of_pairs(yy) - 2 * float(xy.mean())


def trial_features(spikes: Tensor) -> np.ndarray:
    """Return features ``[B, 26]`` of trains; NaN marks too few spikes.

    They are the number of spikes, the steps before the first and after the last one, a histogram of the
    intervals in 19 roughly logarithmic bins, their minimum, maximum and standard deviation, and the
    mean absolute difference of successive ones.
    """
    trains = check_trains(spikes).T.numpy()
    return np.stack([_features_of(np.flatnonzero(train), len(spikes)) for train in trains])


INTERVALS = np.array([1, 2, 3, 4, 5, 6, 8, 10, 13, 16, 20, 25, 32, 40, 50, 64, 80, 100, 130, np.inf])


def _features_of(times: np.ndarray, num_steps: int) -> np.ndarray:
    intervals, nothing = np.diff(times), (np.nan, np.nan)
    ends = (times[0], num_steps - times[-1]) if len(times) else nothing
    extremes = (intervals.min(), intervals.max()) if len(intervals) else nothing
    spread = (intervals.std(), np.abs(np.diff(intervals)).mean()) if len(intervals) > 1 else nothing
    histogram = np.histogram(intervals, INTERVALS)[0]
    return np.array([len(times), *ends, *histogram, *extremes, *spread])


def _mean_of_pairs(kernel: Tensor) -> float:
    count = len(kernel)
    return float((kernel.sum() - kernel.diagonal().sum()) / (count * (count - 1)))


def check_trains(spikes: Tensor) -> Tensor:
    """Return the plain floats of trains ``[T, B]``.

    Raises:
        InputError: If the shape is another, or there are other values than 0 and 1.
    """
    check_shapes(spikes=(spikes, ("T", "B >= 1")))
    check_spikes("spikes", spikes)
    return plain_floats(spikes)
