"""Coupling of neurons that lie side by side in frames: lateral convolutions, shared over space."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.grad import conv2d_weight

from snn_gan_ext.functional import glm
from snn_gan_ext.functional._dispatch import kernels
from snn_gan_ext.functional.coupling import Coupling, over_lags

__all__ = ["FrameCoupling", "traces_of"]


def traces_of(signal: Tensor, basis: Tensor, delay: int, num_steps: int, groups: int = 1) -> Tensor:
    """Return traces of the last steps of frames, as channels of each group, ``[T, B, K * C, ...]``.

    Args:
        signal: Frames ``[H + T, B, C, *places]``.
        basis: Temporal basis ``[K, L]``.
        delay: Delay in steps.
        num_steps: Number of steps ``T`` to return, counted from the end.
        groups: Number of groups of channels.
    """
    flat, (batch, channels, *places) = signal.flatten(2), signal.shape[1:]
    traces = [glm.causal_filter(flat, taps, delay, num_steps) for taps in basis]
    shape = (num_steps, batch, groups, channels // groups, *places)
    return torch.cat([trace.reshape(shape) for trace in traces], 3).flatten(2, 3)


@dataclass(frozen=True)
class FrameCoupling(Coupling):
    """Effects between the neurons of frames ``(C, H, W)``.

    Each neuron is of a kind: its channel, and its phase where neurons fire in phases. Neurons of one
    kind hear the same kernels. The middle of a kernel is the neuron's own place.

    Shapes: weight ``[K, C, P, h, w]`` from a channel onto a kind, feedback ``[L, C]``, same_step
    ``[C, P, h, w]``; levels by kind.

    Attributes:
        kinds: Kind of each neuron ``[C, H, W]``.
        channels: Channel of each kind.
    """

    weight: Tensor
    kinds: Tensor
    channels: tuple[int, ...]

    @property
    def kernel(self) -> Tensor:
        """Effects over lags 1 .. L, ``[L, C, P, h, w]``."""
        *_, kinds, height, width = self.weight.shape
        place = list(self.channels), list(range(kinds)), height // 2, width // 2
        own = torch.zeros_like(self.weight[0])
        own[place] = 1.0
        by_kind = self.feedback[:, list(self.channels)]
        between = over_lags(self.weight, self.basis, len(self.feedback))
        return between + by_kind[:, None, :, None, None] * own

    def past_drive(self, outputs: Tensor, num_steps: int) -> Tensor:
        """Return the drive ``[T, B, O]`` of other neurons' given spikes ``[H + T, B, *out]``, later."""
        traces = traces_of(self._frames(outputs), self.basis, 1, num_steps)
        maps = self._spread(traces.flatten(0, 1), self.weight.flatten(0, 1))
        return self._of_kind(maps).reshape(num_steps, outputs.shape[1], -1)

    def same_step_drive(self, spikes: Tensor) -> Tensor:
        """Return the drive ``[T, B, O]`` of given spikes ``[T, B, *out]`` within their step."""
        flat = spikes.flatten(2)
        drive = torch.zeros_like(flat)
        if self.same_step is not None:
            for level, neurons in enumerate(self.on_levels()):
                drive = drive + self.now((flat * neurons).flatten(0, 1), level).reshape(flat.shape)
        return drive

    def gradients(
        self, outputs: Tensor, error: Tensor, *, per_sample: bool = False
    ) -> dict[str, Tensor]:
        """Return the gradients of ``coupling`` and ``same_step``; see `Coupling`."""
        outputs, steps = self._frames(outputs), len(error)
        error = self._frames(error)[:, :, list(self.channels)]
        kinds = torch.arange(len(self.channels), device=error.device)[:, None, None]
        error = error * (self.kinds[list(self.channels)] == kinds)  # of each kind [T, B, P, H, W]
        traces = traces_of(outputs, self.basis, 1, steps)
        found = {"coupling": self._gradient(traces, error, per_sample)}
        if self.same_step is not None:
            spikes = outputs[len(outputs) - steps :]
            levels = torch.tensor(self.levels, device=error.device)[:, None, None]
            parts = [
                self._gradient(spikes * (self._level < x), error * (levels == x), per_sample)
                for x in range(1, max(self.levels) + 1)
            ]
            found["same_step"] = torch.stack(parts).sum(0).squeeze(-5)
        return found

    def later(self, spikes: Tensor, kernel: Tensor) -> Tensor:
        """Return the effect of spikes ``[B, O]`` on the next steps ``[L, B, O]``."""
        lags, channels, kinds, *sizes = kernel.shape
        weight = kernel.transpose(0, 1).reshape(channels, lags * kinds, *sizes)
        maps = self._spread(self._in_frames(spikes), weight)
        return (
            self._of_kind(maps.reshape(len(maps), lags, kinds, *maps.shape[2:]))
            .transpose(0, 1)
            .flatten(2)
        )

    def now(self, spikes: Tensor, level: int) -> Tensor:
        """Return the effect ``[B, O]`` of a level's spikes on higher levels, in their step."""
        if self.same_step is None:
            return torch.zeros_like(spikes)
        maps = self._of_kind(self._spread(self._in_frames(spikes), self.same_step))
        return (maps * (self._level > level)).flatten(1)

    def on_levels(self) -> Iterator[Tensor]:
        """Return the neurons of each level that fires in turn, ``[O]``."""
        levels = self._level.flatten()
        return (levels == level for level in range(max(self.levels) + 1))

    def tensors(self) -> list[Tensor]:
        """Return all weights."""
        return [self.feedback, self.weight, *([] if self.same_step is None else [self.same_step])]

    def sample_compiled(self, potentials: Any, bias: Any, spikes: Any) -> None:
        """Sample by a compiled kernel, in place: drives to potentials, thresholds to spikes."""
        kernel = self.kernel.permute(2, 1, 3, 4, 0)
        same_step = kernel[:0, ..., 0] if self.same_step is None else self.same_step.transpose(0, 1)
        weights = [x.detach().contiguous().numpy() for x in (kernel, same_step)]
        levels, kinds = np.array(self.levels), self.kinds.contiguous().numpy()
        order = np.argsort(levels[kinds].reshape(-1), kind="stable")
        potentials, spikes = (x.reshape(*x.shape[:2], *kinds.shape) for x in (potentials, spikes))
        bias, wiring = bias.reshape(kinds.shape), (kinds, order, levels)
        kernels("coupling").sample_frames(potentials, bias, *weights, *wiring, spikes)

    @property
    def _level(self) -> Tensor:
        """Level of each neuron ``[C, H, W]``."""
        return torch.tensor(self.levels, device=self.kinds.device)[self.kinds]

    def _frames(self, signal: Tensor) -> Tensor:
        """Return ``[T, B, C, H, W]``, also for neurons along one axis."""
        return signal.reshape(*signal.shape[:2], *self.kinds.shape)

    def _in_frames(self, spikes: Tensor) -> Tensor:
        """Return ``[B, C, H, W]`` of neurons in one row."""
        return spikes.reshape(*spikes.shape[:-1], *self.kinds.shape)

    def _of_kind(self, maps: Tensor) -> Tensor:
        """Return the values ``[..., C, H, W]`` of neurons from maps ``[..., P, H, W]`` of kinds."""
        return maps.gather(-3, self.kinds.expand(*maps.shape[:-3], *self.kinds.shape))

    @staticmethod
    def _spread(frames: Tensor, weight: Tensor) -> Tensor:
        """Convolve frames ``[B, N, H, W]`` with weights ``[N, P, h, w]``, of the same size."""
        height, width = weight.shape[-2:]
        return F.conv2d(frames, weight.transpose(0, 1), padding=(height // 2, width // 2))

    def _gradient(self, sources: Tensor, error: Tensor, per_sample: bool) -> Tensor:
        """Return gradients ``[N / C, C, P, h, w]`` of kernels, for sources ``[T, B, N, H, W]``."""
        *_, height, width = self.weight.shape
        shape = (len(self.channels), sources.shape[2], height, width)
        padding = height // 2, width // 2
        weight_of: Callable[..., Tensor] = partial(conv2d_weight, weight_size=shape, padding=padding)
        if per_sample:
            found = [
                weight_of(x, grad_output=e)
                for x, e in zip(sources.unbind(1), error.unbind(1), strict=True)
            ]
            gradient = torch.stack(found)
        else:
            gradient = weight_of(sources.flatten(0, 1), grad_output=error.flatten(0, 1))
        by_channel = gradient.transpose(-4, -3)
        return by_channel.reshape(
            *by_channel.shape[:-4], -1, self.weight.shape[1], *by_channel.shape[-3:]
        )
