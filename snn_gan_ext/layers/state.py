"""What a layer remembers between steps, and what it did over a sequence."""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from snn_gan_ext.functional import glm
from snn_gan_ext.layers.checks import check_positive

__all__ = ["GLMFilters", "GLMSample", "GLMState", "behind_silence"]


class GLMState(NamedTuple):
    """What a GLM layer remembers between steps; ``*out`` is ``O`` or ``C, H, W``.

    Attributes:
        mem: membrane potential of the last step ``[B, *out]`` (log-odds of a spike).
        inputs: the last ``L - 1 + d`` input steps, oldest first ``[H, B, *in]``.
        outputs: the last ``L`` own spikes, oldest first ``[L, B, *out]``.
    """

    mem: Tensor
    inputs: Tensor
    outputs: Tensor


class GLMFilters(NamedTuple):
    """What neurons do with their inputs, neuron by neuron.

    Attributes:
        synaptic: over lags 0 .. M - 1, ``[M, *in, *out]``.
        feedback: over lags 1 .. L, ``[L, *out]``.
        bias: ``[*out]``.
    """

    synaptic: Tensor
    feedback: Tensor
    bias: Tensor


torch.serialization.add_safe_globals([GLMState])


class GLMSample(NamedTuple):
    """One sampled sequence, with what the local learning rule needs.

    Attributes:
        spikes: ``[T, B, *out]``.
        potentials: membrane potentials ``[T, B, *out]``.
        inputs: what drove it, with the history in front ``[H + T, B, *in]``. Not a copy: leave the
            input as it is until the gradients are taken.
        aligned: the same, each input shifted by its delay ``[H + T, B, *in]``.
        outputs: its own spikes, with the history in front ``[H' + T, B, *out]``.
        windows: how many steps of inputs and of outputs the steps to come depend on.
    """

    spikes: Tensor
    potentials: Tensor
    inputs: Tensor
    aligned: Tensor
    outputs: Tensor
    windows: tuple[int, int]

    @property
    def state(self) -> GLMState:
        """The state after the last step, with memory of its own."""
        inputs, outputs = self.windows
        return GLMState(
            self.potentials[-1].clone(), _last(self.inputs, inputs), _last(self.outputs, outputs)
        )

    def pieces(self, num_steps: int) -> Iterator["GLMSample"]:
        """The run in pieces of so many steps, each with the history that its gradients need.

        Gradients of the pieces add up to those of the whole, so that a long recording needs an
        error for one piece at a time.
        """
        check_positive(num_steps=num_steps)
        return self._pieces(num_steps)

    def _pieces(self, num_steps: int) -> Iterator["GLMSample"]:
        total = self.spikes.shape[0]
        inputs, outputs = self.windows
        for start in range(0, total, num_steps):
            now = slice(start, min(start + num_steps, total))
            yield GLMSample(
                self.spikes[now],
                self.potentials[now],
                _with_past(self.inputs, now, total, inputs),
                _with_past(self.aligned, now, total, inputs),
                _with_past(self.outputs, now, total, outputs),
                self.windows,
            )

    @property
    def score(self) -> Tensor:
        r"""The post-synaptic term of eq. 5, :math:`s - \sigma(u)`, ``[T, B, *out]``."""
        return glm.score(self.spikes, self.potentials)

    @property
    def log_likelihood(self) -> Tensor:
        """Log-probability of each sequence in the batch, ``[B]`` (eq. 4)."""
        return glm.log_likelihood(self.spikes.flatten(2), self.potentials.flatten(2))


def behind_silence(signal: Tensor, num_steps: int) -> Tensor:
    """Puts zeros in front of a signal ``[T, ...]`` until it has so many steps."""
    missing = num_steps - signal.shape[0]
    if not missing:
        return signal
    return torch.cat([signal.new_zeros(missing, *signal.shape[1:]), signal])


def _with_past(signal: Tensor, now: slice, num_steps: int, window: int) -> Tensor:
    """The part of a signal ``[H + T, ...]`` that belongs to some of the T steps, and a past."""
    history = signal.shape[0] - num_steps
    return signal[max(history + now.start - window, 0) : history + now.stop]


def _last(signal: Tensor, num_steps: int) -> Tensor:
    """A copy of the last steps of a signal, with silence in front where it is shorter."""
    if signal.shape[0] < num_steps:
        return behind_silence(signal, num_steps)
    return signal[signal.shape[0] - num_steps :].clone()
