"""What all GLM layers share: neurons with feedback, state, noise, and the snnTorch face.

A layer adds its synapses: how traces of the input become a drive, and the gradient of their weights.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, Self

import torch
from torch import Tensor, nn

from snn_gan_ext.errors import InputError
from snn_gan_ext.functional import bases, glm
from snn_gan_ext.layers.checks import check_basis, check_finite, check_tensor, look
from snn_gan_ext.layers.state import GLMFilters, GLMSample, GLMState

__all__ = ["GLMNeurons"]


class GLMNeurons(nn.Module, ABC):
    """GLM neurons without their synapses; see `GLMLayer` and `GLMConv2d` for the arguments.

    The parameters ``feedback [K, C]`` and ``bias [C]`` are shared by all neurons of a channel; in a
    fully connected layer each neuron is a channel.
    """

    basis: Tensor
    feedback_basis: Tensor
    weight: nn.Parameter

    def __init__(
        self,
        channels: int,
        *,
        basis: Tensor | None,
        feedback_basis: Tensor | None,
        initial: tuple[float | None, float, float],
        spike_grad: Callable[[Tensor], Tensor] | None,
        init_hidden: bool,
        output: bool,
    ) -> None:
        super().__init__()
        basis = bases.exponential_basis(6, 2.0) if basis is None else basis
        feedback_basis = basis if feedback_basis is None else feedback_basis
        if spike_grad is not None and not callable(spike_grad):
            raise InputError(
                "spike_grad",
                expected="a function of snntorch.surrogate, such as surrogate.atan()",
                got=f"{spike_grad!r}",
            )
        self.register_buffer("basis", check_basis("basis", basis))
        self.register_buffer("feedback_basis", check_basis("feedback_basis", feedback_basis))
        self.feedback = nn.Parameter(torch.empty(len(feedback_basis), channels))
        self.bias = nn.Parameter(torch.empty(channels))
        self.spike_grad = spike_grad
        self.init_hidden, self.output = init_hidden, output
        self._initial = initial
        self._state: GLMState | None = None

    @property
    @abstractmethod
    def _input_axes(self) -> tuple[int | None, ...]:
        """Sizes of an input behind time and batch; None is any size."""

    @property
    @abstractmethod
    def _fan_in(self) -> int:
        """Number of inputs of a neuron."""

    @property
    @abstractmethod
    def _delays_of_inputs(self) -> tuple[int, ...]: ...

    @abstractmethod
    def _output_shape(self, inputs: Tensor) -> tuple[int, ...]:
        """Sizes ``*out`` of the output behind time and batch."""

    @abstractmethod
    def _align(self, inputs: Tensor) -> Tensor:
        """Shifts inputs until one delay fits all of them."""

    @abstractmethod
    def _drive(self, aligned: Tensor, num_steps: int) -> Tensor:
        """The synapses: ``[H + T, B, *in]`` to ``[T, B, *out]``."""

    @abstractmethod
    def _weight_gradient(self, aligned: Tensor, error: Tensor, per_sample: bool) -> Tensor:
        """Gradient of the weights for an error ``[T, B, *out]``, behind an input's past."""

    @torch.no_grad()
    def reset_parameters(
        self,
        weight_std: float | None = None,
        bias_init: float | None = None,
        feedback_init: float | None = None,
        rng: torch.Generator | None = None,
    ) -> None:
        """Draws fresh weights; see the class for the arguments, by default those it was built with."""
        built_with = self._initial
        weight_std = built_with[0] if weight_std is None else weight_std
        bias_init = built_with[1] if bias_init is None else bias_init
        feedback_init = built_with[2] if feedback_init is None else feedback_init
        if weight_std is None:
            weight_std = float((self._fan_in * self.basis.square().sum()).rsqrt())
        if not (weight_std >= 0 and all(map(math.isfinite, (weight_std, bias_init, feedback_init)))):
            raise InputError(
                "weight_std, bias_init and feedback_init",
                expected="finite numbers, the first 0 or more",
                got=f"{weight_std}, {bias_init} and {feedback_init}",
            )
        self.weight.normal_(0.0, weight_std, generator=rng)
        self.bias.fill_(bias_init)
        self.feedback.fill_(feedback_init)

    def reset_mem(self) -> None:
        """Forgets the hidden state. The next call starts from silence, at any batch size.

        Returns None, which as an explicit state means silence too: ``state = layer.reset_mem()``
        works as snnTorch users know it.
        """
        self._state = None

    def detach_hidden(self) -> None:
        """Cuts the hidden state off the graph, for truncated backpropagation through time."""
        if self._state is not None:
            self._state = _detached(self._state)

    def initial_state(self, inputs: Tensor) -> GLMState:
        """The state before the first step: no spikes so far.

        Args:
            inputs: a step ``[B, *in]`` of the recording to come, for its sizes.
        """
        batch, out = inputs.shape[0], self._output_shape(inputs)
        bias = self._per_neuron(self.bias.detach(), out).reshape(out)
        return GLMState(
            mem=bias.expand(batch, *out).clone(),
            inputs=self.bias.new_zeros(self._window, batch, *inputs.shape[1:]),
            outputs=self.bias.new_zeros(self.feedback_basis.shape[1], batch, *out),
        )

    def forward(
        self,
        input_: Tensor,
        state: GLMState | None = None,
        *,
        uniforms: Tensor | None = None,
        rng: torch.Generator | None = None,
    ) -> Tensor | tuple[Tensor, GLMState]:
        """Samples spikes for one step ``[B, *in]`` or a sequence ``[T, B, *in]``.

        Args:
            input_: spikes or real-valued currents.
            state: where to go on from; silence by default. Not with ``init_hidden=True``.
            uniforms: noise in [0, 1) of the output's shape; a 1, which rounding can make of it, never
                fires.
            rng: draws the noise where none is given; torch's global generator by default.

        Returns:
            ``(spikes, state)``, or the spikes alone with ``init_hidden=True`` and not ``output``.

        Raises:
            InputError: if a shape, the noise or the state does not fit.
        """
        if self.init_hidden:
            if state is not None:
                raise InputError(
                    "state",
                    expected="none, as init_hidden=True keeps it inside the layer",
                    got="a state",
                    cure="call reset_mem() to start afresh, or build with init_hidden=False",
                )
            state = self._state
        check_tensor("input", input_)
        one_step = input_.dim() == 1 + len(self._input_axes)
        if one_step:
            input_ = input_.unsqueeze(0)
            uniforms = uniforms.unsqueeze(0) if isinstance(uniforms, Tensor) else uniforms
        run = self._run(input_, state, uniforms, rng, torch.is_grad_enabled())
        spikes = run.spikes.squeeze(0) if one_step else run.spikes
        if self.init_hidden:
            self._state = run.state
        return (spikes, run.state) if self.output or not self.init_hidden else spikes

    @torch.no_grad()
    def sample(
        self,
        inputs: Tensor,
        state: GLMState | None = None,
        *,
        uniforms: Tensor | None = None,
        rng: torch.Generator | None = None,
    ) -> GLMSample:
        """Samples a sequence and keeps what the local learning rule needs; stores no graph.

        It neither reads nor changes the hidden state of ``init_hidden=True``: pass ``state`` to go on.

        Args:
            inputs: ``[T, B, *in]``.
            state: where to go on from; silence by default.
            uniforms: noise in [0, 1), ``[T, B, *out]``.
            rng: draws the noise where none is given.

        Raises:
            InputError: if a shape, the noise or the state does not fit.
        """
        return self._run(inputs, state, uniforms, rng, differentiable=False)

    @torch.no_grad()
    def observe(self, inputs: Tensor, spikes: Tensor, state: GLMState | None = None) -> GLMSample:
        """As `sample`, with spikes that are given instead of drawn (teacher forcing).

        ``gradients(run, run.score)`` are then those of maximum likelihood, and
        ``run.log_likelihood`` says how probable the given spikes were.

        Args:
            inputs: ``[T, B, *in]``.
            spikes: zeros and ones ``[T, B, *out]``.
            state: where to go on from; silence by default.

        Raises:
            InputError: if a shape, the spikes or the state does not fit.
        """
        self._check_inputs(inputs)
        check_tensor("spikes", spikes)
        if look(((spikes == 0) | (spikes == 1)).all()) is False:
            raise InputError("spikes", expected="zeros and ones", got="other values, or NaN")
        expected = (*inputs.shape[:2], *self._output_shape(inputs[0]))
        if tuple(spikes.shape) != expected:
            raise InputError("spikes", expected=f"shape {list(expected)}", got=f"{list(spikes.shape)}")
        # A uniform of 0 is below any firing probability, one of 1 above.
        return self._run(inputs, state, 1 - spikes.to(self.bias), None, differentiable=False)

    @torch.no_grad()
    def filters(self, inputs: Sequence[int] = ()) -> GLMFilters:
        r"""The neurons' filters over lags, with weights, basis and delays in one.

        .. math:: u_{i,t} = \gamma_i + \sum_{j,m} \alpha_{m,j,i}\, x_{j,t-m}
            + \sum_{l} \beta_{l,i}\, s_{i,t-1-l}

        Args:
            inputs: sizes of an input behind time and batch, where the layer takes more than one.

        Returns:
            The filters of all inputs to all neurons, and the neurons' own.

        Raises:
            InputError: if the sizes are none of this layer's.
        """
        axes = tuple(inputs) or tuple(axis or 0 for axis in self._input_axes)
        count = math.prod(axes)
        if not count:
            raise InputError(
                "inputs", expected="the sizes of an input behind time and batch", got=f"{list(inputs)}"
            )
        impulses = self.weight.new_zeros(self._window + 1, count, *axes)
        impulses[0] = torch.eye(count).to(impulses).reshape(count, *axes)
        self._check_inputs(impulses)
        out = self._output_shape(impulses[0])
        synaptic = self._drive(self._align(impulses), len(impulses))
        feedback = self._per_neuron(glm.feedback_kernel(self.feedback, self.feedback_basis), out)
        filters = GLMFilters(
            synaptic.reshape(-1, *axes, *out),
            feedback.reshape(-1, *out),
            self._per_neuron(self.bias, out).reshape(out).clone(),
        )
        for name, values in filters._asdict().items():
            check_finite(f"{name} filter", values)
        return filters

    def output_size(self, inputs: Sequence[int]) -> tuple[int, ...]:
        """Sizes of the neurons behind time and batch, for those of an input.

        Raises:
            InputError: if the layer takes no such input.
        """
        silence = self.weight.new_zeros(1, 1, *inputs)
        self._check_inputs(silence)
        return tuple(self._output_shape(silence[0]))

    @torch.no_grad()
    def gradients(
        self, run: GLMSample, error: Tensor, *, per_sample: bool = False
    ) -> dict[str, Tensor]:
        r"""Closed-form gradients for a post-synaptic error, without a graph through time (eq. 5, 8).

        With ``error = run.score`` they are the gradient of ``run.log_likelihood.sum()``, exactly; with
        the score times a reward for each trial, REINFORCE, which is unbiased and local: pre-synaptic
        trace, post-synaptic error, global reward. They point uphill: give an optimiser
        ``maximize=True``, or their negative.

        Args:
            run: what `sample` or `observe` returned.
            error: ``[T, B, *out]``.
            per_sample: keep the batch axis in front instead of summing over it.

        Returns:
            Gradients by parameter name: ``weight``, ``feedback``, ``bias``.

        Raises:
            InputError: if the run is none of this layer's, or the error does not fit it.
        """
        self._check_run(run)
        check_tensor("error", error)
        if error.shape != run.spikes.shape or not error.is_floating_point():
            raise InputError(
                "error",
                expected=f"floats {list(run.spikes.shape)}",
                got=f"{error.dtype} {list(error.shape)}",
            )
        check_finite("error", error)
        error = error.to(run.potentials.dtype)
        channels = len(self.bias)
        feedback = glm.feedback_gradient(
            run.outputs.flatten(2),
            error.flatten(2),
            self.feedback_basis,
            per_sample=per_sample,
        )
        bias = error.flatten(2).sum(0) if per_sample else error.flatten(2).sum((0, 1))
        return {
            "weight": self._weight_gradient(run.aligned, error, per_sample),
            "feedback": _sum_over_space(feedback, channels),
            "bias": _sum_over_space(bias, channels),
        }

    def _run(
        self,
        inputs: Tensor,
        state: GLMState | None,
        uniforms: Tensor | None,
        rng: torch.Generator | None,
        differentiable: bool,
    ) -> GLMSample:
        self._check_inputs(inputs)
        steps, batch = inputs.shape[:2]
        out = self._output_shape(inputs[0])
        self._check_state(state, inputs)
        noise = self._noise((steps, batch, *out), uniforms, rng)

        inputs = inputs.to(self.weight.dtype)
        if state is not None:
            inputs = torch.cat([state.inputs, inputs])
        aligned = self._align(inputs)
        # Autocast may have made the product half precise; the neurons go on as their parameters are.
        drive = self._drive(aligned, steps).to(self.bias.dtype).flatten(2)
        bias, feedback = self._per_neuron(self.bias, out), self._per_neuron(self.feedback, out)
        if state is not None:
            past = state.outputs.flatten(2)
            drive = drive + glm.feedback_drive(past, feedback, self.feedback_basis, steps)
        neurons = drive, bias, feedback, self.feedback_basis, noise.flatten(2)
        if differentiable:
            spikes, potentials = glm.sample_differentiable(*neurons, self.spike_grad)
        else:
            spikes, potentials = glm.sample(*neurons, overwrite=uniforms is None)
        check_finite("membrane potential", potentials)
        spikes, potentials = (x.reshape(steps, batch, *out) for x in (spikes, potentials))
        outputs = spikes if state is None else torch.cat([state.outputs, spikes])
        windows = self._window, self.feedback_basis.shape[1]
        return GLMSample(spikes, potentials, inputs, aligned, outputs, windows)

    def _per_neuron(self, by_channel: Tensor, out: tuple[int, ...]) -> Tensor:
        """Repeats ``[..., C]`` for each place of a channel: ``[..., O]``."""
        places = math.prod(out[1:])
        return by_channel if places == 1 else by_channel.repeat_interleave(places, -1)

    @property
    def _window(self) -> int:
        return self.basis.shape[1] - 1 + max(self._delays_of_inputs)

    def _noise(
        self, shape: tuple[int, ...], uniforms: Tensor | None, rng: torch.Generator | None
    ) -> Tensor:
        if uniforms is None:
            # bfloat16 or float16 uniforms are too coarse: p = 0.001 would fire at 0.003.
            wide = torch.promote_types(self.bias.dtype, torch.float32)
            return torch.rand(shape, generator=rng, dtype=wide, device=self.bias.device)
        if not isinstance(uniforms, Tensor) or not uniforms.is_floating_point():
            got = uniforms.dtype if isinstance(uniforms, Tensor) else type(uniforms).__name__
            raise InputError("uniforms", expected="a tensor of floats", got=f"{got}")
        if tuple(uniforms.shape) != shape:
            raise InputError("uniforms", expected=f"shape {list(shape)}", got=f"{list(uniforms.shape)}")
        if look(((uniforms >= 0) & (uniforms <= 1)).all()) is False:
            raise InputError(
                "uniforms",
                expected="values in [0, 1)",
                got="others, or NaN",
                cure="draw them with torch.rand",
            )
        return uniforms

    def _check_run(self, run: GLMSample) -> None:
        ours = (self._window, self.feedback_basis.shape[1])
        fits = run.windows == ours and self._fits(run.aligned)
        if not fits or run.spikes.shape[2:] != self._output_shape(run.aligned[0]):
            raise InputError(
                "run",
                expected=f"one of this layer, {self}",
                got=f"inputs {list(run.aligned.shape)}, spikes {list(run.spikes.shape)}, "
                f"windows {run.windows}",
            )

    def _fits(self, inputs: Tensor) -> bool:
        axes, sizes = self._input_axes, inputs.shape[2:]
        return inputs.dim() == 2 + len(axes) and all(
            axis is None or axis == size for axis, size in zip(axes, sizes, strict=True)
        )

    def _check_inputs(self, inputs: Tensor) -> None:
        check_tensor("input", inputs)
        axes = self._input_axes
        if not self._fits(inputs) or inputs.shape[0] < 1:
            shape = ", ".join("any" if axis is None else str(axis) for axis in axes)
            raise InputError(
                "input",
                expected=f"[B, {shape}] or [T >= 1, B, {shape}]",
                got=f"{list(inputs.shape)}",
            )
        if inputs.is_complex():
            raise InputError("input", expected="real numbers", got=f"{inputs.dtype}")
        check_finite("input", inputs)

    def _check_state(self, state: GLMState | None, inputs: Tensor) -> None:
        if state is None:
            return
        if not isinstance(state, GLMState):
            raise InputError(
                "state",
                expected="the GLMState of an earlier call",
                got=type(state).__name__,
                cure="pass the second thing that the layer returned, or nothing at the start",
            )
        past, own = (self._window, *inputs.shape[1:]), self.feedback_basis.shape[1]
        own_past = (own, inputs.shape[1], *self._output_shape(inputs[0]))
        shapes = tuple(state.inputs.shape), tuple(state.outputs.shape)
        dtypes = {state.inputs.dtype, state.outputs.dtype}
        if shapes != (past, own_past) or dtypes != {self.bias.dtype}:
            raise InputError(
                "state",
                expected=f"histories {list(past)} and {list(own_past)}, {self.bias.dtype}",
                got=f"{list(shapes[0])} and {list(shapes[1])}, {', '.join(map(str, dtypes))}",
                cure="call reset_mem() between batches, or pass a state of this layer and batch size",
            )

    def get_extra_state(self) -> Tensor:
        """The delays, which weights are meaningless without."""
        return torch.tensor(self._delays_of_inputs)

    def set_extra_state(self, state: Tensor) -> None:
        """Refuses weights that were learned with other delays."""
        if len(state) != len(self._delays_of_inputs):
            raise InputError(
                "state_dict",
                expected=f"weights of a layer with {len(self._delays_of_inputs)} inputs",
                got=f"{len(state)}",
            )
        if tuple(state.tolist()) != self._delays_of_inputs:
            raise InputError(
                "state_dict",
                expected=f"weights of a layer with delays {sorted(set(self._delays_of_inputs))}",
                got=f"{sorted(set(state.tolist()))}, or in another order",
                cure="build the layer with the delay it was trained with",
            )

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """The hidden state moves with the parameters."""
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        if self._state is not None:
            self._state = GLMState(*map(fn, self._state))
        return self

    def __getstate__(self) -> dict[str, Any]:
        # A hidden state that hangs on a graph can be neither copied nor pickled.
        own = self.__dict__.copy()
        own["_state"] = None if self._state is None else _detached(self._state)
        return own


def _sum_over_space(per_neuron: Tensor, channels: int) -> Tensor:
    """``[..., O]`` to ``[..., C]``."""
    if per_neuron.shape[-1] == channels:
        return per_neuron
    return per_neuron.reshape(*per_neuron.shape[:-1], channels, -1).sum(-1)


def _detached(state: GLMState) -> GLMState:
    return GLMState(*(part.detach() for part in state))
