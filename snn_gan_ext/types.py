"""Types that signatures share: batches, schedules, and the protocols of networks and algorithms."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from types import NoneType
from typing import Any, Literal, NamedTuple, Protocol, Self, get_args, get_origin, get_type_hints

import torch
from torch import Tensor, nn

from snn_gan_ext.validation import Rule, at_least, check_setting, one_of, whole

__all__ = [
    "CONSTANT",
    "COSINE",
    "LATE",
    "LINEAR",
    "Algorithm",
    "Batch",
    "Discriminator",
    "Generator",
    "ImageBatch",
    "ImageGenerator",
    "LayerRun",
    "Learner",
    "Network",
    "Observation",
    "ObservedRun",
    "Observer",
    "PrefixJudge",
    "Sample",
    "Schedule",
    "TrainingState",
    "check_rules",
    "setting",
]


def setting(default: Any, rule: Rule) -> Any:
    """Return a dataclass field with a default and the rule that `check_rules` applies."""
    return field(default=default, metadata={"rule": rule})


def check_rules(settings: Any, place: str = "") -> None:
    """Check settings of a dataclass that have a rule, or whose type is one.

    Such types are `bool`, `Literal`, tuples, functions, dataclasses, and one of these or None.

    Raises:
        InputError: At the first one that is out of bounds; ``place`` stands before its name.
    """
    kinds = get_type_hints(type(settings))
    for each in fields(settings):
        rule = each.metadata.get("rule") or _rule_of(kinds[each.name])
        if rule:
            name = f"{place}.{each.name}".removeprefix(".")
            check_setting(name, getattr(settings, each.name), rule)


def _rule_of(kind: Any) -> Rule | None:
    origin, parts = get_origin(kind), get_args(kind)
    if len(parts) == 2 and parts[1] is NoneType:
        rule = _rule_of(parts[0])
        return rule and Rule(f"{rule.meaning} or None", lambda x: x is None or rule.allows(x))
    if isinstance(kind, type) and is_dataclass(kind):
        return Rule(f"a {kind.__name__}", lambda x: isinstance(x, kind))
    plain = {
        bool: Rule("True or False", lambda x: type(x) is bool),
        tuple: Rule("a tuple", lambda x: isinstance(x, tuple)),
        Callable: Rule("a function", callable),
    }
    return one_of(kind) if origin is Literal else plain.get(origin or kind)


class Batch(NamedTuple):
    """Real trials ``[T, B, ...]`` with their labels ``[B]``; None where trials have no labels."""

    spikes: Tensor
    labels: Tensor | None = None


@dataclass(frozen=True)
class Schedule:
    r"""A number that changes from :math:`a` to :math:`b` over a run of progress :math:`p` in 0 .. 1.

    ============== =======================================================
    shape          value
    ============== =======================================================
    ``linear``     :math:`a + (b - a)\, p`
    ``late``       :math:`a` to the middle of the run, linear to its end
    ``cosine``     :math:`b + (a - b)\, (1 + \cos \pi p) / 2`
    ============== =======================================================

    Attributes:
        start: Value at the first update.
        end: Value at the last update.
        shape: ``linear``, ``late`` or ``cosine``.

    Raises:
        InputError: If ``start`` or ``end`` is negative or not finite, or the shape is unknown.

    >>> Schedule(1.0, 0.2).at(update=50, updates=100)
    0.6
    """

    start: float = setting(1.0, at_least(0))
    end: float = setting(0.05, at_least(0))
    shape: Literal["linear", "late", "cosine"] = "linear"

    def __post_init__(self) -> None:
        check_rules(self)

    def at(self, update: int, updates: int) -> float:
        """Return the value after a number of updates, in a run of ``updates``.

        Raises:
            InputError: If ``update`` is below 0 or ``updates`` below 1.
        """
        check_setting("update", update, whole(0))
        check_setting("updates", updates, whole(1))
        progress = min(update / updates, 1.0)
        if self.shape == "cosine":
            return self.end + (self.start - self.end) * (0.5 * (1 + math.cos(math.pi * progress)))
        if self.shape == "late":
            progress = min(max(2 * update / updates - 1, 0.0), 1.0)
        return self.start + (self.end - self.start) * progress


CONSTANT = Schedule(1.0, 1.0)
LINEAR = Schedule(1.0, 0.05)
LATE = Schedule(1.0, 0.05, "late")
COSINE = Schedule(1.0, 0.0, "cosine")


class Network(Protocol):
    """The part of `torch.nn.Module` that training needs."""

    def parameters(self) -> Iterator[nn.Parameter]: ...
    def buffers(self) -> Iterator[Tensor]: ...
    def named_parameters(self) -> Iterator[tuple[str, nn.Parameter]]: ...
    def state_dict(self) -> dict[str, Any]: ...
    def load_state_dict(self, state_dict: Mapping[str, Any], /) -> Any: ...
    def requires_grad_(self, requires_grad: bool = True) -> Self: ...


class ImageBatch(NamedTuple):
    """Real images ``[B, N]`` with their labels ``[B]``; None where images have no labels."""

    images: Tensor
    labels: Tensor | None = None


@dataclass(frozen=True, kw_only=True)
class Learner(ABC):
    """Base class of all learning algorithms: frozen settings, with ``init`` and ``update``.

    Attributes:
        updates: Length of the run in updates.
    """

    updates: int = setting(3000, whole(1))

    def __post_init__(self) -> None:
        check_rules(self)

    @abstractmethod
    def init(self, *args: Any, **options: Any) -> Any:
        """Return the state of a new run, for networks and a random source."""

    @abstractmethod
    def update(self, state: Any, batch: Any) -> dict[str, float]:
        """Make one update of a state, in place, and return its metrics by name."""


class LayerRun(Protocol):
    """Spikes, potentials and score of a layer in one batch, each ``[T, B, N]``."""

    @property
    def spikes(self) -> Tensor: ...
    @property
    def potentials(self) -> Tensor: ...
    @property
    def score(self) -> Tensor: ...


class ObservedRun(LayerRun, Protocol):
    """A layer's run that later steps of the same trials can continue."""

    @property
    def state(self) -> Any: ...
    @property
    def log_likelihood(self) -> Tensor: ...


class Sample(Protocol):
    """A batch drawn from a generator: read-out spikes ``[T, B, ...]`` and the run of each layer."""

    @property
    def spikes(self) -> Tensor: ...
    @property
    def runs(self) -> Mapping[str, LayerRun]: ...


class Observation(Protocol):
    """The runs of all layers while the read-out layer was clamped to data."""

    @property
    def runs(self) -> Mapping[str, ObservedRun]: ...


class LabelledNetwork(Network, Protocol):
    """A network of ``classes`` labels; with 0 or 1, labels may be None."""

    @property
    def classes(self) -> int: ...


class SpikingNetwork(Network, Protocol):
    """A network that draws its own kind of sample from noise, and has closed-form gradients."""

    def noise(self, batch: int, rng: torch.Generator | None = None) -> dict[str, Tensor]: ...
    def gradients(
        self, sample: Any, errors: Mapping[str, Tensor], *, per_sample: bool = False
    ) -> dict[str, Tensor]: ...


class Generator(LabelledNetwork, SpikingNetwork, Protocol):
    """A network that `SpikeGAN` can train; `ConditionalGenerator` is one.

    The layer named ``readout`` emits the spikes that the discriminator receives. ``size`` is the number
    of generators side by side: 1, or the members of an `Ensemble`.
    """

    @property
    def size(self) -> int: ...
    def sample(self, labels: Tensor | None, noise: Mapping[str, Tensor]) -> Sample: ...


class ImageGenerator(LabelledNetwork, Protocol):
    """A network that `ImageGAN` can train: differentiable images ``[B, N]`` and activity ``[B]``."""

    def noise(self, batch: int, rng: torch.Generator | None = None) -> Tensor: ...
    def __call__(self, labels: Tensor | None, noise: Tensor) -> tuple[Tensor, Tensor]: ...


class Discriminator(LabelledNetwork, Protocol):
    """A network that returns logits ``[B]`` for decoded trials and their labels."""

    def __call__(self, decoded: Tensor, labels: Tensor | None) -> Tensor: ...


class PrefixJudge(Discriminator, Protocol):
    """A discriminator that judges every prefix of a trial; `PrefixDiscriminator` is one."""

    def traces(self, spikes: Tensor) -> Tensor: ...
    def judge(self, traces: Tensor, ends: Tensor, labels: Tensor | None = None) -> Tensor: ...
    def prefixes(self, spikes: Tensor, labels: Tensor | None = None) -> Tensor: ...


class Observer(SpikingNetwork, Protocol):
    """A network that `MaximumLikelihood` can train; the layer named ``readout`` is the visible one.

    Noise with three or more axes ``[T, B, ...]`` is drawn for each step, other noise once a trial. A
    hidden spike reaches the visible neurons after ``hidden_delay`` of the ``num_steps`` time steps.
    """

    @property
    def num_steps(self) -> int: ...
    @property
    def hidden_delay(self) -> int: ...
    def observe(
        self,
        spikes: Tensor,
        labels: Tensor | None,
        noise: Mapping[str, Tensor],
        states: Mapping[str, Any] | None = None,
    ) -> Observation: ...


class FreeRunner(Observer, Protocol):
    """A generator of read-out neurons that can go on from trial to trial.

    Attributes:
        network: Its `GLMNetwork`.
    """

    @property
    def classes(self) -> int: ...
    @property
    def network(self) -> Any: ...
    def sample(
        self,
        labels: Tensor | None,
        noise: Mapping[str, Tensor],
        states: Mapping[str, Any] | None = None,
    ) -> Any: ...


class TrainingState(Protocol):
    """Everything that training changes; ``updates`` counts, ``rng`` is the run's random source."""

    updates: int
    rng: torch.Generator

    def state_dict(self) -> dict[str, Any]: ...
    def load_state_dict(self, saved: Mapping[str, Any]) -> None: ...


class Algorithm(Protocol):
    """A learning algorithm: one update of a state, in place, and its metrics by name."""

    def update(self, state: Any, batch: Any) -> dict[str, float]: ...
