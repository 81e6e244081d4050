"""Loops of GLM neurons that skip silent inputs and need no temporaries.

Functions have the names and results of those in `snn_gan_ext.functional.glm`, for one network (spikes
``[T, B, N]``). A spike costs one row of additions, so sparse inputs are faster than a dense product.
"""

import numpy as np

from snn_gan_ext.functional._kernels import Array, Indices, compiled

__all__ = ["feedback_gradient", "is_sparse", "sample", "synaptic_drive", "synaptic_gradient"]

# Below this density one thread that skips zeros beats one that multiplies them (docs/decisions/0009).
BREAK_EVEN = 0.3
PROBES = 2**11


def is_sparse(inputs: Array, threads: int) -> bool:
    """Tell whether skipping zeros beats a dense product on ``threads`` threads."""
    probes = inputs.reshape(-1)[:: inputs.size // PROBES | 1]
    return bool(np.count_nonzero(probes) * threads <= BREAK_EVEN * len(probes))


def synaptic_drive(inputs: Array, weight: Array, basis: Array, delay: int) -> Array:
    drive = np.zeros((*inputs.shape[:2], weight.shape[2]), inputs.dtype)
    side_by_side = weight.transpose(1, 0, 2).reshape(weight.shape[1], -1)
    _add_drive(inputs, np.ascontiguousarray(side_by_side), basis, delay, drive)
    return drive


def synaptic_gradient(inputs: Array, error: Array, basis: Array, delay: int) -> Array:
    gradient = np.zeros((inputs.shape[2], len(basis), error.shape[2]), inputs.dtype)
    _add_gradient(inputs, error, basis, delay, gradient.reshape(len(gradient), -1))
    return np.ascontiguousarray(gradient.transpose(1, 0, 2))


def feedback_gradient(outputs: Array, error: Array, basis: Array) -> Array:
    by_lag = np.zeros((basis.shape[1], outputs.shape[2]), outputs.dtype)
    _correlate(outputs, error, by_lag)
    return basis @ by_lag


@compiled
def _find_events(row: Array, events: Indices) -> int:
    """List the nonzero entries of a row, without a branch: each event would mispredict it."""
    count = 0
    for i in range(len(row)):
        events[count] = i
        count += row[i] != 0
    return count


@compiled
def _add_rows(row: Array, events: Indices, count: int, weight: Array, drive: Array) -> None:
    """Add ``row @ weight`` to the drive, four events at a time to save passes over the drive."""
    done = 0
    while done + 4 <= count:
        a, b, c, d = events[done], events[done + 1], events[done + 2], events[done + 3]
        x_a, x_b, x_c, x_d = row[a], row[b], row[c], row[d]
        w_a, w_b, w_c, w_d = weight[a], weight[b], weight[c], weight[d]
        for o in range(len(drive)):
            drive[o] += x_a * w_a[o] + x_b * w_b[o] + x_c * w_c[o] + x_d * w_d[o]
        done += 4
    for event in events[done:count]:
        x, w = row[event], weight[event]
        for o in range(len(drive)):
            drive[o] += x * w[o]


@compiled
def _add_drive(inputs: Array, weight: Array, basis: Array, delay: int, drive: Array) -> None:
    """Weight the events of each step and add their effect to the drive of the later steps."""
    steps, batch, in_features = inputs.shape
    functions, length = basis.shape
    out_features = drive.shape[2]
    weighed = np.empty((functions, out_features), drive.dtype)
    events = np.empty(in_features, np.int64)
    for t in range(steps - delay):
        for b in range(batch):
            weighed[:] = 0
            count = _find_events(inputs[t, b], events)
            _add_rows(inputs[t, b], events, count, weight, weighed.reshape(-1))
            for k in range(functions):
                for lag in range(min(length, steps - t - delay)):
                    tap, later = basis[k, lag], drive[t + delay + lag, b]
                    for o in range(out_features):
                        later[o] += tap * weighed[k, o]


@compiled
def _add_gradient(inputs: Array, error: Array, basis: Array, delay: int, gradient: Array) -> None:
    """Filter the errors back to each step and add them to the rows ``[I, K * O]`` of its events."""
    steps, batch, in_features = inputs.shape
    functions, length = basis.shape
    out_features = error.shape[2]
    history = steps - error.shape[0]
    back = np.empty((functions, out_features), error.dtype)
    events = np.empty(in_features, np.int64)
    for t in range(steps - delay):
        for b in range(batch):
            back[:] = 0
            for k in range(functions):
                for lag in range(max(history - t - delay, 0), min(length, steps - t - delay)):
                    tap, later = basis[k, lag], error[t + delay + lag - history, b]
                    for o in range(out_features):
                        back[k, o] += tap * later[o]
            flat = back.reshape(-1)
            for event in events[: _find_events(inputs[t, b], events)]:
                x, row = inputs[t, b, event], gradient[event]
                for o in range(len(flat)):
                    row[o] += x * flat[o]


@compiled
def sample(potentials: Array, bias: Array, kernel: Array, spikes: Array) -> None:
    """Turn drives into potentials and thresholds (log-odds) into spikes in place, step by step."""
    steps, batch, neurons = potentials.shape
    for t in range(steps):
        for b in range(batch):
            potential, spike = potentials[t, b], spikes[t, b]
            for o in range(neurons):
                potential[o] += bias[o]
            for lag in range(min(len(kernel), t)):
                effect, earlier = kernel[lag], spikes[t - 1 - lag, b]
                for o in range(neurons):
                    potential[o] += effect[o] * earlier[o]
            for o in range(neurons):
                spike[o] = potential[o] > spike[o]


@compiled
def _correlate(outputs: Array, error: Array, by_lag: Array) -> None:
    """Sum error times own spike over time and trials, for each lag."""
    steps, batch, neurons = error.shape
    history = outputs.shape[0] - steps
    for t in range(steps):
        for b in range(batch):
            for lag in range(min(len(by_lag), history + t)):
                total, earlier = by_lag[lag], outputs[history + t - 1 - lag, b]
                for o in range(neurons):
                    total[o] += earlier[o] * error[t, b, o]
