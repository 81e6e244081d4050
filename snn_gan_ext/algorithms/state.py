"""Training states: networks, their optimisers and the random source."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor

from snn_gan_ext.errors import InputError
from snn_gan_ext.types import Batch, Discriminator, Network
from snn_gan_ext.validation import Rule, check_parts, check_setting, check_spikes, check_tensor

__all__ = ["AdversarialState", "NetworkState", "NetworksState", "check_trials", "set_gradients"]

SOURCE = Rule("a torch.Generator", lambda x: isinstance(x, torch.Generator))

N = TypeVar("N", bound=Network)


class NetworksState:
    """Networks and optimisers.

    Attributes:
        rng: Random source of the run.
        updates: Number of updates so far.
    """

    rng: torch.Generator
    updates: int

    def __post_init__(self) -> None:
        check_setting("rng", self.rng, SOURCE)

    def _parts(self) -> dict[str, Network | torch.optim.Optimizer]:
        return {name: part for name, part in vars(self).items() if name not in ("rng", "updates")}

    def state_dict(self) -> dict[str, Any]:
        """Return tensors and plain values only, fit for ``torch.load(weights_only=True)``."""
        parts = {name: part.state_dict() for name, part in self._parts().items()}
        return {"updates": self.updates, "rng": self.rng.get_state(), **parts}

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Restore the values that `state_dict` returned."""
        self.updates = saved["updates"]
        self.rng.set_state(saved["rng"].cpu())
        for name, part in self._parts().items():
            part.load_state_dict(saved[name])
            if isinstance(part, torch.optim.Optimizer):
                _check_moments(part)


@dataclass
class NetworkState(NetworksState, Generic[N]):
    """State of training of one network.

    Attributes:
        network: Network in training.
        optimizer: Optimiser of its weights.
    """

    network: N
    optimizer: torch.optim.Adam
    rng: torch.Generator
    updates: int = 0


@dataclass
class AdversarialState(NetworksState, Generic[N]):
    """State of adversarial training.

    Attributes:
        generator: Generator in training.
        averaged: Generator to draw from after training: the running mean of the generator's weights,
            or the generator itself where no mean is kept.
        discriminator: Discriminator in training.
        generator_optimizer: Optimiser of the generator's weights.
        discriminator_optimizer: Optimiser of the discriminator's weights.
    """

    generator: N
    averaged: N
    discriminator: Discriminator
    generator_optimizer: torch.optim.Adam
    discriminator_optimizer: torch.optim.Adam
    rng: torch.Generator
    updates: int = 0

    def _parts(self) -> dict[str, Network | torch.optim.Optimizer]:
        parts = super()._parts()
        if self.averaged is self.generator:
            del parts["averaged"]
        return parts


def check_trials(batch: Batch, name: str = "batch") -> None:
    """Check that a batch holds spikes ``[T, B, ...]`` of zeros and ones, and labels if any.

    Raises:
        InputError: If it does not.
    """
    check_parts(name, batch, "a Batch(spikes, labels)", "spikes", "labels")
    check_tensor(name, batch.spikes)
    if batch.labels is not None:
        check_tensor("labels", batch.labels)
    check_spikes(name, batch.spikes)


def set_gradients(network: Network, uphill: Mapping[str, Tensor]) -> None:
    """Set the downhill gradients of a network's parameters, except for frozen ones.

    Args:
        network: Network in training.
        uphill: Gradients of the objective by parameter name.

    Raises:
        InputError: If a parameter that should learn has no gradient, or two names share a parameter.
    """
    parameters = dict(network.named_parameters())
    learning = {name: p for name, p in parameters.items() if p.requires_grad}
    if odd := sorted((learning.keys() - uphill.keys()) | (uphill.keys() - parameters.keys())):
        cure = "freeze it with requires_grad_(False), or untie it"
        expected, got = "one for each parameter, and no other", f"{', '.join(odd)} alone"
        raise InputError("gradients", expected=expected, got=got, cure=cure)
    for name, parameter in learning.items():
        parameter.grad = -uphill[name]


def _check_moments(optimizer: torch.optim.Optimizer) -> None:
    """Refuse moments of wrong sizes: the fused Adam would write out of bounds."""
    for parameter, moments in optimizer.state.items():
        for name in ("exp_avg", "exp_avg_sq"):
            if moments[name].shape != parameter.shape:
                raise ValueError(f"{name} of shape {list(moments[name].shape)}")
