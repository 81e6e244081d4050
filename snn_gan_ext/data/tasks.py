"""Families of small tasks for meta-learning: pairs of digits, turned."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from snn_gan_ext.coding.images import Labelled
from snn_gan_ext.errors import InputError

__all__ = ["DigitTask", "draw_tasks"]

QUARTERS = 4


@dataclass(frozen=True)
class DigitTask:
    """Two digits with the labels 0 and 1, each turned by a multiple of 90 degrees.

    Attributes:
        digits: which two.
        turns: by how many quarters each.
    """

    digits: tuple[int, int]
    turns: tuple[int, int]

    def pick(self, data: Labelled) -> Labelled:
        """Its images among digits of all kinds.

        Args:
            data: square images ``[n, side ** 2]`` and which digit each is.

        Raises:
            InputError: if one of the two is missing.
        """
        parts = [
            _turned(data.images[data.labels == digit], turns)
            for digit, turns in zip(self.digits, self.turns, strict=True)
        ]
        if not all(map(len, parts)):
            present = sorted(set(data.labels.tolist()))
            raise InputError("data", expected=f"digits {self.digits}", got=f"{present} alone")
        labels = torch.repeat_interleave(torch.arange(2), torch.tensor([len(part) for part in parts]))
        return Labelled(torch.cat(parts), labels)


def draw_tasks(
    digits: Sequence[int],
    count: int,
    generator: torch.Generator,
    *,
    without: Sequence[frozenset[int]] = (),
) -> list[DigitTask]:
    """Draws tasks: two different digits in either order, and how each is turned.

    Args:
        digits: those that tasks are made of.
        count: number of tasks.
        generator: of the draws.
        without: pairs that are left out.

    Raises:
        InputError: if no pair is left.
    """
    pairs = [(a, b) for a in digits for b in digits if a != b and frozenset((a, b)) not in without]
    if not pairs:
        raise InputError("digits", expected="a pair that is not left out", got=f"{list(digits)}")
    picks = torch.randint(len(pairs), (count,), generator=generator).tolist()
    turns = torch.randint(QUARTERS, (count, 2), generator=generator).tolist()
    return [DigitTask(pairs[pick], (a, b)) for pick, (a, b) in zip(picks, turns, strict=True)]


def _turned(images: Tensor, turns: int) -> Tensor:
    side = round(images.shape[1] ** 0.5)
    return images.view(-1, side, side).rot90(turns, (1, 2)).reshape(-1, side * side)
