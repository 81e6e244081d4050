"""`GLMLayer`: a fully connected layer of stochastic GLM neurons that drops into an snnTorch model."""

from collections.abc import Callable, Sequence
from itertools import groupby
from numbers import Integral

import numpy as np
import torch
from torch import Tensor, nn

from snn_gan_ext.errors import InputError
from snn_gan_ext.functional import glm
from snn_gan_ext.layers.base import GLMNeurons
from snn_gan_ext.layers.checks import check_positive
from snn_gan_ext.layers.state import behind_silence

__all__ = ["GLMLayer"]


class GLMLayer(GLMNeurons):
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
    uniforms.

    Beside `snntorch.Leaky`: the state is a `GLMState`, whose ``mem`` is the membrane potential; in
    one `nn.Sequential` with `snntorch.Leaky` only single steps make sense, as Leaky takes a whole
    sequence for one step; and with the default delay of 1 the first step does not hear its input.

    There are two ways to learn. `sample` and `gradients` are the local three-factor rule: exact
    gradients of the log-likelihood or, with rewards, unbiased ones of the expected reward, and no graph
    through time. Or call the layer inside a model and let autograd run back through time, as through
    any snnTorch neuron: spikes then have the surrogate slope of ``spike_grad``, and the gradient is
    biased, as with every surrogate.

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
        spike_grad: a function of `snntorch.surrogate` for autograd, taken at the potential minus the
            log-odds of the uniform, where the spike has its step. By default the slope of the
            firing probability, ``p (1 - p)`` (straight-through). `snntorch.surrogate.sigmoid` overflows
            to NaN where these are some steps apart; take ``atan`` or ``fast_sigmoid``.
        init_hidden: keep the state inside the layer.
        output: with ``init_hidden``, return the state as well.
        rng: seeds the initial weights; torch's global generator by default.

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
        spike_grad: Callable[[Tensor], Tensor] | None = None,
        init_hidden: bool = False,
        output: bool = False,
        rng: torch.Generator | None = None,
    ) -> None:
        check_positive(in_features=in_features, out_features=out_features)
        super().__init__(
            out_features,
            basis=basis,
            feedback_basis=feedback_basis,
            initial=(weight_std, bias_init, feedback_init),
            spike_grad=spike_grad,
            init_hidden=init_hidden,
            output=output,
        )
        self.in_features, self.out_features = in_features, out_features
        self.delays = _check_delay(delay, in_features)
        self.register_buffer("mask", _check_mask(mask, in_features, out_features))
        self.weight = nn.Parameter(torch.empty(len(self.basis), in_features, out_features))
        self.reset_parameters(rng=rng)

    @torch.no_grad()
    def reset_parameters(
        self,
        weight_std: float | None = None,
        bias_init: float | None = None,
        feedback_init: float | None = None,
        rng: torch.Generator | None = None,
    ) -> None:
        """As `GLMNeurons.reset_parameters`, masked weights aside."""
        super().reset_parameters(weight_std, bias_init, feedback_init, rng)
        if self.mask is not None:
            self.weight.mul_(self.mask)

    @property
    def _fan_in(self) -> int:
        return self.in_features

    @property
    def _input_axes(self) -> tuple[int | None, ...]:
        return (self.in_features,)

    @property
    def _delays_of_inputs(self) -> tuple[int, ...]:
        return self.delays

    def _output_shape(self, inputs: Tensor) -> tuple[int, ...]:
        return (self.out_features,)

    def _align(self, inputs: Tensor) -> Tensor:
        """Holds back each input by what its delay exceeds the shortest, so that one filter fits all."""
        if len(set(self.delays)) == 1:
            return inputs
        blocks, start = [], 0
        for delay, run in groupby(self.delays):
            stop = start + len(list(run))
            kept = max(len(inputs) - (delay - min(self.delays)), 0)
            held_back = inputs[:kept, :, start:stop]
            blocks.append(behind_silence(held_back, len(inputs)))
            start = stop
        return torch.cat(blocks, -1)

    def _drive(self, aligned: Tensor, num_steps: int) -> Tensor:
        weight = self.weight if self.mask is None else self.weight * self.mask
        return glm.synaptic_drive(aligned, weight, self.basis, min(self.delays), num_steps)

    def _weight_gradient(self, aligned: Tensor, error: Tensor, per_sample: bool) -> Tensor:
        gradient = glm.synaptic_gradient(
            aligned, error, self.basis, min(self.delays), per_sample=per_sample
        )
        return gradient if self.mask is None else gradient * self.mask

    def extra_repr(self) -> str:
        functions, length = self.basis.shape
        return (
            f"{self.in_features}, {self.out_features}, basis={functions}x{length}, "
            f"delay={sorted(set(self.delays))}, init_hidden={self.init_hidden}"
        )


def _check_delay(delay: int | Sequence[int], in_features: int) -> tuple[int, ...]:
    if isinstance(delay, Tensor | np.ndarray):
        delay = delay.tolist()
    delays = tuple(delay) if isinstance(delay, Sequence) else (delay,) * in_features
    if len(delays) != in_features or not all(isinstance(d, Integral) and d >= 0 for d in delays):
        raise InputError(
            "delay",
            expected=f"a number of steps, 0 or more, or one for each of {in_features} inputs",
            got=f"{delay}",
        )
    return tuple(int(d) for d in delays)


def _check_mask(mask: Tensor | None, in_features: int, out_features: int) -> Tensor | None:
    if mask is None:
        return None
    is_tensor = isinstance(mask, Tensor)
    if not is_tensor or mask.shape != (in_features, out_features) or mask.dtype != torch.bool:
        raise InputError(
            "mask",
            expected=f"a tensor of booleans [{in_features}, {out_features}]",
            got=f"{mask.dtype} {list(mask.shape)}" if is_tensor else type(mask).__name__,
        )
    return mask.clone()
