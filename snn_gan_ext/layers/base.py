"""Common base of the GLM layers: neurons with feedback, state, noise and the snnTorch interface."""

import math
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from types import EllipsisType
from typing import Any, Literal, Self

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from snn_gan_ext.errors import InputError
from snn_gan_ext.functional import bases, coupling, glm
from snn_gan_ext.functional._dispatch import trackable
from snn_gan_ext.functional.coupling import Coupling
from snn_gan_ext.layers.state import GLMFilters, GLMSample, GLMState, once
from snn_gan_ext.validation import (
    FINITE,
    at_least,
    check_basis,
    check_device,
    check_finite,
    check_floats,
    check_setting,
    check_shapes,
    check_spikes,
    check_tensor,
    check_uniforms,
    one_of,
    whole,
)

__all__ = ["EvalMode", "GLMNeurons"]

EvalMode = Literal["sample", "expected", "threshold"]
BETWEEN = "coupling", "same_step", "count"  # parameters of neurons that hear each other
PARAMETERS = "weight", "feedback", "bias", *BETWEEN
REFRACTORY = -100.0  # feedback after a spike: no uniform fires there, and log-probabilities stay finite


class GLMNeurons(nn.Module, ABC):
    """GLM neurons without synapses; `GLMLayer` and `GLMConv2d` document the arguments.

    All neurons of a channel share the parameters ``feedback [K, C]`` and ``bias [C]``. In a fully
    connected layer each neuron is a channel. A subclass sets the attributes below, calls
    `reset_parameters`, and adds the drive of its inputs and the gradient of its weights.

    Attributes:
        weight: Synaptic weights ``[K, ...]``.
        input_axes: Sizes ``*in`` of an input after time and batch, as ``(I,)`` or ``(C, None, None)``;
            None stands for any size.
        delays: Synaptic delays in steps, one per input or one for all.
        levels: Levels that fire one after another within a step, of neurons that hear each other; None
            for neurons that hear themselves alone.
    """

    basis: Tensor
    feedback_basis: Tensor
    mask: Tensor | None
    refractory_basis: Tensor | None
    weight: nn.Parameter
    input_axes: tuple[int | None, ...]
    delays: tuple[int, ...]
    coupling: nn.Parameter | None
    same_step: nn.Parameter | None
    count: nn.Parameter | None
    coupling_basis: Tensor | None
    levels: tuple[int, ...] | None = None

    def __init__(
        self,
        channels: int,
        basis: Tensor | None = None,
        feedback_basis: Tensor | None = None,
        initial: tuple[float | None, float, float] = (None, -4.6, 0.0),
        spike_grad: Callable[[Tensor], Tensor] | None = None,
        init_hidden: bool = False,
        output: bool = False,
        refractory: int = 0,
        eval_mode: EvalMode = "sample",
    ) -> None:
        super().__init__()
        check_setting("refractory", refractory, whole(0))
        check_setting("eval_mode", eval_mode, one_of(EvalMode))
        basis = bases.exponential_basis(6, 2.0) if basis is None else basis
        feedback_basis = basis if feedback_basis is None else feedback_basis
        if spike_grad is not None and not callable(spike_grad):
            expected = "a function of snntorch.surrogate, such as surrogate.atan()"
            raise InputError("spike_grad", expected=expected, got=f"{spike_grad!r}")
        self.register_buffer("basis", check_basis("basis", basis))
        feedback_basis = check_basis("feedback_basis", feedback_basis)
        missing = max(refractory - feedback_basis.shape[1], 0)
        self.register_buffer("feedback_basis", F.pad(feedback_basis, (0, missing)))
        self.register_buffer("mask", None)
        silent = torch.arange(self.feedback_basis.shape[1])[None] < refractory
        self.register_buffer("refractory_basis", silent.to(feedback_basis) if refractory else None)
        self.feedback = nn.Parameter(torch.empty(len(feedback_basis), channels))
        self.bias = nn.Parameter(torch.empty(channels))
        for name in BETWEEN:
            self.register_parameter(name, None)
            self.register_buffer(f"{name}_mask", None)
        self.register_buffer("coupling_basis", None)
        self.spike_grad, self.init_hidden, self.output = spike_grad, init_hidden, output
        self.refractory, self.eval_mode = refractory, eval_mode
        self._initial = initial
        self._state: GLMState | None = None

    @abstractmethod
    def _output_shape(self, inputs: Tensor) -> tuple[int, ...]:
        """Return the sizes ``*out`` of the output of one step ``[B, *in]``."""

    def _align(self, inputs: Tensor) -> Tensor:
        """Shift inputs so that all of them have the smallest delay."""
        return inputs

    @abstractmethod
    def _drive(self, aligned: Tensor, num_steps: int) -> Tensor:
        """Return the synaptic drive ``[T, B, *out]`` of aligned inputs ``[H + T, B, *in]``."""

    @abstractmethod
    def _weight_gradient(self, aligned: Tensor, error: Tensor, per_sample: bool) -> Tensor:
        """Return the gradient of the weights for aligned inputs and an error ``[T, B, *out]``."""

    def _couple(
        self, levels: tuple[int, ...], basis: Tensor | None = None, **masks: Tensor | None
    ) -> None:
        """Let neurons hear each other, by weights of zero where the mask of a parameter is True."""
        self.levels = levels
        for name, mask in masks.items():
            if mask is not None:
                self.register_buffer(f"{name}_mask", mask)
                setattr(self, name, nn.Parameter(self.bias.new_zeros(mask.shape)))
        if self.coupling is not None:
            basis = check_basis("coupling_basis", self.feedback_basis if basis is None else basis)
            self.coupling_basis = basis
            self.coupling = nn.Parameter(self.bias.new_zeros(len(basis), *self.coupling.shape))

    def _coupled(self, out: tuple[int, ...]) -> Coupling | None:
        """Return the effects of the neurons' spikes on each other; None if they hear themselves."""
        return None

    def _between(self, name: str) -> Any:
        """Return weights between neurons, zero where there is no connection; None for none."""
        weight = getattr(self, name)
        return None if weight is None else weight * getattr(self, f"{name}_mask")

    @torch.no_grad()
    def reset_parameters(
        self,
        weight_std: float | None = None,
        bias_init: float | None = None,
        feedback_init: float | None = None,
        rng: Generator | None = None,
    ) -> None:
        """Draw new initial weights, by default as the constructor does; absent synapses stay zero.

        Weights between the neurons of the layer become zero.

        Args:
            weight_std: Standard deviation of the weights.
            bias_init: Initial bias.
            feedback_init: Initial feedback weight.
            rng: Random source of the weights; torch's global generator by default.

        Raises:
            InputError: If a number is not finite, ``weight_std`` is below 0, or a parameter is made of
                others (pruned, weight-normed or parametrised layers).
        """
        self.check_parameters()
        initial = self._initial
        weight_std = initial[0] if weight_std is None else weight_std
        bias_init = initial[1] if bias_init is None else bias_init
        feedback_init = initial[2] if feedback_init is None else feedback_init
        if weight_std is None:
            synapses = self.weight[0].numel() // len(self.bias)  # of a neuron
            weight_std = 4 * bases.unit_std(synapses, self.basis)
        check_setting("weight_std", weight_std, at_least(0))
        check_setting("bias_init", bias_init, FINITE)
        check_setting("feedback_init", feedback_init, FINITE)
        self.weight.normal_(0.0, weight_std, generator=rng)
        if self.mask is not None:
            self.weight.mul_(self.mask)
        self.bias.fill_(bias_init)
        self.feedback.fill_(feedback_init)
        for between in (self.coupling, self.same_step, self.count):
            if between is not None:
                between.zero_()

    @property
    def free_parameters(self) -> int:
        """Number of weights that can change: those of absent connections cannot."""
        masks = {name: getattr(self, f"{name}_mask") for name in BETWEEN} | {"weight": self.mask}
        kept = {name: mask.float().mean() for name, mask in masks.items() if mask is not None}
        each = (x.numel() * float(kept.get(name, 1.0)) for name, x in self.named_parameters())
        return round(sum(each))

    def reset_mem(self) -> None:
        """Reset the hidden state to silence; the next call may have any batch size.

        As an explicit state, the return value None stands for silence, as snnTorch's code expects.
        """
        self._state = None

    init_glm = reset_mem  # snnTorch's neurons have both names

    @property
    def mem(self) -> Tensor:
        """Membrane potentials ``[B, *out]`` of the last step with ``init_hidden=True``; else empty."""
        return self.bias.new_zeros(0) if self._state is None else self._state.mem

    @property
    def spk(self) -> Tensor:
        """Spikes ``[B, *out]`` of the last step with ``init_hidden=True``; else empty."""
        return self.bias.new_zeros(0) if self._state is None else self._state.outputs[-1]

    def __getattr__(self, name: str) -> Any:
        # `snntorch.functional.probe` calls this method by its name, and PyTorch's knows no properties.
        shown = name == "mem" or name == "spk"
        return object.__getattribute__(self, name) if shown else nn.Module.__getattr__(self, name)

    def detach_hidden(self) -> None:
        """Detach the hidden state from the graph, for truncated backpropagation through time."""
        self._state = _changed(self._state, Tensor.detach)

    def initial_state(self, inputs: Tensor) -> GLMState:
        """Return the state before the first step, of silence, for inputs of one step ``[B, *in]``."""
        out, (past, own) = self._output_shape(inputs), self._windows
        mem = self._per_neuron(self.bias.detach(), out).reshape(out).expand(len(inputs), *out).clone()
        silence = self.bias.new_zeros
        return GLMState(mem, silence(past, *inputs.shape), silence(own, len(inputs), *out))

    def forward(
        self,
        input_: Tensor,
        state: GLMState | EllipsisType | None = ...,
        *,
        uniforms: Tensor | None = None,
        rng: Generator | None = None,
    ) -> Tensor | tuple[Tensor, GLMState]:
        """Sample spikes for one step or a sequence.

        The number of axes decides: a recording without a batch axis is one step of many trials. With a
        delay that step hears nothing. A call of one step warns unless it passes a ``state``, or None.

        Args:
            input_: Spikes or real-valued currents, one step ``[B, *in]`` or a sequence ``[T, B, *in]``.
            state: State to continue from; None, the default, is silence. Not allowed with
                ``init_hidden=True``.
            uniforms: Noise in [0, 1), of the shape of the output. A 1 from rounding never fires.
            rng: Random source of the noise without ``uniforms``; torch's global generator by default.

        Returns:
            ``(spikes, state)``; with ``init_hidden=True`` and ``output=False`` the spikes alone.

        Raises:
            InputError: If a shape is wrong, the input is not finite or the noise lies outside [0, 1].
        """
        samples = self.training or uniforms is not None or rng is not None
        return self._call(input_, state, uniforms, rng, mode="sample" if samples else self.eval_mode)

    def _call(
        self,
        input_: Tensor,
        state: GLMState | EllipsisType | None,
        uniforms: Tensor | None,
        rng: Generator | None,
        *,
        observed: bool = False,
        mode: EvalMode = "sample",
    ) -> Tensor | tuple[Tensor, GLMState]:
        check_tensor("input", input_)
        one_step = input_.dim() == 1 + len(self.input_axes)
        alone = state is ... and one_step and not self.init_hidden
        state = None if state is ... else state
        if self.init_hidden:
            self._check_keeps_state()
            if state is not None:
                expected = "none, as init_hidden=True keeps it inside the layer"
                cure = "call reset_mem() to start from silence, or build with init_hidden=False"
                raise InputError("state", expected=expected, got="a state", cure=cure)
            state = self._state
        if one_step:
            input_ = input_.unsqueeze(0)
            uniforms = uniforms.unsqueeze(0) if isinstance(uniforms, Tensor) else uniforms
        run = self._run(input_, state, uniforms, rng, observed=observed, mode=mode)
        if alone and min(self.delays) > 0 and not torch.compiler.is_compiling():
            _warn_of_lone_step(input_.shape[1:])
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
        rng: Generator | None = None,
    ) -> GLMSample:
        """Sample a sequence and return the record that the local learning rule needs.

        No graph is stored. The hidden state of ``init_hidden=True`` is neither used nor changed.

        Args:
            inputs: Inputs ``[T, B, *in]``.
            state: State to continue from; silence by default.
            uniforms: Noise in [0, 1), ``[T, B, *out]``.
            rng: Random source of the noise without ``uniforms``; torch's global generator by default.

        Raises:
            InputError: If a shape is wrong, the input is not finite or the noise lies outside [0, 1].
        """
        self._check_fresh()
        return self._run(inputs, state, uniforms, rng)

    @torch.no_grad()
    def observe(self, inputs: Tensor, spikes: Tensor, state: GLMState | None = None) -> GLMSample:
        """Run the layer on given spikes instead of drawn ones (teacher forcing).

        For the returned run, ``gradients(run, run.score)`` is the gradient of maximum likelihood and
        ``run.log_likelihood`` the log-probability of the spikes.

        Args:
            inputs: Inputs ``[T, B, *in]``.
            spikes: Spikes of the neurons ``[T, B, *out]``, zeros and ones.
            state: State to continue from; silence by default.

        Raises:
            InputError: If a shape is wrong, the input is not finite or the spikes hold other values.
        """
        self._check_fresh()
        self._check_inputs(inputs)
        check_shapes(spikes=(spikes, (*inputs.shape[:2], *self._output_shape(inputs[0]))))
        check_device("spikes", spikes, self.bias.device)
        check_spikes("spikes", spikes)
        # A uniform of 0 is below any firing probability, one of 1 above.
        return self._run(inputs, state, 1 - spikes.to(self.bias), None, observed=True)

    def drive(self, inputs: Tensor) -> Tensor:
        """Return the synaptic drive ``[T, B, *out]`` from silence, differentiable by all.

        Args:
            inputs: Inputs ``[T, B, *in]``.

        Raises:
            InputError: If the shape is wrong, or the input is not finite.
        """
        self._check_inputs(inputs)
        return self._drive(self._align(inputs.to(self.weight.dtype)), len(inputs))

    @torch.no_grad()
    def filters(self, inputs: Sequence[int] = ()) -> GLMFilters:
        r"""Return the filters of the neurons over lags: weights, basis and delays combined.

        .. math:: u_{i,t} = \gamma_i + \sum_{j,m} \alpha_{m,j,i}\, x_{j,t-m}
            + \sum_{l} \beta_{l,i}\, s_{i,t-1-l}

        Args:
            inputs: Sizes ``*in`` of an input after time and batch, if the layer accepts several.

        Raises:
            InputError: If the layer does not accept these sizes, or a filter is not finite.
        """
        self._check_fresh()
        axes = tuple(inputs) or tuple(axis or 0 for axis in self.input_axes)
        count = math.prod(axes)
        if not count:
            expected = "the sizes of an input after time and batch"
            raise InputError("inputs", expected=expected, got=f"{list(inputs)}")
        impulses = self.weight.new_zeros(self._windows[0] + 1, count, *axes)
        impulses[0] = torch.eye(count).to(impulses).reshape(count, *axes)
        self._check_inputs(impulses)
        out = self._output_shape(impulses[0])
        synaptic = self._drive(self._align(impulses), len(impulses)).reshape(-1, *axes, *out)
        feedback = self._per_neuron(glm.feedback_kernel(*self._all_feedback()), out)
        bias = self._per_neuron(self.bias, out).reshape(out).clone()
        between = self._filters_between(out)
        filters = GLMFilters(synaptic, feedback.reshape(-1, *out), bias, *between)
        for name, values in filters._asdict().items():
            if values is not None:
                check_finite(f"{name} filter", values)
        return filters

    def _filters_between(self, out: tuple[int, ...]) -> tuple[Tensor | None, ...]:
        """Return the effects of other neurons, the neurons' levels and the table of counts."""
        coupled = self._coupled(out)
        if coupled is None:
            return (None, None, None)
        each = torch.eye(math.prod(out)).to(self.bias)
        on_levels = torch.stack(list(coupled.on_levels()))
        now = [coupled.now(each * neurons, level) for level, neurons in enumerate(on_levels)]
        filters = torch.cat(
            [torch.stack(now).sum(0, keepdim=True), coupled.later(each, coupled.kernel)]
        )
        levels = on_levels.int().argmax(0).reshape(out)
        return (filters * (1 - each)).reshape(-1, *out, *out), levels, self.count

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
            Gradients by parameter name: ``weight``, ``feedback``, ``bias``, and those of ``coupling``,
            ``same_step`` and ``count`` that the layer has.

        Raises:
            InputError: If the run is of another layer, the error has another shape or is not finite, or
                a parameter is made of others (pruned, weight-normed or parametrised layers).
        """
        self.check_parameters()
        fits = run.windows == self._windows and self._fits(run.aligned)
        if not fits or run.spikes.shape[2:] != self._output_shape(run.aligned[0]):
            shapes = f"inputs {list(run.aligned.shape)}, spikes {list(run.spikes.shape)}"
            got = f"{shapes}, windows {run.windows}"
            raise InputError("run", expected=f"a run of {self}", got=got)
        check_shapes(error=(error, run.spikes.shape))
        check_device("error", error, self.bias.device)
        check_floats("error", error)
        check_finite("error", error)
        error = error.to(run.potentials.dtype)
        flat, outputs, channels = error.flatten(2), run.outputs.flatten(2), self.bias.shape[0]
        feedback = glm.feedback_gradient(outputs, flat, self.feedback_basis, per_sample=per_sample)
        coupled = self._coupled(tuple(error.shape[2:]))
        between = coupled.gradients(run.outputs, error, per_sample=per_sample) if coupled else {}
        return {
            "weight": self._weight_gradient(run.aligned, error, per_sample),
            "feedback": _per_channel(feedback, channels),
            "bias": _per_channel(flat.sum(0 if per_sample else (0, 1)), channels),
            **{name: x * getattr(self, f"{name}_mask") for name, x in between.items()},
        }

    def _run(
        self,
        inputs: Tensor,
        state: GLMState | None,
        uniforms: Tensor | None,
        rng: Generator | None,
        *,
        observed: bool = False,
        mode: EvalMode = "sample",
    ) -> GLMSample:
        self._check_inputs(inputs)
        steps, out = inputs.shape[0], self._output_shape(inputs[0])
        shape = (*inputs.shape[:2], *out)
        self._check_state(state, inputs, out)
        noise = self._noise(shape, uniforms, rng, observed, mode)
        inputs = once(trackable(inputs).to(self.weight.dtype))
        if state is not None:
            state = GLMState(*map(trackable, state))
            inputs = torch.cat([state.inputs, inputs])
        aligned = self._align(inputs)
        # Under autocast the product may have half precision; the neurons keep that of their parameters.
        drive = self._drive(aligned, steps).to(self.bias.dtype).flatten(2)
        coupled, past = self._coupled(out), None if state is None else state.outputs
        if coupled is not None and observed:
            spikes, potentials = self._given(drive, (1 - noise).to(self.bias), past, coupled)
        else:
            drive = drive if past is None else drive + self._echo(past, coupled, steps)
            noise = noise.flatten(2)
            spikes, potentials = self._fire(drive, noise, out, coupled, mode, uniforms is None)
        check_finite("membrane potential", potentials)
        spikes, potentials = once(spikes.reshape(shape)), potentials.reshape(shape)
        outputs = spikes if state is None else torch.cat([state.outputs, spikes])
        return GLMSample(spikes, potentials, inputs, aligned, outputs, self._windows)

    def _noise(
        self,
        shape: tuple[int, ...],
        uniforms: Tensor | None,
        rng: Generator | None,
        observed: bool,
        mode: EvalMode,
    ) -> Tensor:
        """Return the uniforms that decide on spikes, given or drawn."""
        device = self.bias.device
        if uniforms is not None:
            check_uniforms(uniforms, shape)
            check_device("uniforms", uniforms, device)
            noise = uniforms
        elif mode == "sample":
            # bfloat16 and float16 are too coarse: with p = 0.001 neurons would fire at a rate of 0.003.
            wide = torch.promote_types(self.bias.dtype, torch.float32)
            noise = torch.rand(shape, generator=rng, dtype=wide, device=device)
        else:
            return torch.full(shape, 0.5, device=device)  # fires above a probability of 0.5
        if observed:
            return noise
        # A 0 stands for all numbers up to the next one that can be drawn. Were it exact, it would make
        # the most silent neuron fire.
        least = torch.finfo(noise.dtype).eps / 4
        return F.threshold(noise, 0.0, least, inplace=uniforms is None)

    def _fire(
        self,
        drive: Tensor,
        noise: Tensor,
        out: tuple[int, ...],
        coupled: Coupling | None,
        mode: EvalMode,
        overwrite: bool,
    ) -> tuple[Tensor, Tensor]:
        """Return spikes and potentials ``[T, B, O]`` of neurons that hear each other or themselves."""
        rule: Any = glm if coupled is None else coupling
        neurons: tuple[Any, ...] = drive, self._per_neuron(self.bias, out), coupled
        if coupled is None:
            feedback, basis = self._all_feedback()
            neurons = *neurons[:2], self._per_neuron(feedback, out), basis
        if mode == "expected":
            return rule.expected(*neurons)  # type: ignore[no-any-return]
        if torch.is_grad_enabled():
            return rule.sample_differentiable(*neurons, noise, self.spike_grad)  # type: ignore[no-any-return]
        return rule.sample(*neurons, noise, overwrite=overwrite)  # type: ignore[no-any-return]

    def _echo(self, past: Tensor, coupled: Coupling | None, num_steps: int) -> Tensor:
        """Return the effect ``[T, B, O]`` of earlier spikes of the neurons on the steps to come."""
        feedback, basis = self._all_feedback()
        feedback = self._per_neuron(feedback, tuple(past.shape[2:]))
        own = glm.feedback_drive(past.flatten(2), feedback, basis, num_steps)
        if coupled is None:
            return own
        silence = past.new_zeros(num_steps, *past.shape[1:])
        return own + coupled.past_drive(torch.cat([past, silence]), num_steps)

    def _given(
        self, drive: Tensor, spikes: Tensor, past: Tensor | None, coupled: Coupling
    ) -> tuple[Tensor, Tensor]:
        """Return given spikes and their potentials, for all steps at once."""
        out, steps = tuple(spikes.shape[2:]), len(spikes)
        outputs = spikes if past is None else torch.cat([past, spikes])
        feedback, basis = self._all_feedback()
        feedback = self._per_neuron(feedback, out)
        own = glm.feedback_response(outputs.flatten(2), feedback, basis, steps)
        heard = coupled.past_drive(outputs, steps) + coupled.same_step_drive(spikes)
        return spikes, drive + self._per_neuron(self.bias, out) + own + heard

    def _all_feedback(self) -> tuple[Tensor, Tensor]:
        """Return weights and basis of the feedback, with the refractory time as one function more."""
        if self.refractory_basis is None:
            return self.feedback, self.feedback_basis
        fixed = torch.full_like(self.feedback[:1], REFRACTORY)
        basis = torch.cat([self.feedback_basis, self.refractory_basis])
        return torch.cat([self.feedback, fixed]), basis

    def _per_neuron(self, by_channel: Tensor, out: tuple[int, ...]) -> Tensor:
        """Repeat ``[..., C]`` for each place of a channel: ``[..., O]``."""
        places = math.prod(out[1:])
        if places == 1:
            return by_channel
        return by_channel.unsqueeze(-1).expand(*by_channel.shape, places).flatten(-2)

    @property
    def _windows(self) -> tuple[int, int]:
        """Numbers of past input steps and of past output steps that a step depends on."""
        own = self.feedback_basis.shape[1]
        heard = 0 if self.coupling_basis is None else self.coupling_basis.shape[1]
        return self.basis.shape[1] - 1 + max(self.delays), max(own, heard)

    def _fits(self, inputs: Tensor) -> bool:
        sizes = inputs.shape[2:]
        return len(sizes) == len(self.input_axes) and all(
            axis in (None, size) for axis, size in zip(self.input_axes, sizes, strict=True)
        )

    def _check_inputs(self, inputs: Tensor) -> None:
        check_tensor("input", inputs)
        if not self._fits(inputs) or inputs.shape[0] < 1:
            shape = ", ".join("any" if axis is None else str(axis) for axis in self.input_axes)
            expected = f"[B, {shape}] or [T >= 1, B, {shape}]"
            raise InputError("input", expected=expected, got=f"{list(inputs.shape)}")
        check_device("input", inputs, self.bias.device)
        check_finite("input", inputs)

    def _check_state(self, state: GLMState | None, inputs: Tensor, out: tuple[int, ...]) -> None:
        if state is None:
            return
        if not isinstance(state, GLMState):
            cure = "pass the state that the layer returned, or none for the first step"
            raise InputError("state", expected="a GLMState", got=type(state).__name__, cure=cure)
        cure = "call reset_mem() between batches, or pass a state of this layer and batch size"
        past, own = self._windows
        heard, fired = (past, *inputs.shape[1:]), (own, inputs.shape[1], *out)
        shapes = {"state.inputs": (state.inputs, heard), "state.outputs": (state.outputs, fired)}
        check_shapes(cure, **shapes)
        bias = self.bias
        for name, (history, _) in shapes.items():
            check_device(name, history, bias.device)
            if history.dtype != bias.dtype:
                raise InputError(name, expected=f"{bias.dtype}", got=f"{history.dtype}", cure=cure)

    def check_parameters(self) -> None:
        """Check that weight, feedback and bias are parameters, so that a change of them lasts.

        Raises:
            InputError: If one is made of others (pruned, weight-normed or parametrised layers).
        """
        for name in PARAMETERS:
            if name not in self._parameters:
                cure = "train with autograd, or end it by prune.remove or remove_parametrizations"
                got = "a tensor made of others, as by pruning or weight norm"
                raise InputError(name, expected="a parameter of the layer", got=got, cure=cure)

    def _check_fresh(self) -> None:
        """Check that no parameter waits for a hook of `forward` to make it, as pruning does."""
        if any(name in self.__dict__ for name in PARAMETERS):
            self.check_parameters()

    def _check_keeps_state(self) -> None:
        if getattr(self, "_is_replica", False):
            expected, got = "one process a device", "a replica of DataParallel, which loses its state"
            cure = "take DistributedDataParallel, or init_hidden=False"
            raise InputError("init_hidden", expected=expected, got=got, cure=cure)

    def extra_repr(self) -> str:
        functions, length = self.basis.shape
        delays = sorted(set(self.delays))
        refractory = f", refractory={self.refractory}" if self.refractory else ""
        return f"basis={functions}x{length}, delay={delays}, init_hidden={self.init_hidden}{refractory}"

    def get_extra_state(self) -> Tensor:
        """Return the delays, a part of the meaning of the weights."""
        return torch.tensor(self.delays)

    def set_extra_state(self, state: Tensor) -> None:
        """Refuse weights that were trained with other delays."""
        if tuple(state.tolist()) != self.delays:
            raise InputError(
                "state_dict",
                expected=f"weights for delays {sorted(set(self.delays))} ({len(self.delays)})",
                got=f"{sorted(set(state.tolist()))} ({len(state)}), or another order",
                cure="build the layer with the delay it was trained with",
            )

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        """Refuse weights of another order within a step, as the order itself is not loaded."""
        for name in ("same_step_mask", "kind_tile"):
            own, theirs = getattr(self, name, None), state_dict.get(prefix + name)
            if own is not None and theirs is not None and not torch.equal(own.cpu(), theirs.cpu()):
                cure = "build the layer with the same_step it was trained with"
                expected, got = "weights for its own order within a step", "those of another order"
                raise InputError("state_dict", expected=expected, got=got, cure=cure)
        super()._load_from_state_dict(state_dict, prefix, *args)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Move the hidden state along with the parameters."""
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        self._state = _changed(self._state, fn)
        return self

    def __getstate__(self) -> dict[str, Any]:
        # Tensors with a graph, of a hidden state or of pruning, can be neither copied nor pickled.
        made = {name: x.detach() for name, x in self.__dict__.items() if isinstance(x, Tensor)}
        return self.__dict__ | made | {"_state": _changed(self._state, Tensor.detach)}


def _per_channel(by_neuron: Tensor, channels: int) -> Tensor:
    """Sum ``[..., O]`` over the places of each channel: ``[..., C]``."""
    if by_neuron.shape[-1] == channels:
        return by_neuron
    return by_neuron.reshape(*by_neuron.shape[:-1], channels, -1).sum(-1)


def _warn_of_lone_step(shape: Sequence[int]) -> None:
    warnings.warn(
        f"input {list(shape)} counts as one step of {shape[0]} trials, whose spikes no input has "
        "reached yet; for a recording add the batch axis, input.unsqueeze(1); for the first of several "
        "steps pass state=None",
        stacklevel=6,  # the caller of the module
    )


def _changed(state: GLMState | None, change: Callable[[Tensor], Tensor]) -> GLMState | None:
    return None if state is None else GLMState(*map(change, state))
