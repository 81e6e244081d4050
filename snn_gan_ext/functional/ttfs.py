r"""Integrate-and-fire neurons that spike at most once, as functions of firing times.

A neuron fires when its potential first reaches the threshold, and is silent from then on. Two kinds of
synapses, and with them two slopes of a firing time by the potential:

========= ============================================================== ===================== =======
synapse   potential at ``t``                                             time                  slope
========= ============================================================== ===================== =======
step      :math:`V_j = \sum_i w_{ij} [t_i \le t]`                        whole steps           -1
ramp      :math:`V_j = b_j t + \sum_i w_{ij} (t - t_i)_+`                a real number         exact
========= ============================================================== ===================== =======

A step makes no slope, so S4NN defines one. Firing times are ``[B, N]``; the end of the window stands
for "did not fire".

Every gradient here is a sum over the pairs :math:`t_i \le t_j`, by `masked_product` or `masked_outer`,
which are the derivatives of one another: so they can be differentiated again, as an R1 penalty asks.
"""

from collections.abc import Callable, Iterator
from functools import cache, wraps
from types import ModuleType
from typing import Any, NamedTuple, ParamSpec, TypeVar

import torch
from torch import Tensor

from snn_gan_ext.errors import InputError
from snn_gan_ext.functional._dispatch import arrays_of
from snn_gan_ext.functional.checks import check_finite

__all__ = [
    "StepSpikes",
    "masked_outer",
    "masked_product",
    "ramp_ticks",
    "ramp_times",
    "spikes_of",
    "step_times",
    "times_of",
]

# Numbers in the largest tensor that PyTorch's own operations make at a time.
CHUNK = 2**24
# Whole numbers up to here are exact in single precision.
LONGEST = 2**24


P = ParamSpec("P")
R = TypeVar("R")


def _without_autocast(function: Callable[P, R]) -> Callable[P, R]:
    """Half precision cannot tell a crossing's step from the next."""

    @wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        tensors = (x for x in (*args, *kwargs.values()) if isinstance(x, Tensor))
        first = next(tensors, None)
        if first is None or not torch.amp.is_autocast_available(first.device.type):
            return function(*args, **kwargs)
        with torch.autocast(first.device.type, enabled=False):
            return function(*args, **kwargs)

    return run


class StepSpikes(NamedTuple):
    """When neurons with step synapses fired.

    Attributes:
        times: firing steps ``[B, O]`` as floats, 0 .. T - 1; T where a neuron did not fire.
        potentials: ``[B, O]`` at the firing step, or at the last one; without gradient.
    """

    times: Tensor
    potentials: Tensor


@_without_autocast
def step_times(inputs: Tensor, weight: Tensor, threshold: float, num_steps: int) -> StepSpikes:
    r"""First step at which :math:`\sum_i w_{ij} [t_i \le t]` reaches the threshold.

    The slope through time is S4NN's: a potential that is one higher fires one step earlier, so

    .. math::

        \frac{\partial t_j}{\partial w_{ij}} = -[t_i \le t_j], \qquad
        \frac{\partial t_j}{\partial t_i} = w_{ij} [t_i \le t_j].

    A neuron that did not fire counts as firing at the last step there, so that it can learn.

    Args:
        inputs: firing steps of the inputs ``[B, I]``, whole numbers; ``num_steps`` or more is silence.
        weight: ``[I, O]``.
        threshold: potential at which a neuron fires, above 0.
        num_steps: length ``T`` of the window in time steps.

    References:
        Kheradpisheh and Masquelier (2020), "Temporal backpropagation for spiking neural networks with
        one spike per neuron" (S4NN).
    """
    _check_layer(inputs, weight)
    if not 1 <= num_steps <= LONGEST:
        raise InputError("num_steps", expected=f"1 .. {LONGEST}", got=f"{num_steps}")
    times, potentials = _StepTimes.apply(inputs, weight, threshold, num_steps)  # type: ignore[no-untyped-call]
    return StepSpikes(times, potentials)


@_without_autocast
def ramp_times(
    inputs: Tensor,
    weight: Tensor,
    current: Tensor,
    threshold: float,
    horizon: float,
    *,
    least_slope: float = 0.25,
    silent_slope: float = 0.1,
) -> Tensor:
    r"""First time at which :math:`b_j t + \sum_i w_{ij} (t - t_i)_+` reaches the threshold, exactly.

    Its derivatives where a neuron fires, with the rise :math:`s_j = b_j + \sum_i w_{ij} [t_i \le t_j]`
    of its potential:

    .. math::

        \frac{\partial t_j}{\partial w_{ij}} = -\frac{(t_j - t_i)_+}{s_j}, \qquad
        \frac{\partial t_j}{\partial t_i} = \frac{w_{ij} [t_i \le t_j]}{s_j}, \qquad
        \frac{\partial t_j}{\partial b_j} = -\frac{t_j}{s_j}.

    Args:
        inputs: firing times of the inputs ``[B, I]``, 0 or more; ``horizon`` or more is silence.
        weight: ``[I, O]``.
        current: what each neuron's potential rises by itself, :math:`b` ``[O]``.
        threshold: potential at which a neuron fires, above 0.
        horizon: end of the window.
        least_slope: bound below :math:`s_j` in the derivatives, which would grow without one.
        silent_slope: stands for :math:`1 / s_j` where a neuron did not fire, so that it can learn; the
            true derivative there is 0.

    Returns:
        Firing times ``[B, O]``; ``horizon`` where a neuron did not fire.
    """
    _check_layer(inputs, weight)
    _check_shapes("current", current, (weight.shape[1],))
    times: Tensor = _RampTimes.apply(  # type: ignore[no-untyped-call]
        inputs, weight, current, threshold, horizon, least_slope, silent_slope
    )
    return times


@torch.no_grad()
@_without_autocast
def ramp_ticks(
    inputs: Tensor, weight: Tensor, current: Tensor, threshold: float, horizon: float, ticks: int
) -> Tensor:
    """`ramp_times` on a clock: the first tick at which the potential has reached the threshold.

    Args:
        inputs: ``[B, I]``.
        weight: ``[I, O]``.
        current: ``[O]``.
        threshold: potential at which a neuron fires.
        horizon: end of the window.
        ticks: number of ticks; they are at ``horizon / ticks`` and its multiples.

    Returns:
        Firing times ``[B, O]``, multiples of ``horizon / ticks``.
    """
    grid = horizon / ticks * torch.arange(1, ticks + 1, device=inputs.device, dtype=inputs.dtype)
    grid = grid.view(-1, 1, 1)

    def fire(inputs: Tensor) -> tuple[Tensor]:
        potentials = grid * current + (grid - inputs).clamp(min=0) @ weight
        above = potentials >= threshold
        first = above.byte().argmax(0)
        return (torch.where(above.any(0), grid.flatten()[first], horizon),)

    (times,) = _in_chunks(fire, inputs, ticks * sum(weight.shape))
    return times


def times_of(spikes: Tensor) -> Tensor:
    r"""Spikes ``[T, B, N]`` to the step of each neuron's first one ``[B, N]``; T if there is none.

    The slope :math:`\partial t_j / \partial s_{j,t}` is :math:`t - T` at the first spike and where
    there is none, and 0 at later spikes: what is taken away at one step and put in at the next moves
    the firing step by one.

    >>> times_of(torch.tensor([[[0.0, 0.0]], [[1.0, 0.0]], [[1.0, 0.0]]]))
    tensor([[1., 3.]])
    """
    steps = len(spikes)
    moments = torch.arange(steps, device=spikes.device, dtype=spikes.dtype).view(-1, 1, 1)
    given = spikes.detach()
    counts = (given == 0) | (given.cumsum(0) == 1)
    return steps + ((moments - steps) * counts * spikes).sum(0)


def spikes_of(times: Tensor, num_steps: int) -> Tensor:
    r"""Firing steps ``[B, N]`` to spikes ``[T, B, N]``.

    Moving a spike later takes it from its step and puts it into the next, so
    :math:`\partial s_{j,t} / \partial t_j` is -1 at :math:`t_j` and 1 right after it. Behind
    `times_of` that
    makes a slope of 1.

    Args:
        times: whole numbers; ``num_steps`` or more is silence.
        num_steps: length ``T`` in time steps.

    >>> spikes_of(torch.tensor([[1.0, 3.0]]), 3).squeeze(1)
    tensor([[0., 0.],
            [1., 0.],
            [0., 0.]])
    """
    spikes: Tensor = _SpikesOf.apply(times, num_steps)  # type: ignore[no-untyped-call]
    return spikes


class _SpikesOf(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, times: Tensor, num_steps: int) -> Tensor:
        ctx.save_for_backward(times)
        moments = torch.arange(num_steps, device=times.device, dtype=times.dtype).view(-1, 1, 1)
        return (times == moments).to(times)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (times,) = ctx.saved_tensors
        steps = len(gradients[0])
        now = times.long().clamp(max=steps - 1).unsqueeze(0)
        padded = torch.cat([gradients[0], torch.zeros_like(gradients[0][:1])])
        slope = padded.gather(0, now + 1) - padded.gather(0, now)
        return slope.squeeze(0), None


@_without_autocast
def masked_product(values: Tensor, weight: Tensor, before: Tensor, after: Tensor) -> Tensor:
    r""":math:`y_{bj} = \sum_i x_{bi} w_{ij} [t_{bi} \le t'_{bj}]`, differentiable in ``x`` and ``w``.

    Args:
        values: ``x [B, I]``.
        weight: ``w [I, O]``.
        before: ``t [B, I]``.
        after: ``t' [B, O]``.

    Returns:
        ``[B, O]``.
    """
    _check_shapes("weight", weight, (before.shape[-1], after.shape[-1]))
    _check_pairs(before, after, values=(values, before))
    product: Tensor = _MaskedProduct.apply(values, weight, before, after)  # type: ignore[no-untyped-call]
    return product


@_without_autocast
def masked_outer(values: Tensor, errors: Tensor, before: Tensor, after: Tensor) -> Tensor:
    r""":math:`y_{ij} = \sum_b x_{bi} e_{bj} [t_{bi} \le t'_{bj}]`, differentiable in ``x`` and ``e``.

    Args:
        values: ``x [B, I]``.
        errors: ``e [B, O]``.
        before: ``t [B, I]``.
        after: ``t' [B, O]``.

    Returns:
        ``[I, O]``.
    """
    _check_pairs(before, after, values=(values, before), errors=(errors, after))
    outer: Tensor = _MaskedOuter.apply(values, errors, before, after)  # type: ignore[no-untyped-call]
    return outer


def _check_layer(inputs: Tensor, weight: Tensor) -> None:
    if weight.dim() != 2 or inputs.dim() != 2 or inputs.shape[1] != weight.shape[0]:
        raise InputError(
            "inputs and weight",
            expected="[B, I] and [I, O]",
            got=f"{list(inputs.shape)} and {list(weight.shape)}",
        )
    check_finite("inputs", inputs)


def _check_pairs(before: Tensor, after: Tensor, **alike: tuple[Tensor, Tensor]) -> None:
    if before.dim() != 2 or after.dim() != 2 or len(before) != len(after):
        raise InputError(
            "before and after",
            expected="[B, I] and [B, O]",
            got=f"{list(before.shape)} and {list(after.shape)}",
        )
    for name, (values, times) in alike.items():
        _check_shapes(name, values, tuple(times.shape))


def _check_shapes(name: str, tensor: Tensor, shape: tuple[int, ...]) -> None:
    if tuple(tensor.shape) != shape:
        raise InputError(name, expected=f"{list(shape)}", got=f"{list(tensor.shape)}")


class _StepTimes(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, inputs: Tensor, weight: Tensor, threshold: float, num_steps: int
    ) -> tuple[Tensor, Tensor]:
        if arrays := arrays_of(inputs, weight):
            times, potentials = map(
                torch.from_numpy, _kernels().step_times(*arrays, threshold, num_steps)
            )
        else:
            times, potentials = _first_steps(inputs, weight, threshold, num_steps)
        ctx.save_for_backward(inputs, weight, times)
        ctx.num_steps = num_steps
        ctx.mark_non_differentiable(potentials)
        return times, potentials

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor, None, None]:
        inputs, weight, times = ctx.saved_tensors
        error, last = -gradients[0], times.clamp(max=ctx.num_steps - 1)
        by_inputs = _by_inputs(ctx, error, weight, inputs, last)
        return by_inputs, masked_outer(torch.ones_like(inputs), error, inputs, last), None, None


class _RampTimes(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        inputs: Tensor,
        weight: Tensor,
        current: Tensor,
        threshold: float,
        horizon: float,
        least_slope: float,
        silent_slope: float,
    ) -> Tensor:
        if arrays := arrays_of(inputs, weight, current):
            times = torch.from_numpy(_kernels().ramp_times(*arrays, threshold, horizon))
        else:
            times = _first_crossings(inputs, weight, current, threshold, horizon)
        ctx.save_for_backward(inputs, weight, current, times)
        ctx.settings = (horizon, least_slope, silent_slope)
        return times

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        inputs, weight, current, times = ctx.saved_tensors
        horizon, least_slope, silent_slope = ctx.settings
        ones = torch.ones_like(inputs)
        slope = current + masked_product(ones, weight, inputs, times)
        later = torch.where(times < horizon, 1 / slope.clamp(min=least_slope), silent_slope)
        error = -later * gradients[0]  # by the potential
        by_inputs = _by_inputs(ctx, error, weight, inputs, times)
        by_weight = None
        if ctx.needs_input_grad[1]:
            by_weight = masked_outer(ones, error * times, inputs, times)
            by_weight = by_weight - masked_outer(inputs, error, inputs, times)
        return by_inputs, by_weight, (error * times).sum(0), None, None, None, None


def _by_inputs(ctx: Any, error: Tensor, weight: Tensor, inputs: Tensor, times: Tensor) -> Tensor | None:
    """Gradient by the inputs' firing times for an error by the potentials, if anyone asks for it."""
    if not ctx.needs_input_grad[0]:
        return None
    return -masked_product(error, weight.T, -times, -inputs)


class _MaskedProduct(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, weight: Tensor, before: Tensor, after: Tensor) -> Tensor:
        ctx.save_for_backward(values, weight, before, after)
        if arrays := arrays_of(values, weight, before, after):
            return torch.from_numpy(_kernels().masked_product(*arrays))
        parts = [
            torch.einsum("bi,bio->bo", values[part], mask * weight)
            for part, mask in _masks(before, after)
        ]
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None, None]:
        values, weight, before, after = ctx.saved_tensors
        by_values = masked_product(gradients[0], weight.T, -after, -before)
        return by_values, masked_outer(values, gradients[0], before, after), None, None


class _MaskedOuter(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, errors: Tensor, before: Tensor, after: Tensor) -> Tensor:
        ctx.save_for_backward(values, errors, before, after)
        if arrays := arrays_of(values, errors, before, after):
            return torch.from_numpy(_kernels().masked_outer(*arrays))
        outer = values.new_zeros(values.shape[1], errors.shape[1])
        for part, mask in _masks(before, after):
            outer += torch.einsum("bi,bo,bio->io", values[part], errors[part], mask.to(values))
        return outer

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None, None]:
        values, errors, before, after = ctx.saved_tensors
        by_values = masked_product(errors, gradients[0].T, -after, -before)
        return by_values, masked_product(values, gradients[0], before, after), None, None


def _masks(before: Tensor, after: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """The pairs of inputs that come before outputs ``[b, I, O]``, some trials at a time."""
    for part in _chunks(len(before), before.shape[1] * after.shape[1]):
        yield part, before[part].unsqueeze(2) <= after[part].unsqueeze(1)


def _chunks(batch: int, size: int) -> list[slice]:
    """Trials ``0 .. batch - 1`` in parts, for each trial of which a tensor has so many numbers."""
    width = max(CHUNK // size, 1)
    return [slice(start, start + width) for start in range(0, max(batch, 1), width)]


def _first_steps(
    inputs: Tensor, weight: Tensor, threshold: float, num_steps: int
) -> tuple[Tensor, Tensor]:
    """`step_times` by PyTorch's operations: the potentials at all steps."""

    def fire(inputs: Tensor) -> tuple[Tensor, Tensor]:
        moments = torch.arange(num_steps, device=inputs.device, dtype=inputs.dtype).view(-1, 1, 1)
        potentials = (inputs <= moments).to(weight.dtype) @ weight
        above = potentials >= threshold
        times = torch.where(above.any(0), above.byte().argmax(0), num_steps)
        last = times.clamp(max=num_steps - 1).unsqueeze(0)
        return times.to(weight.dtype), potentials.gather(0, last).squeeze(0)

    times, potentials = _in_chunks(fire, inputs, num_steps * sum(weight.shape))
    return times, potentials


def _first_crossings(
    inputs: Tensor, weight: Tensor, current: Tensor, threshold: float, horizon: float
) -> Tensor:
    """`ramp_times` by PyTorch's operations: potentials at all events, and the lines between."""

    def fire(inputs: Tensor) -> tuple[Tensor]:
        events, order = inputs.clamp(max=horizon).sort(1)
        start, end = events.new_zeros(len(events), 1), events.new_full((len(events), 1), horizon)
        heard = weight[order] * (events < horizon).unsqueeze(2)
        slopes = current + torch.cat([torch.zeros_like(heard[:, :1]), heard.cumsum(1)], 1)
        widths = torch.cat([events, end], 1) - torch.cat([start, events], 1)
        rises = slopes * widths.unsqueeze(2)
        after = rises.cumsum(1)
        crossed = after >= threshold
        first = crossed.byte().argmax(1, keepdim=True)
        missing = threshold - (after - rises).gather(1, first)
        begin = torch.cat([start, events], 1).unsqueeze(2).expand_as(after).gather(1, first)
        times = begin + missing / slopes.gather(1, first)
        return (torch.where(crossed.any(1), times.squeeze(1), horizon),)

    (times,) = _in_chunks(fire, inputs, (weight.shape[0] + 1) * weight.shape[1])
    return times


def _in_chunks(
    fire: Callable[[Tensor], tuple[Tensor, ...]], inputs: Tensor, size: int
) -> tuple[Tensor, ...]:
    parts = [fire(inputs[part]) for part in _chunks(len(inputs), size)]
    return tuple(torch.cat(column) for column in zip(*parts, strict=True))


@cache
def _kernels() -> ModuleType:
    """Imported when first needed, as loading numba takes a good part of a second."""
    from snn_gan_ext.functional._kernels import ttfs

    return ttfs
