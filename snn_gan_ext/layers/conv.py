"""Convolutional GLM layers for event frames and for signals along one axis."""

from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.grad import conv1d_weight, conv2d_weight

from snn_gan_ext.errors import InputError
from snn_gan_ext.functional.coupling import over_lags
from snn_gan_ext.functional.frame_coupling import FrameCoupling, traces_of
from snn_gan_ext.layers.base import EvalMode, GLMNeurons
from snn_gan_ext.validation import (
    Rule,
    check_device,
    check_positive,
    check_setting,
    check_shapes,
    check_values,
    one_of,
    whole,
)

__all__ = ["GLMConv1d", "GLMConv2d", "GLMConvTranspose2d"]

Sizes = int | tuple[int, ...]
SameStep = Literal["checkerboard"]


class _Convolutional(GLMNeurons):
    """Common base of all kinds: traces of the input, then one convolution over all steps."""

    kind_tile: Tensor | None
    _channels: tuple[int, ...]
    _axes: int
    _transposed: bool
    _convolve: Callable[..., Tensor]
    _weight_of: Callable[..., Any]
    _average: Callable[..., Tensor]

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Sizes,
        *,
        stride: Sizes = 1,
        padding: Sizes | Literal["same"] = 0,
        dilation: Sizes = 1,
        groups: int = 1,
        pool: Sizes = 1,
        basis: Tensor | None = None,
        feedback_basis: Tensor | None = None,
        delay: int = 1,
        weight_std: float | None = None,
        bias_init: float = -4.6,
        feedback_init: float = 0.0,
        coupling_kernel: Sizes | None = None,
        coupling_basis: Tensor | None = None,
        same_step: SameStep | Tensor | None = None,
        spike_grad: Callable[[Tensor], Tensor] | None = None,
        init_hidden: bool = False,
        output: bool = False,
        refractory: int = 0,
        eval_mode: EvalMode = "sample",
        rng: torch.Generator | None = None,
    ) -> None:
        check_positive(in_channels=in_channels, out_channels=out_channels, groups=groups)
        if in_channels % groups or out_channels % groups:
            expected = f"a divisor of in_channels={in_channels} and out_channels={out_channels}"
            raise InputError("groups", expected=expected, got=f"{groups}")
        check_setting("delay", delay, whole(0))
        initial = weight_std, bias_init, feedback_init
        face = spike_grad, init_hidden, output, refractory, eval_mode
        super().__init__(out_channels, basis, feedback_basis, initial, *face)
        self.in_channels, self.out_channels, self.groups = in_channels, out_channels, groups
        self.kernel_size = self._each_axis("kernel_size", kernel_size, whole(1))
        self.stride = self._each_axis("stride", stride, whole(1))
        self.dilation = self._each_axis("dilation", dilation, whole(1))
        axes = zip(self.dilation, self.kernel_size, strict=True)
        self._reaches = [dilation * (kernel - 1) for dilation, kernel in axes]  # first tap to last
        padding = self._same_padding() if padding == "same" else padding
        self.padding = self._each_axis("padding", padding, whole(0))
        self.pool = self._each_axis("pool", pool, whole(1))
        if self._transposed and max(self.pool) > 1:
            raise InputError("pool", expected="1 in a transposed layer", got=f"{pool}")
        self.input_axes = (in_channels, *(None,) * self._axes)
        self.delay, self.delays = delay, (delay,)
        shape = (len(self.basis), in_channels // groups, out_channels, *self.kernel_size)
        self.weight = nn.Parameter(torch.empty(shape))
        self._couple_frames(coupling_kernel, coupling_basis, same_step)
        self.reset_parameters(rng=rng)

    def _couple_frames(
        self, kernel: Sizes | None, basis: Tensor | None, same_step: SameStep | Tensor | None
    ) -> None:
        """Add the parameters of coupling, if there are to be any."""
        self.register_buffer("kind_tile", None)
        if kernel is None:
            for name, given in (("coupling_basis", basis), ("same_step", same_step)):
                if given is not None:
                    expected, cure = "a layer with coupling_kernel", "give one, such as 5"
                    raise InputError(name, expected=expected, got="one without", cure=cure)
            return
        sizes = self._each_axis("coupling_kernel", kernel, whole(1))
        if not all(size % 2 for size in sizes):
            expected = "odd numbers, for a neuron in the middle"
            raise InputError("coupling_kernel", expected=expected, got=f"{list(sizes)}")
        phases = self._phases(same_step)
        each = [(channel, int(x)) for channel, tile in enumerate(phases) for x in tile.flatten()]
        kinds = sorted(set(each))
        self.kind_tile = torch.tensor([kinds.index(kind) for kind in each]).reshape(phases.shape)
        self._channels = tuple(channel for channel, _ in kinds)
        height, width = (1, *sizes)[-2:]
        past = torch.ones(self.out_channels, len(kinds), height, width, dtype=torch.bool)
        past[list(self._channels), range(len(kinds)), height // 2, width // 2] = False
        levels = tuple(level for _, level in kinds)
        now = past.clone() if max(levels) else None
        self._couple(levels, basis, coupling=past, same_step=now)

    def _phases(self, same_step: SameStep | Tensor | None) -> Tensor:
        """Return the order within a step of a tile of neurons ``[C, h, w]``."""
        channels = self.out_channels
        if same_step is None:
            return torch.zeros(channels, 1, 1, dtype=torch.long)
        if not isinstance(same_step, Tensor):
            check_setting("same_step", same_step, one_of(SameStep))
            rows = torch.arange(self._axes)[:, None]  # one along one axis
            return 2 * torch.arange(channels)[:, None, None] + (rows + torch.arange(2)) % 2
        check_shapes(same_step=(same_step, (channels, *("h >= 1", "w >= 1")[-self._axes :])))
        check_device("same_step", same_step, torch.device("cpu"))
        check_values("same_step", same_step, same_step >= 0, "phases 0, 1, ...")
        if same_step.is_floating_point() or same_step.dtype == torch.bool:
            raise InputError("same_step", expected="whole numbers", got=f"{same_step.dtype}")
        return same_step.long().reshape(channels, *(1, *same_step.shape[1:])[-2:])

    def _coupled(self, out: tuple[int, ...]) -> FrameCoupling | None:
        if self.levels is None or self.coupling_basis is None or self.kind_tile is None:
            return None
        own = over_lags(*self._all_feedback(), self._windows[1])
        past, now = map(self._between, ("coupling", "same_step"))
        height, width = (1, *out[1:])[-2:]
        rows, columns = self.kind_tile.shape[1:]
        tiles = self.kind_tile.repeat(1, -(-height // rows), -(-width // columns))
        kinds = tiles[:, :height, :width]
        return FrameCoupling(past, self.coupling_basis, own, now, self.levels, kinds, self._channels)

    def _each_axis(self, name: str, value: Any, rule: Rule) -> tuple[int, ...]:
        """Return one number for each axis of space."""
        values = tuple(value) if isinstance(value, tuple | list) else (value,) * self._axes
        if len(values) != self._axes:
            expected = f"one number, or {self._axes} of them"
            raise InputError(name, expected=expected, got=f"{value}")
        for each in values:
            check_setting(name, each, rule)
        return values

    def _same_padding(self) -> tuple[int, ...]:
        """Return the padding with which the output has the size of the input."""
        if any(reach % 2 for reach in self._reaches) or set(self.stride) != {1}:
            got = f"kernel_size={self.kernel_size}, stride={self.stride}"
            expected, cure = "an odd kernel_size and stride 1", "give the padding in pixels"
            raise InputError("padding='same'", expected=expected, got=got, cure=cure)
        return tuple(reach // 2 for reach in self._reaches)

    def _output_shape(self, inputs: Tensor) -> tuple[int, ...]:
        geometry = self.stride, self.padding, self._reaches, self.pool
        axes = zip(inputs.shape[-self._axes :], *geometry, strict=True)
        sizes = [
            (size - 1) * stride - 2 * padding + reach + 1
            if self._transposed
            else ((size + 2 * padding - reach - 1) // stride + 1) // pool
            for size, stride, padding, reach, pool in axes
        ]
        if min(sizes) < 1:
            expected = f"frames large enough for a kernel of {list(self.kernel_size)}"
            raise InputError("input", expected=expected, got=f"{list(inputs.shape[-self._axes :])}")
        return (self.out_channels, *sizes)

    @property
    def _geometry(self) -> dict[str, Any]:
        sizes = {"stride": self.stride, "padding": self.padding, "dilation": self.dilation}
        return {**sizes, "groups": self.groups}

    def _drive(self, aligned: Tensor, num_steps: int) -> Tensor:
        traces = traces_of(aligned, self.basis, self.delay, num_steps, self.groups)
        weight = self.weight.flatten(0, 1)
        if self._transposed:
            by_group = weight.reshape(len(weight), self.groups, -1, *self.kernel_size)
            weight = by_group.transpose(0, 1).flatten(0, 1)
        else:
            weight = weight.transpose(0, 1)
        drive = self._convolve(traces.flatten(0, 1), weight, **self._geometry)
        if max(self.pool) > 1:
            drive = self._average(drive, self.pool)
        return drive.reshape(*traces.shape[:2], *drive.shape[1:])

    def _weight_gradient(self, aligned: Tensor, error: Tensor, per_sample: bool) -> Tensor:
        traces = traces_of(aligned, self.basis, self.delay, len(error), self.groups)
        error = self._before_pooling(error, aligned)
        if per_sample:
            gradients = list(map(self._gradient, traces.unbind(1), error.unbind(1)))
            return torch.stack(gradients).reshape(-1, *self.weight.shape)
        return self._gradient(traces.flatten(0, 1), error.flatten(0, 1)).reshape(self.weight.shape)

    def _before_pooling(self, error: Tensor, inputs: Tensor) -> Tensor:
        """Return the error of each place that is pooled, for the error of the pools."""
        if max(self.pool) == 1:
            return error
        sizes = inputs.shape[-self._axes :]
        geometry = zip(sizes, self.stride, self.padding, self._reaches, strict=True)
        places = [(size + 2 * pad - reach - 1) // step + 1 for size, step, pad, reach in geometry]
        missing: list[int] = []
        for axis, (pool, place) in enumerate(zip(self.pool, places, strict=True), start=3):
            error = error.repeat_interleave(pool, axis) / pool
            missing = [0, place - error.shape[axis], *missing]  # places that fill no pool
        return F.pad(error, missing)

    def _gradient(self, traces: Tensor, error: Tensor) -> Tensor:
        """Return the gradient of the weights ``[K * C_in / groups, C_out, *kernel]``."""
        wide, narrow = (error, traces) if self._transposed else (traces, error)
        shape = (narrow.shape[1], wide.shape[1] // self.groups, *self.kernel_size)
        gradient: Tensor = self._weight_of(wide, shape, narrow, **self._geometry)
        if self._transposed:
            by_group = gradient.reshape(self.groups, -1, *gradient.shape[1:])
            return by_group.transpose(0, 1).flatten(1, 2)
        return gradient.transpose(0, 1).contiguous()

    def extra_repr(self) -> str:
        sizes = ", ".join(f"{name}={value}" for name, value in self._geometry.items())
        pool = f", pool={self.pool}" if max(self.pool) > 1 else ""
        kernel = f"kernel_size={self.kernel_size}, {sizes}{pool}"
        return f"{self.in_channels}, {self.out_channels}, {kernel}, {super().extra_repr()}"


class GLMConv2d(_Convolutional):
    r"""Convolutional layer of GLM neurons for event frames ``[T, B, C, H, W]``.

    The layer works as `GLMLayer`, with filters and biases shared over space. The arguments that are not
    listed are those of `GLMLayer`, too. The feedback of a neuron comes from its own spikes.

    .. math:: u_{c,x,t} = \sum_{c',y} (\alpha_{c',c,y} * s_{c',x+y})_{t-d}
        + (\beta_c * s_{c,x})_{t-1} + \gamma_c

    Sizes in pixels are one number, or one for each axis.

    Args:
        in_channels: Number of input channels (2 for the polarities of an event camera).
        out_channels: Number of output channels.
        kernel_size: Height and width of the synaptic filters in pixels.
        stride: Distance of neighbouring receptive fields in pixels.
        padding: Width of the silent border around a frame in pixels; "same" keeps the size of a frame.
        dilation: Distance of neighbouring taps of a filter in pixels.
        groups: Number of groups of channels, each of which receives its share of the inputs alone.
        pool: Height and width in pixels of pools, whose mean potential drives one neuron.
        delay: Synaptic delay in steps.
        coupling_kernel: Height and width in pixels, odd, of lateral filters: neurons hear the past
            spikes of their neighbours in all channels. None for neurons that hear themselves alone.
        coupling_basis: Temporal basis of the coupling ``[K'', L'']``; by default ``feedback_basis``.
        same_step: Phases in which neurons fire within a step. Those of a later phase hear the earlier
            ones, and each phase has kernels of its own. "checkerboard" takes one channel after another,
            each in two phases; a tile ``[C, h, w]`` of whole numbers, repeated over the frame, is any
            other order.
        weight_std: Standard deviation of the initial weights; by default as for ``C_in / groups h w``
            inputs.

    Shapes:
        weight ``[K, C_in / groups, C_out, h, w]``, feedback ``[K', C_out]``, bias ``[C_out]``; with
        coupling, zero at first: coupling ``[K'', C_out, P, h', w']`` from channels onto P kinds of
        neurons, same_step ``[C_out, P, h', w']``. A kind is a channel, or a phase of a channel.

    Raises:
        InputError: If a size is below 1, ``padding`` or ``delay`` below 0, ``groups`` does not divide
            both numbers of channels, no padding keeps the size, or a basis has the wrong form.

    References:
        SpikeGAN paper, eq. 2-5, with shared weights.
    """

    _axes, _transposed = 2, False
    _convolve, _weight_of = staticmethod(F.conv2d), staticmethod(conv2d_weight)
    _average = staticmethod(F.avg_pool2d)


class GLMConvTranspose2d(_Convolutional):
    r"""Transposed convolutional layer of GLM neurons, for generators of event frames.

    The layer is the transpose of `GLMConv2d`, with the same arguments, shapes and references. A
    spike drives a patch of ``kernel_size`` neurons; neighbouring patches are ``stride`` apart. A frame
    of ``H`` rows becomes one of ``(H - 1) * stride - 2 * padding + dilation * (kernel - 1) + 1`` rows.
    """

    _axes, _transposed = 2, True
    _convolve, _weight_of = staticmethod(F.conv_transpose2d), staticmethod(conv2d_weight)


class GLMConv1d(_Convolutional):
    """Convolutional layer of GLM neurons along one axis, ``[T, B, C, L]``.

    The arguments, shapes and references are those of `GLMConv2d`, with one axis of space: sounds by
    channel of a cochlea, or electrodes in a row. Time is the axis in front, as everywhere.
    """

    _axes, _transposed = 1, False
    _convolve, _weight_of = staticmethod(F.conv1d), staticmethod(conv1d_weight)
    _average = staticmethod(F.avg_pool1d)
