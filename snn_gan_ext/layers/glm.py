"""Fully connected layer of stochastic GLM neurons for snnTorch models."""

from collections.abc import Callable, Sequence
from itertools import groupby

import numpy as np
import torch
from torch import Tensor, nn

from snn_gan_ext.errors import InputError
from snn_gan_ext.functional import glm
from snn_gan_ext.layers.base import GLMNeurons
from snn_gan_ext.layers.state import pad_front
from snn_gan_ext.validation import check_positive, whole

__all__ = ["GLMLayer"]


class GLMLayer(GLMNeurons):
    r"""Fully connected layer of stochastic spiking neurons (generalized linear model).

    .. math::

        u_{i,t} = \sum_j (\alpha_{j,i} * s_j)_{t-d} + (\beta_i * s_i)_{t-1} + \gamma_i,
        \qquad s_{i,t} \sim \mathrm{Bernoulli}(\sigma(u_{i,t}))

    Each synapse has a learnable filter :math:`\alpha_{j,i}` and each neuron a feedback filter
    :math:`\beta_i` (refractoriness, bursting), both over a fixed temporal basis. The bias
    :math:`\gamma_i` acts as the threshold. The layer includes its synapses: it replaces an
    ``nn.Linear`` and the spiking neuron after it.

    **Call.** The input is one step ``[B, I]`` or a sequence ``[T, B, I]``. With explicit state, call
    ``spikes, state = layer(x, state)``. With ``init_hidden=True`` the layer keeps its state and returns
    the spikes alone, as `nn.Sequential` needs; with ``output=True`` it returns ``(spikes, state)``. On
    the same uniforms all of these give the same spikes.

    **Differences from** `snntorch.Leaky`. The state is a `GLMState`; its ``mem`` is the membrane
    potential. `snntorch.Leaky` takes a sequence for one step, so an `nn.Sequential` with both needs
    single steps. With the default delay of 1, an input acts one step later.

    **Learning.** There are two ways:

    - `sample` and `gradients` are the local three-factor rule. They give exact gradients of the
      log-likelihood or, with rewards, unbiased gradients of the expected reward, without a graph
      through time.
    - Autograd through time works as with any snnTorch neuron. Spikes have the surrogate slope of
      ``spike_grad``; the gradient is biased, as with every surrogate.

    Args:
        in_features: Number of inputs ``I``.
        out_features: Number of neurons ``O``.
        basis: Temporal basis of the synapses ``[K, L]``; by default ``exp(-lag / 2)`` over 6 steps, as
            in the SpikeGAN paper.
        feedback_basis: Temporal basis of the feedback ``[K', L']``; by default ``basis``.
        delay: Synaptic delay in steps, one for all inputs or one per input; 1 in eq. 2. With 0 an input
            acts at its own step.
        mask: Connections ``[I, O]``, booleans. Weights of absent synapses (False) stay zero.
        weight_std: Standard deviation of the initial weights; by default
            ``1 / sqrt(I * sum(basis ** 2))``.
        bias_init: Initial bias. At -1 a neuron without input fires with probability 0.27 per step.
        feedback_init: Initial feedback weight.
        spike_grad: Surrogate slope for autograd, a function of `snntorch.surrogate`. Its argument is
            the potential minus the log-odds of the uniform, which is 0 at the threshold. By default the
            slope of the firing probability, ``p (1 - p)`` (straight-through). Prefer ``atan`` or
            ``fast_sigmoid`` to `snntorch.surrogate.sigmoid`, which overflows to NaN far from 0.
        init_hidden: Whether the layer keeps its state.
        output: Whether to return the state as well with ``init_hidden=True``.
        rng: Random source of the initial weights; torch's global generator by default.

    Shapes:
        weight ``[K, I, O]``, feedback ``[K', O]``, bias ``[O]``.

    Raises:
        InputError: If a size is below 1, a delay below 0, or the mask or a basis has the wrong form.

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
        """Draw new initial weights; absent synapses stay zero. See `GLMNeurons.reset_parameters`."""
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
        """Delay each input by the excess of its delay over the smallest one."""
        if len(set(self.delays)) == 1:
            return inputs
        blocks, start = [], 0
        for delay, run in groupby(self.delays):
            stop = start + len(list(run))
            kept = max(len(inputs) - (delay - min(self.delays)), 0)
            blocks.append(pad_front(inputs[:kept, :, start:stop], len(inputs)))
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
    if len(delays) != in_features or not all(map(whole(0).allows, delays)):
        raise InputError(
            "delay",
            expected=f"a whole number of at least 0, or one for each of {in_features} inputs",
            got=f"{delay}",
            cure="convert NumPy scalars with int()" if any(hasattr(d, "item") for d in delays) else "",
        )
    return delays


def _check_mask(mask: Tensor | None, in_features: int, out_features: int) -> Tensor | None:
    if mask is None:
        return None
    is_tensor = isinstance(mask, Tensor)
    if not is_tensor or mask.shape != (in_features, out_features) or mask.dtype != torch.bool:
        raise InputError(
            "mask",
            expected=f"booleans [{in_features}, {out_features}]",
            got=f"{mask.dtype} {list(mask.shape)}" if is_tensor else type(mask).__name__,
        )
    return mask.clone()
