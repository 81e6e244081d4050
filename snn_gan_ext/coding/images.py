"""Codes between images and spikes.

Images are ``[B, N]`` with values in [0, 1]: 0 is silence, 1 a spike at every step. Spikes are
``[T, B, N]``, exactly 0 or 1. Time is in steps.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from snn_gan_ext.errors import InputError
from snn_gan_ext.validation import (
    Rule,
    at_least,
    between,
    check_floats,
    check_labels,
    check_positive,
    check_setting,
    check_shapes,
    check_tensor,
    check_uniforms,
    check_values,
)

__all__ = [
    "Labelled",
    "add_noise",
    "check_images",
    "check_labelled",
    "pooled_decode",
    "rate_decode",
    "rate_encode",
    "time_surface_decode",
]


class Labelled(NamedTuple):
    """Images with labels.

    Attributes:
        images: Grey values in [0, 1], ``[B, N]``.
        labels: Classes ``[B]``, whole numbers.
    """

    images: Tensor
    labels: Tensor


def rate_encode(
    images: Tensor,
    num_steps: int,
    *,
    uniforms: Tensor | None = None,
    rng: torch.Generator | None = None,
) -> Tensor:
    r"""Draw spikes ``[T, B, N]`` with pixels as probabilities, :math:`s_{i,t} = [U_{i,t} < x_i]`.

    Args:
        images: Images ``[B, N]`` in [0, 1].
        num_steps: Number of time steps ``T``.
        uniforms: Noise in [0, 1), ``[T, B, N]``.
        rng: Random source of the noise if ``uniforms`` is not given.

    Raises:
        InputError: If ``num_steps`` is below 1, or images or noise have another shape or other values.

    References:
        SpikeGAN paper, section VII-A.

    >>> rate_encode(torch.tensor([[0.0, 1.0]]), 3).squeeze(1)
    tensor([[0., 1.],
            [0., 1.],
            [0., 1.]])
    """
    check_images(images)
    check_positive(num_steps=num_steps)
    shape = (num_steps, *images.shape)
    if uniforms is None:
        uniforms = torch.rand(shape, generator=rng, device=images.device)
    else:
        check_uniforms(uniforms, shape)
    return (uniforms < images).to(images.dtype)


def rate_decode(spikes: Tensor) -> Tensor:
    r"""Return the share of steps with a spike, :math:`\frac1T \sum_t s_{i,t}`, as images ``[B, N]``.

    Args:
        spikes: Spikes ``[T, B, N]``.

    References:
        SpikeGAN paper, section VII-A.
    """
    _check_spikes(spikes)
    return spikes.mean(0)


def time_surface_decode(spikes: Tensor, decay: float = 2.0) -> Tensor:
    r"""Return the last samples ``[B, N]`` of exponentially decaying traces.

    .. math:: x_i = \sum_t e^{-(T - 1 - t)/\tau} s_{i,t} \Bigl/ \sum_t e^{-(T - 1 - t)/\tau}

    Later spikes have larger weights, so ``T`` steps encode up to ``2 ** T`` grey levels; rates encode
    ``T + 1``. A neuron that fires at every step decodes to 1.

    Args:
        spikes: Spikes ``[T, B, N]``.
        decay: Time constant in steps.

    Raises:
        InputError: If ``decay`` is below 1e-6.

    References:
        SpikeGAN paper, section VII-A; Lagorce et al. (2017), "HOTS".
    """
    check_setting("decay", decay, at_least(1e-6))
    _check_spikes(spikes)
    age = torch.arange(len(spikes) - 1, -1, -1, device=spikes.device, dtype=spikes.dtype)
    kernel = torch.exp(-age / decay)
    return torch.einsum("t...,t->...", spikes, kernel / kernel.sum())


def add_noise(images: Tensor, fraction: float, rng: torch.Generator | None = None) -> Tensor:
    """Add uniform noise from [0, 1) to a share of the pixels, clipped at 1.

    Args:
        images: Images ``[B, N]`` in [0, 1].
        fraction: Share of noisy pixels in each image, rounded to whole pixels. Each image has its own.
        rng: Random source of the pixels and of the noise.

    Raises:
        InputError: If the fraction or an image lies outside [0, 1].

    References:
        SpikeGAN paper, section VIII-A and Fig. 5.
    """
    check_images(images)
    check_setting("fraction", fraction, between(0, 1))

    def uniform() -> Tensor:
        return torch.rand(images.shape, generator=rng, device=images.device, dtype=images.dtype)

    rank, noise = uniform().argsort(1).argsort(1), uniform()
    return (images + noise * (rank < round(fraction * images.shape[1]))).clamp(max=1)


def pooled_decode(spikes: Tensor, width: int) -> Tensor:
    """Return shares of steps with a spike ``[B, T / width * N]``, in bins of time.

    Args:
        spikes: Spikes ``[T, B, N]``, ``T`` a multiple of ``width``.
        width: Number of steps in a bin.

    Raises:
        InputError: If ``width`` does not divide ``T``.
    """
    _check_spikes(spikes)
    divides = Rule(
        f"a divisor of {len(spikes)} steps",
        lambda x: type(x) is int and x >= 1 and len(spikes) % x == 0,
    )
    check_setting("width", width, divides)
    bins = spikes.reshape(-1, width, *spikes.shape[1:]).mean(1)
    return bins.transpose(0, 1).flatten(1)


def check_labelled(data: Labelled) -> None:
    """Check images and their labels: one label per image, at least one of them.

    Raises:
        InputError: If a shape, a dtype or a value is wrong, or there is none.
    """
    check_images(data.images)
    check_labels(data.labels, count=len(data.images))
    if not len(data.labels):
        raise InputError("labels", expected="at least one", got="none")


def _check_spikes(spikes: Tensor) -> None:
    check_tensor("spikes", spikes)
    if spikes.dim() < 2 or len(spikes) < 1:
        raise InputError("spikes", expected="shape [T >= 1, B, N]", got=f"{list(spikes.shape)}")
    check_floats("spikes", spikes)


def check_images(images: Tensor) -> None:
    """Check that images are floats ``[B, N]`` in [0, 1].

    Raises:
        InputError: If the shape or the dtype is another, or a value is NaN or outside [0, 1].
    """
    check_shapes("flatten pixels into one axis", images=(images, "BN"))
    check_floats("images", images)
    cure = "divide by the largest grey value and drop NaN"
    check_values("images", images, (images >= 0) & (images <= 1), "values in [0, 1]", cure)
