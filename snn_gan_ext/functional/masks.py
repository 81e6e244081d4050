"""Masks of connections ``[from, to]`` between the neurons of a layer, as booleans."""

from collections.abc import Sequence

import torch
from torch import Tensor

from snn_gan_ext.errors import InputError
from snn_gan_ext.validation import check_positive, check_setting, whole

__all__ = ["blocks", "levels_of", "ring", "triangular"]


def triangular(neurons: int | Sequence[int]) -> Tensor:
    """Return the mask in which each neuron hears all earlier ones, ``[N, N]``: a wiring without loops.

    Args:
        neurons: Number of neurons ``N``, or their order: each of 0 .. N - 1 once.

    Raises:
        InputError: If the number is below 1, or a neuron is missing from the order.

    >>> triangular(3).int()
    tensor([[0, 1, 1],
            [0, 0, 1],
            [0, 0, 0]], dtype=torch.int32)
    """
    if isinstance(neurons, Sequence):
        order = list(neurons)
    else:
        check_positive(neurons=neurons)
        order = list(range(neurons))
    if not order or sorted(order) != list(range(len(order))):
        raise InputError("order", expected=f"each of 0 .. {len(order) - 1} once", got=f"{order}")
    place = torch.empty(len(order), dtype=torch.long)
    place[order] = torch.arange(len(order))
    return place[:, None] < place


def ring(neurons: int, reach: int = 1) -> Tensor:
    """Return the mask in which each neuron hears its neighbours on a ring, ``[N, N]``.

    Args:
        neurons: Number of neurons ``N``.
        reach: Number of neighbours on each side.

    Raises:
        InputError: If a number is below 1.
    """
    check_positive(neurons=neurons, reach=reach)
    apart = (torch.arange(neurons)[:, None] - torch.arange(neurons)).abs()
    distance = torch.minimum(apart, neurons - apart)
    return (distance > 0) & (distance <= reach)


def blocks(sizes: Sequence[int], between: bool = False) -> Tensor:
    """Return the mask in which neurons hear those of their own population, ``[N, N]``.

    Args:
        sizes: Number of neurons of each population, in their order.
        between: Whether neurons hear the other populations instead.

    Raises:
        InputError: If a size is below 1.
    """
    for size in sizes:
        check_setting("sizes", size, whole(1))
    population = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes))
    same = population[:, None] == population
    return ~same if between else same & ~torch.eye(len(population), dtype=torch.bool)


def levels_of(mask: Tensor) -> tuple[int, ...]:
    """Return the level of each neuron in a wiring without loops: one above the highest that it hears.

    Args:
        mask: Connections ``[N, N]`` within a step.

    Raises:
        InputError: If neurons hear each other in a loop.
    """
    levels = torch.zeros(len(mask), dtype=torch.long)
    for _ in range(len(mask)):
        heard = torch.where(mask, levels[:, None] + 1, 0).amax(0)
        if torch.equal(heard, levels):
            return tuple(levels.tolist())
        levels = heard
    expected = "connections within a step without loops, as masks.triangular(N) gives"
    raise InputError("same_step", expected=expected, got="neurons that hear each other in one step")
