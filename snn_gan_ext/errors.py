"""The exceptions for bad input."""

from functools import partial
from typing import Any, Self

__all__ = ["InputError", "NonFiniteInput", "first_line"]


class InputError(ValueError):
    """Bad input, with the expected value, the actual one and the cure in one line.

    Args:
        subject: Name of the input, for example ``"labels"``.
        expected: Description of valid input.
        got: Description of the actual input.
        cure: Instruction for the caller, if the rest does not imply it.
    """

    def __init__(self, subject: str, *, expected: str, got: str, cure: str = "") -> None:
        message = f"{subject}: expected {expected}, got {got}"
        super().__init__(f"{message}; {cure}" if cure else message)
        self.subject, self._words = subject, {"expected": expected, "got": got, "cure": cure}

    def within(self, place: str) -> Self:
        """Return the error with a place before its subject, as in ``learner.lr.end``."""
        return type(self)(f"{place}.{self.subject}", **self._words)

    def __reduce__(self) -> tuple[Any, ...]:
        return partial(type(self), self.subject, **self._words), ()


class NonFiniteInput(InputError):
    """Input that is NaN or infinite; in training, a sign that it diverges."""


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, or the error's name."""
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
