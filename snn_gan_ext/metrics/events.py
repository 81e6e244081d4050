"""Statistics of labelled event frames.

Arguments are a `Batch` of spikes ``[T, B, C, H, W]``, exactly 0 or 1, with labels ``[B]``.
"""

import torch
from torch import Tensor

from snn_gan_ext.coding.events import pooled_counts
from snn_gan_ext.errors import InputError
from snn_gan_ext.types import Batch
from snn_gan_ext.validation import check_labels

__all__ = [
    "autocorrelation_distance",
    "count_spread_ratio",
    "labels_of",
    "nearest_distance",
    "residual_autocorrelation",
]


def count_spread_ratio(real: Batch, synthetic: Batch) -> float:
    """Return the ratio of the spread of spike counts, synthetic over real.

    The spread is the standard deviation of trials' counts within a class; ratios are averaged over
    classes. 1 is perfect.

    Raises:
        InputError: If the classes differ, or one has a single trial.
    """
    _check_alike(real, synthetic)
    ratios = []
    for label in _shared_classes(real, synthetic):
        spreads = [_of_class(data, label).sum((0, 2, 3, 4)).std() for data in (real, synthetic)]
        ratios.append(float(spreads[1] / spreads[0].clamp_min(1e-9)))
    return sum(ratios) / len(ratios)


def residual_autocorrelation(data: Batch) -> Tensor:
    r"""Return the correlation of spikes with their neighbours beyond what their class explains.

    With the residuals :math:`e = s - E[s \mid \text{class}]` of every pixel and step, it is

    .. math:: \rho_o = \frac{\sum e_i e_{i+o}}{\sum e_i^2}

    for offsets :math:`o` of up to two steps in time and one pixel in space, of the same polarity.

    Returns:
        Correlations ``[3, 3, 3]`` over time (0 to 2 steps), rows and columns (-1 to 1); 1 at no offset.
    """
    labels = labels_of(data)
    means = {int(k): data.spikes[:, labels == k].mean(1) for k in set(labels.tolist())}
    residuals = data.spikes - torch.stack([means[int(k)] for k in labels], 1)
    steps, _, _, height, width = residuals.shape
    total = residuals.square().sum().clamp_min(1e-12)
    found = torch.zeros(3, 3, 3)
    for dt in range(min(3, steps)):
        for dy in (-1, 0, 1):
            for dx in (-1, 0, 1):
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
    _check_alike(trials, train)
    distances = []
    for label in _shared_classes(trials, train):
        ours, theirs = (
            pooled_counts(_of_class(data, label), ((_blocks(data), 1),)) for data in (trials, train)
        )
        distances.append(torch.cdist(ours, theirs).amin(1))
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


def _of_class(data: Batch, label: int) -> Tensor:
    return data.spikes[:, labels_of(data) == label]


def _blocks(data: Batch) -> int:
    return 2 if len(data.spikes) % 2 == 0 else 1


def _check_alike(real: Batch, synthetic: Batch) -> None:
    """Check that both are labelled frames of one size."""
    for data in (real, synthetic):
        spikes = data.spikes
        if spikes.dim() != 5 or not spikes.is_floating_point() or not spikes.isfinite().all():
            raise InputError(
                "spikes", expected="floats [T, B, C, H, W]", got=f"{spikes.dtype} {list(spikes.shape)}"
            )
        labels_of(data)
    sizes = [(data.spikes.shape[0], *data.spikes.shape[2:]) for data in (real, synthetic)]
    if sizes[0] != sizes[1]:
        raise InputError("spikes", expected="frames of one size and length", got=f"{sizes}")


def _shared_classes(*sets: Batch) -> list[int]:
    labels = [labels_of(data) for data in sets]
    classes = [sorted(set(one.tolist())) for one in labels]
    smallest = min(int((one == k).sum()) for one in labels for k in set(one.tolist()))
    if classes[0] != classes[1] or smallest < 2:
        raise InputError("trials", expected="two or more of the same classes in both", got=f"{classes}")
    return [int(label) for label in classes[0]]
