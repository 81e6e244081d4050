"""How training states are saved and loaded."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

__all__ = ["NetworksState"]


class NetworksState(ABC):
    """Networks, their optimisers, a random source and a step count; a subclass names its parts."""

    rng: torch.Generator
    updates: int

    @abstractmethod
    def _parts(self) -> Mapping[str, nn.Module | torch.optim.Optimizer]: ...

    def state_dict(self) -> dict[str, Any]:
        """Tensors and plain values only, fit for ``torch.load(weights_only=True)``."""
        return {
            "updates": self.updates,
            "rng": self.rng.get_state(),
            **{name: part.state_dict() for name, part in self._parts().items()},
        }

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Goes back to what `state_dict` saved."""
        self.updates = saved["updates"]
        self.rng.set_state(saved["rng"].cpu())
        for name, part in self._parts().items():
            part.load_state_dict(saved[name])
            if isinstance(part, torch.optim.Optimizer):
                _check_moments(part)


def _check_moments(optimizer: torch.optim.Optimizer) -> None:
    """The fused Adam trusts the sizes of what it loads, to the point of writing out of bounds."""
    for parameter, moments in optimizer.state.items():
        for name in ("exp_avg", "exp_avg_sq"):
            if moments[name].shape != parameter.shape:
                raise ValueError(f"{name} of shape {list(moments[name].shape)}")
