r"""Coupling: neurons of one layer that hear each other's spikes, as pure functions of tensors.

Beside its inputs, its own past and its bias (eq. 2 of the SpikeGAN paper), a neuron hears the past of
other neurons, and in the same step those that fire before it:

.. math::

    u_{i,t} = \cdots + \sum_{j \ne i} (\kappa_{j,i} * s_j)_{t-1}
        + \sum_{j \prec i} \omega_{j,i}\, s_{j,t} + c\Bigl(\sum_{j \prec i} s_{j,t}\Bigr)

with filters :math:`\kappa_{j,i} = \sum_k C_k w_{k,j,i}` over a basis ``C``, weights :math:`\omega` in
an order without loops ("in order of connectivity", Algorithm 1 of the paper), and a table ``c`` of how
many of the earlier neurons fired. Given the spikes, the likelihood is exact and the score is still
:math:`s - \sigma(u)`. Sampling alone runs spike by spike.

`Coupling` holds the weights; `DenseCoupling` and `FrameCoupling` are its two kinds. Layout: as in
`snn_gan_ext.functional.glm`, with all neurons of a layer in one row, ``[..., T, B, O]``.

References:
    Pillow et al., "Spatio-temporal correlations and visual signalling in a complete neuronal
    population" (2008), for coupling; SpikeGAN paper, Fig. 3, for read-outs that hear each other.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from snn_gan_ext.functional import glm
from snn_gan_ext.functional._dispatch import arrays_of
from snn_gan_ext.validation import check_tensors

BREAK_EVEN = 0.1  # rate from which on a product a step beats adding up spikes (docs/decisions/0023)

__all__ = ["Coupling", "expected", "over_lags", "sample", "sample_differentiable"]


@dataclass(frozen=True)
class Coupling(ABC):
    """Effects of a layer's spikes on its own neurons.

    Attributes:
        weight: Coupling weights over the basis, zero from a neuron to itself; None for none.
        basis: Coupling basis ``[K, L]``.
        feedback: Effect of a spike on its own neuron or channel over lags 1 .. L, ``[L, ...]``.
        same_step: Weights within the step, from lower levels to higher ones; None for none.
        levels: Level of each neuron, or kind of neurons; level by level, they fire within a step.
    """

    weight: Tensor | None
    basis: Tensor
    feedback: Tensor
    same_step: Tensor | None
    levels: tuple[int, ...]

    @abstractmethod
    def past_drive(self, outputs: Tensor, num_steps: int) -> Tensor:
        """Return the drive ``[T, B, O]`` of other neurons' given spikes ``[H + T, B, *out]``, later."""

    @abstractmethod
    def same_step_drive(self, spikes: Tensor) -> Tensor:
        """Return the drive ``[T, B, O]`` of given spikes ``[T, B, *out]`` within their step."""

    @abstractmethod
    def gradients(
        self, outputs: Tensor, error: Tensor, *, per_sample: bool = False
    ) -> dict[str, Tensor]:
        """Return gradients of ``coupling``, ``same_step`` and ``count``: traces times errors (eq. 5).

        Those of absent connections are not zero yet.

        Args:
            outputs: Spikes of the neurons ``[H + T, B, *out]`` with ``H >= 0`` steps of history.
            error: Post-synaptic error ``[T, B, *out]``.
            per_sample: Whether to keep the batch axis, in front, instead of summing over it.
        """

    @property
    @abstractmethod
    def kernel(self) -> Tensor:
        """Effects of a spike over lags 1 .. L, ``[L, ...]``; those on its own neuron are feedback."""

    @abstractmethod
    def later(self, spikes: Tensor, kernel: Tensor) -> Tensor:
        """Return the effect of spikes ``[..., B, O]`` on the next steps ``[..., L, B, O]``."""

    @abstractmethod
    def now(self, spikes: Tensor, level: int) -> Tensor:
        """Return the effect ``[..., B, O]`` of a level's spikes on higher levels, in their step."""

    @abstractmethod
    def on_levels(self) -> Iterator[Tensor]:
        """Return the neurons of each level that fires in turn, ``[O]``."""

    def count_of(self, earlier: Tensor) -> Tensor:
        """Return the effect of how many neurons have fired in this step, ``[..., B, O]``."""
        return torch.zeros_like(earlier)

    @abstractmethod
    def tensors(self) -> list[Tensor]:
        """Return all weights."""

    @abstractmethod
    def sample_compiled(self, potentials: Any, bias: Any, spikes: Any) -> None:
        """Sample by a compiled kernel, in place: drives to potentials, thresholds to spikes."""


def over_lags(weights: Tensor, basis: Tensor, length: int) -> Tensor:
    """Return filters ``[L, ...]`` of weights ``[K, ...]`` over a basis ``[K, L']``, zero after it."""
    window = torch.cat([basis, basis.new_zeros(len(basis), length - basis.shape[1])], 1)
    filters = window.T @ weights.flatten(1)
    return filters.reshape(length, *weights.shape[1:])


def sample(
    drive: Tensor, bias: Tensor, coupling: Coupling, uniforms: Tensor, *, overwrite: bool = False
) -> tuple[Tensor, Tensor]:
    """Return spikes and potentials of coupled neurons, each ``[..., T, B, O]``.

    Args:
        drive: Synaptic drive ``[..., T, B, O]``, plus the effect of spikes before the first step.
        bias: Biases ``[..., O]``.
        coupling: Effects of the neurons' spikes on each other, and on themselves.
        uniforms: Noise in [0, 1), ``[..., T, B, O]``.
        overwrite: Whether the result may reuse the memory of ``drive`` and ``uniforms``.
    """
    check_tensors(drive=drive, bias=bias, uniforms=uniforms)
    thresholds = uniforms.logit_() if overwrite else torch.logit(uniforms)
    arrays = arrays_of(drive, bias, thresholds, *coupling.tensors()) if drive.dim() == 3 else None
    if arrays and (max(coupling.levels) > 0 or _rate(drive, bias) < BREAK_EVEN):
        potentials = arrays[0] if overwrite else arrays[0].copy()
        coupling.sample_compiled(potentials, arrays[1], arrays[2])
        return torch.from_numpy(arrays[2]), torch.from_numpy(potentials)
    return _run(drive, bias, coupling, thresholds, lambda u, threshold: (u > threshold).to(u.dtype))


def sample_differentiable(
    drive: Tensor,
    bias: Tensor,
    coupling: Coupling,
    uniforms: Tensor,
    spike_grad: Callable[[Tensor], Tensor] | None,
) -> tuple[Tensor, Tensor]:
    """Return spikes and potentials as `sample` does, with a graph through time and coupling.

    The slope of a spike is that of `snn_gan_ext.functional.glm.surrogate_spike`.

    Args:
        drive: Synaptic drive ``[..., T, B, O]``, as in `sample`.
        bias: Biases ``[..., O]``.
        coupling: Effects of the neurons' spikes on each other, and on themselves.
        uniforms: Noise in [0, 1), ``[..., T, B, O]``.
        spike_grad: Function of `snntorch.surrogate`, or None for the slope of the firing probability.
    """
    check_tensors(drive=drive, bias=bias, uniforms=uniforms)

    def emit(potential: Tensor, threshold: Tensor) -> Tensor:
        return glm.surrogate_spike(potential, threshold, spike_grad)

    return _run(drive, bias, coupling, torch.logit(uniforms), emit)


def expected(drive: Tensor, bias: Tensor, coupling: Coupling) -> tuple[Tensor, Tensor]:
    """Return firing probabilities, heard in place of spikes, and potentials ``[..., T, B, O]``.

    Args:
        drive: Synaptic drive ``[..., T, B, O]``, as in `sample`.
        bias: Biases ``[..., O]``.
        coupling: Effects of the neurons' spikes on each other, and on themselves.
    """
    return _run(drive, bias, coupling, drive, lambda u, _: torch.sigmoid(u))


def _rate(drive: Tensor, bias: Tensor) -> float:
    """Return the probability of a spike at some hundred steps and trials, without feedback."""
    steps, trials = (max(size // 10, 1) for size in drive.shape[:2])
    return float(torch.sigmoid(drive[::steps, ::trials] + bias).mean()) if drive.numel() else 0.0


Emit = Callable[[Tensor, Tensor], Tensor]  # potentials and thresholds to spikes


def _run(
    drive: Tensor, bias: Tensor, coupling: Coupling, thresholds: Tensor, emit: Emit
) -> tuple[Tensor, Tensor]:
    """Run all steps: neurons emit level by level, and then drive the steps to come."""
    spikes, potentials, kernel = [], [], coupling.kernel
    pending: Tensor | None = None  # effects of earlier spikes on the next steps [..., L, B, O]
    steps = zip((drive + bias[..., None, None, :]).unbind(-3), thresholds.unbind(-3), strict=True)
    for potential, threshold in steps:
        if pending is not None:
            potential = potential + pending.select(-3, 0)
        potential, spike = _step(potential, threshold, coupling, emit)
        effect = coupling.later(spike, kernel)
        if pending is not None:
            left = pending.narrow(-3, 1, pending.shape[-3] - 1)
            effect = effect + torch.cat([left, torch.zeros_like(pending.narrow(-3, 0, 1))], -3)
        pending = effect
        spikes.append(spike)
        potentials.append(potential)
    return torch.stack(spikes, -3), torch.stack(potentials, -3)


def _step(
    potential: Tensor, threshold: Tensor, coupling: Coupling, emit: Emit
) -> tuple[Tensor, Tensor]:
    """Return potentials and spikes ``[..., B, O]`` of one step."""
    if max(coupling.levels) == 0:
        return potential, emit(potential, threshold)
    spike = torch.zeros_like(potential)
    for level, neurons in enumerate(coupling.on_levels()):
        potential = potential + neurons * coupling.count_of(spike.sum(-1, keepdim=True))
        fires = emit(potential, threshold) * neurons
        spike = spike + fires
        potential = potential + coupling.now(fires, level)
    return potential, spike
