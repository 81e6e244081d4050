"""Coupling of the neurons of a fully connected layer."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from snn_gan_ext.functional import glm
from snn_gan_ext.functional._dispatch import kernels
from snn_gan_ext.functional.coupling import Coupling, over_lags

__all__ = [
    "DenseCoupling",
    "count_drive",
    "count_gradient",
    "coupling_drive",
    "coupling_gradient",
]


def coupling_drive(
    spikes: Tensor, coupling: Tensor, basis: Tensor, num_steps: int | None = None
) -> Tensor:
    r"""Return the drive of given past spikes, :math:`\sum_{j,k} w_{k,j,i} (C_k * s_j)_{t-1}`.

    Args:
        spikes: Spikes of the neurons ``[..., H + T, B, O]``.
        coupling: Coupling weights ``[..., K, O, O]`` from and to, zero from a neuron to itself.
        basis: Coupling basis ``[K, L]``.
        num_steps: Number of steps ``T`` to return, counted from the end; all by default.
    """
    return glm.synaptic_drive(spikes, coupling, basis, 1, num_steps)


def coupling_gradient(
    outputs: Tensor, error: Tensor, basis: Tensor, *, per_sample: bool = False
) -> Tensor:
    r"""Return the gradient of coupling weights, :math:`\sum_t (C_k * s_j)_{t-1}\, e_{i,t}`.

    It is zero from a neuron to itself.

    Args:
        outputs: Spikes of the neurons ``[..., H + T, B, O]`` with ``H >= 0`` steps of history.
        error: Post-synaptic error ``[..., T, B, O]``.
        basis: Coupling basis ``[K, L]``.
        per_sample: Whether to return ``[..., B, K, O, O]`` instead of the sum ``[..., K, O, O]``.
    """
    gradient = glm.synaptic_gradient(outputs, error, basis, 1, per_sample=per_sample)
    return gradient * ~torch.eye(gradient.shape[-1], dtype=torch.bool, device=gradient.device)


def count_drive(earlier: Tensor, count: Tensor) -> Tensor:
    """Return the entry of a table for each number of earlier spikes; none has no effect.

    Args:
        earlier: Numbers of earlier spikes, of any shape; between whole numbers the table is linear.
        count: Effects of 1, 2, ... earlier spikes ``[C]``; the last one stands for more, too.
    """
    table = torch.cat([torch.zeros_like(count[:1]), count, count[-1:]])
    earlier = earlier.clamp(max=len(count))
    below = earlier.detach().floor().long()
    low, high = table[below], table[below + 1]
    return low + (earlier - below) * (high - low)


def count_gradient(earlier: Tensor, error: Tensor, entries: int, *, per_sample: bool = False) -> Tensor:
    """Return the gradient of the table: the errors, summed by the number of earlier spikes.

    Args:
        earlier: Numbers of earlier spikes ``[..., T, B, O]``.
        error: Post-synaptic error ``[..., T, B, O]``.
        entries: Number of entries ``C``.
        per_sample: Whether to return ``[..., B, C]`` instead of the sum ``[..., C]``.
    """
    axes = (-3, -1) if per_sample else (-3, -2, -1)
    at = earlier.clamp(max=entries)
    return torch.stack([(error * (at == n)).sum(axes) for n in range(1, entries + 1)], -1)


@dataclass(frozen=True)
class DenseCoupling(Coupling):
    """Effects between the neurons of a fully connected layer.

    Shapes: weight ``[K, O, O]`` from and to, feedback ``[L, O]``, same_step ``[O, O]``; levels by
    neuron, as from `snn_gan_ext.functional.masks.levels_of`.

    Attributes:
        count: Effects of 1, 2, ... spikes of lower levels in this step ``[C]``; None for none.
    """

    count: Tensor | None = None

    @property
    def kernel(self) -> Tensor:
        """Effects over lags 1 .. L, ``[L, O, O]``, from and to."""
        own = torch.diag_embed(self.feedback)
        return own if self.weight is None else own + over_lags(self.weight, self.basis, len(own))

    def past_drive(self, outputs: Tensor, num_steps: int) -> Tensor:
        """Return the drive ``[T, B, O]`` of other neurons' given spikes ``[H + T, B, O]``, later."""
        if self.weight is None:
            return torch.zeros_like(outputs[len(outputs) - num_steps :])
        return coupling_drive(outputs, self.weight, self.basis, num_steps)

    def same_step_drive(self, spikes: Tensor) -> Tensor:
        """Return the drive ``[T, B, O]`` of given spikes ``[T, B, O]`` within their step."""
        drive = torch.zeros_like(spikes) if self.same_step is None else spikes @ self.same_step
        return drive if self.count is None else drive + count_drive(self._earlier(spikes), self.count)

    def gradients(
        self, outputs: Tensor, error: Tensor, *, per_sample: bool = False
    ) -> dict[str, Tensor]:
        """Return the gradients of ``coupling``, ``same_step`` and ``count``; see `Coupling`."""
        found = {}
        spikes = outputs[len(outputs) - len(error) :]
        if self.weight is not None:
            gradient = coupling_gradient(outputs, error, self.basis, per_sample=per_sample)
            found["coupling"] = gradient
        if self.same_step is not None:
            trials = "b" if per_sample else ""
            found["same_step"] = torch.einsum(f"tbi,tbo->{trials}io", spikes, error)
        if self.count is not None:
            earlier, entries = self._earlier(spikes), len(self.count)
            found["count"] = count_gradient(earlier, error, entries, per_sample=per_sample)
        return found

    def _earlier(self, spikes: Tensor) -> Tensor:
        """Return how many neurons of lower levels fired in the step, for each neuron ``[T, B, O]``."""
        levels = torch.tensor(self.levels, device=spikes.device)
        return spikes @ (levels[:, None] < levels).to(spikes)

    def later(self, spikes: Tensor, kernel: Tensor) -> Tensor:
        """Return the effect of spikes ``[..., B, O]`` on the next steps ``[..., L, B, O]``."""
        return spikes.unsqueeze(-3) @ kernel

    def now(self, spikes: Tensor, level: int) -> Tensor:
        """Return the effect ``[..., B, O]`` of a level's spikes on higher levels, in their step."""
        return torch.zeros_like(spikes) if self.same_step is None else spikes @ self.same_step

    def on_levels(self) -> Iterator[Tensor]:
        """Return the neurons of each level that fires in turn, ``[O]``."""
        levels = torch.tensor(self.levels, device=self.feedback.device)
        return (levels == level for level in range(max(self.levels) + 1))

    def count_of(self, earlier: Tensor) -> Tensor:
        """Return the effect of how many neurons have fired in this step, ``[..., B, O]``."""
        return super().count_of(earlier) if self.count is None else count_drive(earlier, self.count)

    def tensors(self) -> list[Tensor]:
        """Return all weights."""
        weights = self.feedback, self.weight, self.same_step, self.count
        return [x for x in weights if x is not None]

    def sample_compiled(self, potentials: Any, bias: Any, spikes: Any) -> None:
        """Sample by a compiled kernel, in place: drives to potentials, thresholds to spikes."""
        none = self.feedback[:0]
        kernel = self.kernel.transpose(0, 1)
        same_step = none if self.same_step is None else self.same_step
        count = none.flatten() if self.count is None else self.count
        weights = [x.detach().contiguous().numpy() for x in (kernel, same_step, count)]
        levels = np.array(self.levels)
        order = np.argsort(levels, kind="stable")
        kernels("coupling").sample_dense(potentials, bias, *weights, order, levels, spikes)
