"""Rules for numbers, names, labels and tensors, and one form of message for all of them.

A whole number is a Python ``int``: a checkpoint restores neither ``bool`` nor NumPy scalars. Labels are
integers ``[B]`` in ``0 .. classes - 1``. Checks of tensor values do nothing where no value exists, as
under `torch.compile`, under `torch.vmap` and on the meta device.
"""

from __future__ import annotations

import math
import os
import reprlib
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

from snn_gan_ext.errors import InputError, NonFiniteInput, first_line

if TYPE_CHECKING:  # settings are checked before torch is loaded
    import torch
    from torch import Tensor

__all__ = [
    "FINITE",
    "SEED",
    "Rule",
    "above",
    "at_least",
    "between",
    "check_basis",
    "check_device",
    "check_finite",
    "check_floats",
    "check_independent",
    "check_labels",
    "check_parts",
    "check_positive",
    "check_setting",
    "check_settings",
    "check_shapes",
    "check_spikes",
    "check_tensor",
    "check_tensors",
    "check_uniforms",
    "check_valued",
    "check_values",
    "concrete",
    "one_of",
    "path_of",
    "plain",
    "plain_floats",
    "require",
    "whole",
]


class Rule(NamedTuple):
    """A condition on a value.

    Attributes:
        meaning: Wording of the condition in messages.
        allows: Test of a value.
    """

    meaning: str
    allows: Callable[[Any], bool]


def check_settings(settings: object, **rules: Rule) -> None:
    """Check attributes of an object, usually a dataclass, against rules by attribute name.

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


def check_positive(**sizes: int) -> None:
    """Check that sizes, by name, are whole numbers of at least 1.

    Raises:
        InputError: At the first other size.
    """
    for name, value in sizes.items():
        check_setting(name, value, whole(1))


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


def between(
    least: float, most: float, *, closed: Literal["both", "left", "right", "neither"] = "both"
) -> Rule:
    """Return the rule for numbers in an interval; ``closed`` names the ends that belong to it."""
    left, right = closed in ("both", "left"), closed in ("both", "right")
    lower, upper = f"{least} or more" if left else f"above {least}", "at most" if right else "below"
    meaning = f"{least} .. {most}" if closed == "both" else f"{lower}, {upper} {most}"
    return _number(
        meaning, lambda x: least <= x <= most and (left or x != least) and (right or x != most)
    )


def one_of(kind: Any) -> Rule:
    """Return the rule for the values of a ``Literal``."""
    allowed = get_args(kind)
    return Rule(f"one of {', '.join(map(str, allowed))}", lambda x: isinstance(x, str) and x in allowed)


def _number(meaning: str, allows: Callable[[Any], bool]) -> Rule:
    """Return a rule for some of Python's own finite numbers."""
    largest = sys.float_info.max
    return Rule(meaning, lambda x: type(x) in (int, float) and -largest <= x <= largest and allows(x))


def _shown(value: object) -> str:
    """Return a value as part of one line."""
    try:
        return " ".join(reprlib.repr(value).split())
    except ValueError:  # a whole number of too many digits to print
        return f"{type(value).__name__}, too long to be shown"


FINITE = _number("a finite number", lambda x: True)
"""Python's own finite numbers."""

SEED = Rule("0 .. 2^32 - 1", whole(0, 2**32 - 1).allows)
"""Seeds that PyTorch, NumPy, scikit-learn and Brian2 all take."""


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


def plain(tensor: Tensor) -> Tensor:
    """Return a tensor's values without graph, on the CPU.

    Raises:
        InputError: If it has none, as on the meta device, or `check_tensor` refuses it.
    """
    check_valued("tensor", tensor)
    return tensor.detach().cpu()


def plain_floats(tensor: Tensor) -> Tensor:
    """Return a tensor's `plain` values in double precision if it has that, else in single precision."""
    import torch

    return plain(tensor).to(torch.promote_types(tensor.dtype, torch.float32))


def path_of(name: str, value: str | os.PathLike[str]) -> Path:
    """Return a path that a user gave, its ``~`` expanded.

    Args:
        name: Name of the path in the message.
        value: Path.

    Raises:
        InputError: If it is empty, no path, holds a NUL byte, or starts with the home of nobody.
    """
    fits = isinstance(value, str | os.PathLike)
    text = os.fspath(value) if fits else b""
    if not isinstance(text, str) or not text or "\0" in text:
        raise InputError(name, expected="a path", got=_shown(value))
    try:
        return Path(text).expanduser()
    except RuntimeError:
        cure = "give the whole path, or set HOME"
        raise InputError(name, expected="a home folder for ~", got="none", cure=cure) from None


def require(module: str, cure: str) -> ModuleType:
    """Import a module of a package that may be missing, or broken, and return it.

    Args:
        module: Full name of the module.
        cure: Instruction in the message.

    Raises:
        InputError: If the import fails, with whatever error.
    """
    package = module.partition(".")[0]
    try:
        return import_module(module)
    except Exception as error:
        got = "an environment without it"
        if not isinstance(error, ModuleNotFoundError) or error.name != package:
            got = f"one that fails on import ({type(error).__name__}: {first_line(error)})"
        expected = f"the package {package}"
        raise InputError(package, expected=expected, got=got, cure=cure) from None


def check_tensor(name: str, value: object) -> None:
    """Check that a value is a dense tensor of real numbers, without names of axes.

    Raises:
        InputError: If it is anything else.
    """
    import torch

    if not isinstance(value, torch.Tensor):
        cure = "convert it with torch.as_tensor()" if hasattr(value, "__len__") else ""
        raise InputError(name, expected="a tensor", got=type(value).__name__, cure=cure)
    narrow = value.is_floating_point() and value.element_size() == 1
    strided, named = value.layout == torch.strided, _is_named(value)
    if strided and not (narrow or named or value.is_nested or value.is_quantized or value.is_complex()):
        return
    kinds = (
        (value.is_nested, "a nested one", "pad it with torch.nested.to_padded_tensor()"),
        (value.is_quantized, "a quantised one", "convert it with .dequantize()"),
        (not strided, f"{value.layout}", "convert it with .to_dense()"),
        (value.is_complex(), f"{value.dtype}", "take .real or .abs()"),
        (narrow, f"{value.dtype}", "convert it with .float()"),
        (named, "one with names", "drop them with .rename(None)"),
    )
    for found, got, cure in kinds:
        if found:
            raise InputError(name, expected="a dense tensor of real numbers", got=got, cure=cure)


def check_valued(name: str, tensor: Tensor) -> None:
    """Check that a value is a tensor, and not on the meta device; see `check_tensor`.

    Raises:
        InputError: If it is anything else.
    """
    check_tensor(name, tensor)
    if tensor.is_meta:
        raise InputError(name, expected="values", got="a tensor on the meta device")


def check_tensors(**tensors: Tensor) -> None:
    """Check that values, by name, are tensors on one device; see `check_tensor`.

    Raises:
        InputError: At the first other value.
    """
    device = None
    for name, tensor in tensors.items():
        check_tensor(name, tensor)
        device = device or tensor.device
        check_device(name, tensor, device)


def _is_named(tensor: Tensor) -> bool:
    import torch

    if not hasattr(torch.Tensor, "names") or torch.compiler.is_compiling():
        return False  # PyTorch 2.13 has no named tensors any more
    return any(name is not None for name in getattr(tensor, "names", ()))


def check_parts(name: str, value: object, expected: str, *parts: str) -> None:
    """Check that a value has some attributes.

    Args:
        name: Name of the value in the message.
        value: Any object.
        expected: Wording of the condition in the message.
        parts: Names of the attributes.

    Raises:
        InputError: If one is missing.
    """
    if not all(hasattr(value, part) for part in parts):
        raise InputError(name, expected=expected, got=type(value).__name__)


def check_device(name: str, tensor: Tensor, device: torch.device) -> None:
    """Check that a tensor is on a device.

    Raises:
        InputError: If it is on another.
    """
    if tensor.device != device:
        got, cure = f"one on {tensor.device}", f"move it with .to({str(device)!r})"
        raise InputError(name, expected=f"a tensor on {device}", got=got, cure=cure)


def check_floats(name: str, tensor: Tensor) -> None:
    """Check that a tensor holds floats.

    Raises:
        InputError: If it holds numbers of another kind.
    """
    if not tensor.is_floating_point():
        raise InputError(name, expected="floats", got=f"{tensor.dtype}")


def check_shapes(cure: str = "", /, **tensors: tuple[Tensor, Sequence[int | str]]) -> None:
    """Check the shapes of tensors, and that they are on one device.

    Args:
        cure: Instruction in the message.
        tensors: Tensors with their axes, by name. An axis is a size, or a letter that stands for one
            size in all of them: of at least 1, except that the batch ``B`` may be empty.

    Raises:
        InputError: At the first value that is no such tensor or has another shape.

    >>> import torch
    >>> check_shapes(inputs=(torch.ones(5, 3), "BI"), weight=(torch.ones(4, 2), "IO"))
    Traceback (most recent call last):
    snn_gan_ext.errors.InputError: weight: expected shape [3, O], got [4, 2]
    """
    known: dict[int | str, int | str] = {}
    for name, (tensor, axes) in tensors.items():
        check_tensor(name, tensor)
        shape, expected = tensor.shape, tuple(map(known.get, axes, axes))
        fits = shape == expected or len(shape) == len(expected)
        for size, axis in zip(shape, expected, strict=False):
            fits = fits and (size == axis or (isinstance(axis, str) and (size > 0 or axis == "B")))
        if not fits:
            shown = ", ".join(map(str, expected))
            raise InputError(name, expected=f"shape [{shown}]", got=f"{list(shape)}", cure=cure)
        known.update(zip(axes, shape, strict=True))
    check_tensors(**{name: tensor for name, (tensor, _) in tensors.items()})


def check_values(name: str, tensor: Tensor, fits: Tensor, expected: str, cure: str = "") -> None:
    """Check that a condition holds for all values of a tensor.

    Args:
        name: Name of the tensor in the message.
        tensor: Tensor of any shape.
        fits: Result of the condition for each value, booleans of the same shape.
        expected: Wording of the condition in the message.
        cure: Instruction in the message.

    Raises:
        InputError: At the first value that is refused.
    """
    if concrete(fits.all()) is False:
        raise InputError(name, expected=expected, got=f"{tensor[~fits][0].item():.7g}", cure=cure)


def check_spikes(name: str, spikes: Tensor) -> None:
    """Check that a tensor holds zeros and ones alone.

    Raises:
        InputError: At the first other value.
    """
    check_values(name, spikes, (spikes == 0) | (spikes == 1), "zeros and ones")


def check_uniforms(uniforms: Tensor, shape: Sequence[int]) -> None:
    """Check that uniform noise has a shape and values in [0, 1].

    Raises:
        InputError: If it is no tensor of floats, or the shape or a value is another.
    """
    check_shapes(uniforms=(uniforms, shape))
    check_floats("uniforms", uniforms)
    fits = (uniforms >= 0) & (uniforms <= 1)
    check_values("uniforms", uniforms, fits, "values in [0, 1)", "draw them with torch.rand")


def check_finite(name: str, tensor: Tensor) -> None:
    """Check that a tensor holds no NaN and no infinity.

    Raises:
        NonFiniteInput: If it does.
    """
    # One NaN or infinity makes the sum one, and a sum is the cheapest pass over memory.
    found = concrete(tensor.sum())
    if found is not None and not math.isfinite(found) and not tensor.isfinite().all():
        cure = "look for them in the input and in the layer's parameters"
        raise NonFiniteInput(name, expected="finite numbers", got="NaN or infinity", cure=cure)


def check_basis(name: str, basis: Tensor) -> Tensor:
    """Return a copy of a basis ``[K, L]`` in the default dtype, on the default device.

    Raises:
        InputError: If it is not a matrix of finite floats, or its functions depend on each other.
    """
    import torch

    check_shapes(**{name: (basis, "KL")})
    check_floats(name, basis)
    check_finite(name, basis)
    if basis.requires_grad:
        raise InputError(
            name,
            expected="a fixed tensor",
            got="one that requires gradients; bases do not learn",
            cure="pass basis.detach()",
        )
    check_independent(name, basis)
    here = torch.empty(0).device
    if basis.is_meta:
        check_device(name, basis, here)
    return basis.detach().to(here, torch.get_default_dtype(), copy=True)


def check_independent(name: str, basis: Tensor, cure: str = "take fewer functions") -> None:
    """Check that no function of a basis ``[K, L]`` is a combination of the others, or zero.

    Weights of such functions would never act, or would share their effect.

    Args:
        name: Name of the basis in the message.
        basis: Basis ``[K, L]``. Its functions count as dependent if they are so in single precision.
        cure: Instruction in the message.

    Raises:
        InputError: If there are fewer independent functions than rows.
    """
    import torch

    if basis.is_meta:
        return
    rounding = max(basis.shape) * torch.finfo(torch.float32).eps
    rank = int(torch.linalg.matrix_rank(basis.detach().double(), rtol=rounding))
    if rank < len(basis):
        count, length = basis.shape
        expected = f"{count} independent functions over {length} steps"
        raise InputError(name, expected=expected, got=f"{rank}", cure=cure)


def check_labels(labels: Tensor, classes: int | None = None, count: int | None = None) -> Tensor:
    """Return labels ``[B]`` as int64.

    Args:
        labels: Whole numbers ``[B]``, of any integer dtype but ``bool``.
        classes: Number of classes; None sets no upper bound.
        count: Number of trials ``B``; None allows any.

    Raises:
        InputError: If the shape or the dtype is another, or a label lies outside ``0 .. classes - 1``.

    >>> import torch
    >>> check_labels(torch.tensor([0, 3]), 3)
    Traceback (most recent call last):
    snn_gan_ext.errors.InputError: labels: expected 0 .. 2, got 3
    """
    import torch

    check_valued("labels", labels)
    wrong = labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool
    if wrong or labels.dim() != 1 or (count is not None and len(labels) != count):
        expected = f"whole numbers [{'B' if count is None else count}]"
        raise InputError("labels", expected=expected, got=f"{labels.dtype} {list(labels.shape)}")
    expected = "0 or more" if classes is None else f"0 .. {classes - 1}"
    fits = (labels >= 0) & (labels < (math.inf if classes is None else classes))
    check_values("labels", labels, fits, expected)
    return labels.to(torch.int64, copy=labels.is_inference())
