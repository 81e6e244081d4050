"""Families of small tasks for meta-learning: a few rotated digits."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import torch

from snn_gan_ext.coding.augment import turned
from snn_gan_ext.coding.images import Labelled
from snn_gan_ext.errors import InputError
from snn_gan_ext.validation import check_setting, whole

__all__ = ["DigitTask", "draw_tasks"]


@dataclass(frozen=True)
class DigitTask:
    """A few digits with the labels 0, 1, ..., each rotated by an angle.

    Attributes:
        digits: Digits of the task, in the order of their labels.
        degrees: Angle of each digit, counter-clockwise.

    Raises:
        InputError: If there are no digits, or not one angle for each.
    """

    digits: tuple[int, ...]
    degrees: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.digits) != len(self.degrees) or not self.digits:
            expected = f"an angle for each of one or more digits {self.digits}"
            raise InputError("degrees", expected=expected, got=f"{self.degrees}")

    def pick(self, data: Labelled) -> Labelled:
        """Return the task's images out of all digits, rotated and relabelled.

        Args:
            data: Square images ``[n, side ** 2]``, labelled by their digits.

        Raises:
            InputError: If a digit of the task is missing.
        """
        present = sorted(set(data.labels.tolist()))
        if not set(self.digits) <= set(present):
            raise InputError("data", expected=f"digits {self.digits}", got=f"{present}")
        turns = zip(self.digits, self.degrees, strict=True)
        parts = [turned(data.images[data.labels == digit], angle) for digit, angle in turns]
        counts = torch.tensor([len(part) for part in parts])
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
    """Draw tasks: different digits in any order, and an angle for each.

    Args:
        digits: Digits that tasks consist of.
        count: Number of tasks.
        rng: Random source of digits and angles.
        classes: Number of digits in a task.
        any_angle: Draw any angle; by default multiples of 90 degrees.
        without: Sets of digits that are not used as tasks.

    Raises:
        InputError: If there are fewer digits than classes, a digit is repeated, no set is left, or the
            count is no whole number.
    """
    check_setting("count", count, whole(0))
    check_setting("classes", classes, whole(1, len(digits)))
    if len(set(digits)) < len(digits):
        raise InputError("digits", expected="different ones", got=f"{list(digits)}")
    excluded = {frozenset(one) for one in without}
    if all(frozenset(one) in excluded for one in combinations(digits, classes)):
        expected = "a set that `without` does not exclude"
        raise InputError("digits", expected=expected, got=f"{list(digits)}")
    tasks: list[DigitTask] = []
    while len(tasks) < count:
        picks = torch.randperm(len(digits), generator=rng)[:classes].tolist()
        angles = 360 * torch.rand(classes, generator=rng)
        if not any_angle:
            angles = angles.div(90).floor() * 90
        chosen = tuple(digits[pick] for pick in picks)
        if frozenset(chosen) not in excluded:
            tasks.append(DigitTask(chosen, tuple(angles.tolist())))
    return tasks
