"""`GLMLayer`: a fully connected layer of stochastic GLM neurons that drops into an snnTorch model."""

from collections.abc import Sequence
from itertools import groupby
from typing import NamedTuple

import torch
from torch import Tensor, nn

from snn_gan_ext.core import bases, glm
from snn_gan_ext.errors import InputError

__all__ = ["GLMLayer", "GLMSample", "GLMState"]


class GLMState(NamedTuple):
    """What a `GLMLayer` remembers between steps.

    Attributes:
        mem: membrane potential of the last step ``[B, O]`` (log-odds of a spike).
        inputs: the last ``L - 1 + d`` input steps, oldest first ``[H, B, I]``.
        outputs: the last ``L`` own spikes, oldest first ``[L, B, O]``.
    """

    mem: Tensor
    inputs: Tensor
    outputs: Tensor


class GLMSample(NamedTuple):
    """One sampled sequence, with what the local learning rule needs.

    Attributes:
        spikes: ``[T, B, O]``.
        potentials: membrane potentials ``[T, B, O]``.
        inputs: what drove it, with the history in front and each input shifted by its delay
            ``[H + T, B, I]``.
        outputs: its own spikes, with the history in front ``[H' + T, B, O]``.
        state: the state after the last step.
    """

    spikes: Tensor
    potentials: Tensor
    inputs: Tensor
    outputs: Tensor
    state: GLMState

    @property
    def score(self) -> Tensor:
        r"""The post-synaptic term of eq. 5, :math:`s - \sigma(u)`, ``[T, B, O]``."""
        return glm.score(self.spikes, self.potentials)

    @property
    def log_likelihood(self) -> Tensor:
        """Log-probability of each sequence in the batch, ``[B]`` (eq. 4)."""
        return glm.log_likelihood(self.spikes, self.potentials)


class GLMLayer(nn.Module):
    r"""Stochastic spiking neurons: Bernoulli spikes of a generalized linear model.

    .. math::

        u_{i,t} = \sum_j (\alpha_{j,i} * s_j)_{t-d} + (\beta_i * s_i)_{t-1} + \gamma_i,
        \qquad s_{i,t} \sim \mathrm{Bernoulli}(\sigma(u_{i,t}))

    Every synapse has its own learnable filter :math:`\alpha_{j,i}`, every neuron its own feedback
    filter :math:`\beta_i` (refractoriness, bursting), both over a fixed temporal basis; the bias
    :math:`\gamma_i` is the threshold. It holds its own synapses, so it stands for an ``nn.Linear`` and
    the spiking neuron after it.

    One step ``[B, I]`` or a whole sequence ``[T, B, I]`` may be passed: the number of axes says which.
    With explicit state the call is ``spikes, state = layer(x, state)``; with ``init_hidden=True`` the
    layer keeps its state and returns the spikes alone, as `nn.Sequential` needs (and
    ``(spikes, state)`` with ``output=True`` on top). All ways give the same spikes on the same
    uniforms. Spikes carry no gradient: learn with `gradients` (exact and local, eq. 5).

    Args:
        in_features: number of inputs ``I``.
        out_features: number of neurons ``O``.
        basis: temporal basis of the synapses ``[K, L]`` (steps); by default ``exp(-lag / 2)`` over 6
            steps, the SpikeGAN paper's.
        feedback_basis: that of the feedback; by default the same as ``basis``.
        delay: synaptic delay in steps, one number or one for each input; 1 as in eq. 2. With 0 an
            input acts in its own step.
        mask: optional ``[I, O]`` booleans; synapses where it is False are and stay zero.
        weight_std: standard deviation of the initial weights; by default
            ``1 / sqrt(I * sum(basis ** 2))``.
        bias_init: initial bias; -1 fires at 27 % a step without input.
        feedback_init: initial value of every feedback weight.
        init_hidden: keep the state inside the layer.
        output: with ``init_hidden``, return the state as well.
        generator: seeds the initial weights; torch's global generator by default.

    Shapes:
        weight ``[K, I, O]``, feedback ``[K, O]``, bias ``[O]``.

    Raises:
        InputError: if a size, a delay, the mask or a basis has no meaning.

    References:
        SpikeGAN paper (Rosenfeld, Simeone, Rajendran), section III, eq. 2-5.

    >>> import torch
    >>> from snn_gan_ext import GLMLayer
    >>> layer = GLMLayer(10, 4)
    >>> spikes, state = layer(torch.ones(25, 8, 10))        # 25 steps, 8 trials
    >>> spikes.shape, state.mem.shape
    (torch.Size([25, 8, 4]), torch.Size([8, 4]))
    """

    basis: Tensor
    feedback_basis: Tensor
    mask: Tensor | None

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        basis: Tensor | None = None,
        feedback_basis: Tensor | None = None,
        delay: int | Sequence[int] = 1,
        mask: Tensor | None = None,
        weight_std: float | None = None,
        bias_init: float = -1.0,
        feedback_init: float = 0.0,
        init_hidden: bool = False,
        output: bool = False,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        _check_positive("in_features", in_features)
        _check_positive("out_features", out_features)
        self.in_features, self.out_features = in_features, out_features
        self.init_hidden, self.output = init_hidden, output

        basis = bases.exponential_basis(6, 2.0) if basis is None else basis
        feedback_basis = basis if feedback_basis is None else feedback_basis
        self.register_buffer("basis", _check_basis("basis", basis))
        self.register_buffer("feedback_basis", _check_basis("feedback_basis", feedback_basis))
        self.delays = _check_delay(delay, in_features)
        self.register_buffer("mask", _check_mask(mask, in_features, out_features))

        self.weight = nn.Parameter(torch.empty(len(basis), in_features, out_features))
        self.feedback = nn.Parameter(torch.empty(len(feedback_basis), out_features))
        self.bias = nn.Parameter(torch.empty(out_features))
        self.reset_parameters(weight_std, bias_init, feedback_init, generator)
        self._state: GLMState | None = None

    @torch.no_grad()
    def reset_parameters(
        self,
        weight_std: float | None = None,
        bias_init: float = -1.0,
        feedback_init: float = 0.0,
        generator: torch.Generator | None = None,
    ) -> None:
        """Draws fresh weights; see the class for the arguments."""
        if weight_std is None:
            weight_std = float((self.in_features * self.basis.square().sum()).rsqrt())
        self.weight.normal_(0.0, weight_std, generator=generator)
        self.feedback.fill_(feedback_init)
        self.bias.fill_(bias_init)
        if self.mask is not None:
            self.weight.mul_(self.mask)

    def reset_mem(self) -> None:
        """Forgets the hidden state; the next call starts from silence."""
        self._state = None

    def initial_state(self, batch: int) -> GLMState:
        """The state before the first step: no spikes so far.

        Args:
            batch: batch size ``B``.
        """
        return GLMState(
            mem=self.bias.detach().expand(batch, -1),
            inputs=self.bias.new_zeros(self._window, batch, self.in_features),
            outputs=self.bias.new_zeros(self.feedback_basis.shape[1], batch, self.out_features),
        )

    def forward(
        self,
        input_: Tensor,
        state: GLMState | None = None,
        *,
        uniforms: Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> Tensor | tuple[Tensor, GLMState]:
        """Samples spikes for one step ``[B, I]`` or a sequence ``[T, B, I]``.

        Args:
            input_: spikes or real-valued currents.
            state: where to go on from; silence by default. Not with ``init_hidden=True``.
            uniforms: noise in [0, 1) of the output's shape, ``[B, O]`` or ``[T, B, O]``.
            generator: draws the noise where none is given; torch's global generator by default.

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
        one_step = input_.dim() == 2
        if one_step:
            input_ = input_.unsqueeze(0)
            uniforms = None if uniforms is None else uniforms.unsqueeze(0)
        run = self.sample(input_, state, uniforms=uniforms, generator=generator)
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
        generator: torch.Generator | None = None,
    ) -> GLMSample:
        """Samples a sequence and keeps what the local learning rule needs.

        Args:
            inputs: ``[T, B, I]``.
            state: where to go on from; silence by default.
            uniforms: noise in [0, 1), ``[T, B, O]``.
            generator: draws the noise where none is given.

        Raises:
            InputError: if a shape, the noise or the state does not fit.
        """
        self._check_inputs(inputs)
        steps, batch, _ = inputs.shape
        if state is not None:
            self._check_state(state, batch)
        uniforms = self._noise(steps, batch, uniforms, generator)

        inputs = inputs.to(self.weight.dtype)
        if state is not None:
            inputs = torch.cat([state.inputs, inputs])
        aligned = self._align(inputs)
        drive = glm.synaptic_drive(aligned, self.weight, self.basis, min(self.delays))[-steps:]
        drive = drive + self.bias
        if state is not None:
            drive += glm.feedback_drive(state.outputs, self.feedback, self.feedback_basis, steps)
        spikes, potentials = glm.sample(drive, self.feedback, self.feedback_basis, uniforms)
        _check_finite("membrane potential", potentials)
        outputs = spikes if state is None else torch.cat([state.outputs, spikes])
        end = GLMState(
            mem=potentials[-1],
            inputs=_last(inputs, self._window),
            outputs=_last(outputs, self.feedback_basis.shape[1]),
        )
        return GLMSample(spikes, potentials, aligned, outputs, end)

    @torch.no_grad()
    def gradients(
        self, run: GLMSample, error: Tensor, *, per_sample: bool = False
    ) -> dict[str, Tensor]:
        r"""Closed-form gradients for a post-synaptic error, without a graph through time (eq. 5, 8).

        With ``error = run.score`` they are the gradient of ``run.log_likelihood.sum()``; with the score
        times a reward for each trial, the three-factor rule: pre-synaptic trace, post-synaptic error,
        global reward.

        Args:
            run: what `sample` returned.
            error: ``[T, B, O]``.
            per_sample: keep the batch axis in front instead of summing over it.

        Returns:
            Gradients by parameter name: ``weight``, ``feedback``, ``bias``.
        """
        weight = glm.synaptic_gradient(
            run.inputs,
            _behind_silence(error, len(run.inputs)),
            self.basis,
            min(self.delays),
            per_sample=per_sample,
        )
        if self.mask is not None:
            weight = weight * self.mask
        return {
            "weight": weight,
            "feedback": glm.feedback_gradient(
                run.outputs,
                _behind_silence(error, len(run.outputs)),
                self.feedback_basis,
                per_sample=per_sample,
            ),
            "bias": error.sum(0) if per_sample else error.sum((0, 1)),
        }

    def extra_repr(self) -> str:
        functions, length = self.basis.shape
        return (
            f"{self.in_features}, {self.out_features}, basis={functions}x{length}, "
            f"delay={sorted(set(self.delays))}, init_hidden={self.init_hidden}"
        )

    @property
    def _window(self) -> int:
        return self.basis.shape[1] - 1 + max(self.delays)

    def _align(self, inputs: Tensor) -> Tensor:
        """Holds back each input by what its delay exceeds the shortest, so that one filter fits all."""
        if len(set(self.delays)) == 1:
            return inputs
        blocks, start = [], 0
        for delay, run in groupby(self.delays):
            stop = start + len(list(run))
            held_back = inputs[: len(inputs) - (delay - min(self.delays)), :, start:stop]
            blocks.append(_behind_silence(held_back, len(inputs)))
            start = stop
        return torch.cat(blocks, -1)

    def _noise(
        self, steps: int, batch: int, uniforms: Tensor | None, generator: torch.Generator | None
    ) -> Tensor:
        shape = (steps, batch, self.out_features)
        if uniforms is None:
            # bfloat16 or float16 uniforms are too coarse: p = 0.001 would fire at 0.003.
            wide = torch.promote_types(self.bias.dtype, torch.float32)
            return torch.rand(shape, generator=generator, dtype=wide, device=self.bias.device)
        if tuple(uniforms.shape) != shape:
            raise InputError("uniforms", expected=f"shape {list(shape)}", got=f"{list(uniforms.shape)}")
        if not bool(((uniforms >= 0) & (uniforms <= 1)).all()):
            raise InputError(
                "uniforms",
                expected="values in [0, 1)",
                got="others, or NaN",
                cure="draw them with torch.rand",
            )
        return uniforms

    def _check_inputs(self, inputs: Tensor) -> None:
        if inputs.dim() != 3 or inputs.shape[-1] != self.in_features or inputs.shape[0] < 1:
            raise InputError(
                "input",
                expected=f"[B, {self.in_features}] or [T >= 1, B, {self.in_features}]",
                got=f"{list(inputs.shape)}",
            )
        _check_finite("input", inputs)

    def _check_state(self, state: GLMState, batch: int) -> None:
        if not isinstance(state, GLMState):
            raise InputError(
                "state",
                expected="the GLMState of an earlier call",
                got=type(state).__name__,
                cure="pass the second thing that the layer returned, or nothing at the start",
            )
        expected = (self._window, batch, self.in_features)
        if tuple(state.inputs.shape) != expected or state.outputs.shape[1] != batch:
            raise InputError(
                "state",
                expected=f"input history {list(expected)}",
                got=f"{list(state.inputs.shape)}",
                cure="call reset_mem() between batches, or pass a state of this layer and batch size",
            )


def _check_finite(name: str, tensor: Tensor) -> None:
    # One NaN or infinity anywhere makes the sum one, and a sum is the cheapest pass over memory.
    if not bool(tensor.sum(dtype=torch.promote_types(tensor.dtype, torch.float32)).isfinite()):
        raise InputError(
            name,
            expected="finite numbers",
            got="NaN or infinity",
            cure="look for them in the input and in the layer's parameters",
        )


def _behind_silence(signal: Tensor, steps: int) -> Tensor:
    """Puts zeros in front of a signal ``[T, B, N]`` until it has so many steps."""
    missing = steps - len(signal)
    return nn.functional.pad(signal, (0, 0, 0, 0, missing, 0)) if missing else signal


def _last(signal: Tensor, steps: int) -> Tensor:
    """The last steps of a signal, with silence in front where it is shorter."""
    return _behind_silence(signal[max(len(signal) - steps, 0) :], steps)


def _check_positive(name: str, value: int) -> None:
    if value < 1:
        raise InputError(name, expected="at least 1", got=f"{value}")


def _check_basis(name: str, basis: Tensor) -> Tensor:
    if basis.dim() != 2 or 0 in basis.shape:
        raise InputError(name, expected="a basis [K, L]", got=f"shape {list(basis.shape)}")
    return basis.detach().clone()


def _check_delay(delay: int | Sequence[int], in_features: int) -> tuple[int, ...]:
    delays = tuple(delay) if isinstance(delay, Sequence) else (delay,) * in_features
    if len(delays) != in_features or not all(isinstance(d, int) and d >= 0 for d in delays):
        raise InputError(
            "delay",
            expected=f"a number of steps, 0 or more, or one for each of {in_features} inputs",
            got=f"{delay}",
        )
    return delays


def _check_mask(mask: Tensor | None, in_features: int, out_features: int) -> Tensor | None:
    if mask is not None and (
        tuple(mask.shape) != (in_features, out_features) or mask.dtype != torch.bool
    ):
        raise InputError(
            "mask",
            expected=f"booleans [{in_features}, {out_features}]",
            got=f"{mask.dtype} {list(mask.shape)}",
        )
    return mask
