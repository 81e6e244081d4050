"""meta-SpikeGAN (section VI): an initialisation that learns from a stream of tasks."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from snn_gan_ext.algorithms.spikegan import SpikeGAN
from snn_gan_ext.algorithms.state import NetworksState
from snn_gan_ext.errors import InputError
from snn_gan_ext.estimators.reptile import MetaUpdate, update_initialisation
from snn_gan_ext.types import (
    CONSTANT,
    Batch,
    Discriminator,
    Generator,
    Learner,
    Network,
    Schedule,
    setting,
)
from snn_gan_ext.validation import check_parts, check_shapes, check_tensor, whole

__all__ = ["MetaSpikeGAN", "MetaState", "MetaUpdate", "TaskBatch", "initialise_from"]

INNER = SpikeGAN(schedule=CONSTANT)
RATE = Schedule(0.7, 0.1)


class Members(Protocol):
    """Networks of one structure side by side, their parameters ``[J, ...]`` in ``members``."""

    @property
    def size(self) -> int: ...
    @property
    def members(self) -> nn.Module: ...


class MemberGenerators(Members, Generator, Protocol): ...


class MemberDiscriminators(Members, Discriminator, Protocol): ...


class TaskBatch(NamedTuple):
    """Trials of the current task, whose number ends the task before if it is new."""

    task: int
    trials: Batch


@dataclass
class MetaState(NetworksState):
    """State of meta-training.

    Attributes:
        generator: Initialisation of generators.
        discriminator: Initialisation of discriminators.
        generators: N + 1 generators side by side: one for the current task, N for stored tasks.
        discriminators: Discriminators of the same tasks.
        updates: Number of updates so far, those without a stored task included.
        task: Number of the current task; -1 before the first.
        task_buffer: Trials of the current task, the newest last, and a random key for each.
        meta_buffer: Trials of earlier tasks, and a random key for each task.
    """

    generator: Network
    discriminator: Network
    generators: MemberGenerators
    discriminators: MemberDiscriminators
    rng: torch.Generator
    updates: int = 0
    task: int = -1
    task_buffer: tuple[Batch, Tensor] | None = None
    meta_buffer: list[tuple[Batch, float]] = field(default_factory=list)

    def _parts(self) -> dict[str, Any]:
        return {"generator": self.generator, "discriminator": self.discriminator}

    def state_dict(self) -> dict[str, Any]:
        current = [self.task_buffer] if self.task_buffer is not None else []
        return {
            **super().state_dict(),
            "task": self.task,
            "task_buffer": [(tuple(trials), keys) for trials, keys in current],
            "meta_buffer": [(tuple(trials), key) for trials, key in self.meta_buffer],
        }

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        super().load_state_dict(saved)
        self.task = saved["task"]
        current = [(self._here(x), keys.to(self.rng.device)) for x, keys in saved["task_buffer"]]
        self.task_buffer = current[0] if current else None
        self.meta_buffer = [(self._here(trials), key) for trials, key in saved["meta_buffer"]]

    def _here(self, trials: tuple[Tensor | None, ...]) -> Batch:
        """Return trials on the run's device, whichever they were saved on."""
        return Batch(*(x if x is None else x.to(self.rng.device) for x in trials))  # type: ignore[arg-type]


@dataclass(frozen=True, kw_only=True)
class MetaSpikeGAN(Learner):
    r"""Fig. 2: within-task training on stored tasks, which moves the initialisations.

    Each update puts trials of the current task into the task buffer. N + 1 pairs of networks begin at
    the initialisations :math:`\theta` and train for ``inner_steps`` adversarial updates, side by side:
    one on the current task, N on tasks from the meta buffer. The initialisations then follow the N at
    the rate :math:`\mu`,

    .. math:: \theta \leftarrow \theta + \mu \Bigl(\frac1N \sum_n \varphi^{(n)} - \theta\Bigr).

    When a task ends, its buffer goes into the meta buffer. Both buffers are bounded, and keep each
    trial or task with the same probability (reservoir sampling).

    Attributes:
        inner: Within-task training, with constant learning rates by default.
        updates: Length of the run in meta-updates.
        inner_steps: Number K of adversarial updates in a meta-update.
        inner_batch: Number of trials of each task in an adversarial update.
        rate: Share of the way to the N that the initialisations go, over the run.
        meta_update: ``reptile``, or ``maml``: along the gradients after the K updates (first-order).
        fresh: Prefixes of discriminator parameters that are drawn anew for each inner task and have no
            initialisation. ``("",)`` for all of them.
        fresh_discriminator: Function that draws a discriminator with such parameters.
        task_capacity: Number of trials in the task buffer.
        meta_capacity: Number of tasks in the meta buffer.

    Raises:
        InputError: If a setting is out of its range.

    References:
        SpikeGAN paper, section VI, eq. 13-15 and Fig. 2; see `snn_gan_ext.estimators.reptile`.
    """

    inner: SpikeGAN = INNER
    inner_steps: int = setting(20, whole(1))
    inner_batch: int = setting(50, whole(2))
    rate: Schedule = RATE
    meta_update: MetaUpdate = "reptile"
    fresh: tuple[str, ...] = ()
    fresh_discriminator: Callable[[torch.Generator], nn.Module] | None = None
    task_capacity: int = setting(500, whole(2))
    meta_capacity: int = setting(50, whole(1))

    def init(
        self,
        generator: Network,
        discriminator: Network,
        generators: MemberGenerators,
        discriminators: MemberDiscriminators,
        rng: torch.Generator,
    ) -> MetaState:
        """Return the state of a new run.

        Args:
            generator: Initialisation of generators.
            discriminator: Initialisation of discriminators.
            generators: `Ensemble` of N + 1 such generators; their weights are overwritten.
            discriminators: `DiscriminatorEnsemble` of N + 1 such discriminators.
            rng: Random source of all noise of the run, on the networks' device.

        Raises:
            InputError: If there is no place for a stored task, or ``fresh`` names no parameter or comes
                without ``fresh_discriminator``.
        """
        for name, networks in (("generators", generators), ("discriminators", discriminators)):
            check_parts(name, networks, "an ensemble of networks", "size", "members")
        if generators.size < 2 or generators.size != discriminators.size:
            expected = "equally many, two or more: the current task, and stored ones"
            got = f"{generators.size} and {discriminators.size}"
            raise InputError("generators and discriminators", expected=expected, got=got)
        if self.fresh and self.fresh_discriminator is None:
            expected = "a function, as `fresh` names parameters"
            raise InputError("fresh_discriminator", expected=expected, got="None")
        names = [name for name, _ in discriminator.named_parameters()]
        strangers = [part for part in self.fresh if not any(n.startswith(part) for n in names)]
        if strangers:
            raise InputError("fresh", expected=f"prefixes of {names}", got=f"{strangers}")
        return MetaState(generator, discriminator, generators, discriminators, rng)

    def update(self, state: MetaState, batch: TaskBatch) -> dict[str, float]:
        """Make one meta-update, in place.

        Returns:
            Metrics of the last inner update over all pairs, the distance ``moved`` of the generators'
            initialisation (root mean square over weights), and the number of stored tasks.

        Raises:
            InputError: If the trials differ in shape from earlier ones, or only some have labels.
        """
        check_parts("batch", batch, "a TaskBatch(task, trials)", "task", "trials")
        _check_trials(state, batch.trials)
        self._store(state, batch)
        assert state.task_buffer is not None
        others, known = state.generators.size - 1, state.meta_buffer
        # Before the first task has ended all pairs train on it, and the initialisations stay.
        current = state.task_buffer[0]
        stored = [known[_whole(len(known), state.rng)][0] for _ in range(others if known else 0)]
        tasks = [current, *(stored or [current] * others)]
        metrics = self._train_within(state, tasks)
        moved = self._move(state) if known else 0.0
        state.updates += 1
        return {**metrics, "moved": moved, "stored_tasks": float(len(known))}

    def _store(self, state: MetaState, batch: TaskBatch) -> None:
        """Store trials in the task buffer; a task that has ended moves to the meta buffer first."""
        if batch.task != state.task and state.task_buffer is not None:
            state.meta_buffer.append((state.task_buffer[0], float(_uniform(1, state.rng))))
            kept = _smallest(torch.tensor([key for _, key in state.meta_buffer]), self.meta_capacity)
            state.meta_buffer = [state.meta_buffer[place] for place in kept.tolist()]
            state.task_buffer = None
        state.task = batch.task
        trials, keys = batch.trials, _uniform(batch.trials.spikes.shape[1], state.rng)
        if state.task_buffer is not None:
            stored, before = state.task_buffer
            trials, keys = _joined([stored, trials]), torch.cat([before, keys])
        kept = _smallest(keys, self.task_capacity)
        state.task_buffer = _picked(trials, kept), keys[kept]

    def _train_within(self, state: MetaState, tasks: list[Batch]) -> dict[str, float]:
        """Train all pairs for K inner updates, from the initialisations."""
        initialise_from(state.generators, state.generator)
        initialise_from(state.discriminators, state.discriminator)
        if self.fresh_discriminator is not None:
            self.refresh(state.discriminators, state.rng)
        pair = self.inner.init(state.generators, state.discriminators, state.rng)
        metrics: dict[str, float] = {}
        for _ in range(self.inner_steps):
            metrics = self.inner.update(pair, self._draw(tasks, state.rng))
        if self.meta_update == "maml":
            # One more update leaves gradients on new trials behind; the weights it makes are not used.
            self.inner.update(pair, self._draw(tasks, state.rng))
        return metrics

    def _draw(self, tasks: list[Batch], rng: torch.Generator) -> Batch:
        """Draw the same number of trials from each task, one task after another."""
        picks = [
            torch.randint(t.spikes.shape[1], (self.inner_batch,), generator=rng, device=t.spikes.device)
            for t in tasks
        ]
        return _joined([_picked(t, pick) for t, pick in zip(tasks, picks, strict=True)])

    @torch.no_grad()
    def refresh(self, discriminators: Members, rng: torch.Generator) -> None:
        """Draw the ``fresh`` parameters of all discriminators anew, in place."""
        assert self.fresh_discriminator is not None
        # Weights are drawn on the CPU, from a source that follows the run's.
        weights = torch.Generator().manual_seed(_whole(2**31, rng))
        drawn = [self.fresh_discriminator(weights) for _ in range(discriminators.size)]
        for name, parameter in discriminators.members.named_parameters():
            if name.startswith(self.fresh):
                values = torch.stack([network.get_parameter(name) for network in drawn])
                if values.shape != parameter.shape:
                    wanted, got = (f"{list(x.shape[1:])}" for x in (parameter, values))
                    raise InputError(f"{name!r} of the fresh discriminator", expected=wanted, got=got)
                parameter.copy_(values)

    def _move(self, state: MetaState) -> float:
        rate = self.rate.at(state.updates, self.updates)
        before = nn.utils.parameters_to_vector(state.generator.parameters())
        self._follow(state.generator, state.generators.members, rate)
        self._follow(state.discriminator, state.discriminators.members, rate)
        after = nn.utils.parameters_to_vector(state.generator.parameters())
        return float((after - before).detach().square().mean().sqrt())

    @torch.no_grad()
    def _follow(self, initialisation: Network, members: nn.Module, rate: float) -> None:
        """Move an initialisation by the results on stored tasks, all members but the first."""
        theta = {name: p.detach() for name, p in initialisation.named_parameters()}
        result = _uphill if self.meta_update == "maml" else torch.Tensor.detach
        tasks = {name: result(p)[1:] for name, p in members.named_parameters()}
        moved = update_initialisation(theta, tasks, rate, self.meta_update)
        for name, values in theta.items():
            values.copy_(moved[name])


@torch.no_grad()
def initialise_from(networks: Members, initialisation: Network) -> None:
    """Copy a network's weights to all members of an `Ensemble` or `DiscriminatorEnsemble`, in place."""
    theta = dict(initialisation.named_parameters())
    for name, parameter in networks.members.named_parameters():
        parameter.copy_(theta[name].expand_as(parameter))


def _joined(batches: Sequence[Batch]) -> Batch:
    """Return all trials as one batch."""
    labels = [batch.labels for batch in batches if batch.labels is not None]
    return Batch(torch.cat([x.spikes for x in batches], 1), torch.cat(labels) if labels else None)


def _picked(trials: Batch, places: Tensor) -> Batch:
    """Return the trials at these places."""
    return Batch(trials.spikes[:, places], None if trials.labels is None else trials.labels[places])


def _check_trials(state: MetaState, trials: Batch) -> None:
    check_parts("trials", trials, "a Batch(spikes, labels)", "spikes", "labels")
    spikes, labels = trials.spikes, trials.labels
    check_tensor("trials", spikes)
    if spikes.dim() < 3 or not spikes.shape[1]:
        raise InputError("trials", expected="spikes [T, B >= 1, ...]", got=f"{list(spikes.shape)}")
    if labels is not None:
        check_shapes(**{"labels of trials": (labels, spikes.shape[1:2])})
    known = [buffer[0] for buffer in (state.task_buffer, *state.meta_buffer) if buffer is not None]
    if known:
        steps, _, *neurons = known[0].spikes.shape
        check_shapes(trials=(spikes, (steps, "B", *neurons)))
        if (known[0].labels is None) != (labels is None):
            before, now = ("labels", "none") if labels is None else ("none", "labels")
            raise InputError("labels of trials", expected=f"{before}, as before", got=now)


def _uphill(parameter: Tensor) -> Tensor:
    """Return the gradient ``[J, ...]`` of each member's own objective."""
    assert parameter.grad is not None
    return -len(parameter) * parameter.grad  # losses are means over all members' trials


def _smallest(keys: Tensor, count: int) -> Tensor:
    """Return the places of the smallest random keys, in order: a bounded reservoir of a stream."""
    return keys.argsort()[:count].sort().values


def _uniform(count: int, rng: torch.Generator) -> Tensor:
    return torch.rand(count, generator=rng, device=rng.device)


def _whole(below: int, rng: torch.Generator) -> int:
    return int(torch.randint(below, (1,), generator=rng, device=rng.device))
