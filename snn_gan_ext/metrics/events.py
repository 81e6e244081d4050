"""Statistics of labelled event frames.

Arguments are a `Batch` of spikes ``[T, B, C, H, W]`` of any dtype, exactly 0 or 1, with labels ``[B]``.
Results are on the CPU, without graph.
"""

import math
from collections import Counter
from itertools import product

import torch
from torch import Tensor

from snn_gan_ext.coding.events import pooled_counts
from snn_gan_ext.errors import InputError
from snn_gan_ext.types import Batch
from snn_gan_ext.validation import (
    check_labels,
    check_shapes,
    check_spikes,
    check_tensor,
    plain,
    plain_floats,
)

__all__ = [
    "autocorrelation_distance",
    "count_spread_ratio",
    "labels_of",
    "nearest_distance",
    "residual_autocorrelation",
    "shared_classes",
]


def count_spread_ratio(real: Batch, synthetic: Batch) -> float:
    """Return the ratio of the spread of spike counts, synthetic over real.

    The spread is the standard deviation of trials' counts within a class; ratios are averaged over
    classes. 1 is perfect. Classes whose real trials all have one count are left out; NaN if all are.

    Raises:
        InputError: If the classes differ, or one has a single trial.
    """
    spreads = [
        [spikes.sum((0, 2, 3, 4)).std() for spikes in pair] for pair in _classes(real, synthetic)
    ]
    ratios = [float(theirs / ours) for ours, theirs in spreads if ours > 0]
    return sum(ratios) / len(ratios) if ratios else math.nan


def residual_autocorrelation(data: Batch) -> Tensor:
    r"""Return the correlation of spikes with their neighbours beyond what their class explains.

    With the residuals :math:`e = s - E[s \mid \text{class}]` of every pixel and step, it is

    .. math:: \rho_o = \frac{\sum e_i e_{i+o}}{\sum e_i^2}

    for offsets :math:`o` of up to two steps in time and one pixel in space, of the same polarity.

    Returns:
        Correlations ``[3, 3, 3]`` over time (0 to 2 steps), rows and columns (-1 to 1); 1 at no offset.
        All are 0 if the trials of each class are alike.

    Raises:
        InputError: If the data are not labelled frames.
    """
    data, labels = _plain(data)
    means = {label: data.spikes[:, labels == label].mean(1) for label in set(labels.tolist())}
    residuals = data.spikes - torch.stack([means[label] for label in labels.tolist()], 1)
    steps, _, _, height, width = residuals.shape
    total = residuals.square().sum().clamp_min(1e-12)
    found = torch.zeros(3, 3, 3)
    for dt, dy, dx in product(range(min(3, steps)), (-1, 0, 1), (-1, 0, 1)):
        ours = residuals[: steps - dt, ..., _from(-dy, height), _from(-dx, width)]
        theirs = residuals[dt:, ..., _from(dy, height), _from(dx, width)]
        found[dt, dy + 1, dx + 1] = (ours * theirs).sum() / total
    return found


def autocorrelation_distance(real: Batch, synthetic: Batch) -> float:
    """Return the mean absolute difference of two `residual_autocorrelation`, without no offset.

    Raises:
        InputError: If the two are not labelled frames of one size.
    """
    (real, _), (synthetic, _) = _alike(real, synthetic)
    difference = residual_autocorrelation(real) - residual_autocorrelation(synthetic)
    return float(difference.abs().sum() / (difference.numel() - 1))


def nearest_distance(trials: Batch, train: Batch) -> float:
    """Return the mean distance from a trial to the nearest training trial of its class.

    Distances are between counts in two blocks of time, or one if ``T`` is odd, and all pixels; see
    `snn_gan_ext.coding.events.pooled_counts`. A generator that memorises trials is nearer than held-out
    trials are.

    Raises:
        InputError: If the classes differ, or one has a single trial.
    """
    distances = []
    for ours, theirs in _classes(trials, train):
        blocks = ((2 if len(ours) % 2 == 0 else 1, 1),)
        counts = pooled_counts(ours, blocks), pooled_counts(theirs, blocks)
        distances.append(torch.cdist(*counts).amin(1))
    return float(torch.cat(distances).mean())


def labels_of(trials: Batch, classes: int | None = None) -> Tensor:
    """Return the labels ``[B]`` of trials ``[T, B, ...]``, at least one.

    Args:
        trials: Labelled trials.
        classes: Number of classes; None sets no upper bound.

    Raises:
        InputError: If trials have no labels, or there is none, or they do not fit the trials.
    """
    check_tensor("spikes", trials.spikes)
    check_shapes(spikes=(trials.spikes, ("T", "B", *trials.spikes.shape[2:])))
    expected = "one for each of one or more trials"
    if trials.labels is None:
        raise InputError("labels", expected=expected, got="None")
    labels = check_labels(trials.labels, classes, trials.spikes.shape[1])
    if not len(labels):
        raise InputError("labels", expected=expected, got="none")
    return plain(labels)


def _from(offset: int, size: int) -> slice:
    return slice(max(offset, 0), size + min(offset, 0))


def shared_classes(*labels: Tensor) -> list[int]:
    """Return the classes of sets of labels ``[B]``, sorted.

    Raises:
        InputError: If the sets differ in classes, or one is empty or has a single label of a class.
    """
    counts = [Counter(plain(check_labels(one)).tolist()) for one in labels]
    if any(one.keys() != counts[0].keys() or min(one.values(), default=0) < 2 for one in counts):
        got = f"{[dict(one) for one in counts]}"
        raise InputError("labels", expected="at least two of the same classes in both", got=got)
    return sorted(counts[0])


def _classes(real: Batch, synthetic: Batch) -> list[tuple[Tensor, Tensor]]:
    """Return the real and the synthetic spikes of each class."""
    (real, ours), (synthetic, theirs) = _alike(real, synthetic)
    return [
        (real.spikes[:, ours == label], synthetic.spikes[:, theirs == label])
        for label in shared_classes(ours, theirs)
    ]


def _alike(real: Batch, synthetic: Batch) -> tuple[tuple[Batch, Tensor], tuple[Batch, Tensor]]:
    """Return plain trials and labels of both, labelled frames of one size."""
    check_shapes(real=(real.spikes, "TBCHW"), synthetic=(synthetic.spikes, "TMCHW"))
    (ours, labels), (theirs, others) = _plain(real), _plain(synthetic)
    return (ours, labels), (Batch(theirs.spikes.to(ours.spikes), others), others)


def _plain(data: Batch) -> tuple[Batch, Tensor]:
    """Return labelled frames as plain floats, and their labels."""
    check_shapes(spikes=(data.spikes, "TBCHW"))
    check_spikes("spikes", data.spikes)
    labels = labels_of(data)
    return Batch(plain_floats(data.spikes), labels), labels
