"""Fully connected layer of stochastic GLM neurons for snnTorch models."""

from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from snn_gan_ext.errors import InputError
from snn_gan_ext.functional import glm, masks
from snn_gan_ext.functional.coupling import over_lags
from snn_gan_ext.functional.dense_coupling import DenseCoupling
from snn_gan_ext.layers.base import BETWEEN, EvalMode, GLMNeurons
from snn_gan_ext.validation import (
    check_device,
    check_positive,
    check_setting,
    check_shapes,
    one_of,
    whole,
)

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

    **Learning.** `sample` and `gradients` are the local three-factor rule. They give exact gradients of
    the log-likelihood or, with rewards, unbiased gradients of the expected reward, without a graph
    through time. Autograd through time works as with any snnTorch neuron: spikes have the surrogate
    slope of ``spike_grad``, and the gradient is biased.

    Args:
        in_features: Number of inputs ``I``.
        out_features: Number of neurons ``O``.
        basis: Temporal basis of the synapses ``[K, L]``; by default ``exp(-lag / 2)``, L = 6.
        feedback_basis: Temporal basis of the feedback ``[K', L']``; by default ``basis``.
        delay: Synaptic delay in steps, one for all inputs or one per input. At 0 an input acts at once.
        mask: Connections ``[I, O]``, booleans. Weights of absent synapses (False) stay zero.
        coupling: Whether neurons hear each other's past spikes, one step later at the earliest; or
            which ones do, booleans ``[O, O]`` from and to, as `snn_gan_ext.masks` makes them.
        coupling_basis: Temporal basis of the coupling ``[K'', L'']``; by default ``feedback_basis``.
        same_step: Neurons that hear each other within a step, in an order without loops: "triangular"
            (each hears all before it), the order of the neurons, or booleans ``[O, O]``.
        counts: Entries, at most ``O``, of a table of how many neurons before it have fired in this
            step, a nonlinear term of ``same_step``; 0 for none.
        weight_std: Standard deviation of the initial weights; by default ``4 / sqrt(I sum(basis^2))``:
            inputs that spike in one step of 16 then move a potential by 1.
        bias_init: Initial bias. At -4.6 a neuron without input fires with probability 0.01 per step.
        feedback_init: Initial feedback weight.
        spike_grad: Surrogate slope for autograd, a function of `snntorch.surrogate`; by default the
            slope of the firing probability, ``p (1 - p)`` (straight-through). Its argument is the
            potential minus the log-odds of the uniform, which is 0 at the threshold. Prefer ``atan`` or
            ``fast_sigmoid`` to `snntorch.surrogate.sigmoid`, which overflows to NaN far from 0.
        init_hidden: Whether the layer keeps its state.
        output: Whether to return the state as well with ``init_hidden=True``.
        refractory: Number of steps after a spike in which a neuron does not fire again.
        eval_mode: Output after ``.eval()``: "sample" for spikes, drawn as in training; "threshold" for
            a spike where the firing probability is above 1/2; "expected" for the firing probabilities
            themselves. Calls with ``uniforms`` or ``rng`` sample, as do `sample` and generators.
        rng: Random source of the initial weights; torch's global generator by default.

    Shapes:
        weight ``[K, I, O]``, feedback ``[K', O]``, bias ``[O]``; with coupling, zero at first: coupling
        ``[K'', O, O]``, same_step ``[O, O]``, count ``[counts]``.

    Raises:
        InputError: If a size is below 1, a delay below 0, a mask or a basis has the wrong form, a
            neuron is to hear itself by coupling (that is its feedback), or ``same_step`` has loops.

    References:
        SpikeGAN paper (Rosenfeld, Simeone, Rajendran), section III, eq. 2-5. Coupling:
        `snn_gan_ext.functional.coupling`.

    >>> import torch
    >>> from snn_gan_ext import GLMLayer
    >>> layer = GLMLayer(10, 4)
    >>> spikes, state = layer(torch.ones(25, 8, 10))        # 25 steps, 8 trials
    >>> spikes.shape, state.mem.shape
    (torch.Size([25, 8, 4]), torch.Size([8, 4]))
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        basis: Tensor | None = None,
        feedback_basis: Tensor | None = None,
        delay: int | Sequence[int] = 1,
        mask: Tensor | None = None,
        coupling: bool | Tensor | None = None,
        coupling_basis: Tensor | None = None,
        same_step: Literal["triangular"] | Sequence[int] | Tensor | None = None,
        counts: int = 0,
        weight_std: float | None = None,
        bias_init: float = -4.6,
        feedback_init: float = 0.0,
        spike_grad: Callable[[Tensor], Tensor] | None = None,
        init_hidden: bool = False,
        output: bool = False,
        refractory: int = 0,
        eval_mode: EvalMode = "sample",
        rng: torch.Generator | None = None,
    ) -> None:
        check_positive(in_features=in_features, out_features=out_features)
        initial = weight_std, bias_init, feedback_init
        face = spike_grad, init_hidden, output, refractory, eval_mode
        super().__init__(out_features, basis, feedback_basis, initial, *face)
        self.in_features, self.out_features = in_features, out_features
        self.input_axes, self.delays = (in_features,), _check_delay(delay, in_features)
        if mask is not None:
            self.mask = self._checked_mask("mask", mask, in_features)
        self._couple_neurons(coupling, coupling_basis, same_step, counts)
        self.weight = nn.Parameter(torch.empty(len(self.basis), in_features, out_features))
        self.reset_parameters(rng=rng)

    def _couple_neurons(
        self,
        coupling: bool | Tensor | None,
        basis: Tensor | None,
        same_step: Literal["triangular"] | Sequence[int] | Tensor | None,
        counts: int,
    ) -> None:
        """Add the parameters of coupling, if there are to be any."""
        check_setting("counts", counts, whole(0, self.out_features))
        past = self._lateral_mask("coupling", coupling)
        now = self._lateral_mask("same_step", _mask_of(same_step, self.out_features))
        for name, given, other, mask in (
            ("coupling_basis", basis is not None, "coupling", past),
            ("counts", counts > 0, "same_step", now),
        ):
            if given and mask is None:
                cure = f"give {other}, too, or leave {name} out"
                raise InputError(name, expected=f"a layer with {other}", got="one without", cure=cure)
        if past is not None or now is not None:
            levels = (0,) * self.out_features if now is None else masks.levels_of(now)
            count = torch.ones(counts, dtype=torch.bool) if counts else None
            self._couple(levels, basis, coupling=past, same_step=now, count=count)

    def _lateral_mask(self, name: str, mask: bool | Tensor | None) -> Tensor | None:
        """Return a checked mask ``[O, O]`` without a neuron itself; None for none."""
        if mask is None or mask is False:
            return None
        own = torch.eye(self.out_features, dtype=torch.bool)
        if mask is True:
            return ~own
        checked = self._checked_mask(name, mask, self.out_features)
        if (checked & own.to(checked.device)).any():
            expected, got = "no connection of a neuron to itself", "one on the diagonal"
            cure = "leave the diagonal False: feedback is a neuron's effect on itself"
            raise InputError(name, expected=expected, got=got, cure=cure)
        return checked

    def _checked_mask(self, name: str, mask: Tensor, sources: int) -> Tensor:
        check_shapes(**{name: (mask, (sources, self.out_features))})
        if mask.dtype != torch.bool:
            raise InputError(name, expected="booleans", got=f"{mask.dtype}")
        if mask.is_meta:
            check_device(name, mask, self.bias.device)
        return mask.clone()

    def _coupled(self, out: tuple[int, ...]) -> DenseCoupling | None:
        if self.levels is None:
            return None
        feedback, own_basis = self._all_feedback()
        basis = own_basis if self.coupling_basis is None else self.coupling_basis
        own = over_lags(feedback, own_basis, self._windows[1])
        past, now, count = map(self._between, BETWEEN)
        return DenseCoupling(past, basis, own, now, self.levels, count)

    def _output_shape(self, inputs: Tensor) -> tuple[int, ...]:
        return (self.out_features,)

    def _align(self, inputs: Tensor) -> Tensor:
        if len(set(self.delays)) == 1:
            return inputs
        runs = [(delay, len(list(run))) for delay, run in groupby(self.delays)]
        blocks = torch.split(inputs, [size for _, size in runs], -1)
        excess = [delay - min(self.delays) for delay, _ in runs]
        return torch.cat(list(map(glm.shifted, blocks, excess)), -1)

    def _drive(self, aligned: Tensor, num_steps: int) -> Tensor:
        weight = self.weight if self.mask is None else self.weight * self.mask
        return glm.synaptic_drive(aligned, weight, self.basis, min(self.delays), num_steps)

    def _weight_gradient(self, aligned: Tensor, error: Tensor, per_sample: bool) -> Tensor:
        delay = min(self.delays)
        gradient = glm.synaptic_gradient(aligned, error, self.basis, delay, per_sample=per_sample)
        return gradient if self.mask is None else gradient * self.mask

    def extra_repr(self) -> str:
        return f"{self.in_features}, {self.out_features}, {super().extra_repr()}"


def _mask_of(same_step: Any, neurons: int) -> Tensor | None:
    """Return the mask within a step of a name, an order or a mask."""
    if same_step is None or (isinstance(same_step, Tensor) and same_step.dim() != 1):
        return same_step
    if isinstance(same_step, str):
        check_setting("same_step", same_step, one_of(Literal["triangular"]))
        return masks.triangular(neurons)
    order = same_step.tolist() if isinstance(same_step, Tensor | np.ndarray) else same_step
    if not isinstance(order, Sequence):
        expected = "'triangular', an order of the neurons, or booleans [O, O]"
        raise InputError("same_step", expected=expected, got=f"{same_step!r}")
    return masks.triangular(order)


def _check_delay(delay: int | Sequence[int], in_features: int) -> tuple[int, ...]:
    if isinstance(delay, Tensor | np.ndarray):
        delay = delay.tolist()
    delays = tuple(delay) if isinstance(delay, Sequence) else (delay,) * in_features
    if len(delays) != in_features or not all(map(whole(0).allows, delays)):
        expected = f"a whole number of at least 0, or one for each of {in_features} inputs"
        cure = "convert NumPy scalars with int()" if any(hasattr(d, "item") for d in delays) else ""
        raise InputError("delay", expected=expected, got=f"{delay}", cure=cure)
    return delays
