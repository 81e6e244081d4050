"""What a setting may be, said once, and one message where it is something else.

`check_settings` holds the attributes of a dataclass against rules, `check_setting` one argument.
"""

import reprlib
import sys
from collections.abc import Callable
from typing import Any, Literal, NamedTuple, get_args

from snn_gan_ext.errors import InputError

__all__ = [
    "SEED",
    "Rule",
    "above",
    "at_least",
    "between",
    "check_setting",
    "check_settings",
    "one_of",
    "whole",
]

Closed = Literal["both", "left", "right", "neither"]


class Rule(NamedTuple):
    """What a setting may be.

    Attributes:
        meaning: how a message puts it.
        allows: whether it allows a value.
    """

    meaning: str
    allows: Callable[[Any], bool]


def check_settings(settings: object, **rules: Rule) -> None:
    """Holds attributes against rules.

    Args:
        settings: the object that has them.
        rules: a rule for each, by its name.

    Raises:
        InputError: at the first setting that its rule does not allow.

    >>> from types import SimpleNamespace
    >>> check_settings(SimpleNamespace(steps=1.5), steps=whole(1))
    Traceback (most recent call last):
    snn_gan_ext.errors.InputError: steps: expected a whole number of at least 1, got 1.5
    """
    for name, rule in rules.items():
        check_setting(name, getattr(settings, name), rule)


def check_setting(name: str, value: object, rule: Rule) -> None:
    """Holds one value against a rule, under the name that its user knows it by.

    Raises:
        InputError: if the rule does not allow it.
    """
    if not rule.allows(value):
        cure = "convert it with int() or float()" if hasattr(value, "item") else ""
        raise InputError(name, expected=rule.meaning, got=_shown(value), cure=cure)


def whole(least: int, most: int | None = None) -> Rule:
    """Whole numbers, both ends included."""
    meaning = f"of at least {least}" if most is None else f"from {least} to {most}"
    limit = sys.maxsize if most is None else most
    return Rule(f"a whole number {meaning}", lambda x: type(x) is int and least <= x <= limit)


def at_least(least: float) -> Rule:
    """Finite numbers from here on."""
    return _number(f"{least} or more", lambda x: x >= least)


def above(bound: float) -> Rule:
    """Finite numbers beyond this one."""
    return _number(f"above {bound}", lambda x: x > bound)


def between(least: float, most: float, *, closed: Closed = "both") -> Rule:
    """Numbers in an interval; ``closed`` says which of its ends belong to it."""
    left, right = closed in ("both", "left"), closed in ("both", "right")
    meaning = f"{least} .. {most}"
    if closed != "both":
        meaning = f"{least} or more" if left else f"above {least}"
        meaning += f", at most {most}" if right else f", below {most}"
    return _number(
        meaning, lambda x: least <= x <= most and (left or x != least) and (right or x != most)
    )


def one_of(kind: Any) -> Rule:
    """The values of a ``Literal``."""
    allowed = get_args(kind)
    return Rule(f"one of {', '.join(map(str, allowed))}", lambda x: isinstance(x, str) and x in allowed)


def _number(meaning: str, allows: Callable[[Any], bool]) -> Rule:
    """Python's own finite numbers: what NumPy has instead, a checkpoint does not bring back."""
    largest = sys.float_info.max
    return Rule(meaning, lambda x: type(x) in (int, float) and -largest <= x <= largest and allows(x))


def _shown(value: object) -> str:
    """A value on a part of one line."""
    try:
        return " ".join(reprlib.repr(value).split())
    except ValueError:  # a whole number of too many digits to print
        return f"{type(value).__name__}, too long to be shown"


SEED = Rule("0 .. 2^32 - 1", whole(0, 2**32 - 1).allows)
"""Seeds that PyTorch, NumPy, scikit-learn and Brian2 all take."""
