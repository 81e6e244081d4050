"""Latency code: the brighter a pixel, the earlier its spike.

Firing steps are ``[B, N]``, whole numbers as floats; ``num_steps`` stands for silence.
"""

import torch
from snntorch import spikegen
from torch import Tensor

from snn_gan_ext.coding.images import check_images
from snn_gan_ext.functional.ttfs import clamp_passing
from snn_gan_ext.validation import (
    between,
    check_setting,
    check_tensor,
    check_valued,
    check_values,
    whole,
)

__all__ = ["latency_decode", "latency_encode"]


def latency_encode(images: Tensor, num_steps: int, threshold: float = 0.01) -> Tensor:
    r"""Encode images as firing steps ``[B, N]``, :math:`t_i = \mathrm{round}((1 - x_i)(T - 1))`.

    The steps equal those of ``snntorch.spikegen.latency`` with ``linear``, ``normalize`` and ``clip``.

    Args:
        images: Images ``[B, N]`` in [0, 1].
        num_steps: Number of time steps ``T``, at least 2.
        threshold: Grey value below which a pixel is silent.

    Raises:
        InputError: If ``num_steps`` is below 2, or the threshold or an image is out of range.

    >>> latency_encode(torch.tensor([[1.0, 0.5, 0.1, 0.0]]), 11)
    tensor([[ 0.,  5.,  9., 11.]])
    """
    check_images(images)
    check_valued("images", images)
    check_setting("num_steps", num_steps, whole(2))
    check_setting("threshold", threshold, between(0, 1, closed="neither"))
    # Half precision confuses neighbouring late steps.
    images = images.to(torch.promote_types(images.dtype, torch.float32))
    if not images.numel():
        return images.clone()
    times, dark = spikegen.latency_code(
        images, num_steps=num_steps, threshold=threshold, normalize=True, linear=True
    )
    return torch.where(dark, num_steps, times.round())


def latency_decode(times: Tensor, num_steps: int) -> Tensor:
    r"""Decode firing steps to images ``[B, N]``, :math:`x_i = 1 - t_i / (T - 1)`; silence is 0.

    Args:
        times: Firing steps ``[B, N]``.
        num_steps: Number of time steps ``T``, at least 2.

    Raises:
        InputError: If ``num_steps`` is below 2, or a time is below 0 or NaN.
    """
    check_setting("num_steps", num_steps, whole(2))
    check_tensor("times", times)
    check_values("times", times, times >= 0, "0 or later")
    return clamp_passing(1 - times / (num_steps - 1), 0)
