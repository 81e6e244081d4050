"""What a recipe is: a frozen dataclass that says everything about an experiment and can build it."""

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Literal, get_origin, get_type_hints

import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from snn_gan_ext.coding.events import Binning
from snn_gan_ext.datasets.digits import Split
from snn_gan_ext.errors import InputError
from snn_gan_ext.experiments.loop import Algorithm, TrainingState
from snn_gan_ext.settings import SEED, check_setting, check_settings, one_of, whole

__all__ = ["Experiment", "Recipe", "Results", "Split", "digit_labels"]

LARGEST = 1e10
ABOUT = ("recipe", "version", "fingerprint")
"""What stands in ``config.json`` beside the settings."""
DIGITS = 10


@dataclasses.dataclass(frozen=True)
class Results:
    """What an evaluation found.

    Attributes:
        metrics: numbers or lists of them by name, for ``metrics.json``; or objects of such, one for
            each generator.
        figures: pictures by file name without ending.
    """

    metrics: Mapping[str, Any]
    figures: dict[str, Figure]


class Experiment(ABC):
    """A recipe made real: networks, data and how to judge the outcome.

    Attributes:
        panels: which logged metrics the learning curves show, by the panel's title.
        binning: how the recordings became spikes, where the data are events.
    """

    binning: Binning | None = None

    panels: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "losses": ("discriminator_loss", "r1_penalty"),
        "signal": ("reward", "real_logit", "fake_logit"),
        "train on synthetic, test on real": ("validation_tstr",),
    }

    algorithm: Algorithm
    state: TrainingState
    generator: nn.Module

    def fingerprint(self) -> str:
        """Of the data, where a user brings them: other data have another one.

        Empty for data that come with the package or from a seed.
        """
        return ""

    def prepare(self) -> None:  # noqa: B027
        """What is to be done before training and not before sampling: so that samples need no data."""

    def networks(self) -> dict[str, nn.Module]:
        """Generators of GLM layers by name, each of which can be run on its own."""
        return {"generator": self.generator}

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
    whereabouts: ClassVar[tuple[str, ...]] = ()
    """Settings that say where the data are, and nothing of what is done with them."""

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
        for field in dataclasses.fields(self):
            _check_field(field.name, getattr(self, field.name), get_type_hints(type(self))[field.name])
        check_settings(
            self,
            seed=SEED,
            steps=whole(1),
            batch=whole(2),
            monitor_every=whole(1),
            checkpoint_every=whole(1),
        )

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

    def identity(self) -> dict[str, Any]:
        """What a checkpoint is bound to: all of it but where the data are."""
        return {key: value for key, value in self.to_config().items() if key not in self.whereabouts}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> "Recipe":
        """Back from `to_config`.

        Raises:
            InputError: if a field is missing or unknown.
        """
        fields = {field.name for field in dataclasses.fields(cls)}
        given = {key: value for key, value in config.items() if key not in ABOUT}
        if set(given) != fields:
            raise InputError(
                "config.json",
                expected=f"the fields of recipe {cls.name!r}",
                got=f"{sorted(set(given) ^ fields)} missing or unknown",
                cure="use the version of snn_gan_ext that wrote it, or start afresh with --force",
            )
        return cls(**given)


def _check_field(name: str, value: Any, kind: Any) -> None:
    """A setting has its declared type; one read from a file, or from Python, may have any."""
    if get_origin(kind) is Literal:
        check_setting(name, value, one_of(kind))
    elif type(value) is not kind and not (kind is float and type(value) is int):
        raise InputError(name, expected=f"{kind.__name__}", got=f"{value!r}")
    elif kind in (int, float) and not abs(value) < LARGEST:
        raise InputError(name, expected=f"a finite number below {LARGEST:.0e}", got=f"{value}"[:40])


def digit_labels(count: int, label: int | None = None) -> Tensor:
    """Labels ``[count]``: all of one digit, or the ten digits in turn.

    Raises:
        InputError: if the label is none of the ten digits.
    """
    if label is None:
        return torch.arange(count) % DIGITS
    if not 0 <= label < DIGITS:
        raise InputError("label", expected=f"0 .. {DIGITS - 1}", got=f"{label}")
    return torch.full((count,), label)
