"""Training states: networks, their optimisers and the random source."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import torch

from snn_gan_ext.errors import InputError
from snn_gan_ext.types import Discriminator, Generator, ImageGenerator, Network

__all__ = ["AdversarialState", "NetworksState", "check_pair"]

G = TypeVar("G", bound=Network)


class NetworksState(ABC):
    """Networks, optimisers, a random source and a count of updates; a subclass names its parts."""

    rng: torch.Generator
    updates: int

    @abstractmethod
    def _parts(self) -> Mapping[str, Network | torch.optim.Optimizer]: ...

    def state_dict(self) -> dict[str, Any]:
        """Return tensors and plain values only, fit for ``torch.load(weights_only=True)``."""
        return {
            "updates": self.updates,
            "rng": self.rng.get_state(),
            **{name: part.state_dict() for name, part in self._parts().items()},
        }

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Restore the values that `state_dict` returned."""
        self.updates = saved["updates"]
        self.rng.set_state(saved["rng"].cpu())
        for name, part in self._parts().items():
            part.load_state_dict(saved[name])
            if isinstance(part, torch.optim.Optimizer):
                _check_moments(part)


@dataclass
class AdversarialState(NetworksState, Generic[G]):
    """State of adversarial training.

    Attributes:
        generator: Generator in training.
        averaged: Generator to draw from after training: the running mean of the generator's weights,
            or the generator itself where no mean is kept.
        discriminator: Discriminator in training.
        generator_optimizer: Optimiser of the generator's weights.
        discriminator_optimizer: Optimiser of the discriminator's weights.
        rng: Random source of the run.
        updates: Number of updates so far.
    """

    generator: G
    averaged: G
    discriminator: Discriminator
    generator_optimizer: torch.optim.Adam
    discriminator_optimizer: torch.optim.Adam
    rng: torch.Generator
    updates: int = 0

    def set_learning_rates(self, generator: float, discriminator: float) -> None:
        """Set the learning rates of both optimisers."""
        self.generator_optimizer.param_groups[0]["lr"] = generator
        self.discriminator_optimizer.param_groups[0]["lr"] = discriminator

    def _parts(self) -> dict[str, Network | torch.optim.Optimizer]:
        averaged = {} if self.averaged is self.generator else {"averaged": self.averaged}
        return {
            **averaged,
            "generator": self.generator,
            "discriminator": self.discriminator,
            "generator_optimizer": self.generator_optimizer,
            "discriminator_optimizer": self.discriminator_optimizer,
        }


def check_pair(generator: Generator | ImageGenerator, discriminator: Discriminator) -> None:
    """Check that both networks use labels, or neither does.

    Raises:
        InputError: If their numbers of labels differ.
    """
    # One class needs no label: 0 and 1 are the same.
    ours, theirs = max(generator.classes, 1), max(discriminator.classes, 1)
    if ours != theirs:
        raise InputError(
            "discriminator",
            expected=f"the generator's number of labels, classes={generator.classes}",
            got=f"classes={discriminator.classes}",
            cure="build both networks with the same classes",
        )


def _check_moments(optimizer: torch.optim.Optimizer) -> None:
    """Refuse moments of wrong sizes: the fused Adam would write out of bounds."""
    for parameter, moments in optimizer.state.items():
        for name in ("exp_avg", "exp_avg_sq"):
            if moments[name].shape != parameter.shape:
                raise ValueError(f"{name} of shape {list(moments[name].shape)}")
