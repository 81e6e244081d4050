"""What a recipe is: a frozen dataclass that says everything about an experiment and can build it."""

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from snn_gan_ext.errors import InputError
from snn_gan_ext.training.loop import Algorithm, TrainingState

__all__ = ["Experiment", "Recipe", "Results", "Split"]

Split = Literal["validation", "test"]


@dataclasses.dataclass(frozen=True)
class Results:
    """What an evaluation found.

    Attributes:
        metrics: numbers by name, for ``metrics.json``.
        figures: pictures by file name without ending.
    """

    metrics: dict[str, float]
    figures: dict[str, Figure]


class Experiment(ABC):
    """A recipe made real: networks, data and how to judge the outcome."""

    algorithm: Algorithm
    state: TrainingState
    generator: nn.Module

    @abstractmethod
    def next_batch(self, rng: torch.Generator) -> Any:
        """Draws a training batch."""

    @abstractmethod
    def monitor(self) -> dict[str, float]:
        """A quick look at the validation split while training."""

    @abstractmethod
    def evaluate(self) -> Results:
        """The full evaluation, on the split that the recipe names."""

    @abstractmethod
    def sample(self, labels: Tensor, rng: torch.Generator) -> dict[str, Tensor]:
        """Draws trials for these labels: ``spikes [T, B, N]`` and what else belongs to them."""

    @abstractmethod
    def labels(self, count: int, label: int | None) -> Tensor:
        """Labels ``[count]`` to sample: all of one class, or the classes in turn."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recipe(ABC):
    """Fields that every recipe has.

    Attributes:
        seed: seed of everything random in the run.
        steps: training steps.
        batch: trials a step.
        monitor_every: steps between two looks at the validation split.
        checkpoint_every: steps between two checkpoints.
        evaluate_on: the split of the final evaluation; choose settings on ``validation``.
    """

    name: ClassVar[str]
    summary: ClassVar[str]

    seed: int = 0
    steps: int = 4000
    batch: int = 100
    monitor_every: int = 500
    checkpoint_every: int = 500
    evaluate_on: Split = "test"

    def check(self) -> None:
        """Makes sure that the settings have a meaning.

        Raises:
            InputError: if one has none.
        """
        for field in ("steps", "monitor_every", "checkpoint_every"):
            if getattr(self, field) < 1:
                raise InputError(field, expected="at least 1", got=f"{getattr(self, field)}")
        if self.batch < 2:
            raise InputError("batch", expected="at least 2", got=f"{self.batch}")
        if not 0 <= self.seed < 2**32:
            raise InputError("seed", expected="0 .. 2^32 - 1", got=f"{self.seed}")

    def build(self, device: torch.device) -> Experiment:
        """Makes the data, the networks and the algorithm, all seeded by ``seed``.

        Raises:
            InputError: if a setting has no meaning.
        """
        self.check()
        return self._build(device)

    @abstractmethod
    def _build(self, device: torch.device) -> Experiment: ...

    def to_config(self) -> dict[str, Any]:
        """The recipe as plain values, for ``config.json``."""
        return {"recipe": self.name, **dataclasses.asdict(self)}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> "Recipe":
        """Back from `to_config`.

        Raises:
            InputError: if a field is missing or unknown.
        """
        fields = {field.name for field in dataclasses.fields(cls)}
        given = {key: value for key, value in config.items() if key != "recipe"}
        if set(given) != fields:
            raise InputError(
                "config.json",
                expected=f"the fields of recipe {cls.name!r}",
                got=f"{sorted(set(given) ^ fields)} missing or unknown",
                cure="use the version of snn_gan_ext that wrote it, or start afresh with --force",
            )
        for field in dataclasses.fields(cls):
            value, kind = given[field.name], type(field.default)
            if type(value) is not kind and not (kind is float and type(value) is int):
                raise InputError(f"config.json: {field.name}", expected=kind.__name__, got=f"{value!r}")
        return cls(**given)
