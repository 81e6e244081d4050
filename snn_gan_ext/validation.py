"""Rules for numbers, names, labels and tensors, and one form of message for all of them.

Two rules hold everywhere:

- A whole number is a Python ``int``. ``bool`` and NumPy scalars are refused, because a checkpoint does
  not restore them.
- Labels are a tensor ``[B]`` of any integer dtype except ``bool``. Values lie in ``0 .. classes - 1``.

Checks of tensor values do nothing where no value exists: under `torch.compile`, under `torch.vmap` and
on the meta device.
"""

from __future__ import annotations

import math
import reprlib
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

from snn_gan_ext.errors import InputError

if TYPE_CHECKING:  # settings are checked before torch is loaded
    from torch import Tensor

__all__ = [
    "SEED",
    "Rule",
    "above",
    "at_least",
    "between",
    "check_basis",
    "check_finite",
    "check_labels",
    "check_positive",
    "check_setting",
    "check_settings",
    "check_tensor",
    "concrete",
    "one_of",
    "whole",
]

Closed = Literal["both", "left", "right", "neither"]


class Rule(NamedTuple):
    """A condition on a value.

    Attributes:
        meaning: Wording of the condition in messages.
        allows: Test of a value.
    """

    meaning: str
    allows: Callable[[Any], bool]


def check_settings(settings: object, **rules: Rule) -> None:
    """Check attributes of an object against rules.

    Args:
        settings: Object that holds the attributes, usually a dataclass.
        rules: Rules by attribute name.

    Raises:
        InputError: At the first attribute that its rule refuses.

    >>> from types import SimpleNamespace
    >>> check_settings(SimpleNamespace(updates=1.5), updates=whole(1))
    Traceback (most recent call last):
    snn_gan_ext.errors.InputError: updates: expected a whole number of at least 1, got 1.5
    """
    for name, rule in rules.items():
        check_setting(name, getattr(settings, name), rule)


def check_setting(name: str, value: object, rule: Rule) -> None:
    """Check one value against a rule.

    Args:
        name: Name of the value in the message.
        value: Any object.
        rule: Rule for the value.

    Raises:
        InputError: If the rule refuses the value.
    """
    if not rule.allows(value):
        cure = "convert it with int() or float()" if hasattr(value, "item") else ""
        raise InputError(name, expected=rule.meaning, got=_shown(value), cure=cure)


def whole(least: int, most: int | None = None) -> Rule:
    """Return the rule for whole numbers from ``least`` to ``most``, both included."""
    meaning = f"of at least {least}" if most is None else f"from {least} to {most}"
    limit = sys.maxsize if most is None else most
    return Rule(f"a whole number {meaning}", lambda x: type(x) is int and least <= x <= limit)


def at_least(least: float) -> Rule:
    """Return the rule for finite numbers of ``least`` or more."""
    return _number(f"{least} or more", lambda x: x >= least)


def above(bound: float) -> Rule:
    """Return the rule for finite numbers above ``bound``."""
    return _number(f"above {bound}", lambda x: x > bound)


def between(least: float, most: float, *, closed: Closed = "both") -> Rule:
    """Return the rule for numbers in an interval; ``closed`` names the ends that belong to it."""
    left, right = closed in ("both", "left"), closed in ("both", "right")
    meaning = f"{least} .. {most}"
    if closed != "both":
        meaning = f"{least} or more" if left else f"above {least}"
        meaning += f", at most {most}" if right else f", below {most}"
    return _number(
        meaning, lambda x: least <= x <= most and (left or x != least) and (right or x != most)
    )


def one_of(kind: Any) -> Rule:
    """Return the rule for the values of a ``Literal``."""
    allowed = get_args(kind)
    return Rule(f"one of {', '.join(map(str, allowed))}", lambda x: isinstance(x, str) and x in allowed)


def check_positive(**sizes: int) -> None:
    """Check that sizes are whole numbers of at least 1.

    Args:
        sizes: Sizes by name.

    Raises:
        InputError: At the first size that is not.
    """
    for name, value in sizes.items():
        check_setting(name, value, whole(1))


def concrete(value: Tensor) -> float | None:
    """Return the number in a tensor, or None where no value exists (compile, vmap, meta device)."""
    import torch

    if torch.compiler.is_compiling():
        return None
    try:
        return value.item()
    except RuntimeError as error:
        if not any(kind in str(error) for kind in ("vmap", "meta")):
            raise
        return None


def check_tensor(name: str, value: object) -> None:
    """Check that a value is a tensor.

    Raises:
        InputError: If it is anything else.
    """
    import torch

    if not isinstance(value, torch.Tensor):
        raise InputError(name, expected="a tensor", got=type(value).__name__)


def check_finite(name: str, tensor: Tensor) -> None:
    """Check that a tensor holds no NaN and no infinity.

    Raises:
        InputError: If it does.
    """
    import torch

    # One NaN or infinity makes the sum one, and a sum is the cheapest pass over memory.
    total = tensor.sum(dtype=torch.promote_types(tensor.dtype, torch.float32))
    found = concrete(total)
    if found is not None and not math.isfinite(found) and not tensor.isfinite().all():
        raise InputError(
            name,
            expected="finite numbers",
            got="NaN or infinity",
            cure="look for them in the input and in the layer's parameters",
        )


def check_basis(name: str, basis: Tensor) -> Tensor:
    """Return a copy of a basis ``[K, L]`` in the default dtype.

    Raises:
        InputError: If it is not a matrix of finite floats.
    """
    import torch

    check_tensor(name, basis)
    if basis.dim() != 2 or 0 in basis.shape:
        raise InputError(name, expected="a basis [K, L]", got=f"shape {list(basis.shape)}")
    if not basis.is_floating_point() or not bool(basis.isfinite().all()):
        raise InputError(name, expected="finite floats", got=f"{basis.dtype}, NaN or infinity")
    return basis.detach().to(torch.get_default_dtype(), copy=True)


def check_labels(labels: Tensor, classes: int | None = None, count: int | None = None) -> Tensor:
    """Return labels as int64.

    Args:
        labels: Whole numbers ``[B]``, of any integer dtype.
        classes: Number of classes; None sets no upper bound.
        count: Number of trials ``B``; None allows any.

    Returns:
        Labels ``[B]``.

    Raises:
        InputError: If the shape or the dtype is another, or a label lies outside ``0 .. classes - 1``.

    >>> import torch
    >>> check_labels(torch.tensor([0, 3]), 3)
    Traceback (most recent call last):
    snn_gan_ext.errors.InputError: labels: expected 0 .. 2, got 0 .. 3
    """
    import torch

    check_tensor("labels", labels)
    wrong = labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool
    if wrong or labels.dim() != 1 or (count is not None and len(labels) != count):
        raise InputError(
            "labels",
            expected=f"whole numbers [{'B' if count is None else count}]",
            got=f"{labels.dtype} {list(labels.shape)}",
        )
    fits = labels >= 0 if classes is None else (labels >= 0) & (labels < classes)
    if len(labels) and concrete(fits.all()) is False:
        raise InputError(
            "labels",
            expected="0 or more" if classes is None else f"0 .. {classes - 1}",
            got=f"{int(labels.min())} .. {int(labels.max())}",
        )
    return labels.long()


def _number(meaning: str, allows: Callable[[Any], bool]) -> Rule:
    """Return a rule for Python's own finite numbers."""
    largest = sys.float_info.max
    return Rule(meaning, lambda x: type(x) in (int, float) and -largest <= x <= largest and allows(x))


def _shown(value: object) -> str:
    """Return a value as part of one line."""
    try:
        return " ".join(reprlib.repr(value).split())
    except ValueError:  # a whole number of too many digits to print
        return f"{type(value).__name__}, too long to be shown"


SEED = Rule("0 .. 2^32 - 1", whole(0, 2**32 - 1).allows)
"""Seeds that PyTorch, NumPy, scikit-learn and Brian2 all take."""
