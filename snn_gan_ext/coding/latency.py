"""Grey values to firing times and back: the brighter, the earlier.

Images are ``[B, N]`` with values in [0, 1]; firing steps are ``[B, N]``, whole numbers as floats,
``steps`` where there is no spike.
"""

import torch
from snntorch import spikegen
from torch import Tensor

from snn_gan_ext.coding.images import check_images
from snn_gan_ext.errors import InputError

__all__ = ["latency_decode", "latency_encode"]


def latency_encode(images: Tensor, num_steps: int, threshold: float = 0.01) -> Tensor:
    r"""Firing steps :math:`t_i = \mathrm{round}((1 - x_i)(T - 1))`, none for dark pixels.

    These are those of ``snntorch.spikegen.latency(images, steps, threshold=threshold, linear=True,
    normalize=True, clip=True)``, as times instead of spikes.

    Args:
        images: ``[B, N]`` in [0, 1].
        num_steps: length ``T`` of the window in time steps, 2 or more.
        threshold: pixels below it do not fire.

    Returns:
        ``[B, N]``.

    Raises:
        InputError: if the window is too short, the threshold lies outside (0, 1), or an image holds
            NaN or values outside [0, 1].

    >>> latency_encode(torch.tensor([[1.0, 0.5, 0.1, 0.0]]), 11)
    tensor([[ 0.,  5.,  9., 11.]])
    """
    check_images(images)
    if type(num_steps) is not int or num_steps < 2:
        raise InputError("num_steps", expected="T of at least 2", got=f"{num_steps}")
    if not 0 < threshold < 1:
        raise InputError("threshold", expected="above 0 and below 1", got=f"{threshold}")
    # Half precision does not tell late steps apart.
    images = images.to(torch.promote_types(images.dtype, torch.float32))
    if not images.numel():
        return images.clone()
    times, dark = spikegen.latency_code(
        images, num_steps=num_steps, threshold=threshold, normalize=True, linear=True
    )
    return torch.where(dark, num_steps, times.round())


def latency_decode(times: Tensor, num_steps: int) -> Tensor:
    r"""Grey values :math:`x_i = 1 - t_i / (T - 1)` of firing steps, 0 where there is none.

    Args:
        times: ``[B, N]``.
        num_steps: length ``T`` of the window in time steps, 2 or more.

    Raises:
        InputError: if the window is too short, or the times are below 0 or NaN.
    """
    if type(num_steps) is not int or num_steps < 2:
        raise InputError("num_steps", expected="T of at least 2", got=f"{num_steps}")
    if not bool((times >= 0).all()):
        raise InputError("times", expected="0 or later", got="earlier ones, or NaN")
    return (1 - times / (num_steps - 1)).clamp(min=0)
