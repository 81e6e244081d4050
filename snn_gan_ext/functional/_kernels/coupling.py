"""Loops of coupled GLM neurons: a spike adds its effects to the potentials of the steps to come.

The cost is that of spikes times targets times lags, so silent neurons cost a comparison alone.
"""

from snn_gan_ext.functional._kernels import Array, Indices, compiled

__all__ = ["sample_dense", "sample_frames"]


@compiled
def sample_dense(
    potentials: Array,
    bias: Array,
    kernel: Array,
    same_step: Array,
    count: Array,
    order: Indices,
    levels: Indices,
    spikes: Array,
) -> None:
    """Turn drives into potentials and thresholds (log-odds) into spikes in place, step by step.

    ``kernel [O, L, O]`` holds the effects of a spike by source, lag and target, ``same_step [O, O]``
    those within the step. Neurons fire in ``order``; only those of a lower level count as earlier.
    """
    for t in range(potentials.shape[0]):
        for b in range(potentials.shape[1]):
            potential, spike = potentials[t, b], spikes[t, b]
            for o in range(len(bias)):
                potential[o] += bias[o]
            earlier = total = level = 0
            for i in order:
                if levels[i] > level:
                    earlier, level = total, levels[i]
                if len(count) and earlier:
                    potential[i] += count[min(earlier, len(count)) - 1]
                fires = potential[i] > spike[i]
                spike[i] = fires
                if fires:
                    total += 1
                    _spread(potentials[t:, b], kernel[i], same_step, i)


@compiled
def _spread(potentials: Array, kernel: Array, same_step: Array, i: int) -> None:
    """Add the effects of neuron ``i``'s spike at the first of these steps ``[T, O]``."""
    if len(same_step):
        now, effect = potentials[0], same_step[i]
        for o in range(len(effect)):
            now[o] += effect[o]
    for lag in range(min(len(kernel), len(potentials) - 1)):
        later, effect = potentials[1 + lag], kernel[lag]
        for o in range(len(effect)):
            later[o] += effect[o]


@compiled
def sample_frames(
    potentials: Array,
    bias: Array,
    kernel: Array,
    same_step: Array,
    kinds: Indices,
    order: Indices,
    levels: Indices,
    spikes: Array,
) -> None:
    """Do the same for frames ``[T, B, C, H, W]`` with effects shared over space.

    A target of kind ``p = kinds[c, y, x]`` hears ``kernel[p, c', i, j, lag]`` of the sources around it,
    and ``same_step[p, c', i, j]`` of those of a lower level.
    """
    steps, batch, channels, height, width = potentials.shape
    for t in range(steps):
        for b in range(batch):
            potential, spike = potentials[t, b], spikes[t, b]
            for c in range(channels):
                for y in range(height):
                    for x in range(width):
                        potential[c, y, x] += bias[c, y, x]
            for place in order:
                c, rest = divmod(place, height * width)
                y, x = divmod(rest, width)
                fires = potential[c, y, x] > spike[c, y, x]
                spike[c, y, x] = fires
                if fires:
                    for target in range(channels):
                        later = potentials[t:, b, target]
                        effects = kernel[:, c], same_step[:, c]
                        level = levels[kinds[c, y, x]]
                        _spread_in_frame(later, effects, kinds[target], levels, (level, y, x))


@compiled
def _spread_in_frame(
    potentials: Array,
    effects: tuple[Array, Array],
    kinds: Indices,
    levels: Indices,
    spike: tuple[int, int, int],
) -> None:
    """Add the effects of a spike at the first of these steps ``[T, H, W]``, of a level and a place."""
    (kernel, same_step), (level, y, x) = effects, spike
    steps, height, width = potentials.shape
    rows, columns, lags = kernel.shape[1:]
    top, left = y + rows // 2, x + columns // 2
    for v in range(max(top - rows + 1, 0), min(top + 1, height)):
        for u in range(max(left - columns + 1, 0), min(left + 1, width)):
            kind, i, j = kinds[v, u], top - v, left - u
            if len(same_step) and levels[kind] > level:
                potentials[0, v, u] += same_step[kind, i, j]
            for lag in range(min(lags, steps - 1)):
                potentials[1 + lag, v, u] += kernel[kind, i, j, lag]
