"""An experiment made real: its networks, its algorithm and its training state."""

from functools import singledispatch
from typing import Any

import torch
from torch import Tensor, nn

from snn_gan_ext.algorithms.side_by_side import SideBySide, SideBySideState
from snn_gan_ext.algorithms.state import AdversarialState
from snn_gan_ext.errors import InputError
from snn_gan_ext.experiments.components import Data
from snn_gan_ext.experiments.evaluation import D, Results
from snn_gan_ext.experiments.experiment import Arm, Experiment
from snn_gan_ext.networks.ensembles import Ensemble
from snn_gan_ext.networks.glm import NetworkGenerator
from snn_gan_ext.rng import stream, stream_seed
from snn_gan_ext.types import Algorithm, TrainingState

__all__ = ["Trainer", "build"]


class Trainer:
    """Networks, algorithm and training state of an experiment.

    Several arms are trained side by side, on the same batches.

    Args:
        experiment: Experiment, checked.
        device: Device of the networks.

    Attributes:
        algorithm: Algorithm of one update.
        state: State that updates change.
        generators: Networks to draw from, by arm; kept in ``generator.safetensors``.
    """

    algorithm: Algorithm
    state: TrainingState

    def __init__(self, experiment: Experiment, device: torch.device) -> None:
        self.experiment, self.device = experiment, device
        self._take_over(experiment)
        networks = self._networks()
        self.states: dict[str, TrainingState] = {
            name: arm.learner.init(*networks[name], self.stream(f"training of {name}"))
            for name, arm in experiment.arms.items()
        }
        self.generators = nn.ModuleDict(
            {name: _to_draw_from(state, networks[name][0]) for name, state in self.states.items()}
        )
        if len(self.states) == 1:
            self.algorithm, self.state = experiment.learner, self.states[experiment.label]
        else:
            self.algorithm = SideBySide({name: arm.learner for name, arm in experiment.arms.items()})
            self.state = SideBySideState(self.states, self.stream("batches"))

    def _take_over(self, experiment: Experiment) -> None:
        """Settings as evaluations know them (`Trained`)."""
        self.data: Data = experiment.data
        self.seed, self.split = experiment.seed, experiment.evaluate_on
        self.label, self.learner = experiment.label, experiment.learner

    @property
    def generator(self) -> nn.Module:
        """The experiment's own generator, to draw from."""
        return self.generators[self.label]

    def data_as(self, kind: type[D]) -> D:
        """Return the experiment's data, which an evaluation needs to be of a kind.

        Raises:
            InputError: If they are of another kind.
        """
        if not isinstance(self.data, kind):
            raise InputError("data", expected=kind.__name__, got=type(self.data).__name__)
        return self.data

    def stream(self, role: str, device: torch.device | str | None = None) -> torch.Generator:
        """Return the run's random source of a role, by default on the trainer's device."""
        return stream(self.seed, role, self.device if device is None else device)

    def seed_of(self, role: str) -> int:
        """Return the run's seed of a role, for classifiers and the like."""
        return stream_seed(self.seed, role)

    def _networks(self) -> dict[str, tuple[nn.Module, ...]]:
        """The networks of each arm: generator and, where there is one, discriminator."""
        return {
            name: tuple(part.to(self.device) for part in self._pair(name, arm))
            for name, arm in self.experiment.arms.items()
        }

    def _pair(self, name: str, arm: Arm) -> list[nn.Module]:
        weights_of = "all arms" if self.experiment.same_weights else name
        rng = self.stream(f"weights of {weights_of}", "cpu")
        pair = [arm.generator.build(self.data, rng)]
        if arm.discriminator is not None:
            decode = getattr(arm.learner, "decode", None)
            pair.append(arm.discriminator.build(self.data, decode, rng))
        return pair

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

    def sample(self, labels: Tensor | int, rng: torch.Generator) -> dict[str, Tensor]:
        """Draw trials of the experiment's own generator; see `Evaluation.sample`."""
        network = self.generator
        labelled = {"labels": labels} if isinstance(labels, Tensor) else {}
        if isinstance(network, Ensemble):
            spikes, members = network.draw(self._here(labels), rng)
            return {"spikes": spikes.cpu(), **labelled, "particles": members.cpu()}
        if not isinstance(network, NetworkGenerator):
            raise InputError(
                "sample",
                expected="a run with a generator",
                got=f"recipe {self.experiment.name!r}, whose networks are classifiers",
                cure="train spiking-gan-digits or spiking-gan-mnist",
            )
        return {"spikes": network(self._here(labels), rng).cpu(), **labelled}

    def draw(self, name: str, labels: Tensor | int, rng: torch.Generator) -> Tensor:
        """Draw spikes ``[T, B, ...]`` of one arm's generator, on the CPU."""
        if rng.device.type != self.device.type:
            there = int(torch.randint(2**31, (1,), generator=rng, device=rng.device))
            rng = torch.Generator(self.device).manual_seed(there)
        spikes: Tensor = self.generators[name](self._here(labels), rng)
        return spikes.cpu()

    def _here(self, labels: Tensor | int) -> Tensor | int:
        return labels.to(self.device) if isinstance(labels, Tensor) else labels


def _to_draw_from(state: TrainingState, network: nn.Module) -> nn.Module:
    return state.averaged if isinstance(state, AdversarialState) else network


@singledispatch
def build(experiment: Experiment, device: torch.device) -> Trainer:
    """Build networks, algorithm and training state of an experiment, seeded by its ``seed``.

    Args:
        experiment: Experiment.
        device: Device of the networks.

    Raises:
        InputError: If a setting is out of bounds.
    """
    experiment.check()
    return Trainer(experiment, device)
