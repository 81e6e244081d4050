"""One algorithm first, and then others from where it came to."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from snn_gan_ext.errors import InputError
from snn_gan_ext.training.loop import Algorithm
from snn_gan_ext.training.together import Together, TogetherState

__all__ = ["WarmStart"]


@dataclass(frozen=True, kw_only=True)
class WarmStart:
    """The first of several algorithms learns alone for some steps; then the others do, and it rests.

    Attributes:
        first: name of the algorithm that learns first.
        steps: for how many steps.
        algorithms: all of them by name.
        hand_over: gives the others what the first has learned, in place; called once.

    Raises:
        InputError: if no algorithm has the first one's name, or ``steps`` is below 1.
    """

    first: str
    steps: int
    algorithms: Mapping[str, Algorithm]
    hand_over: Callable[[TogetherState], None]

    def __post_init__(self) -> None:
        if self.first not in self.algorithms:
            raise InputError("first", expected=f"one of {list(self.algorithms)}", got=f"{self.first!r}")
        if self.steps < 1:
            raise InputError("steps", expected="at least 1", got=f"{self.steps}")

    def update(self, state: TogetherState, batch: Any) -> dict[str, float]:
        """One step of those whose turn it is; see `Together.update`."""
        if state.step == self.steps:
            self.hand_over(state)
        early = state.step < self.steps
        turn = {n: a for n, a in self.algorithms.items() if (n == self.first) == early}
        return Together(turn).update(state, batch)
