r"""The generalized linear model (GLM) of a spiking neuron, as pure functions of tensors.

At each step a neuron's potential is a sum of filtered spikes and it fires by a biased coin:

.. math::

    u_{i,t} &= \sum_j (\alpha_{j,i} * s_j)_{t-d} + (\beta_i * s_i)_{t-1} + \gamma_i
    & \text{(eq. 2)} \\
    s_{i,t} &\sim \mathrm{Bernoulli}(\sigma(u_{i,t})) & \text{(eq. 3)}

with filters :math:`\alpha_{j,i} = A^\top w_{j,i}` over a basis ``A`` and delay ``d`` (1 in the paper).
Equation numbers are those of the SpikeGAN paper.

Layout: spikes ``[..., T, B, N]`` (time, batch, neuron), bases ``[K, L]`` (function, lag), weights
``[..., K, I, O]``, feedback weights ``[..., K, O]``, biases ``[..., O]``. Leading axes ``...`` are
populations of networks (particles, tasks) that run side by side. Time is in steps.

A window of the past is always an argument: inputs come as ``[..., H + T, B, I]``, of which the first
``H = L - 1 + d`` steps are history (zeros at the start of a recording). So a sequence cut into pieces
gives what the whole gives, down to pieces of a single step.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = [
    "causal_filter",
    "feedback_drive",
    "feedback_gradient",
    "log_likelihood",
    "sample",
    "score",
    "synaptic_drive",
    "synaptic_gradient",
]


def causal_filter(padded: Tensor, basis: Tensor, steps: int) -> Tensor:
    r"""Traces of spikes, the pre-synaptic term of eq. 5.

    .. math:: a_{k,t} = \sum_{\tau=0}^{L-1} A_{k,\tau}\, s_{t-d-\tau}

    The delay ``d`` is what the history leaves: ``padded`` starts ``L - 1 + d`` steps before the first
    output step, and its last ``d`` steps act on nothing yet.

    Args:
        padded: history and input ``[..., H + T, B, I]`` with ``H >= L - 1``.
        basis: ``[K, L]``.
        steps: number of output steps ``T``.

    Returns:
        Traces ``[..., T, B, K, I]``.
    """
    length = basis.shape[-1]
    lagged = [padded.narrow(-3, length - 1 - lag, steps) for lag in range(length)]
    return torch.stack([_weighted_sum(lagged, taps) for taps in basis], dim=-2)


def _weighted_sum(tensors: list[Tensor], weights: Tensor) -> Tensor:
    total = tensors[0] * weights[0]
    for tensor, weight in zip(tensors[1:], weights[1:], strict=True):
        total = total + tensor * weight
    return total


def synaptic_drive(traces: Tensor, weight: Tensor) -> Tensor:
    r"""What the synapses add to the potential: :math:`\sum_{j,k} w_{k,j,i}\, a_{k,j,t}` (eq. 2).

    Args:
        traces: ``[..., T, B, K, I]`` from :func:`causal_filter`.
        weight: ``[..., K, I, O]``.

    Returns:
        Drive ``[..., T, B, O]``, one matrix product for all of T and B.
    """
    flat = traces.flatten(-2).flatten(-3, -2)
    drive = flat @ weight.flatten(-3, -2)
    return drive.reshape(*drive.shape[:-2], *traces.shape[-4:-2], -1)


def feedback_drive(padded: Tensor, feedback: Tensor, basis: Tensor, steps: int) -> Tensor:
    r"""What a neuron's own past spikes add to its potential: :math:`(\beta_i * s_i)_{t-1}` (eq. 2).

    Args:
        padded: own spikes ``[..., L + T, B, O]``, of which the first ``L`` steps are history.
        feedback: weights ``[..., K, O]``.
        basis: ``[K, L]``.
        steps: number of output steps ``T``.

    Returns:
        Drive ``[..., T, B, O]``.
    """
    traces = causal_filter(padded, basis, steps)
    return (traces * feedback[..., None, None, :, :]).sum(-2)


def sample(
    drive: Tensor, feedback: Tensor, basis: Tensor, history: Tensor, uniforms: Tensor
) -> tuple[Tensor, Tensor]:
    r"""Runs the neurons: potentials by eq. 2 and spikes :math:`s = [\,U < \sigma(u)\,]` by eq. 3.

    Only the elementwise feedback is recurrent, so this is the only loop over time.

    Args:
        drive: synaptic drive plus bias ``[..., T, B, O]``.
        feedback: weights ``[..., K, O]``.
        basis: feedback basis ``[K, L]``.
        history: own spikes before the first step ``[..., L, B, O]``.
        uniforms: noise in [0, 1), ``[..., T, B, O]``, of the dtype the comparison shall have.

    Returns:
        Spikes and potentials, each ``[..., T, B, O]``; spikes are exactly 0 or 1.
    """
    kernel = torch.einsum("...ko,kl->...lo", feedback, basis).flip(-2).unsqueeze(-2)
    window = history
    spikes, potentials = [], []
    for step in range(drive.shape[-3]):
        potential = drive.select(-3, step) + (kernel * window).sum(-3)
        spike = (uniforms.select(-3, step) < torch.sigmoid(potential)).to(drive.dtype)
        window = torch.cat([window.narrow(-3, 1, window.shape[-3] - 1), spike.unsqueeze(-3)], -3)
        spikes.append(spike)
        potentials.append(potential)
    return torch.stack(spikes, -3), torch.stack(potentials, -3)


def log_likelihood(spikes: Tensor, potentials: Tensor) -> Tensor:
    r"""Log-probability of whole spike trains (the logarithm of eq. 4).

    .. math:: \sum_{t,i} \log p(s_{i,t} \mid u_{i,t})

    Args:
        spikes: ``[..., T, B, O]``.
        potentials: ``[..., T, B, O]``.

    Returns:
        ``[..., B]``, finite for any finite potential.
    """
    losses = F.binary_cross_entropy_with_logits(potentials, spikes, reduction="none")
    return -losses.sum((-3, -1))


def score(spikes: Tensor, potentials: Tensor) -> Tensor:
    r"""The post-synaptic term of eq. 5, :math:`\partial \log p / \partial u = s - \sigma(u)`.

    Args:
        spikes: ``[..., T, B, O]``.
        potentials: ``[..., T, B, O]``.

    Returns:
        ``[..., T, B, O]``.
    """
    return spikes - torch.sigmoid(potentials)


def synaptic_gradient(traces: Tensor, error: Tensor, *, per_sample: bool = False) -> Tensor:
    r"""Gradient of synaptic weights, :math:`\sum_t a_{k,j,t}\, e_{i,t}` (eq. 5).

    With ``error`` the :func:`score` this is the gradient of the log-likelihood; with the score times a
    reward it is the three-factor rule (eq. 8). It needs no graph through time.

    Args:
        traces: pre-synaptic ``[..., T, B, K, I]``.
        error: post-synaptic ``[..., T, B, O]``.
        per_sample: keep the batch axis instead of summing over it.

    Returns:
        ``[..., K, I, O]``, or ``[..., B, K, I, O]`` per sample.
    """
    if per_sample:
        return torch.einsum("...tbki,...tbo->...bkio", traces, error)
    flat = traces.flatten(-2).flatten(-3, -2)
    gradient = flat.transpose(-2, -1) @ error.flatten(-3, -2)
    return gradient.reshape(*gradient.shape[:-2], *traces.shape[-2:], -1)


def feedback_gradient(traces: Tensor, error: Tensor, *, per_sample: bool = False) -> Tensor:
    r"""Gradient of feedback weights, :math:`\sum_t b_{k,i,t}\, e_{i,t}` (eq. 5).

    Args:
        traces: a neuron's own filtered spikes ``[..., T, B, K, O]``, delay 1.
        error: post-synaptic ``[..., T, B, O]``.
        per_sample: keep the batch axis instead of summing over it.

    Returns:
        ``[..., K, O]``, or ``[..., B, K, O]`` per sample.
    """
    product = traces * error.unsqueeze(-2)
    return product.sum(-4) if per_sample else product.sum((-4, -3))
