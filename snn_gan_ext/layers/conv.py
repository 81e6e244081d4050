"""Convolutional GLM layers for event frames."""

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

    _transposed: bool

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
        bias_init: float = -4.6,
        feedback_init: float = 0.0,
        spike_grad: Callable[[Tensor], Tensor] | None = None,
        init_hidden: bool = False,
        output: bool = False,
        rng: torch.Generator | None = None,
    ) -> None:
        height, width = (kernel_size,) * 2 if isinstance(kernel_size, int) else kernel_size
        check_positive(in_channels=in_channels, out_channels=out_channels, stride=stride)
        for size in (height, width):
            check_positive(kernel_size=size)
        check_setting("padding", padding, whole(0))
        check_setting("delay", delay, whole(0))
        initial = weight_std, bias_init, feedback_init
        super().__init__(out_channels, basis, feedback_basis, initial, spike_grad, init_hidden, output)
        self.in_channels, self.out_channels = in_channels, out_channels
        self.kernel_size, self.stride, self.padding = (height, width), stride, padding
        self.input_axes, self.delay, self.delays = (in_channels, None, None), delay, (delay,)
        shape = (len(self.basis), in_channels, out_channels, height, width)
        self.weight = nn.Parameter(torch.empty(shape))
        self.reset_parameters(rng=rng)

    def _output_shape(self, inputs: Tensor) -> tuple[int, ...]:
        sizes = tuple(map(self._output_size, inputs.shape[-2:], self.kernel_size))
        if min(sizes) < 1:
            expected = f"frames large enough for a kernel of {list(self.kernel_size)}"
            raise InputError("input", expected=expected, got=f"{list(inputs.shape[-2:])}")
        return (self.out_channels, *sizes)

    def _output_size(self, size: int, kernel: int) -> int:
        if self._transposed:
            return (size - 1) * self.stride - 2 * self.padding + kernel
        return (size + 2 * self.padding - kernel) // self.stride + 1

    def _traces(self, inputs: Tensor, num_steps: int) -> Tensor:
        """Return traces of the last steps over all basis functions ``[T, B, K * C_in, H, W]``."""
        flat = inputs.flatten(2)
        traces = [glm.causal_filter(flat, taps, self.delay, num_steps) for taps in self.basis]
        return torch.cat([trace.reshape(num_steps, *inputs.shape[1:]) for trace in traces], 2)

    def _drive(self, aligned: Tensor, num_steps: int) -> Tensor:
        traces, weight = self._traces(aligned, num_steps), self.weight.flatten(0, 1)
        weight = weight if self._transposed else weight.transpose(0, 1)
        convolve = F.conv_transpose2d if self._transposed else F.conv2d
        drive = convolve(traces.flatten(0, 1), weight, stride=self.stride, padding=self.padding)
        return drive.reshape(*traces.shape[:2], *drive.shape[1:])

    def _weight_gradient(self, aligned: Tensor, error: Tensor, per_sample: bool) -> Tensor:
        traces = self._traces(aligned, len(error))
        if per_sample:
            gradients = list(map(self._gradient, traces.unbind(1), error.unbind(1)))
            return torch.stack(gradients).reshape(-1, *self.weight.shape)
        return self._gradient(traces.flatten(0, 1), error.flatten(0, 1)).reshape(self.weight.shape)

    def _gradient(self, traces: Tensor, error: Tensor) -> Tensor:
        """Return the gradient of the weights ``[K * C_in, C_out, h, w]``."""
        wide, narrow = (error, traces) if self._transposed else (traces, error)
        shape = (narrow.shape[1], wide.shape[1], *self.kernel_size)
        gradient: Tensor = conv2d_weight(  # type: ignore[no-untyped-call]
            wide, shape, narrow, stride=self.stride, padding=self.padding
        )
        return gradient if self._transposed else gradient.transpose(0, 1).contiguous()

    def extra_repr(self) -> str:
        geometry = f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"
        return f"{self.in_channels}, {self.out_channels}, {geometry}, {super().extra_repr()}"


class GLMConv2d(_Convolutional):
    r"""Convolutional layer of GLM neurons for event frames ``[T, B, C, H, W]``.

    The layer works as `GLMLayer`, with filters and biases shared over space. The arguments that are not
    listed are those of `GLMLayer`, too. The feedback of a neuron comes from its own spikes.

    .. math:: u_{c,x,t} = \sum_{c',y} (\alpha_{c',c,y} * s_{c',x+y})_{t-d}
        + (\beta_c * s_{c,x})_{t-1} + \gamma_c

    Args:
        in_channels: Number of input channels (2 for the polarities of an event camera).
        out_channels: Number of output channels.
        kernel_size: Height and width of the synaptic filters in pixels, or one number for both.
        stride: Distance of neighbouring receptive fields in pixels.
        padding: Width of the silent border around a frame in pixels.
        delay: Synaptic delay in steps.
        weight_std: Standard deviation of the initial weights; by default as for ``C_in h w`` inputs.

    Shapes:
        weight ``[K, C_in, C_out, h, w]``, feedback ``[K', C_out]``, bias ``[C_out]``.

    Raises:
        InputError: If a size is below 1, ``padding`` or ``delay`` below 0, or a basis of wrong form.

    References:
        SpikeGAN paper, eq. 2-5, with shared weights.
    """

    _transposed = False


class GLMConvTranspose2d(_Convolutional):
    r"""Transposed convolutional layer of GLM neurons, for generators of event frames.

    The layer is the transpose of `GLMConv2d`, with the same arguments, shapes and references. A
    spike drives a patch of ``kernel_size`` neurons; neighbouring patches are ``stride`` apart. A frame
    of ``H`` rows becomes one of ``(H - 1) * stride - 2 * padding + kernel`` rows.
    """

    _transposed = True
