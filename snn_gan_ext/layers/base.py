"""Common base of the GLM layers: neurons with feedback, state, noise and the snnTorch interface.

A layer adds its synapses: the drive of an input and the gradient of its weights.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, Self

import torch
from torch import Tensor, nn

from snn_gan_ext.errors import InputError
from snn_gan_ext.functional import bases, glm
from snn_gan_ext.layers.state import GLMFilters, GLMSample, GLMState
from snn_gan_ext.validation import check_basis, check_finite, check_tensor, concrete

__all__ = ["GLMNeurons"]


class GLMNeurons(nn.Module, ABC):
    """GLM neurons without synapses; `GLMLayer` and `GLMConv2d` document the arguments.

    All neurons of a channel share the parameters ``feedback [K, C]`` and ``bias [C]``. In a fully
    connected layer each neuron is a channel.
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
        """Sizes ``*in`` of an input after time and batch; None stands for any size."""

    @property
    @abstractmethod
    def _fan_in(self) -> int:
        """Number of synapses of a neuron."""

    @property
    @abstractmethod
    def _delays_of_inputs(self) -> tuple[int, ...]: ...

    @abstractmethod
    def _output_shape(self, inputs: Tensor) -> tuple[int, ...]:
        """Return the sizes ``*out`` of the output of one step ``[B, *in]``."""

    @abstractmethod
    def _align(self, inputs: Tensor) -> Tensor:
        """Shift inputs so that all of them have the smallest delay."""

    @abstractmethod
    def _drive(self, aligned: Tensor, num_steps: int) -> Tensor:
        """Return the synaptic drive ``[T, B, *out]`` of aligned inputs ``[H + T, B, *in]``."""

    @abstractmethod
    def _weight_gradient(self, aligned: Tensor, error: Tensor, per_sample: bool) -> Tensor:
        """Return the gradient of the weights for aligned inputs and an error ``[T, B, *out]``."""

    @torch.no_grad()
    def reset_parameters(
        self,
        weight_std: float | None = None,
        bias_init: float | None = None,
        feedback_init: float | None = None,
        rng: torch.Generator | None = None,
    ) -> None:
        """Draw new initial weights.

        Args:
            weight_std: Standard deviation of the weights; by default that of the constructor.
            bias_init: Initial bias; by default that of the constructor.
            feedback_init: Initial feedback weight; by default that of the constructor.
            rng: Random source of the weights; torch's global generator by default.

        Raises:
            InputError: If a number is not finite, or ``weight_std`` is below 0.
        """
        initial = self._initial
        weight_std = initial[0] if weight_std is None else weight_std
        bias_init = initial[1] if bias_init is None else bias_init
        feedback_init = initial[2] if feedback_init is None else feedback_init
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
        """Reset the hidden state to silence. The next call may have any batch size.

        The return value None stands for silence as an explicit state, too, so snnTorch's
        ``state = layer.reset_mem()`` works.
        """
        self._state = None

    def detach_hidden(self) -> None:
        """Detach the hidden state from the graph, for truncated backpropagation through time."""
        if self._state is not None:
            self._state = _detached(self._state)

    def initial_state(self, inputs: Tensor) -> GLMState:
        """Return the state before the first step: no spikes so far.

        Args:
            inputs: One input step ``[B, *in]``; only its sizes count.
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
        """Sample spikes for one step or a sequence.

        Args:
            input_: Spikes or real-valued currents, one step ``[B, *in]`` or a sequence ``[T, B, *in]``.
            state: State to continue from; silence by default. Not allowed with ``init_hidden=True``.
            uniforms: Noise in [0, 1), of the shape of the output. A 1 from rounding never fires.
            rng: Random source of the noise if ``uniforms`` is not given; torch's global generator by
                default.

        Returns:
            ``(spikes, state)``; with ``init_hidden=True`` and ``output=False`` the spikes alone.

        Raises:
            InputError: If the shape of an argument is wrong, the input is not finite or the noise lies
                outside [0, 1].
        """
        if self.init_hidden:
            if state is not None:
                raise InputError(
                    "state",
                    expected="none, as init_hidden=True keeps it inside the layer",
                    got="a state",
                    cure="call reset_mem() to start from silence, or build with init_hidden=False",
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
        """Sample a sequence and return the record that the local learning rule needs.

        No graph is stored. The hidden state of ``init_hidden=True`` is neither used nor changed: pass
        ``state`` to continue.

        Args:
            inputs: Inputs ``[T, B, *in]``.
            state: State to continue from; silence by default.
            uniforms: Noise in [0, 1), ``[T, B, *out]``.
            rng: Random source of the noise if ``uniforms`` is not given; torch's global generator by
                default.

        Returns:
            Record of the run.

        Raises:
            InputError: If the shape of an argument is wrong, the input is not finite or the noise lies
                outside [0, 1].
        """
        return self._run(inputs, state, uniforms, rng, differentiable=False)

    @torch.no_grad()
    def observe(self, inputs: Tensor, spikes: Tensor, state: GLMState | None = None) -> GLMSample:
        """Run the layer on given spikes instead of drawn ones (teacher forcing).

        For the returned run, ``gradients(run, run.score)`` is the gradient of maximum likelihood and
        ``run.log_likelihood`` the log-probability of the spikes.

        Args:
            inputs: Inputs ``[T, B, *in]``.
            spikes: Spikes of the neurons ``[T, B, *out]``, zeros and ones.
            state: State to continue from; silence by default.

        Returns:
            Record of the run.

        Raises:
            InputError: If the shape of an argument is wrong, the input is not finite or the spikes hold
                other values.
        """
        self._check_inputs(inputs)
        check_tensor("spikes", spikes)
        if concrete(((spikes == 0) | (spikes == 1)).all()) is False:
            raise InputError("spikes", expected="zeros and ones", got="other values, or NaN")
        expected = (*inputs.shape[:2], *self._output_shape(inputs[0]))
        if tuple(spikes.shape) != expected:
            raise InputError("spikes", expected=f"shape {list(expected)}", got=f"{list(spikes.shape)}")
        # A uniform of 0 is below any firing probability, one of 1 above.
        return self._run(inputs, state, 1 - spikes.to(self.bias), None, differentiable=False)

    @torch.no_grad()
    def filters(self, inputs: Sequence[int] = ()) -> GLMFilters:
        r"""Return the filters of the neurons over lags: weights, basis and delays combined.

        .. math:: u_{i,t} = \gamma_i + \sum_{j,m} \alpha_{m,j,i}\, x_{j,t-m}
            + \sum_{l} \beta_{l,i}\, s_{i,t-1-l}

        Args:
            inputs: Sizes ``*in`` of an input after time and batch, if the layer accepts several.

        Returns:
            Synaptic filters of all pairs, feedback filters and biases.

        Raises:
            InputError: If the layer does not accept these sizes, or a filter is not finite.
        """
        axes = tuple(inputs) or tuple(axis or 0 for axis in self._input_axes)
        count = math.prod(axes)
        if not count:
            raise InputError(
                "inputs", expected="the sizes of an input after time and batch", got=f"{list(inputs)}"
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

    @property
    def input_axes(self) -> tuple[int | None, ...]:
        """Sizes ``*in`` of an input after time and batch; None stands for any size.

        ``(I,)`` for a dense layer, ``(C, None, None)`` for a convolutional one.
        """
        return self._input_axes

    def output_size(self, inputs: Sequence[int]) -> tuple[int, ...]:
        """Return the sizes ``*out`` of the output for the sizes ``*in`` of an input.

        Raises:
            InputError: If the layer does not accept such an input.
        """
        silence = self.weight.new_zeros(1, 1, *inputs)
        self._check_inputs(silence)
        return tuple(self._output_shape(silence[0]))

    @torch.no_grad()
    def gradients(
        self, run: GLMSample, error: Tensor, *, per_sample: bool = False
    ) -> dict[str, Tensor]:
        r"""Return closed-form gradients for a post-synaptic error, without a graph (eq. 5, 8).

        With ``error = run.score`` they are the exact gradient of ``run.log_likelihood.sum()``. With the
        score times a reward per trial they are REINFORCE, unbiased and local: pre-synaptic trace times
        post-synaptic error times global reward. Gradients point uphill: negate them, or build the
        optimiser with ``maximize=True``.

        Args:
            run: Record from `sample` or `observe`.
            error: Post-synaptic error ``[T, B, *out]``.
            per_sample: Whether to keep the batch axis, in front, instead of summing over it.

        Returns:
            Gradients by parameter name: ``weight``, ``feedback``, ``bias``.

        Raises:
            InputError: If the run is of another layer, or the error has another shape or is not finite.
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
        # Under autocast the product may have half precision; the neurons keep that of their parameters.
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
        """Repeat ``[..., C]`` for each place of a channel: ``[..., O]``."""
        places = math.prod(out[1:])
        return by_channel if places == 1 else by_channel.repeat_interleave(places, -1)

    @property
    def _window(self) -> int:
        return self.basis.shape[1] - 1 + max(self._delays_of_inputs)

    def _noise(
        self, shape: tuple[int, ...], uniforms: Tensor | None, rng: torch.Generator | None
    ) -> Tensor:
        if uniforms is None:
            # bfloat16 and float16 are too coarse: with p = 0.001 neurons would fire at a rate of 0.003.
            wide = torch.promote_types(self.bias.dtype, torch.float32)
            return torch.rand(shape, generator=rng, dtype=wide, device=self.bias.device)
        if not isinstance(uniforms, Tensor) or not uniforms.is_floating_point():
            got = uniforms.dtype if isinstance(uniforms, Tensor) else type(uniforms).__name__
            raise InputError("uniforms", expected="a tensor of floats", got=f"{got}")
        if tuple(uniforms.shape) != shape:
            raise InputError("uniforms", expected=f"shape {list(shape)}", got=f"{list(uniforms.shape)}")
        if concrete(((uniforms >= 0) & (uniforms <= 1)).all()) is False:
            raise InputError(
                "uniforms",
                expected="values in [0, 1)",
                got="other values, or NaN",
                cure="draw them with torch.rand",
            )
        return uniforms

    def _check_run(self, run: GLMSample) -> None:
        ours = (self._window, self.feedback_basis.shape[1])
        fits = run.windows == ours and self._fits(run.aligned)
        if not fits or run.spikes.shape[2:] != self._output_shape(run.aligned[0]):
            raise InputError(
                "run",
                expected=f"a run of {self}",
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
                cure="pass the state that the layer returned, or none for the first step",
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
        """Return the delays, a part of the meaning of the weights."""
        return torch.tensor(self._delays_of_inputs)

    def set_extra_state(self, state: Tensor) -> None:
        """Refuse weights that were trained with other delays."""
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
        """Move the hidden state along with the parameters."""
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        if self._state is not None:
            self._state = GLMState(*map(fn, self._state))
        return self

    def __getstate__(self) -> dict[str, Any]:
        # A hidden state with a graph can be neither copied nor pickled.
        own = self.__dict__.copy()
        own["_state"] = None if self._state is None else _detached(self._state)
        return own


def _sum_over_space(per_neuron: Tensor, channels: int) -> Tensor:
    """Sum ``[..., O]`` over the places of each channel: ``[..., C]``."""
    if per_neuron.shape[-1] == channels:
        return per_neuron
    return per_neuron.reshape(*per_neuron.shape[:-1], channels, -1).sum(-1)


def _detached(state: GLMState) -> GLMState:
    return GLMState(*(part.detach() for part in state))
