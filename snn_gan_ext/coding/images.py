"""Images to spikes and back.

Images are ``[B, N]`` with values in [0, 1] (0 is silence, 1 a spike at every step); spikes are
``[T, B, N]`` of exact 0 and 1. Time is in steps.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from snn_gan_ext.errors import InputError

__all__ = [
    "Labelled",
    "add_noise",
    "check_images",
    "check_labelled",
    "check_labels",
    "pooled_decode",
    "rate_decode",
    "rate_encode",
    "time_surface_decode",
]


class Labelled(NamedTuple):
    """Images ``[B, N]`` with values in [0, 1] and their labels, whole numbers ``[B]``."""

    images: Tensor
    labels: Tensor


def rate_encode(
    images: Tensor,
    num_steps: int,
    *,
    uniforms: Tensor | None = None,
    rng: torch.Generator | None = None,
) -> Tensor:
    r"""Bernoulli spikes with the pixel's value as probability, :math:`s_{i,t} = [U_{i,t} < x_i]`.

    Args:
        images: ``[B, N]`` in [0, 1].
        num_steps: number of steps ``T``.
        uniforms: noise in [0, 1), ``[T, B, N]``.
        rng: draws the noise where none is given.

    Returns:
        Spikes ``[T, B, N]``.

    Raises:
        InputError: if ``num_steps`` is below 1, an image holds NaN or values outside [0, 1], or the noise
            has another shape.

    References:
        SpikeGAN paper, section VII-A.

    >>> rate_encode(torch.tensor([[0.0, 1.0]]), 3).squeeze(1)
    tensor([[0., 1.],
            [0., 1.],
            [0., 1.]])
    """
    check_images(images)
    if num_steps < 1:
        raise InputError("num_steps", expected="T of at least 1", got=f"{num_steps}")
    shape = (num_steps, *images.shape)
    if uniforms is None:
        uniforms = torch.rand(shape, generator=rng, device=images.device)
    elif not bool(((uniforms >= 0) & (uniforms <= 1)).all()):
        raise InputError("uniforms", expected="values in [0, 1)", got="others, or NaN")
    elif tuple(uniforms.shape) != shape:
        raise InputError("uniforms", expected=f"shape {list(shape)}", got=f"{list(uniforms.shape)}")
    return (uniforms < images).to(images.dtype)


def rate_decode(spikes: Tensor) -> Tensor:
    r"""Share of steps with a spike, :math:`\frac1T \sum_t s_{i,t}`.

    Args:
        spikes: ``[T, B, N]``.

    Returns:
        Images ``[B, N]``.

    References:
        SpikeGAN paper, section VII-A.
    """
    _check_spikes(spikes)
    return spikes.mean(0)


def time_surface_decode(spikes: Tensor, decay: float = 2.0) -> Tensor:
    r"""Last sample of an exponentially decaying trace.

    .. math:: x_i = \sum_t e^{-(T - 1 - t)/\tau} s_{i,t} \Big/ \sum_t e^{-(T - 1 - t)/\tau}

    Late spikes count for more, so ``T`` steps tell up to ``2 ** T`` grey levels apart, where rates tell
    ``T + 1``. The scale makes a neuron that always fires a 1.

    Args:
        spikes: ``[T, B, N]``.
        decay: time constant in steps.

    Returns:
        Images ``[B, N]``.

    Raises:
        InputError: if ``decay`` is not positive.

    References:
        SpikeGAN paper, section VII-A; Lagorce et al. (2017), "HOTS".
    """
    if not 1e-6 <= decay < float("inf"):
        raise InputError("decay", expected="a positive time constant in steps", got=f"{decay}")
    _check_spikes(spikes)
    age = torch.arange(len(spikes) - 1, -1, -1, device=spikes.device, dtype=spikes.dtype)
    kernel = torch.exp(-age / decay)
    return torch.einsum("t...,t->...", spikes, kernel / kernel.sum())


def add_noise(images: Tensor, fraction: float, rng: torch.Generator | None = None) -> Tensor:
    """Adds uniform noise from [0, 1) to a share of each image's pixels, and cuts off at 1.

    Args:
        images: ``[B, N]`` in [0, 1].
        fraction: share of noisy pixels, picked anew for each image; rounded to whole pixels.
        rng: of the picks and the noise.

    Returns:
        ``[B, N]``.

    Raises:
        InputError: if the fraction or the images lie outside [0, 1].

    References:
        SpikeGAN paper, section VIII-A and Fig. 5.
    """
    check_images(images)
    if not 0 <= fraction <= 1:
        raise InputError("fraction", expected="0 .. 1", got=f"{fraction}")

    def uniform() -> Tensor:
        return torch.rand(images.shape, generator=rng, device=images.device, dtype=images.dtype)

    rank, noise = uniform().argsort(1).argsort(1), uniform()
    return (images + noise * (rank < round(fraction * images.shape[1]))).clamp(max=1)


def pooled_decode(spikes: Tensor, width: int) -> Tensor:
    """Share of steps with a spike in each bin of so many steps, for all neurons side by side.

    Args:
        spikes: ``[T, B, N]`` with ``T`` a multiple of ``width``.
        width: steps in a bin.

    Returns:
        ``[B, T / width * N]``.

    Raises:
        InputError: if the bins do not fill the trial.
    """
    _check_spikes(spikes)
    if width < 1 or len(spikes) % width:
        raise InputError("width", expected=f"a divisor of {len(spikes)} steps", got=f"{width}")
    bins = spikes.reshape(-1, width, *spikes.shape[1:]).mean(1)
    return bins.transpose(0, 1).flatten(1)


def check_labelled(data: Labelled) -> None:
    """Makes sure of images as `check_images` has them, with a label of 0 or more for each.

    Raises:
        InputError: otherwise.
    """
    check_images(data.images)
    labels = data.labels
    if tuple(labels.shape) != (len(data.images),) or labels.is_floating_point() or not len(labels):
        raise InputError(
            "labels",
            expected=f"whole numbers [{len(data.images)}], at least one",
            got=f"{labels.dtype} {list(labels.shape)}",
        )
    if int(labels.min()) < 0:
        raise InputError("labels", expected="0 or more", got=f"{int(labels.min())}")


def check_labels(labels: Tensor, count: int, classes: int) -> None:
    """Makes sure of so many whole numbers below a number of classes.

    Raises:
        InputError: otherwise.
    """
    if tuple(labels.shape) != (count,) or labels.dtype != torch.int64:
        raise InputError(
            "labels",
            expected=f"whole numbers [{count}] (int64)",
            got=f"{labels.dtype} {list(labels.shape)}",
        )
    if count and not bool(((labels >= 0) & (labels < classes)).all()):
        raise InputError(
            "labels",
            expected=f"0 .. {classes - 1}",
            got=f"{int(labels.min())} .. {int(labels.max())}",
        )


def _check_spikes(spikes: Tensor) -> None:
    if spikes.dim() < 2 or len(spikes) < 1:
        raise InputError("spikes", expected="[T >= 1, B, N]", got=f"{list(spikes.shape)}")


def check_images(images: Tensor) -> None:
    """Makes sure of ``[B, N]`` floats in [0, 1].

    Raises:
        InputError: otherwise, NaN included.
    """
    if images.dim() != 2 or not images.is_floating_point():
        raise InputError(
            "images",
            expected="floats [B, N]",
            got=f"{images.dtype} {list(images.shape)}",
            cure="flatten pixels into one axis and scale them to [0, 1]",
        )
    if images.numel() and not bool(((images >= 0) & (images <= 1)).all()):
        low, high = images.min().item(), images.max().item()
        raise InputError(
            "images",
            expected="values in [0, 1]",
            got=f"{low:.4g} .. {high:.4g}",
            cure="divide by the largest grey value and drop NaN",
        )
