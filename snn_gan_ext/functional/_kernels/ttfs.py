"""Loops over the events of integrate-and-fire neurons that spike at most once.

Functions have the names and results of those in `snn_gan_ext.functional.ttfs`. A pair of neurons costs
one addition. Inputs after the last output cost nothing.
"""

import numpy as np

from snn_gan_ext.functional._kernels import Array, Indices, Number, compiled

__all__ = ["masked", "ramp_times", "step_times"]


def step_times(inputs: Array, weight: Array, threshold: float, num_steps: int) -> tuple[Array, Array]:
    return _fire_at_steps(
        inputs, np.argsort(inputs, 1), weight, inputs.dtype.type(threshold), num_steps
    )


def ramp_times(inputs: Array, weight: Array, current: Array, threshold: float, horizon: float) -> Array:
    level, end = map(inputs.dtype.type, (threshold, horizon))
    return _fire_on_ramps(inputs, np.argsort(inputs, 1), weight, current, level, end)


@compiled
def _fire_at_steps(
    inputs: Array, order: Indices, weight: Array, threshold: Number, num_steps: int
) -> tuple[Array, Array]:
    """Add all events of a step, then find the potentials that have reached the threshold."""
    batch, in_features = inputs.shape
    out_features = weight.shape[1]
    times = np.full((batch, out_features), num_steps, inputs.dtype)
    potentials = np.zeros((batch, out_features), inputs.dtype)
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
    return times, potentials


@compiled
def _fire_on_ramps(
    inputs: Array, order: Indices, weight: Array, current: Array, threshold: Number, horizon: Number
) -> Array:
    """Find the crossings of the threshold; potentials are linear between two events."""
    batch, in_features = inputs.shape
    out_features = weight.shape[1]
    times = np.empty((batch, out_features), inputs.dtype)  # np.full would slow the loops below
    times[:] = horizon
    for b in range(batch):
        time, slope, silent = times[b], current.copy(), out_features
        potential, risen = np.zeros(out_features, times.dtype), np.empty(out_features, times.dtype)
        now = potential[0]
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
    return times


@compiled
def masked(values: Array, factors: Array, before: Array, after: Array, outer: bool) -> Array:
    """Compute ``masked_outer``, or ``masked_product`` with ``outer=False``."""
    rows = values.shape[1] if outer else len(values)
    sums = np.zeros((rows, after.shape[1]), values.dtype)
    for b in range(len(values)):
        latest = after[b].max()
        for i in range(values.shape[1]):
            time, value = before[b, i], values[b, i]
            factor, total = (factors[b], sums[i]) if outer else (factors[i], sums[b])
            if time <= latest and value != 0:
                for o in range(len(total)):
                    total[o] += value * factor[o] if time <= after[b, o] else 0
    return sums
