"""An experiment as a value: data, generator, discriminator, learner and evaluation."""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, is_dataclass, replace
from inspect import isabstract
from types import UnionType
from typing import Annotated, Any, Literal, Self, Union, get_args, get_origin, get_type_hints

from torch import nn
from tyro.conf import Suppress

from snn_gan_ext.algorithms.bayes import BayesSpikeGAN, check_shares
from snn_gan_ext.algorithms.image_gan import ImageGAN
from snn_gan_ext.algorithms.likelihood import MaximumLikelihood
from snn_gan_ext.algorithms.likelihood_first import LikelihoodFirst
from snn_gan_ext.algorithms.meta import MetaSpikeGAN
from snn_gan_ext.algorithms.moments import MomentMatching
from snn_gan_ext.algorithms.population_fit import PopulationFit
from snn_gan_ext.algorithms.spikegan import SpikeGAN
from snn_gan_ext.algorithms.temporal_backprop import TemporalBackprop
from snn_gan_ext.coding import decoders
from snn_gan_ext.datasets.digits import Split
from snn_gan_ext.errors import InputError
from snn_gan_ext.experiments import components
from snn_gan_ext.experiments.components import Data, DiscriminatorSettings, GeneratorSettings, Particles
from snn_gan_ext.experiments.evaluation import Evaluation
from snn_gan_ext.experiments.settings import Settings
from snn_gan_ext.types import Learner, Schedule, check_rules, setting
from snn_gan_ext.validation import SEED, Rule, check_setting, one_of, whole

__all__ = ["Arm", "Experiment", "differences", "flat"]

LEARNERS = (
    BayesSpikeGAN,
    SpikeGAN,
    MaximumLikelihood,
    MomentMatching,
    PopulationFit,
    LikelihoodFirst,
    MetaSpikeGAN,
    TemporalBackprop,
    ImageGAN,
)
LARGEST = 1e10
TAKEN = nn.ModuleDict()
ARM = Rule(
    "letters, digits, hyphens and underscores, and no attribute of a module",
    lambda x: isinstance(x, str) and bool(re.fullmatch(r"[\w-]+", x)) and not hasattr(TAKEN, x),
)
"""Names of arms, which networks and settings are filed under."""


@dataclass(frozen=True, kw_only=True)
class Arm:
    """A generator and the algorithm that trains it.

    Attributes:
        generator: Generator.
        discriminator: Discriminator; None where the learner needs none.
        learner: Learning algorithm.
    """

    generator: GeneratorSettings
    discriminator: DiscriminatorSettings | None = None
    learner: Learner


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """All settings of a run.

    Variants are made by `dataclasses.replace`; two experiments are equal if all their settings are.

    Attributes:
        name: Name of the recipe.
        label: Name of the trained generator in the scorecard.
        seed: Seed of all randomness in the run.
        batch: Trials in an update.
        monitor_every: Updates between two evaluations on the validation split.
        checkpoint_every: Updates between two checkpoints.
        evaluate_on: Split of the final evaluation. Choose settings on ``validation``.
        same_weights: Start all arms from the same initial weights.
        data: Real trials.
        generator: Generator.
        discriminator: Discriminator; None where the learner needs none.
        learner: Learning algorithm.
        references: Other arms by name, trained on the same batches for comparison.
        evaluation: Measures of the trained generators.
    """

    name: Suppress[str]
    label: Suppress[str] = "spikegan"
    seed: int = setting(0, SEED)
    batch: int = setting(100, whole(2))
    monitor_every: int = setting(500, whole(1))
    checkpoint_every: int = setting(500, whole(1))
    evaluate_on: Split = "test"
    same_weights: Suppress[bool] = False
    data: Data
    generator: GeneratorSettings
    discriminator: DiscriminatorSettings | None = None
    learner: Learner
    references: dict[str, Arm] = field(default_factory=dict, hash=False)
    evaluation: Evaluation

    def __post_init__(self) -> None:
        if isinstance(self.references, dict):  # of its own, which changes no other experiment
            object.__setattr__(self, "references", dict(self.references))

    @property
    def updates(self) -> int:
        """Length of the run."""
        return self.learner.updates

    @property
    def arms(self) -> dict[str, Arm]:
        """The arms by name: the trained generator's, and the references."""
        main = Arm(generator=self.generator, discriminator=self.discriminator, learner=self.learner)
        return {self.label: main, **self.references}

    def vary(self, changes: Mapping[str, Any]) -> Self:
        """Return a variant of the experiment.

        Args:
            changes: New values by the names that options have, such as ``learner.r1``. Their order
                does not matter: a part is replaced before the settings in it.

        Raises:
            InputError: If there is no such setting, or the learner refuses its value.

        >>> from snn_gan_ext.experiments.recipes.digits import DIGITS
        >>> DIGITS.vary({"seed": 3, "learner.r1": 0.5}).learner.r1
        0.5
        """
        varied: Self = _varied(self, {tuple(name.split(".")): new for name, new in changes.items()})
        return varied

    def with_updates(self, updates: int) -> Self:
        """Return the experiment with another length of the run, in all arms."""
        references = {f"references.{name}.learner.updates": updates for name in self.references}
        return self.vary({"learner.updates": updates, **references})

    def with_data(self, path: str) -> Self:
        """Return the experiment with its data at another path.

        Raises:
            InputError: If its data are not read from files.
        """
        if not any(each.metadata.get("location") for each in fields(self.data)):
            raise InputError("--data", expected=f"none for recipe {self.name!r}", got=path)
        # Downloaded files are there by now.
        return self.vary({"data.path": path})

    def check(self) -> None:
        """Check the settings, one by one and against each other.

        Raises:
            InputError: At the first setting that is out of bounds.
        """
        _check_each(self)
        for place, component in _components(self):
            if isinstance(component, Settings):
                with _within(place):
                    component.check()
        for name in (self.label, *self.references):
            check_setting("label" if name == self.label else "references", name, ARM)
        if self.label in self.references:
            expected = f"names other than {self.label!r}, the experiment's own arm"
            raise InputError("references", expected=expected, got=f"{list(self.references)}")
        for name, arm in self.references.items():
            if arm.learner.updates != self.updates:
                setting_of, cure = f"references.{name}.learner.updates", "set all arms' with --updates"
                got = f"{arm.learner.updates}"
                raise InputError(
                    setting_of, expected=f"{self.updates}, as in all arms", got=got, cure=cure
                )
        for arm in self.arms.values():
            if isinstance(arm.generator, Particles):
                check_shares(self.batch, arm.generator.size)

    def to_config(self) -> dict[str, Any]:
        """Return the experiment as plain values, for ``config.json``."""
        return dict(_plain(self))

    def identity(self) -> dict[str, Any]:
        """Return all settings but the location of the data: a checkpoint is bound to these."""
        return dict(_plain(self, locations=False))

    def from_config(self, config: Mapping[str, Any]) -> Self:
        """Return the experiment that `to_config` of a variant of this one has described.

        Raises:
            InputError: If a setting is missing, unknown, of another type or out of bounds.
        """
        kinds = {type(part).__name__: type(part) for _, part in _components(self)} | KNOWN
        try:
            found = _restored(self, config, kinds)
        except RecursionError:
            raise _misfit("", "the settings of an experiment", "parts of parts without end") from None
        if type(found) is not type(self):
            raise _misfit(
                "", f"the settings of {type(self).__name__}", f"those of {type(found).__name__}"
            )
        _check_each(found)
        return found


def differences(ours: Any, theirs: Any) -> dict[str, tuple[Any, Any]]:
    """Return the settings in which two configurations differ, by name; None for those that lack one."""
    here, there = flat(ours), flat(theirs)
    pairs = {name: (here.get(name), there.get(name)) for name in {**here, **there}}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def flat(config: Any, name: str = "") -> dict[str, Any]:
    """Return the settings of a configuration by the names that options have."""
    if not isinstance(config, Mapping):
        return {name: config}
    parts = (flat(part, f"{name}.{key}".removeprefix(".")) for key, part in config.items())
    return {key: part for found in parts for key, part in found.items()}


@contextmanager
def _within(place: str) -> Iterator[None]:
    """Put the place of a part before the settings that errors name."""
    try:
        yield
    except InputError as error:
        error.args = (f"{place}.{error}".removeprefix("."),)
        raise


def _varied(value: Any, changes: Mapping[tuple[str, ...], Any], place: str = "") -> Any:
    """A value with changes by path; the empty path is the value itself."""
    value = changes.get((), value)
    inner: dict[str, dict[tuple[str, ...], Any]] = {}
    for path, new in changes.items():
        if path:
            inner.setdefault(path[0], {})[path[1:]] = new
    if not inner:
        return value
    parts = dict(value) if isinstance(value, dict) else _parts(value)
    changed = {}
    for name, each in inner.items():
        here = f"{place}.{name}".removeprefix(".")
        if name not in parts:
            expected = f"one of {', '.join(parts)}" if parts else f"{place!r}, which has no parts"
            raise InputError("setting", expected=expected, got=f"{here!r}")
        changed[name] = _varied(parts[name], each, here)
    with _within(place):
        return {**value, **changed} if isinstance(value, dict) else replace(value, **changed)


def _parts(value: Any) -> dict[str, Any]:
    """Settings of a dataclass by name; of other values there are none."""
    return {x.name: getattr(value, x.name) for x in fields(value)} if is_dataclass(value) else {}


def _components(value: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    """All dataclasses in a value, itself included, with their places."""
    if is_dataclass(value):
        yield place, value
    for name, part in (value if isinstance(value, dict) else _parts(value)).items():
        yield from _components(part, f"{place}.{name}".removeprefix("."))


def _plain(value: Any, locations: bool = True) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        parts = {
            each.name: _plain(getattr(value, each.name), locations)
            for each in fields(value)
            if locations or not each.metadata.get("location")
        }
        return {"type": type(value).__name__, **parts}
    if isinstance(value, Mapping):
        return {key: _plain(part, locations) for key, part in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(part, locations) for part in value]
    if value is None or type(value) in (int, float, str, bool):
        return value
    got = f"{value!r}"[:80]
    raise InputError("experiment", expected="plain values and dataclasses of them", got=got)


def _restored(like: Any, value: Any, kinds: Mapping[str, type], place: str = "") -> Any:
    """A value of `config.json`; ``like`` has the fields that dataclasses of its type must have."""
    if isinstance(value, list):
        return tuple(_restored(None, part, kinds) for part in value)
    if not isinstance(value, dict):
        return value
    if "type" not in value:
        known = like if isinstance(like, dict) else {}
        return {k: _restored(known.get(k), x, kinds, f"{place}.{k}") for k, x in value.items()}
    kind = kinds.get(str(value["type"]))
    given = {key: part for key, part in value.items() if key != "type"}
    names = {each.name for each in fields(kind)} if kind is not None else set()
    if kind is None or set(given) != names:
        got = f"{sorted(set(given) ^ names)} missing or unknown" if kind else f"{value['type']!r:.80}"
        expected = f"the settings of {value['type']}" if kind else f"one of {sorted(kinds)}"
        raise _misfit(place, expected, got)
    parts = {
        name: _restored(getattr(like, name, None), part, kinds, f"{place}.{name}")
        for name, part in given.items()
    }
    with _within(place.removeprefix(".")):
        return kind(**parts)


def _misfit(place: str, expected: str, got: str) -> InputError:
    cure = "use the version of snn_gan_ext that wrote it, or start afresh with --force"
    subject = place.removeprefix(".") or "config.json"
    return InputError(subject, expected=expected, got=got, cure=cure)


def _check_each(experiment: Any) -> None:
    """Check settings one by one: by their rules and by their declared types, which a file may break."""
    for place, component in _components(experiment):
        check_rules(component, place)
        hints = get_type_hints(type(component))
        for name, found in _parts(component).items():
            _check_type(f"{place}.{name}".removeprefix("."), found, hints[name])


def _check_type(name: str, value: Any, kind: Any) -> None:
    kind = get_args(kind)[0] if get_origin(kind) is Annotated else kind
    if get_origin(kind) is Literal:
        check_setting(name, value, one_of(kind))
    elif not _fits(value, kind):
        raise InputError(name, expected=_named(kind), got=f"{value!r}"[:80])
    elif kind in (int, float) and not abs(value) < LARGEST and value != float("inf"):
        raise InputError(name, expected=f"a finite number below {LARGEST:.0e}", got=f"{value}"[:40])


def _fits(value: Any, kind: Any) -> bool:
    origin, parts = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        return any(_fits(value, part) for part in parts)
    if origin is Literal:
        return isinstance(value, str) and value in parts
    if origin is tuple:
        each = parts[:1] * len(value) if isinstance(value, tuple) and parts[-1] is ... else parts
        return isinstance(value, tuple) and len(value) == len(each) and all(map(_fits, value, each))
    if origin is dict:
        return isinstance(value, dict) and all(_fits(part, parts[1]) for part in value.values())
    if origin is Callable:
        return callable(value)
    if kind in (int, float, bool, str):
        return type(value) is kind or (kind is float and type(value) is int)
    return isinstance(value, kind)


def _named(kind: Any) -> str:
    if get_origin(kind) in (Union, UnionType):
        return " or ".join(map(_named, get_args(kind)))
    return kind.__name__ if isinstance(kind, type) and not get_args(kind) else f"{kind}"


KNOWN: dict[str, type] = {
    name: kind
    for module in (components, decoders)
    for name, kind in vars(module).items()
    if isinstance(kind, type) and is_dataclass(kind) and not isabstract(kind)
} | {kind.__name__: kind for kind in (Arm, Schedule, *LEARNERS)}
"""Types that may stand in a configuration beside those of the recipe itself."""
