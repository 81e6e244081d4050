"""Several algorithms on the same batches, for a fair comparison in one run."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from snn_gan_ext.experiments.loop import Algorithm, TrainingState

__all__ = ["SideBySide", "SideBySideState"]


@dataclass
class SideBySideState:
    """The states of all, one source of batches, and what was drawn on the way.

    Attributes:
        states: by the algorithm's name.
        rng: of the batches.
        drawn: tensors to be kept with the run, by name; such as trials drawn while training.
    """

    states: Mapping[str, TrainingState]
    rng: torch.Generator
    updates: int = 0
    drawn: dict[str, Tensor] = field(default_factory=dict)

    def state_dict(self) -> dict[str, Any]:
        return {
            "updates": self.updates,
            "rng": self.rng.get_state(),
            "drawn": dict(self.drawn),
            "states": {name: state.state_dict() for name, state in self.states.items()},
        }

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Goes back to what `state_dict` saved."""
        self.updates = saved["updates"]
        self.rng.set_state(saved["rng"].cpu())
        self.drawn = dict(saved["drawn"])
        for name, state in self.states.items():
            state.load_state_dict(saved["states"][name])


@dataclass(frozen=True)
class SideBySide:
    """Each algorithm takes its step on the same batch; none hears of the others.

    Attributes:
        algorithms: by name.
    """

    algorithms: Mapping[str, Algorithm]

    def update(self, state: SideBySideState, batch: Any) -> dict[str, float]:
        """One step of all.

        Returns:
            Their metrics, with the algorithm's name in front.
        """
        metrics: dict[str, float] = {}
        for name, algorithm in self.algorithms.items():
            found = algorithm.update(state.states[name], batch)
            metrics |= {f"{name}_{key}": value for key, value in found.items()}
        state.updates += 1
        return metrics
