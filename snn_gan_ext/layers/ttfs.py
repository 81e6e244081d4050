"""Layers of integrate-and-fire neurons that spike at most once (time-to-first-spike coding)."""

import math

import torch
from torch import Tensor, nn

from snn_gan_ext.errors import InputError
from snn_gan_ext.functional import ttfs
from snn_gan_ext.layers.checks import check_finite, check_positive, check_tensor

__all__ = ["TTFSLinear", "TTFSRampLinear"]


class _TTFSNeurons(nn.Module):
    """Weights ``[I, O]`` and a threshold."""

    def __init__(
        self,
        in_features: int,
        out_features: int,
        threshold: float,
        weight_mean: float,
        weight_std: float,
        rng: torch.Generator | None,
    ) -> None:
        super().__init__()
        check_positive(in_features=in_features, out_features=out_features)
        if not 0 < threshold < math.inf:
            raise InputError("threshold", expected="a number above 0", got=f"{threshold}")
        if not (0 <= weight_std < math.inf and math.isfinite(weight_mean)):
            raise InputError(
                "weight_mean and weight_std",
                expected="finite numbers, the second 0 or more",
                got=f"{weight_mean} and {weight_std}",
            )
        self.in_features, self.out_features, self.threshold = in_features, out_features, threshold
        self.weight = nn.Parameter(torch.empty(in_features, out_features))
        with torch.no_grad():
            self.weight.normal_(weight_mean, weight_std, generator=rng)

    @property
    def _exact_weight(self) -> Tensor:
        """The weights in a precision that tells any two time steps apart."""
        check_finite("weight", self.weight)
        return self.weight.to(torch.promote_types(self.weight.dtype, torch.float32))

    def _check_times(self, times: Tensor) -> None:
        check_tensor("times", times)
        if times.dim() != 2 or times.shape[1] != self.in_features:
            raise InputError(
                "times", expected=f"firing times [B, {self.in_features}]", got=f"{list(times.shape)}"
            )
        check_finite("times", times)
        if times.numel() and bool((times < 0).any()):
            raise InputError("times", expected="0 or later", got=f"{float(times.min()):.4g}")


class TTFSLinear(_TTFSNeurons):
    r"""Integrate-and-fire neurons with step synapses, each of which spikes at most once (S4NN).

    .. math:: V_j(t) = \sum_i w_{ij} [t_i \le t], \qquad t_j = \min \{ t : V_j(t) \ge \theta \}

    It holds its own synapses, so it stands for an ``nn.Linear`` and the spiking neuron after it. It
    takes whole sequences of spikes ``[T, B, I]``, of which only each input's first one counts, and
    returns ``[T, B, O]``; or firing times, by `fire`, which is quicker. Both learn by backpropagation
    through firing times with S4NN's slopes (see `snn_gan_ext.functional.ttfs.step_times`), and between two
    such layers spikes carry the same gradient as times do.

    Args:
        in_features: number of inputs ``I``.
        out_features: number of neurons ``O``.
        threshold: potential :math:`\theta` at which a neuron fires.
        weight_mean: mean of the initial weights; by default such that half of the inputs make a
            neuron fire.
        weight_std: their standard deviation; by default twice the mean.
        rng: seeds the initial weights; torch's global generator by default.

    Shapes:
        weight ``[I, O]``.

    Raises:
        InputError: if a size, the threshold or the law of the weights has no meaning.

    References:
        Kheradpisheh and Masquelier (2020), S4NN; the Spiking-GAN paper (Kotariya and Ganguly).

    >>> import torch
    >>> from snn_gan_ext import TTFSLinear
    >>> layer = TTFSLinear(10, 4, generator=torch.Generator().manual_seed(0))
    >>> spikes = layer(torch.ones(25, 8, 10))       # 25 steps, 8 trials
    >>> spikes.shape, bool((spikes.sum(0) <= 1).all())
    (torch.Size([25, 8, 4]), True)
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        threshold: float = 1.0,
        weight_mean: float | None = None,
        weight_std: float | None = None,
        rng: torch.Generator | None = None,
    ) -> None:
        if weight_mean is None:
            weight_mean = 2 * threshold / max(in_features, 1)
        if weight_std is None:
            weight_std = 2 * abs(weight_mean)
        super().__init__(in_features, out_features, threshold, weight_mean, weight_std, rng)

    def forward(self, spikes: Tensor) -> Tensor:
        """Spikes ``[T, B, O]`` for spikes ``[T, B, I]``.

        Raises:
            InputError: if these are not a whole sequence of zeros and ones.
        """
        check_tensor("spikes", spikes)
        if spikes.dim() != 3 or spikes.shape[2] != self.in_features or not len(spikes):
            raise InputError(
                "spikes",
                expected=f"a whole sequence [T, B, {self.in_features}]",
                got=f"{list(spikes.shape)}",
                cure="stack the steps of a trial; for firing times [B, I] call fire(times, steps)",
            )
        if not bool(((spikes == 0) | (spikes == 1)).all()):
            raise InputError("spikes", expected="zeros and ones", got="other values, or NaN")
        weight = self._exact_weight
        times = ttfs.times_of(spikes.to(weight.dtype))
        fired = ttfs.step_times(times, weight, self.threshold, len(spikes))
        return ttfs.spikes_of(fired.times, len(spikes)).to(self.weight.dtype)

    def fire(self, times: Tensor, num_steps: int) -> ttfs.StepSpikes:
        """Firing steps ``[B, O]`` for the inputs' firing steps ``[B, I]``, and potentials.

        Args:
            times: whole numbers; ``num_steps`` or more where an input is silent.
            num_steps: length ``T`` of the window in time steps.

        Raises:
            InputError: if the times are no whole numbers of 0 or more, or ``num_steps`` is below 1.
        """
        check_positive(num_steps=num_steps)
        self._check_times(times)
        if bool((times != times.round()).any()):
            raise InputError("times", expected="whole steps", got="fractions", cure="round them")
        weight = self._exact_weight
        return ttfs.step_times(times.to(weight.dtype), weight, self.threshold, num_steps)

    def extra_repr(self) -> str:
        return f"{self.in_features}, {self.out_features}, threshold={self.threshold}"


class TTFSRampLinear(_TTFSNeurons):
    r"""Integrate-and-fire neurons with ramp synapses, whose one spike can come at any real time.

    .. math:: V_j(t) = b_j t + \sum_i w_{ij} (t - t_i)_+, \qquad t_j = \min \{ t : V_j(t) \ge \theta \}

    An input switches a constant current on. Crossings are exact, from event to event, and so are the
    derivatives, to any order, of neurons whose potential rises by 0.25 a unit of time or more. They are
    bounded below that, and those of silent neurons are set so that these can learn: see
    `snn_gan_ext.functional.ttfs.ramp_times`.

    Args:
        in_features: number of inputs ``I``.
        out_features: number of neurons ``O``.
        horizon: end of the window, in the unit of time of the inputs.
        threshold: potential :math:`\theta` at which a neuron fires.
        weight_mean: mean of the initial weights.
        weight_std: their standard deviation; by default ``1 / sqrt(I)``.
        current: initial current :math:`b` of each neuron.
        rng: seeds the initial weights; torch's global generator by default.

    Shapes:
        weight ``[I, O]``, current ``[O]``.

    Raises:
        InputError: if a size, the window, the threshold or the law of the weights has no meaning.

    References:
        Mostafa (2017), "Supervised learning based on temporal coding in spiking neural networks";
        Goeltz et al. (2021), "Fast and energy-efficient neuromorphic deep learning with first-spike
        times".

    >>> import torch
    >>> from snn_gan_ext import TTFSRampLinear
    >>> layer = TTFSRampLinear(1, 1, horizon=4.0, weight_mean=0.5, weight_std=0.0, current=0.0)
    >>> layer(torch.tensor([[1.0], [2.5]])).detach()      # 2 units of time later; too late
    tensor([[3.],
            [4.]])
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        horizon: float,
        threshold: float = 1.0,
        weight_mean: float = 0.0,
        weight_std: float | None = None,
        current: float = 1.0,
        rng: torch.Generator | None = None,
    ) -> None:
        if weight_std is None:
            weight_std = max(in_features, 1) ** -0.5
        super().__init__(in_features, out_features, threshold, weight_mean, weight_std, rng)
        if not (0 < horizon < math.inf and math.isfinite(current)):
            raise InputError(
                "horizon and current",
                expected="a number above 0, and a finite one",
                got=f"{horizon} and {current}",
            )
        self.horizon = horizon
        self.current = nn.Parameter(torch.full((out_features,), float(current)))

    def forward(self, times: Tensor, ticks: int | None = None) -> Tensor:
        """Firing times ``[B, O]`` for the inputs' ``[B, I]``; the horizon stands for silence in both.

        Args:
            times: ``[B, I]``.
            ticks: divide the window into so many steps, at whose ends alone neurons fire, as on a clock
                (without gradient); by default they fire when they cross.

        Raises:
            InputError: if the times are below 0 or not finite, or ``ticks`` is below 1.
        """
        self._check_times(times)
        check_finite("current", self.current)
        weight = self._exact_weight
        times, current = times.to(weight.dtype), self.current.to(weight.dtype)
        if ticks is not None:
            check_positive(ticks=ticks)
            return ttfs.ramp_ticks(times, weight, current, self.threshold, self.horizon, ticks)
        return ttfs.ramp_times(times, weight, current, self.threshold, self.horizon)

    def extra_repr(self) -> str:
        return (
            f"{self.in_features}, {self.out_features}, horizon={self.horizon}, "
            f"threshold={self.threshold}"
        )
