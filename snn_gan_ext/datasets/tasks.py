"""Families of small tasks for meta-learning: a few digits, turned."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import torch

from snn_gan_ext.coding.augment import turned
from snn_gan_ext.coding.images import Labelled
from snn_gan_ext.errors import InputError

__all__ = ["DigitTask", "draw_tasks"]


@dataclass(frozen=True)
class DigitTask:
    """Some digits with the labels 0, 1, ..., each turned by an angle.

    Attributes:
        digits: which.
        degrees: by how much each is turned, against the clock.

    Raises:
        InputError: if there is not one angle for each digit.
    """

    digits: tuple[int, ...]
    degrees: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.digits) != len(self.degrees) or not self.digits:
            raise InputError(
                "degrees",
                expected=f"an angle for each of one or more digits {self.digits}",
                got=f"{self.degrees}",
            )

    def pick(self, data: Labelled) -> Labelled:
        """Its images among digits of all kinds.

        Args:
            data: square images ``[n, side ** 2]`` and which digit each is.

        Raises:
            InputError: if one of its digits is missing.
        """
        parts = [
            turned(data.images[data.labels == digit], angle)
            for digit, angle in zip(self.digits, self.degrees, strict=True)
        ]
        counts = torch.tensor([len(part) for part in parts])
        if not bool(counts.all()):
            present = sorted(set(data.labels.tolist()))
            raise InputError("data", expected=f"digits {self.digits}", got=f"{present} alone")
        return Labelled(torch.cat(parts), torch.arange(len(parts)).repeat_interleave(counts))


def draw_tasks(
    digits: Sequence[int],
    count: int,
    rng: torch.Generator,
    *,
    classes: int = 2,
    any_angle: bool = False,
    without: Sequence[frozenset[int]] = (),
) -> list[DigitTask]:
    """Draws tasks: different digits in any order, and how each is turned.

    Args:
        digits: those that tasks are made of.
        count: number of tasks.
        rng: of the draws.
        classes: digits of a task.
        any_angle: turn by any angle; by default by a multiple of 90 degrees.
        without: sets of digits that make no task.

    Raises:
        InputError: if there are fewer digits than classes or one comes twice, or no set is left.
    """
    if not 1 <= classes <= len(digits):
        raise InputError("classes", expected=f"1 .. {len(digits)} digits of {digits}", got=f"{classes}")
    if len(set(digits)) < len(digits):
        raise InputError("digits", expected="each of them once", got=f"{list(digits)}")
    left_out = {frozenset(one) for one in without}
    if all(frozenset(one) in left_out for one in combinations(digits, classes)):
        raise InputError("digits", expected="a set that is not left out", got=f"{list(digits)}")
    tasks: list[DigitTask] = []
    while len(tasks) < count:
        picks = torch.randperm(len(digits), generator=rng)[:classes].tolist()
        angles = 360 * torch.rand(classes, generator=rng)
        if not any_angle:
            angles = angles.div(90).floor() * 90
        chosen = tuple(digits[pick] for pick in picks)
        if frozenset(chosen) not in left_out:
            tasks.append(DigitTask(chosen, tuple(angles.tolist())))
    return tasks
