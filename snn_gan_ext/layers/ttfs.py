"""Layers of integrate-and-fire neurons that spike at most once (time-to-first-spike coding)."""

import torch
from torch import Tensor, nn

from snn_gan_ext.functional import ttfs
from snn_gan_ext.validation import (
    FINITE,
    above,
    at_least,
    check_device,
    check_finite,
    check_positive,
    check_setting,
    check_shapes,
    check_spikes,
    check_values,
)

__all__ = ["TTFSLinear", "TTFSRampLinear"]


class _TTFSNeurons(nn.Module):
    """Common base: weights ``[I, O]`` and a threshold."""

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
        check_setting("threshold", threshold, above(0))
        check_setting("weight_mean", weight_mean, FINITE)
        check_setting("weight_std", weight_std, at_least(0))
        self.in_features, self.out_features, self.threshold = in_features, out_features, threshold
        self.weight = nn.Parameter(torch.empty(in_features, out_features))
        with torch.no_grad():
            self.weight.normal_(weight_mean, weight_std, generator=rng)

    @property
    def _exact_weight(self) -> Tensor:
        """Weights in single precision or better, which separates any two time steps."""
        check_finite("weight", self.weight)
        return self.weight.to(torch.promote_types(self.weight.dtype, torch.float32))

    def _check_times(self, times: Tensor) -> None:
        check_shapes(times=(times, ("B", self.in_features)))
        check_device("times", times, self.weight.device)
        check_values("times", times, (times >= 0) & times.isfinite(), "finite times, 0 or later")

    def extra_repr(self) -> str:
        return f"{self.in_features}, {self.out_features}, threshold={self.threshold}"


class TTFSLinear(_TTFSNeurons):
    r"""Layer of integrate-and-fire neurons with step synapses that spike at most once (S4NN).

    .. math:: V_j(t) = \sum_i w_{ij} [t_i \le t], \qquad t_j = \min \{ t : V_j(t) \ge \theta \}

    The layer includes its synapses: it replaces an ``nn.Linear`` and the spiking neuron after it. A
    call takes whole sequences ``[T, B, I]``, of which the first spike of each input counts, and returns
    ``[T, B, O]``. `fire` works on firing times and is faster. Both learn with S4NN's slopes of firing
    times (`snn_gan_ext.functional.ttfs.step_times`); spikes between two layers carry the same gradient.

    Args:
        in_features: Number of inputs ``I``.
        out_features: Number of neurons ``O``.
        threshold: Firing threshold :math:`\theta` of the potential.
        weight_mean: Mean of the initial weights; by default ``2 * threshold / I``, with which half of
            the inputs make a neuron fire.
        weight_std: Standard deviation of the initial weights; by default twice the absolute mean.
        rng: Random source of the initial weights; torch's global generator by default.

    Shapes:
        weight ``[I, O]``.

    Raises:
        InputError: If a size is below 1, the threshold not above 0, ``weight_std`` below 0, or a number
            is not finite.

    References:
        Kheradpisheh and Masquelier (2020), S4NN; the Spiking-GAN paper (Kotariya and Ganguly).

    >>> import torch
    >>> from snn_gan_ext import TTFSLinear
    >>> layer = TTFSLinear(10, 4, rng=torch.Generator().manual_seed(0))
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
        weight_mean = 2 * threshold / max(in_features, 1) if weight_mean is None else weight_mean
        weight_std = 2 * abs(weight_mean) if weight_std is None else weight_std
        super().__init__(in_features, out_features, threshold, weight_mean, weight_std, rng)

    def forward(self, spikes: Tensor) -> Tensor:
        """Return the output spikes ``[T, B, O]`` of a whole sequence.

        Args:
            spikes: Input spikes ``[T, B, I]``, zeros and ones.

        Raises:
            InputError: If the shape or a value is another.
        """
        cure = "stack the steps of a trial; for firing times [B, I] call fire(times, num_steps)"
        check_shapes(cure, spikes=(spikes, ("T", "B", self.in_features)))
        check_device("spikes", spikes, self.weight.device)
        check_spikes("spikes", spikes)
        weight = self._exact_weight
        times = ttfs.times_of(spikes.to(weight.dtype))
        fired = ttfs.step_times(times, weight, self.threshold, len(spikes))
        return ttfs.spikes_of(fired.times, len(spikes)).to(self.weight.dtype)

    def fire(self, times: Tensor, num_steps: int) -> ttfs.StepSpikes:
        """Return firing steps and potentials ``[B, O]`` for the firing steps of the inputs.

        Args:
            times: Firing steps of the inputs ``[B, I]``, whole; ``num_steps`` or more is silence.
            num_steps: Number of time steps ``T``.

        Raises:
            InputError: If a time is below 0 or no whole number, or ``num_steps`` is below 1.
        """
        check_positive(num_steps=num_steps)
        self._check_times(times)
        check_values("times", times, times == times.round(), "whole steps", "round them")
        weight = self._exact_weight
        return ttfs.step_times(times.to(weight.dtype), weight, self.threshold, num_steps)


class TTFSRampLinear(_TTFSNeurons):
    r"""Layer of integrate-and-fire neurons with ramp synapses that spike at most once, at a real time.

    .. math:: V_j(t) = b_j t + \sum_i w_{ij} (t - t_i)_+, \qquad t_j = \min \{ t : V_j(t) \ge \theta \}

    Each input switches on a constant current. Firing times are exact. So are their derivatives, to any
    order, if the potential rises by at least 0.25 per unit of time. Derivatives of slower neurons are
    bounded, and silent neurons learn by a substitute: see `snn_gan_ext.functional.ttfs.ramp_times`.

    Args:
        in_features: Number of inputs ``I``.
        out_features: Number of neurons ``O``.
        horizon: End of the window, in the time unit of the inputs.
        threshold: Firing threshold :math:`\theta` of the potential.
        weight_mean: Mean of the initial weights.
        weight_std: Standard deviation of the initial weights; by default ``1 / sqrt(I)``.
        current: Initial current :math:`b` of each neuron.
        rng: Random source of the initial weights; torch's global generator by default.

    Shapes:
        weight ``[I, O]``, current ``[O]``.

    Raises:
        InputError: If a size is below 1, the horizon or the threshold not above 0, ``weight_std`` below
            0, or a number is not finite.

    References:
        Mostafa (2017), "Supervised learning based on temporal coding in spiking neural networks"; Göltz
        et al. (2021), "Fast and energy-efficient neuromorphic deep learning with first-spike times".

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
        weight_std = max(in_features, 1) ** -0.5 if weight_std is None else weight_std
        super().__init__(in_features, out_features, threshold, weight_mean, weight_std, rng)
        check_setting("horizon", horizon, above(0))
        check_setting("current", current, FINITE)
        self.horizon = horizon
        self.current = nn.Parameter(torch.full((out_features,), float(current)))

    def forward(self, times: Tensor, ticks: int | None = None) -> Tensor:
        """Return firing times ``[B, O]`` for those of the inputs; the horizon stands for silence.

        Args:
            times: Firing times of the inputs ``[B, I]``.
            ticks: Number of clock ticks in the window, at which alone neurons then fire, without
                gradient. By default they fire at the crossing.

        Raises:
            InputError: If a time is below 0 or not finite, or ``ticks`` is below 1.
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
        return f"{super().extra_repr()}, horizon={self.horizon}"
