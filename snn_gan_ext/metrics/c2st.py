"""Classifier two-sample tests: how well a classifier distinguishes real from synthetic data.

References:
    Lopez-Paz and Oquab (2017), "Revisiting classifier two-sample tests".
"""

from typing import TypeVar

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from snn_gan_ext.coding.images import Labelled, check_labelled
from snn_gan_ext.errors import InputError
from snn_gan_ext.metrics.classifiers import MLP, MOST_CLASSES, Classifier
from snn_gan_ext.rng import stream
from snn_gan_ext.types import Batch
from snn_gan_ext.validation import (
    SEED,
    check_labels,
    check_setting,
    check_shapes,
    check_spikes,
    check_tensor,
    plain,
)

__all__ = ["c2st", "halves", "image_classifier"]

Data = TypeVar("Data", Labelled, Batch)


def c2st(
    train: tuple[Data, Data], test: tuple[Data, Data], classifier: Classifier[Data, Data]
) -> float:
    """Return the accuracy on unseen samples of a classifier that learned real from synthetic.

    0.5 is perfect; 1 means that every sample differs from real ones. The classifier receives an image
    with its label, and spikes without.

    Args:
        train: Real and synthetic training data.
        test: Real and synthetic test data, equally many.
        classifier: Classifier to train: `image_classifier` for images, `Trees` or `TrainCNN` for spike
            trains, `FrameCNN` for event frames (see `snn_gan_ext.metrics.classifiers`).

    Raises:
        InputError: If the test sets differ in size, samples do, or the classifier does not accept the
            data.
    """
    sizes = {_size(data) for data in (*train, *test)}
    if len(sizes) > 1:
        got = ", ".join(map(str, sorted(sizes)))
        raise InputError("train and test", expected="samples of one size", got=got)
    real, synthetic = (_count(data) for data in test)
    if real != synthetic:
        expected = "as many synthetic samples as real ones"
        raise InputError("test", expected=expected, got=f"{synthetic} and {real}")
    images: list[Labelled] = [data for data in (*train, *test) if isinstance(data, Labelled)]
    classes = 1 + max((int(plain(data.labels).max()) for data in images), default=0)
    return classifier.fit(_by_origin(*train, classes)).accuracy(_by_origin(*test, classes))


def image_classifier(seed: int) -> MLP:
    """Return the `MLP` of two-sample tests on images: 30 epochs, ``alpha`` 0.01."""
    return MLP(seed, epochs=30, alpha=1e-2)


def halves(
    real: Tensor, synthetic: Tensor, seed: int
) -> tuple[tuple[Batch, Batch], tuple[Batch, Batch]]:
    """Split spikes at random into training and test data for `c2st`.

    Args:
        real: Real spikes ``[T, B, ...]``, ``B >= 20``.
        synthetic: Synthetic spikes ``[T, B', ...]``, ``B' >= 20``. Surplus trials are left out.
        seed: Seed of the order of trials.

    Returns:
        Pairs (real, synthetic) to train on and to test on.

    Raises:
        InputError: If there are fewer than 20 trials, they differ in shape, or are not zeros and ones.
    """
    check_setting("seed", seed, SEED)
    check_tensor("real", real)
    size = real.shape[2:]
    check_shapes(real=(real, ("T", "B", *size)), synthetic=(synthetic, ("T", "M", *size)))
    check_spikes("real", real)
    check_spikes("synthetic", synthetic)
    half = min(real.shape[1], synthetic.shape[1]) // 2
    if half < 10:
        raise InputError("real and synthetic", expected="20 trials or more", got=f"{2 * half}")
    mixed = _shuffled(real, seed, "real"), _shuffled(synthetic, seed, "synthetic")
    first, second = (
        (Batch(mixed[0][:, part]), Batch(mixed[1][:, part]))
        for part in (slice(half), slice(half, 2 * half))
    )
    return first, second


def _shuffled(spikes: Tensor, seed: int, role: str) -> Tensor:
    """Return trials in a random order: halves of sorted trials would differ in distribution."""
    order = torch.randperm(spikes.shape[1], generator=stream(seed, f"order of {role} trials"))
    return plain(spikes)[:, order]


def _size(data: Labelled | Batch) -> tuple[int, ...]:
    """Return the sizes of a sample, which is one of some images or trials."""
    if isinstance(data, Labelled):
        check_labelled(data)
        check_labels(data.labels, MOST_CLASSES)
        return tuple(data.images.shape[1:])
    check_tensor("spikes", data.spikes)
    check_shapes(spikes=(data.spikes, ("T", "B >= 1", *data.spikes.shape[2:])))
    return len(data.spikes), *data.spikes.shape[2:]


def _count(data: Labelled | Batch) -> int:
    return len(data.images) if isinstance(data, Labelled) else data.spikes.shape[1]


def _by_origin(real: Data, synthetic: Data, classes: int) -> Data:
    """Return the samples of both, labelled by their origin."""
    # Which origin is class 0 decides the last digits of a figure; published figures have it so.
    real_label = int(isinstance(real, Labelled) or real.spikes.dim() == 2)
    counts = torch.tensor([_count(real), _count(synthetic)])
    origins = torch.tensor([real_label, 1 - real_label]).repeat_interleave(counts)
    if isinstance(real, Labelled):
        images = [
            torch.cat([plain(d.images), one_hot(plain(d.labels).long(), classes)], 1)
            for d in (real, synthetic)
        ]
        return Labelled(torch.cat(images), origins)
    return Batch(torch.cat([plain(real.spikes), plain(synthetic.spikes)], 1), origins)
