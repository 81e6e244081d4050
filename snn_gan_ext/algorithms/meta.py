"""meta-SpikeGAN (section VI): an initialisation that learns from a stream of tasks."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from snn_gan_ext.algorithms.spikegan import Batch, SpikeGAN, SpikeGANState
from snn_gan_ext.errors import InputError
from snn_gan_ext.estimators import reptile
from snn_gan_ext.settings import at_least, check_settings, one_of, whole

__all__ = ["MetaSpikeGAN", "MetaState", "MetaUpdate", "TaskBatch", "initialise_from"]

MetaUpdate = Literal["reptile", "maml"]


class TaskBatch(NamedTuple):
    """Trials of the task at hand.

    Attributes:
        task: its number in the stream; another one ends the task before.
        trials: ``[T, B, N]`` with their labels ``[B]``.
    """

    task: int
    trials: Batch


@dataclass
class MetaState:
    """Everything that meta-training changes.

    Attributes:
        generator: the start of generators.
        discriminator: the start of discriminators.
        generators: N + 1 generators side by side: that of the task at hand, and those of stored tasks.
        discriminators: theirs.
        rng: the random source.
        updates: number of updates so far, those without a stored task included.
        task: number of the task at hand; -1 before the first.
        task_buffer: trials of it, the newest last, and a random key for each.
        meta_buffer: what was stored of tasks before it, and a random key for each.
    """

    generator: nn.Module
    discriminator: nn.Module
    generators: nn.Module
    discriminators: nn.Module
    rng: torch.Generator
    updates: int = 0
    task: int = -1
    task_buffer: tuple[Batch, Tensor] | None = None
    meta_buffer: list[tuple[Batch, float]] = field(default_factory=list)

    def state_dict(self) -> dict[str, Any]:
        """Tensors and plain values only, fit for ``torch.load(weights_only=True)``."""
        current = [self.task_buffer] if self.task_buffer is not None else []
        return {
            "updates": self.updates,
            "task": self.task,
            "rng": self.rng.get_state(),
            "generator": self.generator.state_dict(),
            "discriminator": self.discriminator.state_dict(),
            "task_buffer": [(tuple(trials), keys) for trials, keys in current],
            "meta_buffer": [(tuple(trials), key) for trials, key in self.meta_buffer],
        }

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Goes back to what `state_dict` saved."""
        self.updates, self.task = saved["updates"], saved["task"]
        self.rng.set_state(saved["rng"].cpu())
        self.generator.load_state_dict(saved["generator"])
        self.discriminator.load_state_dict(saved["discriminator"])
        current = [(self._here(x), keys.to(self.rng.device)) for x, keys in saved["task_buffer"]]
        self.task_buffer = current[0] if current else None
        self.meta_buffer = [(self._here(trials), key) for trials, key in saved["meta_buffer"]]

    def _here(self, trials: Sequence[Tensor]) -> Batch:
        """Trials on the run's device, whichever they were saved on."""
        return Batch(*(part.to(self.rng.device) for part in trials))


@dataclass(frozen=True, kw_only=True)
class MetaSpikeGAN:
    r"""One step of Fig. 2: within-task training on stored tasks, and the starts move towards it.

    Each step brings trials of the task at hand into the task buffer. N + 1 pairs of networks go from
    the current starts :math:`\theta` through ``inner_steps`` of adversarial training, side by side:
    one on the task at hand, N on tasks from the meta buffer. The starts then follow the N,

    .. math:: \theta \leftarrow \theta + \mu \Bigl(\frac1N \sum_n \varphi^{(n)} - \theta\Bigr).

    When a task ends, its buffer goes into the meta buffer. Both buffers are bounded, and keep each
    trial or task that came by with the same probability (reservoir sampling).

    Attributes:
        inner: within-task training. Its rates should not fall over its steps (``final_lr_fraction=1``).
        updates: length of the run; the rate falls linearly over it.
        inner_steps: K.
        inner_batch: trials of each task in an inner step.
        rate: :math:`\mu` at the first step.
        final_rate: :math:`\mu` at the last one.
        meta_update: ``reptile``, or ``maml``: along the gradients after the K steps (first-order).
        fresh: discriminator parameters whose names begin with one of these are drawn anew for each
            inner task, and have no start. ``("",)`` for all of them.
        fresh_discriminator: draws a discriminator to take them from.
        task_capacity: trials in the task buffer.
        meta_capacity: tasks in the meta buffer.

    Raises:
        InputError: if a setting has no meaning.

    References:
        SpikeGAN paper, section VI, eq. 13-15 and Fig. 2; see `snn_gan_ext.estimators.reptile`.
    """

    inner: SpikeGAN
    updates: int
    inner_steps: int = 20
    inner_batch: int = 50
    rate: float = 0.7
    final_rate: float = 0.1
    meta_update: MetaUpdate = "reptile"
    fresh: tuple[str, ...] = ()
    fresh_discriminator: Callable[[torch.Generator], nn.Module] | None = None
    task_capacity: int = 500
    meta_capacity: int = 50

    def __post_init__(self) -> None:
        check_settings(
            self,
            updates=whole(1),
            inner_steps=whole(1),
            inner_batch=whole(2),
            rate=at_least(0),
            final_rate=at_least(0),
            meta_update=one_of(MetaUpdate),
            task_capacity=whole(2),
            meta_capacity=whole(1),
        )
        if self.fresh and self.fresh_discriminator is None:
            raise InputError(
                "fresh_discriminator", expected="a function, as `fresh` names parameters", got="None"
            )

    def init(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        generators: nn.Module,
        discriminators: nn.Module,
        rng: torch.Generator,
    ) -> MetaState:
        """Begins with these starts.

        Args:
            generator: the generators' start.
            discriminator: the discriminators' start.
            generators: a `Ensemble` of N + 1 such generators; their weights do not matter.
            discriminators: `DiscriminatorEnsemble`, as many.
            rng: the seeded source of all noise of the run, on the networks' device.

        Raises:
            InputError: if there is no place for a stored task, or nothing has a name of ``fresh``.
        """
        size: Any = generators.size
        if size < 2 or size != discriminators.size:
            raise InputError(
                "generators and discriminators",
                expected="equally many, two or more: the task at hand, and stored ones",
                got=f"{size} and {discriminators.size}",
            )
        names = [name for name, _ in discriminator.named_parameters()]
        strangers = [part for part in self.fresh if not any(n.startswith(part) for n in names)]
        if strangers:
            raise InputError("fresh", expected=f"beginnings of {names}", got=f"{strangers}")
        return MetaState(generator, discriminator, generators, discriminators, rng)

    def update(self, state: MetaState, batch: TaskBatch) -> dict[str, float]:
        """One meta-update, in place.

        Returns:
            The last inner step's metrics over all pairs, the distance by which the generators' start
            moved (root mean square over weights), and the number of stored tasks.

        Raises:
            InputError: if the trials do not have a label each, or are unlike those before.
        """
        _check_trials(state, batch.trials)
        self._store(state, batch)
        size: Any = state.generators.size
        stored = [
            state.meta_buffer[_whole(len(state.meta_buffer), state.rng)][0]
            for _ in range(size - 1 if state.meta_buffer else 0)
        ]
        assert state.task_buffer is not None
        # Before the first task has ended all pairs work on it, and nothing is learned from them.
        current = state.task_buffer[0]
        tasks = [current, *(stored or [current] * (size - 1))]
        pair, metrics = self._train_within(state, tasks)
        moved = self._move(state, pair) if stored else 0.0
        state.updates += 1
        return {**metrics, "moved": moved, "stored_tasks": float(len(state.meta_buffer))}

    def _store(self, state: MetaState, batch: TaskBatch) -> None:
        """Into the task buffer; a task that has ended goes into the meta buffer before."""
        if batch.task != state.task and state.task_buffer is not None:
            state.meta_buffer.append((state.task_buffer[0], float(_uniform(1, state.rng))))
            kept = _smallest(torch.tensor([key for _, key in state.meta_buffer]), self.meta_capacity)
            state.meta_buffer = [state.meta_buffer[place] for place in kept.tolist()]
            state.task_buffer = None
        state.task = batch.task
        trials, keys = batch.trials, _uniform(len(batch.trials.labels), state.rng)
        if state.task_buffer is not None:
            stored, before = state.task_buffer
            trials = Batch(
                torch.cat([stored.spikes, trials.spikes], 1),
                torch.cat([stored.labels, trials.labels]),
            )
            keys = torch.cat([before, keys])
        kept = _smallest(keys, self.task_capacity)
        state.task_buffer = Batch(trials.spikes[:, kept], trials.labels[kept]), keys[kept]

    def _train_within(
        self, state: MetaState, tasks: list[Batch]
    ) -> tuple[SpikeGANState, dict[str, float]]:
        """K inner steps of all pairs, from the starts."""
        initialise_from(state.generators, state.generator)
        initialise_from(state.discriminators, state.discriminator)
        if self.fresh_discriminator is not None:
            self.refresh(state.discriminators, state.rng)
        pair = self.inner.init(state.generators, state.discriminators, state.rng)
        metrics: dict[str, float] = {}
        for _ in range(self.inner_steps):
            metrics = self.inner.update(pair, self._draw(tasks, state.rng))
        if self.meta_update == "maml":
            # One more step leaves the gradients on new trials behind; its change is not looked at.
            self.inner.update(pair, self._draw(tasks, state.rng))
        return pair, metrics

    def _draw(self, tasks: list[Batch], rng: torch.Generator) -> Batch:
        """As many trials of each task, one task after another."""
        picks = [
            torch.randint(len(t.labels), (self.inner_batch,), generator=rng, device=t.labels.device)
            for t in tasks
        ]
        return Batch(
            torch.cat([t.spikes[:, pick] for t, pick in zip(tasks, picks, strict=True)], 1),
            torch.cat([t.labels[pick] for t, pick in zip(tasks, picks, strict=True)]),
        )

    @torch.no_grad()
    def refresh(self, discriminators: nn.Module, rng: torch.Generator) -> None:
        """Draws what is fresh in each of the discriminators anew, in place."""
        assert self.fresh_discriminator is not None
        members: Any = discriminators.members
        size: Any = discriminators.size
        # Weights are drawn on the CPU, from a source that follows the run's.
        weights = torch.Generator().manual_seed(_whole(2**31, rng))
        drawn = [dict(self.fresh_discriminator(weights).named_parameters()) for _ in range(size)]
        for name, parameter in members.named_parameters():
            if name.startswith(self.fresh):
                if drawn[0][name].shape != parameter.shape[1:]:
                    raise InputError(
                        f"{name!r} of the fresh discriminator",
                        expected=f"{list(parameter.shape[1:])}",
                        got=f"{list(drawn[0][name].shape)}",
                    )
                parameter.copy_(torch.stack([one[name] for one in drawn]))

    def _move(self, state: MetaState, pair: SpikeGANState) -> float:
        progress = min(state.updates / self.updates, 1.0)
        rate = self.rate + (self.final_rate - self.rate) * progress
        before = nn.utils.parameters_to_vector(state.generator.parameters()).detach()
        for start, members in (
            (state.generator, pair.generator.members),
            (state.discriminator, pair.discriminator.members),
        ):
            assert isinstance(members, nn.Module)
            self._follow(start, members, rate)
        after = nn.utils.parameters_to_vector(state.generator.parameters()).detach()
        return float((after - before).square().mean().sqrt())

    @torch.no_grad()
    def _follow(self, start: nn.Module, members: nn.Module, rate: float) -> None:
        """Moves a start by what the stored tasks, all but the first member, made of it."""
        theta = {name: p.detach() for name, p in start.named_parameters()}
        weights = dict(members.named_parameters())
        if self.meta_update == "reptile":
            moved = reptile.reptile_update(theta, {n: p[1:] for n, p in weights.items()}, rate)
        else:
            gradients = {name: _uphill(p)[1:] for name, p in weights.items()}
            moved = reptile.maml_update(theta, gradients, rate)
        for name, parameter in start.named_parameters():
            parameter.copy_(moved[name])


@torch.no_grad()
def initialise_from(networks: nn.Module, start: nn.Module) -> None:
    """Gives all members of a `Ensemble` or of `DiscriminatorEnsemble` one network's weights, in place."""
    members: Any = networks.members
    theta = dict(start.named_parameters())
    for name, parameter in members.named_parameters():
        parameter.copy_(theta[name].expand_as(parameter))


def _check_trials(state: MetaState, trials: Batch) -> None:
    spikes, labels = trials
    if spikes.dim() < 3 or not len(labels) or labels.shape != spikes.shape[1:2]:
        raise InputError(
            "trials",
            expected="spikes [T, B, ...] and labels [B], B at least 1",
            got=f"{list(spikes.shape)} and {list(labels.shape)}",
        )
    stored = [state.task_buffer, *state.meta_buffer]
    known = next((one[0].spikes.shape for one in stored if one is not None), None)
    if known is not None and (known[:1], known[2:]) != (spikes.shape[:1], spikes.shape[2:]):
        raise InputError(
            "trials",
            expected=f"[T, B, ...] as before: {list(known)}",
            got=f"{list(spikes.shape)}",
        )


def _uphill(parameter: Tensor) -> Tensor:
    """Gradient ``[J, ...]`` of a member's own objective: losses are means over all members' trials."""
    assert parameter.grad is not None
    return -len(parameter) * parameter.grad


def _smallest(keys: Tensor, count: int) -> Tensor:
    """Places of the smallest random keys, in order: what a bounded reservoir keeps of a stream."""
    return keys.argsort()[:count].sort().values


def _uniform(count: int, rng: torch.Generator) -> Tensor:
    return torch.rand(count, generator=rng, device=rng.device)


def _whole(below: int, rng: torch.Generator) -> int:
    return int(torch.randint(below, (1,), generator=rng, device=rng.device))
