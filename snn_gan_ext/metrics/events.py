"""Statistics of sets of labelled event frames.

All take spikes ``[T, B, C, H, W]`` of exact 0 and 1 with labels ``[B]``.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from snn_gan_ext.coding.events import pooled_counts
from snn_gan_ext.errors import InputError

__all__ = [
    "LabelledFrames",
    "autocorrelation_distance",
    "count_spread_ratio",
    "nearest_distance",
    "residual_autocorrelation",
]


class LabelledFrames(NamedTuple):
    """Spikes ``[T, B, C, H, W]`` and their labels, whole numbers ``[B]``."""

    spikes: Tensor
    labels: Tensor


def count_spread_ratio(real: LabelledFrames, synthetic: LabelledFrames) -> float:
    """Standard deviation of trials' spike counts within a class, synthetic over real, mean of classes.

    Raises:
        InputError: if the classes differ, or one has a single trial.
    """
    _check_alike(real, synthetic)
    ratios = []
    for label in _shared_classes(real, synthetic):
        spreads = [
            data.spikes[:, data.labels == label].sum((0, 2, 3, 4)).std() for data in (real, synthetic)
        ]
        ratios.append(float(spreads[1] / spreads[0].clamp_min(1e-9)))
    return sum(ratios) / len(ratios)


def residual_autocorrelation(data: LabelledFrames) -> Tensor:
    r"""How spikes go together with their neighbours beyond what their class explains.

    With the residuals :math:`e = s - E[s \mid \text{class}]` of every pixel and step, the correlation

    .. math:: \rho_o = \frac{\sum e_i e_{i+o}}{\sum e_i^2}

    for offsets :math:`o` of up to two steps in time and one pixel in space, of the same polarity.

    Returns:
        ``[3, 3, 3]`` over time (0 to 2 steps), rows and columns (-1 to 1); 1 at no offset.
    """
    means = {int(k): data.spikes[:, data.labels == k].mean(1) for k in set(data.labels.tolist())}
    residuals = data.spikes - torch.stack([means[int(k)] for k in data.labels], 1)
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


def _from(offset: int, size: int) -> slice:
    return slice(max(offset, 0), size + min(offset, 0))


def autocorrelation_distance(real: LabelledFrames, synthetic: LabelledFrames) -> float:
    """Mean absolute difference of two `residual_autocorrelation`, but for the entry of no offset."""
    _check_alike(real, synthetic)
    difference = residual_autocorrelation(real) - residual_autocorrelation(synthetic)
    return float(difference.abs().sum() / (difference.numel() - 1))


def nearest_distance(trials: LabelledFrames, train: LabelledFrames) -> float:
    """Mean distance from a trial to the nearest training trial of its class, in pooled counts.

    Counts are those of two blocks of time with all pixels; see
    `snn_gan_ext.coding.events.pooled_counts`. Compare it with that of held-out trials: a generator that
    remembers trials is nearer.
    """
    _check_alike(trials, train)
    distances = []
    for label in _shared_classes(trials, train):
        ours, theirs = (
            pooled_counts(data.spikes[:, data.labels == label], ((_blocks(data), 1),))
            for data in (trials, train)
        )
        distances.append(torch.cdist(ours, theirs).amin(1))
    return float(torch.cat(distances).mean())


def _blocks(data: LabelledFrames) -> int:
    return 2 if len(data.spikes) % 2 == 0 else 1


def _check_alike(real: LabelledFrames, synthetic: LabelledFrames) -> None:
    """Both are frames of one size, with a label each."""
    for spikes, labels in (real, synthetic):
        if spikes.dim() != 5 or not spikes.is_floating_point() or not spikes.isfinite().all():
            raise InputError(
                "spikes", expected="floats [T, B, C, H, W]", got=f"{spikes.dtype} {list(spikes.shape)}"
            )
        if tuple(labels.shape) != (spikes.shape[1],) or labels.is_floating_point() or not len(labels):
            raise InputError(
                "labels", expected=f"whole numbers [{spikes.shape[1]}]", got=f"{list(labels.shape)}"
            )
    sizes = [(data.spikes.shape[0], *data.spikes.shape[2:]) for data in (real, synthetic)]
    if sizes[0] != sizes[1]:
        raise InputError("spikes", expected="frames of one size and length", got=f"{sizes}")


def _shared_classes(*sets: LabelledFrames) -> list[int]:
    classes = [sorted(set(data.labels.tolist())) for data in sets]
    smallest = min(int((data.labels == k).sum()) for data in sets for k in set(data.labels.tolist()))
    if classes[0] != classes[1] or smallest < 2:
        raise InputError("trials", expected="two or more of the same classes in both", got=f"{classes}")
    return [int(label) for label in classes[0]]
