r"""Integrate-and-fire neurons that spike at most once, as functions of firing times.

A neuron fires when its potential first reaches the threshold, and is silent from then on. There are two
kinds of synapses, each with its slope of a firing time by the potential:

========= ============================================================== ===================== =======
synapse   potential at ``t``                                             time                  slope
========= ============================================================== ===================== =======
step      :math:`V_j = \sum_i w_{ij} [t_i \le t]`                        whole steps           -1
ramp      :math:`V_j = b_j t + \sum_i w_{ij} (t - t_i)_+`                a real number         exact
========= ============================================================== ===================== =======

A step has no slope, so S4NN defines one. Firing times are ``[B, N]``; the end of the window stands for
silence. Every gradient is a sum over the pairs :math:`t_i \le t_j`, by `masked_product` or
`masked_outer`. These are each other's derivatives, so an R1 penalty can differentiate them again.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from functools import wraps
from typing import Any, NamedTuple, TypeVar, cast

import torch
from torch import Tensor

from snn_gan_ext.functional._dispatch import arrays_of, kernels, trackable
from snn_gan_ext.validation import check_finite, check_setting, check_shapes, check_tensor, whole

__all__ = [
    "StepSpikes",
    "clamp_passing",
    "masked_outer",
    "masked_product",
    "ramp_ticks",
    "ramp_times",
    "spikes_of",
    "step_times",
    "times_of",
]

CHUNK = 2**24  # size of the largest intermediate tensor of the PyTorch fallback
LONGEST = 2**24  # largest whole number up to which single precision is exact

Tensors = tuple[Tensor, ...]
Function = TypeVar("Function", bound=Callable[..., Any])


def _without_autocast(function: Function) -> Function:
    """Switch autocast off for a function: half precision confuses neighbouring steps."""

    @wraps(function)
    def run(*args: Any, **kwargs: Any) -> Any:
        devices = (x.device.type for x in (*args, *kwargs.values()) if isinstance(x, Tensor))
        device = next(devices, "cpu")
        known = torch.amp.is_autocast_available(device)
        with torch.autocast(device, enabled=False) if known else nullcontext():
            return function(*args, **kwargs)

    return cast(Function, run)


class StepSpikes(NamedTuple):
    """Firing steps and potentials of neurons with step synapses.

    Attributes:
        times: Firing steps ``[B, O]`` as floats, 0 .. T - 1; T for silent neurons.
        potentials: Potentials ``[B, O]`` at the firing step, or at the last one; without gradient.
    """

    times: Tensor
    potentials: Tensor


@_without_autocast
def step_times(inputs: Tensor, weight: Tensor, threshold: float, num_steps: int) -> StepSpikes:
    r"""Return the first steps at which :math:`\sum_i w_{ij} [t_i \le t]` reaches the threshold.

    The slope is S4NN's: a unit more of potential fires one step earlier. A silent neuron counts as
    firing at the last step, so that it can learn.

    .. math:: \frac{\partial t_j}{\partial w_{ij}} = -[t_i \le t_j], \qquad
        \frac{\partial t_j}{\partial t_i} = w_{ij} [t_i \le t_j]

    Args:
        inputs: Firing steps of the inputs ``[B, I]``, whole numbers; ``num_steps`` or more is silence.
        weight: Weights ``[I, O]``.
        threshold: Firing threshold of the potential, above 0.
        num_steps: Number of time steps ``T``.

    Raises:
        InputError: If shapes do not match, an input is not finite or ``num_steps`` is below 1.

    References:
        Kheradpisheh and Masquelier (2020), "Temporal backpropagation for spiking neural networks with
        one spike per neuron" (S4NN).
    """
    check_shapes(inputs=(inputs, "BI"), weight=(weight, "IO"))
    check_finite("inputs", inputs)
    check_setting("num_steps", num_steps, whole(1, LONGEST))
    return StepSpikes(*_StepTimes.apply(trackable(inputs), weight, threshold, num_steps))  # type: ignore[no-untyped-call]


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
    r"""Return the exact time at which :math:`b_j t + \sum_i w_{ij} (t - t_i)_+` reaches the threshold.

    With the slope :math:`s_j = b_j + \sum_i w_{ij} [t_i \le t_j]` of the potential,

    .. math:: \frac{\partial t_j}{\partial w_{ij}} = -\frac{(t_j - t_i)_+}{s_j}, \qquad
        \frac{\partial t_j}{\partial t_i} = \frac{w_{ij} [t_i \le t_j]}{s_j}, \qquad
        \frac{\partial t_j}{\partial b_j} = -\frac{t_j}{s_j}.

    Args:
        inputs: Firing times of the inputs ``[B, I]``, 0 or more; ``horizon`` or more is silence.
        weight: Weights ``[I, O]``.
        current: Slopes :math:`b` of the potentials without input ``[O]``.
        threshold: Firing threshold of the potential, above 0.
        horizon: End of the window.
        least_slope: Lower bound of :math:`s_j` in the derivatives, which are unbounded without it.
        silent_slope: Value of :math:`1 / s_j` for silent neurons: with the true 0 they would not learn.

    Returns:
        Firing times ``[B, O]``; ``horizon`` for silent neurons.

    Raises:
        InputError: If shapes do not match or an input is not finite.
    """
    check_shapes(inputs=(inputs, "BI"), weight=(weight, "IO"), current=(current, "O"))
    check_finite("inputs", inputs)
    inputs = trackable(inputs)
    return _RampTimes.apply(inputs, weight, current, threshold, horizon, least_slope, silent_slope)  # type: ignore[no-any-return, no-untyped-call]


@torch.no_grad()
@_without_autocast
def ramp_ticks(
    inputs: Tensor, weight: Tensor, current: Tensor, threshold: float, horizon: float, ticks: int
) -> Tensor:
    """Return `ramp_times` on a clock, without gradient: the first ticks at the threshold or above.

    Args:
        inputs: Firing times of the inputs ``[B, I]``.
        weight: Weights ``[I, O]``.
        current: Slopes of the potentials without input ``[O]``.
        threshold: Firing threshold of the potential.
        horizon: End of the window.
        ticks: Number of ticks, at multiples of ``horizon / ticks``.

    Raises:
        InputError: If shapes do not match.
    """
    check_shapes(inputs=(inputs, "BI"), weight=(weight, "IO"), current=(current, "O"))
    grid = horizon / ticks * torch.arange(1, ticks + 1, device=inputs.device, dtype=inputs.dtype)
    grid = grid.view(-1, 1, 1)

    def fire(inputs: Tensor) -> Tensors:
        above = grid * current + (grid - inputs).clamp(min=0) @ weight >= threshold
        return (torch.where(above.any(0), grid.flatten()[above.byte().argmax(0)], horizon),)

    return _in_chunks(fire, inputs, ticks * sum(weight.shape))[0]


def times_of(spikes: Tensor) -> Tensor:
    r"""Return the steps ``[B, N]`` of the first spikes; T for silent neurons.

    The slope :math:`\partial t_j / \partial s_{j,t}` is 0 at later spikes and :math:`t - T` elsewhere:
    a spike that moves to the next step moves the firing step by one.

    Args:
        spikes: Spikes ``[T, B, N]``.

    Raises:
        InputError: If they are no tensor.

    >>> times_of(torch.tensor([[[0.0, 0.0]], [[1.0, 0.0]], [[1.0, 0.0]]]))
    tensor([[1., 3.]])
    """
    check_tensor("spikes", spikes)
    steps = len(spikes)
    moments = torch.arange(steps, device=spikes.device, dtype=spikes.dtype).view(-1, 1, 1)
    given = spikes.detach()
    counts = (given == 0) | (given.cumsum(0) == 1)
    return steps + ((moments - steps) * counts * spikes).sum(0)


def spikes_of(times: Tensor, num_steps: int) -> Tensor:
    r"""Return spikes ``[T, B, N]`` at firing steps.

    A later spike leaves its step and enters the next, so :math:`\partial s_{j,t} / \partial t_j` is -1
    at :math:`t_j` and 1 at the step after. Followed by `times_of` this makes a slope of 1.

    Args:
        times: Firing steps ``[B, N]``, whole numbers; ``num_steps`` or more is silence.
        num_steps: Number of time steps ``T``.

    Raises:
        InputError: If the firing steps are no tensor.

    >>> spikes_of(torch.tensor([[1.0, 3.0]]), 3).squeeze(1)
    tensor([[0., 0.],
            [1., 0.],
            [0., 0.]])
    """
    check_tensor("times", times)
    return _SpikesOf.apply(trackable(times), num_steps)  # type: ignore[no-any-return, no-untyped-call]


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


def clamp_passing(x: Tensor, low: float = -math.inf, high: float = math.inf) -> Tensor:
    """Clamp a tensor of floats; gradients pass from ``low`` to ``high``, both bounds included.

    From version 2.14 of PyTorch on, the gradient of `torch.clamp` is 0 at the bounds, where silent
    neurons are: they would stop learning.

    >>> x = torch.tensor([-1.0, 0.0, 1.0, 2.0], requires_grad=True)
    >>> clamp_passing(x, 0, 1).sum().backward()
    >>> x.grad
    tensor([0., 1., 1., 0.])
    """
    return torch.where((x >= low) & (x <= high), x, x.detach().clamp(low, high))


@_without_autocast
def masked_product(values: Tensor, weight: Tensor, before: Tensor, after: Tensor) -> Tensor:
    r"""Return sums ``[B, O]``, :math:`y_{bj} = \sum_i x_{bi} w_{ij} [t_{bi} \le t'_{bj}]`.

    Args:
        values: Values ``x`` of the inputs ``[B, I]``; differentiable.
        weight: Weights ``w [I, O]``; differentiable.
        before: Times ``t`` of the inputs ``[B, I]``.
        after: Times ``t'`` of the outputs ``[B, O]``.

    Raises:
        InputError: If shapes do not match.
    """
    check_shapes(
        before=(before, "BI"), after=(after, "BO"), values=(values, "BI"), weight=(weight, "IO")
    )
    return _Masked.apply(False, values, weight, before, after)  # type: ignore[no-any-return, no-untyped-call]


@_without_autocast
def masked_outer(values: Tensor, errors: Tensor, before: Tensor, after: Tensor) -> Tensor:
    r"""Return sums ``[I, O]``, :math:`y_{ij} = \sum_b x_{bi} e_{bj} [t_{bi} \le t'_{bj}]`.

    Args:
        values: Values ``x`` of the inputs ``[B, I]``; differentiable.
        errors: Errors ``e`` of the outputs ``[B, O]``; differentiable.
        before: Times ``t`` of the inputs ``[B, I]``.
        after: Times ``t'`` of the outputs ``[B, O]``.

    Raises:
        InputError: If shapes do not match.
    """
    check_shapes(
        before=(before, "BI"), after=(after, "BO"), values=(values, "BI"), errors=(errors, "BO")
    )
    return _Masked.apply(True, values, errors, before, after)  # type: ignore[no-any-return, no-untyped-call]


class _StepTimes(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, inputs: Tensor, weight: Tensor, threshold: float, num_steps: int
    ) -> tuple[Tensor, Tensor]:
        if arrays := arrays_of(inputs, weight):
            fired = kernels("ttfs").step_times(*arrays, threshold, num_steps)
            times, potentials = map(torch.from_numpy, fired)
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
        ctx: Any, inputs: Tensor, weight: Tensor, current: Tensor, threshold: float, *settings: float
    ) -> Tensor:
        horizon, *_ = ctx.settings = settings
        if arrays := arrays_of(inputs, weight, current):
            times = torch.from_numpy(kernels("ttfs").ramp_times(*arrays, threshold, horizon))
        else:
            times = _first_crossings(inputs, weight, current, threshold, horizon)
        ctx.save_for_backward(inputs, weight, current, times)
        return times

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        inputs, weight, current, times = ctx.saved_tensors
        horizon, least_slope, silent_slope = ctx.settings
        ones = torch.ones_like(inputs)
        slope = current + masked_product(ones, weight, inputs, times)
        later = torch.where(times < horizon, 1 / clamp_passing(slope, least_slope), silent_slope)
        error = -later * gradients[0]  # by the potential
        by_inputs = _by_inputs(ctx, error, weight, inputs, times)
        by_weight = None
        if ctx.needs_input_grad[1]:
            by_weight = masked_outer(ones, error * times, inputs, times)
            by_weight = by_weight - masked_outer(inputs, error, inputs, times)
        return by_inputs, by_weight, (error * times).sum(0), None, None, None, None


def _by_inputs(ctx: Any, error: Tensor, weight: Tensor, inputs: Tensor, times: Tensor) -> Tensor | None:
    """Return the gradient by the inputs' firing times for an error of the potentials, if needed."""
    return -masked_product(error, weight.T, -times, -inputs) if ctx.needs_input_grad[0] else None


class _Masked(torch.autograd.Function):
    """`masked_outer`, or `masked_product`: derivatives of one are sums of both kinds."""

    @staticmethod
    def forward(
        ctx: Any, outer: bool, values: Tensor, factors: Tensor, before: Tensor, after: Tensor
    ) -> Tensor:
        ctx.outer = outer
        ctx.save_for_backward(values, factors, before, after)
        if arrays := arrays_of(values, factors, before, after):
            return torch.from_numpy(kernels("ttfs").masked(*arrays, outer))
        masks = _masks(before, after)
        if not outer:
            parts = [torch.einsum("bi,bio->bo", values[b], mask * factors) for b, mask in masks]
            return torch.cat(parts)
        sums = values.new_zeros(values.shape[1], factors.shape[1])
        for b, mask in masks:
            sums += torch.einsum("bi,bo,bio->io", values[b], factors[b], mask.to(values))
        return sums

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[None, Tensor, Tensor, None, None]:
        values, factors, before, after = ctx.saved_tensors
        errors, weight = (factors, gradients[0]) if ctx.outer else (gradients[0], factors)
        by_values = masked_product(errors, weight.T, -after, -before)
        other = masked_product if ctx.outer else masked_outer
        return None, by_values, other(values, gradients[0], before, after), None, None


def _masks(before: Tensor, after: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """Yield masks ``[b, I, O]`` of the inputs before each output, in chunks of trials."""
    for part in _chunks(len(before), before.shape[1] * after.shape[1]):
        yield part, before[part].unsqueeze(2) <= after[part].unsqueeze(1)


def _chunks(batch: int, size: int) -> list[slice]:
    """Split trials into chunks for tensors of ``size`` numbers per trial."""
    width = max(CHUNK // size, 1)
    return [slice(start, start + width) for start in range(0, max(batch, 1), width)]


def _first_steps(inputs: Tensor, weight: Tensor, threshold: float, num_steps: int) -> Tensors:
    """Compute `step_times` with PyTorch operations, from the potentials at all steps."""

    def fire(inputs: Tensor) -> Tensors:
        moments = torch.arange(num_steps, device=inputs.device, dtype=inputs.dtype).view(-1, 1, 1)
        potentials = (inputs <= moments).to(weight.dtype) @ weight
        above = potentials >= threshold
        times = torch.where(above.any(0), above.byte().argmax(0), num_steps)
        last = times.clamp(max=num_steps - 1).unsqueeze(0)
        return times.to(weight.dtype), potentials.gather(0, last).squeeze(0)

    return _in_chunks(fire, inputs, num_steps * sum(weight.shape))


def _first_crossings(
    inputs: Tensor, weight: Tensor, current: Tensor, threshold: float, horizon: float
) -> Tensor:
    """Compute `ramp_times` with PyTorch operations, from the potentials at all events."""

    def fire(inputs: Tensor) -> Tensors:
        events, order = inputs.clamp(max=horizon).sort(1)
        start, end = events.new_zeros(len(events), 1), events.new_full((len(events), 1), horizon)
        steps = weight[order] * (events < horizon).unsqueeze(2)
        slopes = current + torch.cat([torch.zeros_like(steps[:, :1]), steps.cumsum(1)], 1)
        widths = torch.cat([events, end], 1) - torch.cat([start, events], 1)
        rises = slopes * widths.unsqueeze(2)
        after = rises.cumsum(1)
        crossed = after >= threshold
        first = crossed.byte().argmax(1, keepdim=True)
        missing = threshold - (after - rises).gather(1, first)
        begin = torch.cat([start, events], 1).unsqueeze(2).expand_as(after).gather(1, first)
        times = begin + missing / slopes.gather(1, first)
        return (torch.where(crossed.any(1), times.squeeze(1), horizon),)

    return _in_chunks(fire, inputs, (weight.shape[0] + 1) * weight.shape[1])[0]


def _in_chunks(fire: Callable[[Tensor], Tensors], inputs: Tensor, size: int) -> Tensors:
    parts = [fire(inputs[part]) for part in _chunks(len(inputs), size)]
    return tuple(torch.cat(column) for column in zip(*parts, strict=True))
