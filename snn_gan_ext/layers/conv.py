"""Convolutional GLM layers for event frames."""

from abc import abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.grad import conv2d_weight

from snn_gan_ext.errors import InputError
from snn_gan_ext.functional import glm
from snn_gan_ext.layers.base import GLMNeurons
from snn_gan_ext.validation import check_positive, check_setting, whole

__all__ = ["GLMConv2d", "GLMConvTranspose2d"]


class _Convolutional(GLMNeurons):
    """Common base of both directions: traces of the input, then one convolution over all steps."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int],
        *,
        stride: int = 1,
        padding: int = 0,
        basis: Tensor | None = None,
        feedback_basis: Tensor | None = None,
        delay: int = 1,
        weight_std: float | None = None,
        bias_init: float = -1.0,
        feedback_init: float = 0.0,
        spike_grad: Callable[[Tensor], Tensor] | None = None,
        init_hidden: bool = False,
        output: bool = False,
        rng: torch.Generator | None = None,
    ) -> None:
        height, width = (kernel_size,) * 2 if isinstance(kernel_size, int) else kernel_size
        check_positive(
            in_channels=in_channels,
            out_channels=out_channels,
            stride=stride,
        )
        for size in (height, width):
            check_positive(kernel_size=size)
        check_setting("padding", padding, whole(0))
        check_setting("delay", delay, whole(0))
        super().__init__(
            out_channels,
            basis=basis,
            feedback_basis=feedback_basis,
            initial=(weight_std, bias_init, feedback_init),
            spike_grad=spike_grad,
            init_hidden=init_hidden,
            output=output,
        )
        self.in_channels, self.out_channels = in_channels, out_channels
        self.kernel_size, self.stride, self.padding, self.delay = (
            (height, width),
            stride,
            padding,
            delay,
        )
        shape = (len(self.basis), in_channels, out_channels, height, width)
        self.weight = nn.Parameter(torch.empty(shape))
        self.reset_parameters(rng=rng)

    @property
    def _fan_in(self) -> int:
        return self.in_channels * self.kernel_size[0] * self.kernel_size[1]

    @property
    def _input_axes(self) -> tuple[int | None, ...]:
        return (self.in_channels, None, None)

    @property
    def _delays_of_inputs(self) -> tuple[int, ...]:
        return (self.delay,)

    def _align(self, inputs: Tensor) -> Tensor:
        return inputs

    def _output_shape(self, inputs: Tensor) -> tuple[int, ...]:
        sizes = tuple(
            self._output_size(size, kernel)
            for size, kernel in zip(inputs.shape[-2:], self.kernel_size, strict=True)
        )
        if min(sizes) < 1:
            raise InputError(
                "input",
                expected=f"frames large enough for a kernel of {list(self.kernel_size)}",
                got=f"{list(inputs.shape[-2:])}",
            )
        return (self.out_channels, *sizes)

    @abstractmethod
    def _output_size(self, size: int, kernel: int) -> int: ...

    @abstractmethod
    def _convolve(self, traces: Tensor) -> Tensor:
        """Convolve traces ``[T * B, K * C_in, H, W]`` to a drive ``[T * B, C_out, H', W']``."""

    @abstractmethod
    def _gradient(self, traces: Tensor, error: Tensor) -> Tensor:
        """Return the gradient of the convolution's weight, in the layout of `_convolve`'s weight."""

    def _correlate(self, wide: Tensor, shape: tuple[int, ...], narrow: Tensor) -> Tensor:
        """Return the weight gradient of the convolution from ``wide`` frames to ``narrow`` ones."""
        gradient: Tensor = conv2d_weight(  # type: ignore[no-untyped-call]
            wide, shape, narrow, stride=self.stride, padding=self.padding
        )
        return gradient

    def _traces(self, inputs: Tensor, num_steps: int) -> Tensor:
        """Return traces of the last steps over all basis functions ``[T, B, K * C_in, H, W]``."""
        flat = inputs.flatten(2)
        traces = [glm.causal_filter(flat, taps, self.delay, num_steps) for taps in self.basis]
        return torch.cat([trace.reshape(num_steps, *inputs.shape[1:]) for trace in traces], 2)

    def _drive(self, aligned: Tensor, num_steps: int) -> Tensor:
        traces = self._traces(aligned, num_steps)
        drive = self._convolve(traces.flatten(0, 1))
        return drive.reshape(*traces.shape[:2], *drive.shape[1:])

    def _weight_gradient(self, aligned: Tensor, error: Tensor, per_sample: bool) -> Tensor:
        traces = self._traces(aligned, len(error))
        if per_sample:
            gradients = [
                self._gradient(traces[:, trial], error[:, trial]) for trial in range(error.shape[1])
            ]
            return torch.stack(gradients).reshape(-1, *self.weight.shape)
        return self._gradient(traces.flatten(0, 1), error.flatten(0, 1)).reshape(self.weight.shape)

    def extra_repr(self) -> str:
        functions, length = self.basis.shape
        return (
            f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, "
            f"stride={self.stride}, padding={self.padding}, basis={functions}x{length}, "
            f"delay={self.delay}, init_hidden={self.init_hidden}"
        )


class GLMConv2d(_Convolutional):
    r"""Convolutional layer of GLM neurons for event frames ``[T, B, C, H, W]``.

    The layer works as `GLMLayer`, with synaptic filters shared over space:

    .. math:: u_{c,x,t} = \sum_{c',y} (\alpha_{c',c,y} * s_{c',x+y})_{t-d}
        + (\beta_c * s_{c,x})_{t-1} + \gamma_c

    The feedback of a neuron comes from its own spikes. All neurons of a channel share the feedback
    filter :math:`\beta_c` and the bias :math:`\gamma_c`.

    Args:
        in_channels: Number of input channels (2 for the polarities of an event camera).
        out_channels: Number of output channels.
        kernel_size: Height and width of the synaptic filters in pixels, or one number for both.
        stride: Distance of neighbouring receptive fields in pixels.
        padding: Width of the silent border around a frame in pixels.
        basis: Temporal basis of the synapses ``[K, L]``; by default ``exp(-lag / 2)`` over 6 steps.
        feedback_basis: Temporal basis of the feedback ``[K', L']``; by default ``basis``.
        delay: Synaptic delay in steps.
        weight_std: Standard deviation of the initial weights; by default
            ``1 / sqrt(C_in * h * w * sum(basis ** 2))``.
        bias_init: Initial bias.
        feedback_init: Initial feedback weight.
        spike_grad: Surrogate slope for autograd; see `GLMLayer`.
        init_hidden: Whether the layer keeps its state.
        output: Whether to return the state as well with ``init_hidden=True``.
        rng: Random source of the initial weights; torch's global generator by default.

    Shapes:
        weight ``[K, C_in, C_out, h, w]``, feedback ``[K', C_out]``, bias ``[C_out]``.

    Raises:
        InputError: If a size is below 1, ``padding`` or ``delay`` below 0, or a basis has the wrong
            form.

    References:
        SpikeGAN paper, eq. 2-5, with shared weights.
    """

    def _output_size(self, size: int, kernel: int) -> int:
        return (size + 2 * self.padding - kernel) // self.stride + 1

    def _convolve(self, traces: Tensor) -> Tensor:
        weight = self.weight.flatten(0, 1).transpose(0, 1)
        return F.conv2d(traces, weight, stride=self.stride, padding=self.padding)

    def _gradient(self, traces: Tensor, error: Tensor) -> Tensor:
        shape = (error.shape[1], traces.shape[1], *self.kernel_size)
        return self._correlate(traces, shape, error).transpose(0, 1).contiguous()


class GLMConvTranspose2d(_Convolutional):
    r"""Transposed convolutional layer of GLM neurons, for generators of event frames.

    The layer is the transpose of `GLMConv2d`, with the same arguments. A spike drives a patch of
    ``kernel_size`` neurons, and neighbouring patches are ``stride`` apart. A frame of ``H`` rows
    becomes one of ``(H - 1) * stride - 2 * padding + kernel`` rows.

    Shapes:
        weight ``[K, C_in, C_out, h, w]``, feedback ``[K', C_out]``, bias ``[C_out]``.

    References:
        SpikeGAN paper, eq. 2-5, with shared weights.
    """

    def _output_size(self, size: int, kernel: int) -> int:
        return (size - 1) * self.stride - 2 * self.padding + kernel

    def _convolve(self, traces: Tensor) -> Tensor:
        weight = self.weight.flatten(0, 1)
        return F.conv_transpose2d(traces, weight, stride=self.stride, padding=self.padding)

    def _gradient(self, traces: Tensor, error: Tensor) -> Tensor:
        shape = (traces.shape[1], error.shape[1], *self.kernel_size)
        return self._correlate(error, shape, traces)
