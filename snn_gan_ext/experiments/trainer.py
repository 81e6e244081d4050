"""An experiment made real: its networks, its algorithm and its training state."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import singledispatch
from typing import Any

import torch
from torch import nn

from snn_gan_ext.algorithms.side_by_side import SideBySide, SideBySideState
from snn_gan_ext.errors import InputError
from snn_gan_ext.experiments.evaluation import Results, Trained
from snn_gan_ext.experiments.experiment import Arm, Experiment
from snn_gan_ext.networks.ensembles import Ensemble
from snn_gan_ext.networks.glm import NetworkGenerator
from snn_gan_ext.types import Algorithm, TrainingState

__all__ = ["Trainer", "build", "fitting"]

MISFITS = (AssertionError, AttributeError, LookupError, NotImplementedError, TypeError, ValueError)


class Trainer(Trained):
    """Networks, algorithm and training state of an experiment.

    Several arms are trained side by side, on the same batches.

    Args:
        experiment: Experiment, checked.
        device: Device of the networks.

    Attributes:
        algorithm: Algorithm of one update.
    """

    algorithm: Algorithm

    def __init__(self, experiment: Experiment, device: torch.device) -> None:
        self.experiment, self.device = experiment, device
        # With nothing in its caches: files may have changed.
        self.data = replace(experiment.data)
        self.seed, self.split = experiment.seed, experiment.evaluate_on
        self.label, self.learner = experiment.label, experiment.learner
        self._build()

    def _build(self) -> None:
        arms = self.experiment.arms
        networks = {name: self._networks(name, arm) for name, arm in arms.items()}
        self.states: dict[str, TrainingState] = {
            name: arm.learner.init(*networks[name], self.stream(f"training of {name}"))
            for name, arm in arms.items()
        }
        averaged = {k: x.averaged for k, x in self.states.items() if hasattr(x, "averaged")}
        self.generators = nn.ModuleDict({name: each[0] for name, each in networks.items()} | averaged)
        if len(arms) == 1:
            self.algorithm, self.state = self.learner, self.states[self.label]
        else:
            self.algorithm = SideBySide({name: arm.learner for name, arm in arms.items()})
            self.state = SideBySideState(self.states, self.stream("batches"))

    def _networks(self, name: str, arm: Arm) -> list[nn.Module]:
        """The networks of an arm: generator and, where there is one, discriminator."""
        weights_of = "all arms" if self.experiment.same_weights else name
        rng = self.stream(f"weights of {weights_of}", "cpu")
        networks = [arm.generator.build(self.data, rng)]
        if arm.discriminator is not None:
            decode = getattr(arm.learner, "decode", None)
            networks.append(arm.discriminator.build(self.data, decode, rng))
        return [network.to(self.device) for network in networks]

    def prepare(self) -> None:
        """Load the data, and initialise networks from them. Sampling needs neither."""
        self.data.load()
        for name, arm in self.experiment.arms.items():
            for part, network in vars(self.states[name]).items():
                if part in ("generator", "averaged", "network"):
                    arm.generator.initialise(network, self.data)
                elif part == "discriminator" and arm.discriminator is not None:
                    arm.discriminator.initialise(network, self.data)

    def glm_networks(self) -> dict[str, nn.Module]:
        """Return all generators of GLM layers, the members of ensembles one by one."""
        found: dict[str, nn.Module] = {}
        for name, network in self.generators.items():
            if isinstance(network, Ensemble):
                found |= {f"{name} {place}": network.member(place) for place in range(network.size)}
            elif isinstance(network, NetworkGenerator):
                found[name] = network
        return found

    def next_batch(self, rng: torch.Generator) -> Any:
        """Draw a training batch."""
        return self.data.batch(self.experiment.batch, rng)

    def monitor(self) -> dict[str, float]:
        """Evaluate quickly, on the validation split."""
        return self.experiment.evaluation.monitor(self)

    def evaluate(self) -> Results:
        """Evaluate in full, on the experiment's split."""
        return self.experiment.evaluation.evaluate(self)


@singledispatch
def build(experiment: Experiment, device: torch.device) -> Trainer:
    """Build networks, algorithm and training state of an experiment, seeded by its ``seed``.

    Args:
        experiment: Experiment.
        device: Device of the networks.

    Raises:
        InputError: If a setting is out of bounds, or parts do not fit each other.
    """
    experiment.check()
    with fitting():
        return Trainer(experiment, device)


@contextmanager
def fitting() -> Iterator[None]:
    """Take errors of the first steps of an experiment for parts that do not fit each other.

    Raises:
        InputError: In place of errors of types, attributes, values and keys, which it chains.
    """
    try:
        yield
    except InputError:
        raise
    except MISFITS as error:
        expected = "data, networks and learners that fit each other"
        got = " ".join(f"{type(error).__name__}: {error}".split())
        raise InputError("experiment", expected=expected, got=f"{got:.200}") from error
