"""The one exception that means "the input is at fault", and how its message is worded."""

__all__ = ["InputError"]


class InputError(ValueError):
    """Bad input. The message says in one line what was expected, what came, and the cure.

    Args:
        subject: the thing at fault, for example ``"labels"``.
        expected: what it should have been.
        got: what came instead.
        cure: what the caller can do about it; left out where the first parts say it already.
    """

    def __init__(self, subject: str, *, expected: str, got: str, cure: str = "") -> None:
        message = f"{subject}: expected {expected}, got {got}"
        super().__init__(f"{message}; {cure}" if cure else message)
