"""Statistics of populations of neurons, and agreement between two sets of their spike trains.

Arguments are spikes ``[T, B, N]`` of any dtype, exactly 0 or 1: B trials of N neurons. Anything else is
an `InputError`. Results are on the CPU, without graph. Times are in time steps.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from snn_gan_ext.errors import InputError
from snn_gan_ext.validation import (
    check_setting,
    check_shapes,
    check_spikes,
    check_tensors,
    plain_floats,
    whole,
)

__all__ = [
    "Agreement",
    "agreement",
    "check_population",
    "correlogram_error",
    "count_divergence",
    "covariances",
    "disagreement",
    "rate_error",
    "rate_ratios",
]


class Agreement(NamedTuple):
    """Linear agreement of two sets of numbers.

    Attributes:
        r: Pearson's correlation; NaN where one set does not vary.
        slope: Slope of the regression of the second set on the first; NaN where that does not vary.
    """

    r: float
    slope: float


def covariances(spikes: Tensor, lags: int) -> Tensor:
    r"""Return lagged covariances of neurons ``[lags, N, N]``, each neuron's own included.

    .. math:: C_{\tau,i,j} = \frac{1}{(T - \tau) B} \sum_{t,b}
        (s_{i,t,b} - \bar s_i)(s_{j,t+\tau,b} - \bar s_j)

    Args:
        spikes: Spikes ``[T, B, N]``.
        lags: Number of lags :math:`\tau`, from 0.

    Raises:
        InputError: If ``lags`` is below 1 or above ``T``.
    """
    spikes = check_population(spikes)
    steps = len(spikes)
    check_setting("lags", lags, whole(1, steps))
    centred = (spikes - spikes.mean((0, 1))).double()
    pairs = ((centred[: steps - lag], centred[lag:]) for lag in range(lags))
    return torch.stack([x.flatten(0, 1).T @ y.flatten(0, 1) / x[..., 0].numel() for x, y in pairs])


def correlogram_error(real: Tensor, synthetic: Tensor, lags: int = 6) -> float:
    r"""Return the relative error of all pairwise correlograms.

    .. math:: \lVert C - C' \rVert / \lVert C \rVert

    ``C`` are the `covariances` of different neurons. Independent neurons of the right rates give 1.

    Args:
        real: Real spikes ``[T, B, N]`` with ``N >= 2``.
        synthetic: Synthetic spikes ``[T', B', N]``.
        lags: Number of lags, from 0.

    Raises:
        InputError: If the sets have different neurons, or fewer than two.
    """
    _check_alike(real, synthetic)
    if real.shape[2] < 2:
        raise InputError("neurons", expected="at least two", got=f"{real.shape[2]}")
    own = torch.eye(real.shape[2], dtype=torch.bool)
    ours, theirs = (covariances(x, lags).masked_fill(own, 0.0) for x in (synthetic, real))
    return float((ours - theirs).norm() / theirs.norm())


def rate_error(real: Tensor, synthetic: Tensor) -> float:
    r"""Return the mean error of rates over the mean rate, :math:`\sum_i |r'_i - r_i| / \sum_i r_i`.

    Args:
        real: Real spikes ``[T, B, N]``.
        synthetic: Synthetic spikes ``[T', B', N]``.

    Raises:
        InputError: If the sets have different neurons.
    """
    _check_alike(real, synthetic)
    ours, theirs = (check_population(x).mean((0, 1)) for x in (synthetic, real))
    return float((ours - theirs).abs().sum() / theirs.sum())


def count_divergence(real: Tensor, synthetic: Tensor) -> float:
    r"""Return the divergence of the population counts, :math:`\mathrm{KL}(P(K) \Vert P'(K))` in nats.

    ``K`` is the number of neurons that spike in a step. Half a step is added to each count of the
    synthetic set, so that a count it lacks gives a finite number.

    Args:
        real: Real spikes ``[T, B, N]``.
        synthetic: Synthetic spikes ``[T', B', N]``.

    Raises:
        InputError: If the sets have different neurons.
    """
    _check_alike(real, synthetic)
    bins = real.shape[2] + 1
    counts = (check_population(x).sum(2).flatten().long() for x in (real, synthetic))
    p, q = (torch.bincount(count, minlength=bins).double() for count in counts)
    p, q = p / p.sum(), (q + 0.5) / (q + 0.5).sum()
    return float(torch.special.xlogy(p, p / q).sum())


def disagreement(real: Tensor, synthetic: Tensor, lags: int = 6) -> float:
    """Return one number of how far a free run is off.

    It is the sum of `rate_error`, `count_divergence` and the relative error of all `covariances` but
    each neuron's own at lag 0, which its rate decides.

    Args:
        real: Real spikes ``[T, B, N]``.
        synthetic: Synthetic spikes ``[T', B', N]``.
        lags: Number of lags of the correlograms, from 0.

    Raises:
        InputError: If the sets have different neurons.
    """
    _check_alike(real, synthetic)
    ours, theirs = (covariances(x, lags) for x in (synthetic, real))
    for found in (ours, theirs):
        found[0].fill_diagonal_(0.0)
    off = float((ours - theirs).norm() / theirs.norm())
    return off + rate_error(real, synthetic) + count_divergence(real, synthetic)


def rate_ratios(real: Tensor, synthetic: Tensor) -> Tensor:
    """Return each neuron's rate over its real rate ``[N]``; half a spike stands for none.

    Args:
        real: Real spikes ``[T, B, N]``.
        synthetic: Synthetic spikes ``[T', B', N]``.

    Raises:
        InputError: If the sets have different neurons.
    """
    _check_alike(real, synthetic)
    sums = (
        (x.sum((0, 1)).clamp(min=0.5), x[..., 0].numel())
        for x in map(check_population, (synthetic, real))
    )
    ours, theirs = (total / steps for total, steps in sums)
    return ours / theirs


def agreement(real: Tensor, synthetic: Tensor) -> Agreement:
    """Return how well numbers of a synthetic set agree with those of the real one.

    Args:
        real: Numbers of any shape, such as the `covariances` at one lag.
        synthetic: Numbers of the same shape.

    Raises:
        InputError: If the shapes differ.

    >>> found = agreement(torch.tensor([1.0, 2.0, 3.0]), torch.tensor([2.0, 4.0, 6.0]))
    >>> round(found.r, 6), round(found.slope, 6)
    (1.0, 2.0)
    """
    check_tensors(real=real, synthetic=synthetic)
    check_shapes(synthetic=(synthetic, tuple(real.shape)))
    x, y = (plain_floats(each).double().flatten() for each in (real, synthetic))
    x, y = x - x.mean(), y - y.mean()
    shared = (x * y).sum()
    return Agreement(float(shared / (x.norm() * y.norm())), float(shared / x.square().sum()))


def check_population(spikes: Tensor) -> Tensor:
    """Return the plain floats of spikes ``[T, B, N]``.

    Raises:
        InputError: If the shape is another, or there are other values than 0 and 1.
    """
    check_shapes(spikes=(spikes, ("T >= 1", "B >= 1", "N >= 1")))
    check_spikes("spikes", spikes)
    return plain_floats(spikes)


def _check_alike(real: Tensor, synthetic: Tensor) -> None:
    real, synthetic = check_population(real), check_population(synthetic)
    if real.shape[2] != synthetic.shape[2]:
        expected = f"{real.shape[2]} neurons, as the real set has"
        raise InputError("synthetic", expected=expected, got=f"{synthetic.shape[2]}")
