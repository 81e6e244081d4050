"""The exception for bad input."""

__all__ = ["InputError"]


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
