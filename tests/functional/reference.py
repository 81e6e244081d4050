"""Eq. 2-4 of the SpikeGAN paper in plain loops, for autograd: the reference of the tests."""

import torch
from torch.nn import functional as F


def potentials(inputs, outputs, weight, feedback, bias, basis, feedback_basis, delay):
    """Potentials u [T, B, O] for given spikes; `delay` holds one number per input."""
    steps, batch, _ = outputs.shape
    rows = []
    for t in range(steps):
        u = bias.expand(batch, -1)
        for j in range(inputs.shape[-1]):
            for lag in range(basis.shape[1]):
                source = t - delay[j] - lag
                if source >= 0:
                    taps = (basis[:, lag, None] * weight[:, j]).sum(0)
                    u = u + inputs[source, :, j, None] * taps
        for lag in range(feedback_basis.shape[1]):
            if t - 1 - lag >= 0:
                taps = (feedback_basis[:, lag, None] * feedback).sum(0)
                u = u + outputs[t - 1 - lag] * taps
        rows.append(u)
    return torch.stack(rows)


def log_likelihood(spikes, u):
    """Log-probability [B]."""
    log_p = torch.where(spikes > 0, F.logsigmoid(u), F.logsigmoid(-u))
    return log_p.sum((0, 2))


def layer_log_likelihood(layer, inputs, spikes):
    """Log-probability [B] of the spikes of a dense layer, with a graph to its parameters."""
    u = potentials(
        inputs,
        spikes,
        layer.weight,
        layer.feedback,
        layer.bias,
        layer.basis,
        layer.feedback_basis,
        layer.delays,
    )
    return log_likelihood(spikes, u)
