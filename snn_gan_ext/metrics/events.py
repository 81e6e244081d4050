"""Statistics of labelled event frames.

Arguments are a `Batch` of spikes ``[T, B, C, H, W]``, exactly 0 or 1, with labels ``[B]``.
"""

from collections import Counter
from itertools import product

import torch
from torch import Tensor

from snn_gan_ext.coding.events import pooled_counts
from snn_gan_ext.errors import InputError
from snn_gan_ext.types import Batch
from snn_gan_ext.validation import check_finite, check_floats, check_labels, check_shapes

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
    classes. 1 is perfect.

    Raises:
        InputError: If the classes differ, or one has a single trial.
    """
    spreads = [
        [spikes.sum((0, 2, 3, 4)).std() for spikes in pair] for pair in _classes(real, synthetic)
    ]
    return sum(float(theirs / ours.clamp_min(1e-9)) for ours, theirs in spreads) / len(spreads)


def residual_autocorrelation(data: Batch) -> Tensor:
    r"""Return the correlation of spikes with their neighbours beyond what their class explains.

    With the residuals :math:`e = s - E[s \mid \text{class}]` of every pixel and step, it is

    .. math:: \rho_o = \frac{\sum e_i e_{i+o}}{\sum e_i^2}

    for offsets :math:`o` of up to two steps in time and one pixel in space, of the same polarity.

    Returns:
        Correlations ``[3, 3, 3]`` over time (0 to 2 steps), rows and columns (-1 to 1); 1 at no offset.
    """
    labels = labels_of(data)
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
    """Return the mean absolute difference of two `residual_autocorrelation`, without no offset."""
    _check_alike(real, synthetic)
    difference = residual_autocorrelation(real) - residual_autocorrelation(synthetic)
    return float(difference.abs().sum() / (difference.numel() - 1))


def nearest_distance(trials: Batch, train: Batch) -> float:
    """Return the mean distance from a trial to the nearest training trial of its class.

    Distances are between counts in two blocks of time and all pixels; see
    `snn_gan_ext.coding.events.pooled_counts`. A generator that memorises trials is nearer than held-out
    trials are.
    """
    blocks = ((2 if len(trials.spikes) % 2 == 0 else 1, 1),)
    distances = [
        torch.cdist(pooled_counts(ours, blocks), pooled_counts(theirs, blocks)).amin(1)
        for ours, theirs in _classes(trials, train)
    ]
    return float(torch.cat(distances).mean())


def labels_of(trials: Batch, classes: int | None = None) -> Tensor:
    """Return the labels ``[B]`` of trials ``[T, B, ...]``, at least one.

    Args:
        trials: Labelled trials.
        classes: Number of classes; None sets no upper bound.

    Raises:
        InputError: If trials have no labels, or there is none.
    """
    if trials.labels is None or not len(trials.labels):
        got = "None" if trials.labels is None else "none"
        raise InputError("labels", expected="one for each of one or more trials", got=got)
    return check_labels(trials.labels, classes, trials.spikes.shape[1])


def _from(offset: int, size: int) -> slice:
    return slice(max(offset, 0), size + min(offset, 0))


def shared_classes(*labels: Tensor) -> list[int]:
    """Return the classes of sets of labels ``[B]``, sorted.

    Raises:
        InputError: If the sets differ in classes, or one has a single label of a class.
    """
    counts = [Counter(one.tolist()) for one in labels]
    if any(one.keys() != counts[0].keys() or min(one.values()) < 2 for one in counts):
        got = f"{[dict(one) for one in counts]}"
        raise InputError("labels", expected="at least two of the same classes in both", got=got)
    return sorted(counts[0])


def _classes(real: Batch, synthetic: Batch) -> list[tuple[Tensor, Tensor]]:
    """Return the real and the synthetic spikes of each class."""
    _check_alike(real, synthetic)
    labels = labels_of(real), labels_of(synthetic)
    return [
        (real.spikes[:, labels[0] == label], synthetic.spikes[:, labels[1] == label])
        for label in shared_classes(*labels)
    ]


def _check_alike(real: Batch, synthetic: Batch) -> None:
    """Check that both are labelled frames of one size."""
    check_shapes(real=(real.spikes, "TBCHW"), synthetic=(synthetic.spikes, "TMCHW"))
    for data in (real, synthetic):
        check_floats("spikes", data.spikes)
        check_finite("spikes", data.spikes)
        labels_of(data)
