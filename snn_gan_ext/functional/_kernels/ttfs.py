"""Loops over the events of integrate-and-fire neurons that spike at most once.

Each computes the function of the same name in `snn_gan_ext.functional.ttfs`. A pair of neurons costs
one addition. Inputs after the last output cost nothing.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from snn_gan_ext.functional._kernels.compiling import Array, compiled

__all__ = ["masked_outer", "masked_product", "ramp_times", "step_times"]


def step_times(inputs: Array, weight: Array, threshold: float, num_steps: int) -> tuple[Array, Array]:
    """See `snn_gan_ext.functional.ttfs.step_times`."""
    times = np.full((len(inputs), weight.shape[1]), num_steps, inputs.dtype)
    potentials = np.zeros_like(times)
    order = np.argsort(inputs, 1)
    _fire_at_steps(inputs, order, weight, times.dtype.type(threshold), times, potentials)
    return times, potentials


def ramp_times(inputs: Array, weight: Array, current: Array, threshold: float, horizon: float) -> Array:
    """See `snn_gan_ext.functional.ttfs.ramp_times`."""
    times = np.full((len(inputs), weight.shape[1]), horizon, inputs.dtype)
    _fire_on_ramps(inputs, np.argsort(inputs, 1), weight, current, times.dtype.type(threshold), times)
    return times


def masked_product(values: Array, weight: Array, before: Array, after: Array) -> Array:
    """See `snn_gan_ext.functional.ttfs.masked_product`."""
    product = np.zeros_like(after)
    _add_products(values, weight, before, after, product)
    return product


def masked_outer(values: Array, errors: Array, before: Array, after: Array) -> Array:
    """See `snn_gan_ext.functional.ttfs.masked_outer`."""
    outer = np.zeros((values.shape[1], errors.shape[1]), values.dtype)
    _add_outer(values, errors, before, after, outer)
    return outer


@compiled
def _fire_at_steps(
    inputs: Array,
    order: NDArray[np.int64],
    weight: Array,
    threshold: np.floating[Any],
    times: Array,
    potentials: Array,
) -> None:
    """Add all events of a step, then find the potentials that have reached the threshold."""
    batch, in_features = inputs.shape
    out_features = weight.shape[1]
    for b in range(batch):
        time, potential = times[b], np.zeros(out_features, times.dtype)
        steps, silent = time[0], out_features
        k = 0
        while k < in_features and silent > 0:
            now = inputs[b, order[b, k]]
            if now >= steps:
                break
            while k < in_features and inputs[b, order[b, k]] == now:
                row = weight[order[b, k]]
                for o in range(out_features):
                    potential[o] += row[o]
                k += 1
            for o in range(out_features):
                if time[o] == steps and potential[o] >= threshold:
                    time[o] = now
                    potentials[b, o] = potential[o]
                    silent -= 1
        for o in range(out_features):
            if time[o] == steps:
                potentials[b, o] = potential[o]


@compiled
def _fire_on_ramps(
    inputs: Array,
    order: NDArray[np.int64],
    weight: Array,
    current: Array,
    threshold: np.floating[Any],
    times: Array,
) -> None:
    """Find the crossings of the threshold; potentials are linear between two events."""
    batch, in_features = inputs.shape
    out_features = weight.shape[1]
    for b in range(batch):
        time, slope, silent = times[b], current.copy(), out_features
        potential, risen = np.zeros(out_features, times.dtype), np.empty(out_features, times.dtype)
        now, horizon = potential[0], time[0]
        for k in range(in_features + 1):
            event = inputs[b, order[b, k]] if k < in_features else horizon
            then = min(event, horizon)
            crossings = 0
            for o in range(out_features):
                risen[o] = potential[o] + slope[o] * (then - now)
                crossings += (risen[o] >= threshold) & (time[o] == horizon)
            if crossings:
                for o in range(out_features):
                    if risen[o] >= threshold and time[o] == horizon:
                        time[o] = now + (threshold - potential[o]) / slope[o]
                silent -= crossings
            potential, risen = risen, potential
            if event >= horizon or silent == 0:
                break
            now = then
            row = weight[order[b, k]]
            for o in range(out_features):
                slope[o] += row[o]


@compiled
def _add_products(values: Array, weight: Array, before: Array, after: Array, product: Array) -> None:
    in_features, out_features = weight.shape
    for b in range(len(values)):
        latest, total = after[b].max(), product[b]
        for i in range(in_features):
            time, value, row = before[b, i], values[b, i], weight[i]
            if time <= latest and value != 0:
                for o in range(out_features):
                    total[o] += value * row[o] if time <= after[b, o] else 0


@compiled
def _add_outer(values: Array, errors: Array, before: Array, after: Array, outer: Array) -> None:
    in_features, out_features = outer.shape
    for b in range(len(values)):
        latest, error = after[b].max(), errors[b]
        for i in range(in_features):
            time, value, row = before[b, i], values[b, i], outer[i]
            if time <= latest and value != 0:
                for o in range(out_features):
                    row[o] += value * error[o] if time <= after[b, o] else 0
