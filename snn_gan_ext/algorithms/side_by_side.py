"""Several algorithms on the same batches, for a fair comparison in one run."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from snn_gan_ext.algorithms.state import NetworksState
from snn_gan_ext.types import Algorithm, TrainingState

__all__ = ["SideBySide", "SideBySideState"]


@dataclass
class SideBySideState(NetworksState):
    """States of all algorithms, one source of batches, and tensors drawn during training.

    Attributes:
        states: State of each algorithm by its name.
        rng: Random source of the batches.
        updates: Number of updates so far.
        drawn: Tensors to be kept with the run by name, such as trials drawn during training.
    """

    states: Mapping[str, TrainingState]
    rng: torch.Generator
    updates: int = 0
    drawn: dict[str, Tensor] = field(default_factory=dict)

    def _parts(self) -> dict[str, Any]:
        return {}

    def state_dict(self) -> dict[str, Any]:
        states = {name: state.state_dict() for name, state in self.states.items()}
        return {**super().state_dict(), "drawn": dict(self.drawn), "states": states}

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        super().load_state_dict(saved)
        self.drawn = dict(saved["drawn"])
        for name, state in self.states.items():
            state.load_state_dict(saved["states"][name])


@dataclass(frozen=True)
class SideBySide:
    """Independent algorithms, by name, that update on the same batches."""

    algorithms: Mapping[str, Algorithm]

    def update(self, state: SideBySideState, batch: Any) -> dict[str, float]:
        """Update the state of each algorithm on one batch, in place.

        Returns:
            Metrics of all algorithms, prefixed with the algorithm's name.
        """
        metrics: dict[str, float] = {}
        for name, algorithm in self.algorithms.items():
            found = algorithm.update(state.states[name], batch)
            metrics |= {f"{name}_{key}": value for key, value in found.items()}
        state.updates += 1
        return metrics
