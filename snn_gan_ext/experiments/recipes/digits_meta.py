"""meta-SpikeGAN on pairs of turned digits (the SpikeGAN paper's section VIII-D and Fig. 8)."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar, Literal, NamedTuple, cast

import numpy as np
import torch
from torch import Tensor, nn

from snn_gan_ext import plots
from snn_gan_ext.algorithms.meta import MetaSpikeGAN, TaskBatch, initialise_from
from snn_gan_ext.algorithms.spikegan import SpikeGAN
from snn_gan_ext.coding.decoders import Rates
from snn_gan_ext.coding.images import Labelled, rate_decode, rate_encode
from snn_gan_ext.datasets.tasks import DigitTask, draw_tasks
from snn_gan_ext.errors import InputError
from snn_gan_ext.experiments.components import MLP, Conditional, in_turn, pick
from snn_gan_ext.experiments.evaluation import Evaluation, Figures, Results, Trained
from snn_gan_ext.experiments.experiment import Experiment
from snn_gan_ext.experiments.recipes.digits import SIDE, Digits
from snn_gan_ext.experiments.trainer import Trainer, build, fitting
from snn_gan_ext.metrics import classifiers, distributions
from snn_gan_ext.networks.ensembles import DiscriminatorEnsemble, Ensemble
from snn_gan_ext.networks.glm import NetworkGenerator
from snn_gan_ext.rng import stream
from snn_gan_ext.types import Batch, Schedule, setting
from snn_gan_ext.validation import between, check_settings, whole

__all__ = ["ARMS", "RECIPES", "Adaptation", "DigitTasks", "MetaExperiment", "MetaTrainer"]

META_DIGITS, HELD_OUT = (0, 1, 2, 3, 4, 5, 6), (7, 8, 9)
Arm = Literal["random", "meta", "meta_generator"]
ARMS: tuple[Arm, ...] = ("random", "meta", "meta_generator")
"""Initialisations: random ones, learned ones, and the learned one of the generator alone."""
MEASURES = ("trts", "tstr", "energy_distance")


@dataclass(frozen=True, kw_only=True)
class DigitTasks(Digits):
    """Tasks of few turned digits; held-out tasks have digits that the stream never had.

    Attributes:
        classes: Digits of a task: 2 or 3.
        any_angle: Turn each digit by any angle; by default by a multiple of 90 degrees.
        examples: Images of each digit that a held-out task has to learn from; 0 for all there are.
    """

    classes: int = setting(2, whole(2, len(HELD_OUT)))
    any_angle: bool = False
    examples: int = setting(0, whole(0, 1000))

    @property
    def validation_digits(self) -> tuple[int, ...]:
        """Digits of a task that the stream does not have, to choose settings on."""
        return META_DIGITS[-self.classes :]

    def tasks(
        self, digits: Sequence[int], count: int, rng: torch.Generator, **options: Any
    ) -> list[DigitTask]:
        """Draw tasks; `draw_tasks` lists the options."""
        options |= {"classes": self.classes, "any_angle": self.any_angle}
        return draw_tasks(digits, count, rng, **options)

    def to_learn_from(self, task: DigitTask) -> Labelled:
        """Training images of a held-out task: ``examples`` of each digit."""
        data = task.pick(self.splits.train)
        if not self.examples:
            return data
        classes = sorted(set(data.labels.tolist()))
        kept = torch.cat([torch.nonzero(data.labels == k).flatten()[: self.examples] for k in classes])
        return Labelled(data.images[kept], data.labels[kept])

    def encoded(self, tasks: Sequence[Labelled], batch: int, rng: torch.Generator) -> Batch:
        """Draw as many trials of each task, one task after another, rate-encoded afresh."""
        images, labels = map(torch.cat, zip(*(pick(data, batch, rng) for data in tasks), strict=True))
        return Batch(rate_encode(images, self.num_steps, rng=rng), labels)

    def batch(self, size: int, rng: torch.Generator) -> Batch:
        raise NotImplementedError("a batch belongs to a task; see MetaTrainer.next_batch")


@dataclass(frozen=True, kw_only=True)
class MetaExperiment(Experiment):
    """An experiment whose updates are meta-updates, and whose result is an initialisation.

    Attributes:
        task_updates: Meta-updates until the next task of the stream.
        stored_tasks: Number of tasks from the meta buffer in a meta-update.
    """

    task_updates: int = setting(4, whole(1, 1_000_000))
    stored_tasks: int = setting(5, whole(1, 1000))

    def check(self) -> None:
        super().check()
        if not isinstance(self.learner, MetaSpikeGAN) or self.discriminator is None:
            expected, got = "MetaSpikeGAN, and a discriminator", f"{type(self.learner).__name__}"
            raise InputError("learner and discriminator", expected=expected, got=got)
        check_settings(self, updates=whole(self.task_updates + 1, 100_000 * self.task_updates))


class MetaTrainer(Trainer):
    """Initialisations of both networks, and the stream of tasks that they learn from."""

    experiment: MetaExperiment
    data: DigitTasks
    algorithm: MetaSpikeGAN

    def _build(self) -> None:
        assert isinstance(self.learner, MetaSpikeGAN)
        weights = self.stream("weights", "cpu")
        generator = self.experiment.generator.build(self.data, weights).to(self.device)
        discriminator = self._discriminator(weights).to(self.device)
        self.generators = nn.ModuleDict({"generator": generator, "discriminator": discriminator})
        self.algorithm = replace(self.learner, fresh_discriminator=self._discriminator)
        pairs = self.pairs(1 + self.experiment.stored_tasks, weights)
        self.state = self.algorithm.init(generator, discriminator, *pairs, self.stream("training"))
        count = -(-self.experiment.updates // self.experiment.task_updates)
        without = [frozenset(self.data.validation_digits)]
        self.tasks = self.data.tasks(META_DIGITS, count, self.stream("tasks", "cpu"), without=without)
        self.classifiers: dict[DigitTask, classifiers.FittedMLP] = {}

    def _discriminator(self, weights: torch.Generator) -> nn.Module:
        settings = self.experiment.discriminator
        assert settings is not None
        return settings.build(self.data, Rates(), weights)

    def pairs(self, count: int, weights: torch.Generator) -> tuple[Ensemble, DiscriminatorEnsemble]:
        """Build fresh pairs of networks, side by side."""
        generators = self.experiment.generator.build_many(count, self.data, weights)
        discriminators = [self._discriminator(weights) for _ in range(count)]
        ensemble = Ensemble(cast("list[NetworkGenerator]", generators))
        return ensemble.to(self.device), DiscriminatorEnsemble(discriminators).to(self.device)

    def prepare(self) -> None:
        self.data.load()

    def next_batch(self, rng: torch.Generator) -> TaskBatch:
        number = self.state.updates // self.experiment.task_updates
        task = self.tasks[number].pick(self.data.splits.train)
        return TaskBatch(number, self.data.encoded([task], self.experiment.batch, rng))

    def initialised(self, arm: Arm, count: int) -> tuple[Ensemble, DiscriminatorEnsemble]:
        """Build pairs of networks as an arm initialises them; all arms share the fresh weights."""
        generators, discriminators = self.pairs(count, self.stream("fresh weights", "cpu"))
        if arm != "random":
            initialise_from(generators, self.generators["generator"])
        if arm == "meta":
            initialise_from(discriminators, self.generators["discriminator"])
            self.algorithm.refresh(discriminators, self.stream("fresh heads"))
        return generators, discriminators


@build.register
def _build_meta(experiment: MetaExperiment, device: torch.device) -> MetaTrainer:
    experiment.check()
    with fitting():
        return MetaTrainer(experiment, device)


@dataclass(frozen=True, kw_only=True)
class Adaptation(Evaluation):
    """Within-task training on held-out tasks from each initialisation.

    Attributes:
        updates: Within-task updates.
        batch: Trials in a within-task update.
        random_lr: Learning rate from random initial weights.
        meta_lr: Learning rate from learned ones.
        tasks: Number of held-out tasks.
        synthetic_count: Number of trials drawn of each task and each time.
    """

    panels: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "TRTS after within-task updates": ("trts_5", "trts_10", "trts_20"),
        "move of the initialisation (RMS)": ("moved",),
        "inner losses": ("discriminator_loss", "r1_penalty"),
    }
    updates: int = setting(100, whole(1, 100_000))
    batch: int = setting(100, whole(2, 100_000))
    random_lr: float = setting(2e-2, between(0, 1))
    meta_lr: float = setting(2e-2, between(0, 1))
    tasks: int = setting(10, whole(1, 1000))
    synthetic_count: int = setting(500, whole(20, 100_000))

    @property
    def times(self) -> list[int]:
        """Within-task updates after which samples are scored."""
        usual = [0, 5, 10, 20, 30, 50, 100, 200, 300, 500, 1000]
        return sorted({*(i for i in usual if i < self.updates), self.updates})

    def monitor(self, trainer: Trained) -> dict[str, float]:
        """TRTS on validation tasks after a few within-task updates (Fig. 8)."""
        meta = _meta(trainer)
        tasks = _held_out(meta, meta.data.validation_digits, 5)
        times = [0, 5, 10, 20]
        curves = self._curves(meta, "meta", tasks, meta.data.splits.validation, times, quick=True)
        return {f"trts_{i}": mean for i, mean in zip(times, curves.mean("trts"), strict=True)}

    def evaluate(self, trainer: Trained) -> Results:
        """Score curves over within-task updates from each kind of initialisation."""
        meta = _meta(trainer)
        data, seen = meta.data, meta.tasks
        digits = HELD_OUT if meta.split == "test" else data.validation_digits
        tasks = _held_out(meta, digits, self.tasks)
        real, validation = data.splits.held_out(meta.split), data.splits.validation
        found = {arm: self._curves(meta, arm, tasks, real, self.times) for arm in meta.each(ARMS)}
        count = min(self.tasks, -(-len(seen) // 2))
        again = {
            name: self._curves(meta, "meta", part, validation, [5, 10]).summary()
            for name, part in (("first_tasks", seen[:count]), ("last_tasks", seen[-count:]))
        }
        others = {
            "within_task_updates": self.times,
            "curves": {arm: curves.summary() for arm, curves in found.items()},
            "stream": {"within_task_updates": [5, 10], "tasks": len(seen), **again},
            "tasks": len(tasks),
        }
        rows: dict[str, dict[str, float]] = {
            arm: {name: curves.mean(name)[-1] for name in MEASURES} for arm, curves in found.items()
        }
        return Results(rows, self._figures(meta, found), others)

    def sample(self, trainer: Trained, labels: Tensor | int, rng: torch.Generator) -> dict[str, Tensor]:
        """Trials of the initialisation itself, with decoded ``images [B, N]``."""
        drawn = trainer.sample(labels, rng)
        return {**drawn, "images": rate_decode(drawn["spikes"])}

    def _curves(
        self,
        trainer: MetaTrainer,
        arm: Arm,
        tasks: Sequence[DigitTask],
        real: Labelled,
        times: Sequence[int],
        quick: bool = False,
    ) -> "_Curves":
        """Train within all tasks side by side, on the same noise in all arms, and score samples."""
        data = trainer.data
        learn = [data.to_learn_from(task) for task in tasks]
        held_out = [task.pick(real) for task in tasks]
        models = [_classifier(trainer, *pair) for pair in zip(tasks, learn, strict=True)]
        lr = self.random_lr if arm == "random" else self.meta_lr
        rates: dict[str, Any] = {"generator_lr": lr, "discriminator_lr": lr}
        within = replace(trainer.algorithm.inner, updates=max(*times, 1), **rates)
        state = within.init(*trainer.initialised(arm, len(tasks)), trainer.stream("within noise"))
        batches, noise = trainer.stream("within batches"), trainer.stream("within samples")
        curves = _Curves({}, [])
        for update in range(max(times) + 1):
            if update in times:
                samples = self._samples(trainer, state.generator, len(tasks), noise)
                curves.samples[update] = samples[0]
                parts, seed = zip(models, held_out, samples, strict=True), trainer.seed_of("tstr")
                curves.scores.append([_scores(*each, seed, quick) for each in parts])
            within.update(state, data.encoded(learn, self.batch, batches))
        return curves

    def _samples(
        self, trainer: MetaTrainer, generators: Any, count: int, rng: torch.Generator
    ) -> list[Labelled]:
        """Decoded samples of each task's generator."""
        labels = in_turn(self.synthetic_count, trainer.data.classes)
        everyone = labels.repeat(count).to(trainer.device)
        drawn = generators.sample(everyone, generators.noise(len(everyone), rng)).spikes
        return [Labelled(images, labels) for images in rate_decode(drawn).cpu().chunk(count)]

    def _figures(self, trainer: MetaTrainer, found: Mapping[Arm, "_Curves"]) -> Figures:
        figures = {}
        for name in ("trts", "tstr"):
            curves = {
                arm.replace("_", " "): list(zip(self.times, each.mean(name), strict=True))
                for arm, each in found.items()
            }
            labels = {"x_label": "within-task update", "y_label": name.upper()}
            figures[name] = partial(plots.lines, curves, **labels)
        for arm in ARMS[:2]:
            shown = {f"update {i}": found[arm].samples[i] for i in self.times[:6]}
            figures[f"samples_{arm}"] = partial(plots.sample_grid, shown, trainer.data.classes, SIDE)
        return figures


class _Curves(NamedTuple):
    """Scores of some tasks after some within-task updates, and samples of the first task."""

    samples: dict[int, Labelled]
    scores: list[list[dict[str, float]]]

    def mean(self, name: str, of: Callable[[list[float]], Any] = np.mean) -> list[float]:
        return [float(of([one[name] for one in scores])) for scores in self.scores]

    def summary(self) -> dict[str, list[float]]:
        """Means and standard deviations over tasks, as lists over updates."""
        kinds: dict[str, Any] = {"mean": np.mean, "std": np.std}
        return {f"{x}_{kind}": self.mean(x, of) for x in MEASURES for kind, of in kinds.items()}


def _scores(
    model: classifiers.FittedMLP, real: Labelled, synthetic: Labelled, seed: int, quick: bool
) -> dict[str, float]:
    """TRTS alone if quick: it needs no new classifier for each sample."""
    scores = {"trts": model.accuracy(synthetic)}
    if not quick:
        scores["tstr"] = classifiers.tstr(classifiers.MLP(seed), synthetic, real, repeats=1)
        scores["energy_distance"] = distributions.energy_distance(real, synthetic)
    return scores


def _meta(trainer: Trained) -> MetaTrainer:
    assert isinstance(trainer, MetaTrainer)
    return trainer


def _held_out(trainer: MetaTrainer, digits: Sequence[int], count: int) -> list[DigitTask]:
    """Tasks for evaluation, the same for all arms and for all seeds."""
    return trainer.data.tasks(digits, count, stream(0, "evaluation tasks"))


def _classifier(trainer: MetaTrainer, task: DigitTask, learn: Labelled) -> classifiers.FittedMLP:
    """The classifier of TRTS, the same for all arms."""
    if task not in trainer.classifiers:
        trainer.classifiers[task] = classifiers.MLP(trainer.seed_of("trts")).fit(learn)
    return trainer.classifiers[task]


DIGITS_META = MetaExperiment(
    name="digits-meta",
    label="generator",
    batch=50,
    monitor_every=50,
    checkpoint_every=50,
    data=DigitTasks(),
    generator=Conditional(gate_latent=False),
    discriminator=MLP(hidden=(128,)),
    learner=MetaSpikeGAN(
        inner=SpikeGAN(
            updates=20,
            decode=Rates(),
            estimator="hybrid",
            baseline="leave_one_out",
            generator_lr=1e-2,
            discriminator_lr=1e-2,
            schedule=Schedule(1.0, 1.0),
            r1=3.0,
        ),
        updates=200,
        rate=Schedule(0.7, 0.1),
        fresh=("layers.2",),
        task_capacity=200,
    ),
    evaluation=Adaptation(),
)
RECIPES = (DIGITS_META,)
