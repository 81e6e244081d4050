"""Latency code: the brighter a pixel, the earlier its spike.

Images are ``[B, N]`` with values in [0, 1]. Firing steps are ``[B, N]``, whole numbers as floats;
``num_steps`` stands for silence.
"""

import torch
from snntorch import spikegen
from torch import Tensor

from snn_gan_ext.coding.images import check_images
from snn_gan_ext.errors import InputError
from snn_gan_ext.functional.ttfs import clamp_passing
from snn_gan_ext.validation import check_setting, whole

__all__ = ["latency_decode", "latency_encode"]


def latency_encode(images: Tensor, num_steps: int, threshold: float = 0.01) -> Tensor:
    r"""Encode images as firing steps, :math:`t_i = \mathrm{round}((1 - x_i)(T - 1))`.

    The steps equal those of ``snntorch.spikegen.latency(images, num_steps, threshold=threshold,
    linear=True, normalize=True, clip=True)``.

    Args:
        images: Images ``[B, N]`` in [0, 1].
        num_steps: Number of time steps ``T``, at least 2.
        threshold: Grey value below which a pixel is silent.

    Returns:
        Firing steps ``[B, N]``.

    Raises:
        InputError: If ``num_steps`` is below 2, the threshold lies outside (0, 1), or an image holds
            NaN or values outside [0, 1].

    >>> latency_encode(torch.tensor([[1.0, 0.5, 0.1, 0.0]]), 11)
    tensor([[ 0.,  5.,  9., 11.]])
    """
    check_images(images)
    check_setting("num_steps", num_steps, whole(2))
    if not 0 < threshold < 1:
        raise InputError("threshold", expected="above 0 and below 1", got=f"{threshold}")
    # Half precision confuses neighbouring late steps.
    images = images.to(torch.promote_types(images.dtype, torch.float32))
    if not images.numel():
        return images.clone()
    times, dark = spikegen.latency_code(
        images, num_steps=num_steps, threshold=threshold, normalize=True, linear=True
    )
    return torch.where(dark, num_steps, times.round())


def latency_decode(times: Tensor, num_steps: int) -> Tensor:
    r"""Decode firing steps to grey values, :math:`x_i = 1 - t_i / (T - 1)`; silence is 0.

    Args:
        times: Firing steps ``[B, N]``.
        num_steps: Number of time steps ``T``, at least 2.

    Returns:
        Images ``[B, N]``.

    Raises:
        InputError: If ``num_steps`` is below 2, or a time is below 0 or NaN.
    """
    check_setting("num_steps", num_steps, whole(2))
    if not bool((times >= 0).all()):
        raise InputError("times", expected="0 or later", got="earlier times, or NaN")
    return clamp_passing(1 - times / (num_steps - 1), 0)
