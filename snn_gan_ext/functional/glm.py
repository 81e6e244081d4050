r"""The generalized linear model (GLM) of a spiking neuron, as pure functions of tensors.

The potential of a neuron is a sum of filtered spikes. Its spikes are Bernoulli:

.. math::

    u_{i,t} &= \sum_j (\alpha_{j,i} * s_j)_{t-d} + (\beta_i * s_i)_{t-1} + \gamma_i
    & \text{(eq. 2)} \\
    s_{i,t} &\sim \mathrm{Bernoulli}(\sigma(u_{i,t})) & \text{(eq. 3)}

with filters :math:`\alpha_{j,i} = A^\top w_{j,i}` over a basis ``A`` and delay ``d`` (1 in the paper).
Equation numbers are those of the SpikeGAN paper.

Layout: spikes ``[..., T, B, N]`` (time, batch, neuron), bases ``[K, L]`` (function, lag), weights
``[..., K, I, O]``, feedback weights ``[..., K, O]``, biases ``[..., O]``. Leading axes ``...`` are
ensembles of networks (particles, tasks). Time is in steps. A sequence starts from silence; to continue
after ``H`` steps, prepend them ``[..., H + T, B, I]`` and take the last ``T`` steps of the drive.
"""

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from snn_gan_ext.errors import InputError
from snn_gan_ext.functional._dispatch import arrays_of, kernels
from snn_gan_ext.validation import check_tensors

__all__ = [
    "causal_filter",
    "expected",
    "feedback_drive",
    "feedback_gradient",
    "feedback_kernel",
    "feedback_response",
    "log_likelihood",
    "sample",
    "sample_differentiable",
    "score",
    "shifted",
    "step_log_likelihood",
    "surrogate_spike",
    "synaptic_drive",
    "synaptic_gradient",
]

LONG_WINDOW = 16  # lags from which on one matrix product beats one pass over memory per lag


def _matches(error: Tensor, signal: Tensor) -> bool:
    """Tell whether an error ``[T, B, O]`` fits the last steps of one signal ``[H + T, B, N]``."""
    one_network = error.dim() == signal.dim() == 3
    return one_network and error.shape[0] <= signal.shape[0] and error.shape[1] == signal.shape[1]


def _sparse_arrays(inputs: Tensor, *others: Tensor) -> list[Any] | None:
    """Return `arrays_of` where one network has inputs so sparse that skipping zeros pays."""
    if inputs.dim() != 3 or (arrays := arrays_of(inputs, *others)) is None:
        return None
    return arrays if kernels("glm").is_sparse(arrays[0], torch.get_num_threads()) else None


def causal_filter(signal: Tensor, taps: Tensor, delay: int, num_steps: int | None = None) -> Tensor:
    r"""Filter a signal over past steps: :math:`a_t = \sum_{\tau=0}^{L-1} A_\tau\, s_{t-d-\tau}`.

    Args:
        signal: Signal ``[..., T, B, N]``, zero before its first step.
        taps: Filter ``[L]``.
        delay: Delay ``d`` in steps.
        num_steps: Number of steps to return, counted from the end; all by default.
    """
    steps, length = signal.shape[-3], taps.shape[0]
    past = 0 if num_steps is None else steps - num_steps
    if past >= delay + length - 1 and steps - past == 1:
        # Taps for the whole signal: the gradient of a part would first fill the whole with zeros.
        by_step = F.pad(taps.flip(0), (steps - delay - length, delay))
        filtered = by_step @ signal.flatten(-2)
        return filtered.reshape(*signal.shape[:-3], 1, *signal.shape[-2:])
    if past >= delay + length - 1 > 0:
        windows = (signal.narrow(-3, past - delay - lag, steps - past) for lag in range(length))
        return sum(map(torch.mul, taps, windows), signal.new_zeros(()))
    if length >= LONG_WINDOW and steps <= LONG_WINDOW * length:
        by_lag = F.pad(taps, (steps - 1 + delay, steps))[: 2 * steps - 1]
        matrix = by_lag.unfold(0, steps, 1).flip(1)  # taps[t - s - delay] at t, s
        filtered = (matrix @ signal.flatten(-2)).reshape(signal.shape)
    else:
        filtered = shifted(signal * taps[0], delay)
        for lag, tap in enumerate(taps[1 : max(steps - delay, 1)], start=delay + 1):
            filtered.narrow(-3, lag, steps - lag).add_(signal.narrow(-3, 0, steps - lag) * tap)
    return filtered.narrow(-3, past, steps - past)


def shifted(signal: Tensor, delay: int) -> Tensor:
    """Return a signal ``[..., T, B, N]`` ``delay`` steps later, after zeros."""
    kept = max(signal.shape[-3] - delay, 0)
    silence = torch.zeros_like(signal.narrow(-3, 0, signal.shape[-3] - kept))
    return torch.cat([silence, signal.narrow(-3, 0, kept)], -3) if delay else signal


def _silence(signal: Tensor, num_steps: int) -> Tensor:
    """Return zeros ``[..., num_steps, B, N]``; `F.pad` of PyTorch 2.6 refuses a batch of none."""
    return signal.new_zeros(*signal.shape[:-3], num_steps, *signal.shape[-2:])


def _pad_front(error: Tensor, num_steps: int) -> Tensor:
    """Prepend zeros to an error until it has ``num_steps`` steps."""
    missing = num_steps - error.shape[-3]
    if missing < 0:
        raise InputError("error", expected=f"{num_steps} steps at most", got=f"{error.shape[-3]}")
    return torch.cat([_silence(error, missing), error], -3) if missing else error


def _traces(inputs: Tensor, basis: Tensor, delay: int, num_steps: int | None = None) -> Tensor:
    """Return the pre-synaptic terms of eq. 5, over all basis functions, ``[..., T * B, K * I]``."""
    traces = [causal_filter(inputs, taps, delay, num_steps) for taps in basis.unbind()]
    return (torch.cat(traces, -1) if len(traces) > 1 else traces[0]).flatten(-3, -2)


def synaptic_drive(
    inputs: Tensor, weight: Tensor, basis: Tensor, delay: int, num_steps: int | None = None
) -> Tensor:
    r"""Return the drive of the synapses, :math:`\sum_{j,k} w_{k,j,i} (A_k * s_j)_{t-d}` (eq. 2).

    The drive ``[..., T, B, O]`` is one matrix product. Filters run on the side with fewer neurons.

    Args:
        inputs: Pre-synaptic spikes ``[..., T, B, I]``.
        weight: Synaptic weights ``[..., K, I, O]``.
        basis: Synaptic basis ``[K, L]``.
        delay: Synaptic delay ``d`` in steps.
        num_steps: Number of steps to return, counted from the end; all by default.
    """
    check_tensors(inputs=inputs, weight=weight, basis=basis)
    num_steps = inputs.shape[-3] if num_steps is None else num_steps
    past = inputs.shape[-3] - num_steps
    mostly_past = past > num_steps  # weights for all of it would be waste
    fits = weight.shape[:-1] == (len(basis), inputs.shape[-1]) and delay >= 0
    if fits and not mostly_past and (arrays := _sparse_arrays(inputs, weight, basis)):
        return torch.from_numpy(kernels("glm").synaptic_drive(*arrays, delay)[past:])
    batch, in_features = inputs.shape[-2:]
    out_features = weight.shape[-1]
    if in_features <= out_features or mostly_past:
        drive = _traces(inputs, basis, delay, num_steps) @ weight.flatten(-3, -2)
        return drive.reshape(*drive.shape[:-2], num_steps, batch, out_features)
    weighed = inputs.flatten(-3, -2) @ weight.transpose(-3, -2).flatten(-2)
    weighed = weighed.reshape(*weighed.shape[:-2], past + num_steps, batch, len(basis), out_features)
    drive = causal_filter(weighed[..., 0, :], basis[0], delay, num_steps)
    for function in range(1, len(basis)):
        drive = drive + causal_filter(weighed[..., function, :], basis[function], delay, num_steps)
    return drive


def synaptic_gradient(
    inputs: Tensor, error: Tensor, basis: Tensor, delay: int, *, per_sample: bool = False
) -> Tensor:
    r"""Return the gradient of synaptic weights, :math:`\sum_t (A_k * s_j)_{t-d}\, e_{i,t}` (eq. 5).

    With the `score` as ``error`` this is the gradient of the log-likelihood; with the score times a
    reward, the three-factor rule (eq. 8). It is one matrix product of traces and errors, or of spikes
    and errors filtered back in time, whichever has fewer neurons.

    Args:
        inputs: Pre-synaptic spikes ``[..., H + T, B, I]`` with ``H >= 0`` steps of history.
        error: Post-synaptic error ``[..., T, B, O]``.
        basis: Synaptic basis ``[K, L]``.
        delay: Synaptic delay ``d`` in steps.
        per_sample: Whether to return ``[..., B, K, I, O]`` instead of the sum ``[..., K, I, O]``.
    """
    check_tensors(inputs=inputs, error=error, basis=basis)
    in_features, out_features, functions = inputs.shape[-1], error.shape[-1], len(basis)
    summed = _matches(error, inputs) and not per_sample
    if summed and delay >= 0 and (arrays := _sparse_arrays(inputs, error, basis)):
        return torch.from_numpy(kernels("glm").synaptic_gradient(*arrays, delay))
    error = _pad_front(error, inputs.shape[-3])
    if per_sample:
        traces = torch.stack([causal_filter(inputs, taps, delay) for taps in basis], -2)
        return torch.einsum("...tbki,...tbo->...bkio", traces, error)
    if in_features <= out_features:
        gradient = _traces(inputs, basis, delay).transpose(-2, -1) @ error.flatten(-3, -2)
        return gradient.reshape(*gradient.shape[:-2], functions, in_features, out_features)
    # The adjoint of a causal filter is the same filter, backwards in time.
    back = torch.cat([causal_filter(error.flip(-3), taps, delay).flip(-3) for taps in basis], -1)
    gradient = inputs.flatten(-3, -2).transpose(-2, -1) @ back.flatten(-3, -2)
    gradient = gradient.reshape(*gradient.shape[:-1], functions, out_features)
    # Fused optimisers read memory in order and ignore strides.
    return gradient.transpose(-3, -2).contiguous()


def sample(
    drive: Tensor,
    bias: Tensor,
    feedback: Tensor,
    basis: Tensor,
    uniforms: Tensor,
    *,
    overwrite: bool = False,
) -> tuple[Tensor, Tensor]:
    r"""Return spikes (eq. 3) and potentials (eq. 2) of neurons, each ``[..., T, B, O]``.

    A neuron fires where :math:`\sigma(u) > U` for a uniform ``U``, computed as
    :math:`u > \mathrm{logit}(U)`. Only the feedback of a neuron on itself is recurrent, so this is the
    only loop over time.

    Args:
        drive: Synaptic drive ``[..., T, B, O]``, plus the feedback of spikes before the first step.
        bias: Biases ``[..., O]``.
        feedback: Feedback weights ``[..., K, O]``.
        basis: Feedback basis ``[K, L]``.
        uniforms: Noise in [0, 1), ``[..., T, B, O]``. Its dtype is that of the comparison.
        overwrite: Whether the result may reuse the memory of ``drive`` and ``uniforms``.
    """
    check_tensors(drive=drive, bias=bias, feedback=feedback, basis=basis, uniforms=uniforms)
    kernel = feedback_kernel(feedback, basis)
    thresholds = uniforms.logit_() if overwrite else torch.logit(uniforms)
    fits = drive.dim() == 3 and drive.shape == uniforms.shape and bias.shape == drive.shape[-1:]
    one_network = fits and kernel.shape[1:] == bias.shape
    if one_network and (arrays := arrays_of(drive, bias, kernel, thresholds)):
        arrays[0] = arrays[0] if overwrite else arrays[0].copy()
        kernels("glm").sample(*arrays)
        return torch.from_numpy(arrays[3]), torch.from_numpy(arrays[0])
    # A sum, not a copy: under vmap the noise alone may be batched, and the result must be, too.
    potentials = drive + bias[..., None, None, :] + torch.zeros_like(uniforms, dtype=drive.dtype)
    spikes = torch.empty_like(potentials)
    steps, length = drive.shape[-3], basis.shape[-1]
    kernel = kernel.unsqueeze(-2)
    for step in range(steps):
        fires = potentials.select(-3, step) > thresholds.select(-3, step)
        spike = spikes.select(-3, step).copy_(fires)
        if ahead := min(length, steps - step - 1):
            effect = kernel.narrow(-3, 0, ahead) * spike.unsqueeze(-3)
            potentials.narrow(-3, step + 1, ahead).add_(effect)
    return spikes, potentials


def sample_differentiable(
    drive: Tensor,
    bias: Tensor,
    feedback: Tensor,
    basis: Tensor,
    uniforms: Tensor,
    spike_grad: Callable[[Tensor], Tensor] | None,
) -> tuple[Tensor, Tensor]:
    r"""Return spikes and potentials as `sample` does, with a graph through time for autograd.

    The derivative of a spike by its potential is 0 almost everywhere. It is replaced by the slope of
    ``spike_grad`` at :math:`u - \mathrm{logit}(U)`, or by the slope of the firing probability,
    :math:`\sigma(u)(1 - \sigma(u))`. The gradient is biased, as with every surrogate.

    Args:
        drive: Synaptic drive ``[..., T, B, O]``, as in `sample`.
        bias: Biases ``[..., O]``.
        feedback: Feedback weights ``[..., K, O]``.
        basis: Feedback basis ``[K, L]``.
        uniforms: Noise in [0, 1), ``[..., T, B, O]``.
        spike_grad: Function of `snntorch.surrogate`, or None for the slope of the firing probability.
    """
    check_tensors(drive=drive, bias=bias, feedback=feedback, basis=basis, uniforms=uniforms)
    length, thresholds = basis.shape[-1], torch.logit(uniforms)
    drive = drive + bias[..., None, None, :]
    if drive.shape[-3] == 1:
        return surrogate_spike(drive, thresholds, spike_grad), drive
    kernel = feedback_kernel(feedback, basis).unsqueeze(-2)
    spikes: list[Tensor] = []
    potentials = []
    for step in range(drive.shape[-3]):
        potential, threshold = drive.select(-3, step), thresholds.select(-3, step)
        if spikes:
            recent = torch.stack(spikes[: -length - 1 : -1], -3)
            potential = potential + (kernel.narrow(-3, 0, recent.shape[-3]) * recent).sum(-3)
        spikes.append(surrogate_spike(potential, threshold, spike_grad))
        potentials.append(potential)
    return torch.stack(spikes, -3), torch.stack(potentials, -3)


def surrogate_spike(
    potential: Tensor, threshold: Tensor, spike_grad: Callable[[Tensor], Tensor] | None
) -> Tensor:
    """Return spikes of 0 and 1 with the slope of a smooth function, as in `sample_differentiable`.

    Args:
        potential: Membrane potentials of any shape.
        threshold: Log-odds of the uniforms, of the same shape.
        spike_grad: Function of `snntorch.surrogate`, or None for the slope of the firing probability.
    """
    smooth = torch.sigmoid(potential) if spike_grad is None else spike_grad(potential - threshold)
    hard = (potential > threshold).to(potential.dtype)
    return hard + (smooth - smooth.detach())


def expected(drive: Tensor, bias: Tensor, feedback: Tensor, basis: Tensor) -> tuple[Tensor, Tensor]:
    r"""Return firing probabilities, fed back in place of spikes, and potentials ``[..., T, B, O]``.

    This is the mean field of `sample`: without noise, differentiable, and exact without feedback.

    Args:
        drive: Synaptic drive ``[..., T, B, O]``, as in `sample`.
        bias: Biases ``[..., O]``.
        feedback: Feedback weights ``[..., K, O]``.
        basis: Feedback basis ``[K, L]``.
    """
    check_tensors(drive=drive, bias=bias, feedback=feedback, basis=basis)
    taps = feedback_kernel(feedback, basis).unsqueeze(-2).unbind(-3)
    probabilities: list[Tensor] = []
    potentials = []
    for potential in (drive + bias[..., None, None, :]).unbind(-3):
        recent = map(torch.mul, taps, reversed(probabilities))
        potentials.append(sum(recent, potential))
        probabilities.append(torch.sigmoid(potentials[-1]))
    return torch.stack(probabilities, -3), torch.stack(potentials, -3)


def feedback_kernel(feedback: Tensor, basis: Tensor) -> Tensor:
    r"""Return filters ``[..., L, O]``, :math:`\beta_{i,\tau} = \sum_k B_{k,\tau} w_{k,i}` (eq. 2).

    Args:
        feedback: Feedback weights ``[..., K, O]``.
        basis: Feedback basis ``[K, L]``.
    """
    return basis.transpose(0, 1) @ feedback


def feedback_drive(history: Tensor, feedback: Tensor, basis: Tensor, num_steps: int) -> Tensor:
    """Return the effect ``[..., T, B, O]`` of earlier spikes on the potentials to come.

    Args:
        history: Past spikes of the neurons ``[..., H, B, O]``, oldest first.
        feedback: Feedback weights ``[..., K, O]``.
        basis: Feedback basis ``[K, L]``.
        num_steps: Number of steps ``T`` to come.
    """
    if num_steps == 1 and history.shape[-3] >= basis.shape[-1]:
        return feedback_response(history, feedback, basis, 1, delay=0)
    kernel = feedback_kernel(feedback, basis).flip(-2).unsqueeze(-2)
    length, remembered = basis.shape[-1], history.shape[-3]
    drives = []
    for step in range(min(num_steps, length)):
        count = min(length - step, remembered)
        recent = history.narrow(-3, remembered - count, count)
        drives.append((kernel.narrow(-3, length - step - count, count) * recent).sum(-3))
    drive = torch.stack(drives, -3)
    missing = num_steps - len(drives)
    return torch.cat([drive, _silence(drive, missing)], -3) if missing else drive


def feedback_response(
    spikes: Tensor, feedback: Tensor, basis: Tensor, num_steps: int, *, delay: int = 1
) -> Tensor:
    """Return the feedback ``[..., T, B, O]`` of given spikes on the neurons that fired them.

    Args:
        spikes: Spikes of the neurons ``[..., H + T, B, O]``.
        feedback: Feedback weights ``[..., K, O]``.
        basis: Feedback basis ``[K, L]``.
        num_steps: Number of steps ``T`` to return, counted from the end.
        delay: Delay of the feedback in steps; 0 if the last of ``spikes`` are those before these steps.
    """
    responses = (causal_filter(spikes, taps, delay, num_steps) for taps in basis.unbind())
    weights = feedback[..., None, None, :].unbind(-4)
    return functools.reduce(torch.add, map(torch.mul, weights, responses))


def feedback_gradient(
    outputs: Tensor, error: Tensor, basis: Tensor, *, per_sample: bool = False
) -> Tensor:
    r"""Return the gradient of feedback weights, :math:`\sum_t (B_k * s_i)_{t-1}\, e_{i,t}` (eq. 5).

    Args:
        outputs: Spikes of the neurons ``[..., H + T, B, O]`` with ``H >= 0`` steps of history.
        error: Post-synaptic error ``[..., T, B, O]``.
        basis: Feedback basis ``[K, L]``.
        per_sample: Whether to return ``[..., B, K, O]`` instead of the sum ``[..., K, O]``.
    """
    check_tensors(outputs=outputs, error=error, basis=basis)
    summed = _matches(error, outputs) and error.shape[2] == outputs.shape[2] and not per_sample
    if summed and (arrays := arrays_of(outputs, error, basis)):
        return torch.from_numpy(kernels("glm").feedback_gradient(*arrays))
    error = _pad_front(error, outputs.shape[-3])
    axes = (-3,) if per_sample else (-3, -2)
    gradients = [(causal_filter(outputs, taps, 1) * error).sum(axes) for taps in basis]
    return torch.stack(gradients, -2)


def log_likelihood(spikes: Tensor, potentials: Tensor) -> Tensor:
    r"""Return log-probabilities ``[..., B]``, :math:`\sum_{t,i} \log p(s_{i,t} \mid u_{i,t})` (eq. 4).

    Args:
        spikes: Spikes ``[..., T, B, O]``.
        potentials: Membrane potentials ``[..., T, B, O]``; the result is finite for finite ones.
    """
    return step_log_likelihood(spikes, potentials).sum(-2)


def step_log_likelihood(spikes: Tensor, potentials: Tensor) -> Tensor:
    r"""Return log-probabilities of steps ``[..., T, B]``, :math:`\sum_i \log p(s_{i,t} \mid u_{i,t})`.

    Args:
        spikes: Spikes ``[..., T, B, O]``.
        potentials: Membrane potentials ``[..., T, B, O]``.
    """
    check_tensors(spikes=spikes, potentials=potentials)
    losses = F.binary_cross_entropy_with_logits(potentials, spikes, reduction="none")
    return -losses.sum(-1)


def score(spikes: Tensor, potentials: Tensor) -> Tensor:
    r"""Return scores ``[..., T, B, O]`` (eq. 5), :math:`\partial \log p / \partial u = s - \sigma(u)`.

    Args:
        spikes: Spikes ``[..., T, B, O]``.
        potentials: Membrane potentials ``[..., T, B, O]``.
    """
    check_tensors(spikes=spikes, potentials=potentials)
    return spikes - torch.sigmoid(potentials)
