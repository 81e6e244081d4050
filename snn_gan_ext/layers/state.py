"""State of a layer between steps, and the record of a run."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

from snn_gan_ext.errors import InputError
from snn_gan_ext.functional import glm
from snn_gan_ext.validation import check_positive

__all__ = ["GLMFilters", "GLMSample", "GLMState", "once"]


class GLMState(NamedTuple):
    """State of a GLM layer between steps; ``*out`` is ``O`` or ``C, H, W``.

    Attributes:
        mem: Membrane potentials at the last step ``[B, *out]`` (log-odds of a spike).
        inputs: Inputs at the last ``H = L - 1 + d`` steps, oldest first ``[H, B, *in]``.
        outputs: Spikes of the neurons at the last ``L`` steps, oldest first ``[L, B, *out]``.
    """

    mem: Tensor
    inputs: Tensor
    outputs: Tensor

    @classmethod
    def __torch_function__(
        cls, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Stand for ``mem`` in functions of PyTorch, as in ``torch.stack(mem_rec)`` of snnTorch."""
        return function(*map(_potentials, args), **(kwargs or {}))


class GLMFilters(NamedTuple):
    """Filters of each neuron.

    Attributes:
        synaptic: Synaptic filters over lags 0 .. M - 1, ``[M, *in, *out]``.
        feedback: Feedback filters over lags 1 .. L, ``[L, *out]``.
        bias: Biases ``[*out]``.
        coupling: Filters from other neurons over lags 0 .. L, ``[1 + L, *out, *out]``, from and to; lag
            0 is the same step. None where neurons hear themselves alone.
        levels: Level of each neuron ``[*out]``; lower levels fire first within a step. None as above.
        counts: Effects of 1, 2, ... spikes of lower levels in the same step ``[C]``; None for none.
    """

    synaptic: Tensor
    feedback: Tensor
    bias: Tensor
    coupling: Tensor | None = None
    levels: Tensor | None = None
    counts: Tensor | None = None


torch.serialization.add_safe_globals([GLMState])


class GLMSample(NamedTuple):
    """Record of a run over a sequence, as the local learning rule needs it.

    Attributes:
        spikes: Spikes ``[T, B, *out]``.
        potentials: Membrane potentials ``[T, B, *out]``.
        inputs: Inputs after their history ``[H + T, B, *in]``. Not a copy: do not change the input in
            place before taking gradients.
        aligned: Inputs shifted by their delays ``[H + T, B, *in]``.
        outputs: Spikes of the neurons after their history ``[H' + T, B, *out]``.
        windows: Numbers of past input steps and of past output steps that a step depends on.
    """

    spikes: Tensor
    potentials: Tensor
    inputs: Tensor
    aligned: Tensor
    outputs: Tensor
    windows: tuple[int, int]

    @property
    def state(self) -> GLMState:
        """State after the last step. After a lone step it shares memory with the record."""
        signals = self.inputs, self.outputs
        if len(self.spikes) == 1 and all(map(_follows_window, signals, self.windows)):
            # Backpropagation through a split takes half the time of that through [1:].
            inputs, outputs = (signal.split_with_sizes((1, len(signal) - 1))[1] for signal in signals)
            return GLMState(self.potentials[0], inputs, outputs)
        pasts = map(_last, signals, self.windows)
        return GLMState(self.potentials[-1].clone(), *pasts)

    def pieces(self, num_steps: int) -> Iterator["GLMSample"]:
        """Split the run into pieces, each with the history that its gradients need.

        Gradients of the pieces add up to the gradient of the run, so a long recording needs the error
        of one piece at a time.

        Args:
            num_steps: Number of steps in a piece; the last piece may be shorter.

        Raises:
            InputError: If ``num_steps`` is below 1.
        """
        check_positive(num_steps=num_steps)
        starts = range(0, len(self.spikes), num_steps)
        return (self._piece(start, min(start + num_steps, len(self.spikes))) for start in starts)

    def _piece(self, start: int, stop: int) -> "GLMSample":
        def with_past(signal: Tensor, window: int) -> Tensor:
            history = len(signal) - len(self.spikes)
            return signal[max(history + start - window, 0) : history + stop]

        inputs, outputs = self.windows
        signals = with_past(self.inputs, inputs), with_past(self.aligned, inputs)
        spikes, potentials = self.spikes[start:stop], self.potentials[start:stop]
        return GLMSample(spikes, potentials, *signals, with_past(self.outputs, outputs), self.windows)

    @property
    def score(self) -> Tensor:
        r"""Post-synaptic term of eq. 5, :math:`s - \sigma(u)`, ``[T, B, *out]``."""
        return glm.score(self.spikes, self.potentials)

    @property
    def log_likelihood(self) -> Tensor:
        """Log-probability of each trial ``[B]`` (eq. 4)."""
        return glm.log_likelihood(self.spikes.flatten(2), self.potentials.flatten(2))


def _potentials(value: Any) -> Any:
    """Return a value with potentials in place of states, also in a list."""
    if isinstance(value, GLMState):
        return value.mem
    return list(map(_potentials, value)) if isinstance(value, list | tuple) else value


def once(tensor: Tensor) -> Tensor:
    """Return a tensor whose graph can be used once; a second use raises `InputError`, not PyTorch's."""
    tracked = torch.is_grad_enabled() and tensor.requires_grad and not torch.compiler.is_compiling()
    if not tracked:
        return tensor
    transformed = torch._C._functorch.peek_interpreter_stack() is not None
    form: Any = _OnceInTransforms if transformed else _Once
    return form.apply(tensor)  # type: ignore[no-any-return]


class _GraphOfOneUse(torch.autograd.Function):
    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        try:
            ctx.saved_tensors  # noqa: B018 - PyTorch frees them with the rest of the graph
        except RuntimeError:
            cure = "call snntorch.utils.reset(net) before each batch, or detach_hidden() to go on"
            expected, got = "a graph that backward() has not used", "that of an earlier batch"
            raise InputError("state", expected=expected, got=got, cure=cure) from None
        return gradients[0]

    @staticmethod
    def jvp(ctx: Any, *tangents: Tensor) -> Tensor:
        return tangents[0].view_as(tangents[0])


class _Once(_GraphOfOneUse):
    @staticmethod
    def forward(ctx: Any, tensor: Tensor) -> Tensor:
        ctx.save_for_backward(tensor)
        return tensor.view_as(tensor)


class _OnceInTransforms(_GraphOfOneUse):
    """The form that vmap and jvp need, slower as PyTorch inspects its signature at each call."""

    generate_vmap_rule = True

    @staticmethod
    def forward(tensor: Tensor) -> Tensor:
        return tensor.view_as(tensor)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)


def _follows_window(signal: Tensor, num_steps: int) -> bool:
    """Tell whether a signal is a past window and one step, joined in memory of their own."""
    return signal.shape[0] == num_steps + 1 > 1


def _last(signal: Tensor, num_steps: int) -> Tensor:
    """Copy the last steps of a signal, after zeros if it is shorter."""
    missing = num_steps - signal.shape[0]
    if missing <= 0:
        return signal[-missing:].clone()
    return torch.cat([signal.new_zeros(missing, *signal.shape[1:]), signal])
