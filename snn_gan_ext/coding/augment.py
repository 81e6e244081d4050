"""Image transforms that keep the class of an image."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from snn_gan_ext.coding.images import check_images
from snn_gan_ext.errors import InputError
from snn_gan_ext.validation import FINITE, between, check_setting, whole

__all__ = ["random_affine", "turned"]


def random_affine(
    images: Tensor,
    *,
    degrees: float = 10.0,
    scale: float = 0.1,
    shift: int = 1,
    rng: torch.Generator | None = None,
) -> Tensor:
    """Rotate, scale and shift each square image at random about its centre, on a dark background.

    Pixels come from the nearest place: interpolation would make new grey levels and thus new latencies.

    Args:
        images: Images ``[B, side ** 2]`` in [0, 1].
        degrees: Largest angle, 0 .. 360 degrees.
        scale: Largest relative change of size, at least 0 and below 1.
        shift: Largest shift along each axis in whole pixels, 0 .. ``side``.
        rng: Random source, on the device of the images.

    Raises:
        InputError: If the images are not square, or a limit is out of range.
    """
    square = _square(images)
    batch, _, side, _ = square.shape
    check_setting("degrees", degrees, between(0, 360))
    check_setting("scale", scale, between(0, 1, closed="left"))
    check_setting("shift", shift, whole(0, side))

    def uniform(count: int) -> Tensor:
        drawn = torch.rand(count, batch, generator=rng, device=images.device)
        return (2 * drawn - 1).to(images)

    turn, size = uniform(2)
    cosine = torch.cos(turn * math.radians(degrees)) * (1 + scale * size)
    sine = torch.sin(turn * math.radians(degrees)) * (1 + scale * size)
    right, down = torch.round(uniform(2) * (shift + 0.5 - 1e-3)) * 2 / side
    maps = torch.stack([cosine, -sine, right, sine, cosine, down], 1).view(batch, 2, 3)
    return _mapped(square, maps, "nearest")


def turned(images: Tensor, degrees: float) -> Tensor:
    """Rotate square images about their centre, counter-clockwise, on a dark background.

    Multiples of 90 degrees move pixels; other angles interpolate between the four nearest ones.

    Args:
        images: Images ``[B, side ** 2]`` in [0, 1].
        degrees: Angle in degrees.

    Raises:
        InputError: If the images are not square, or the angle is not finite.
    """
    check_setting("degrees", degrees, FINITE)
    square = _square(images)
    if degrees % 90 == 0:
        return square.rot90(int(degrees // 90), (2, 3)).flatten(1)
    angle = math.radians(degrees)
    cosine, sine = math.cos(angle), math.sin(angle)
    rows = [[cosine, -sine, 0.0], [sine, cosine, 0.0]]
    maps = torch.tensor([rows], dtype=images.dtype, device=images.device).expand(len(images), 2, 3)
    return _mapped(square, maps, "bilinear").clamp(0, 1)


def _square(images: Tensor) -> Tensor:
    """Return images ``[B, side ** 2]`` as ``[B, 1, side, side]``."""
    check_images(images)
    side = math.isqrt(images.shape[1])
    if side * side != images.shape[1]:
        raise InputError("images", expected="square images", got=f"{images.shape[1]} pixels")
    return images.view(-1, 1, side, side)


def _mapped(square: Tensor, maps: Tensor, mode: str) -> Tensor:
    grid = F.affine_grid(maps, list(square.shape), align_corners=False)
    return F.grid_sample(square, grid, mode=mode, align_corners=False).flatten(1)
