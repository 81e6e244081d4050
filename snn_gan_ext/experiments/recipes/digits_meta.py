"""meta-SpikeGAN on pairs of turned digits (the SpikeGAN paper's section VIII-D and Fig. 8)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from matplotlib.figure import Figure
from sklearn.neural_network import MLPClassifier
from torch import Tensor, nn

from snn_gan_ext import plots
from snn_gan_ext.algorithms.meta import MetaSpikeGAN, MetaState, MetaUpdate, TaskBatch, initialise_from
from snn_gan_ext.algorithms.spikegan import Batch, Estimator, SpikeGAN
from snn_gan_ext.coding.images import Labelled, rate_decode, rate_encode
from snn_gan_ext.datasets.digits import load_digits
from snn_gan_ext.datasets.tasks import DigitTask, draw_tasks
from snn_gan_ext.errors import InputError
from snn_gan_ext.experiments.recipes.adaptation import Curves, Judge
from snn_gan_ext.experiments.recipes.base import Experiment, Recipe, Results
from snn_gan_ext.functional.bases import exponential_basis
from snn_gan_ext.metrics import classifiers
from snn_gan_ext.networks.discriminators import MLPDiscriminator
from snn_gan_ext.networks.ensembles import DiscriminatorEnsemble, Ensemble
from snn_gan_ext.networks.generators import ConditionalGenerator
from snn_gan_ext.settings import between, check_settings, whole

__all__ = ["ARMS", "DigitsMeta", "DigitsMetaExperiment"]

PIXELS, SIDE = 64, 8
META_DIGITS, HELD_OUT = (0, 1, 2, 3, 4, 5, 6), (7, 8, 9)
Arm = Literal["random", "meta", "meta_generator"]
ARMS: tuple[Arm, ...] = ("random", "meta", "meta_generator")
"""Starts of both networks, drawn afresh; learned by both; learned by the generator alone."""

Fresh = Literal["head", "all", "none"]


@dataclass(frozen=True, kw_only=True)
class DigitsMeta(Recipe):
    """A stream of tasks, each of two digits; held-out tasks have digits that the stream never had.

    ``steps`` are meta-updates, and ``batch`` trials of the task at hand that come with each.

    Attributes:
        classes: digits of a task: 2 or 3.
        any_angle: turn each digit by any angle; by default by a multiple of 90 degrees.
        examples: images of each digit that a held-out task has to learn from; 0 for all there are.
        task_steps: meta-updates until the next task of the stream.
        stored_tasks: tasks N from the meta buffer in a meta-update.
        inner_steps: steps K of within-task training in a meta-update.
        inner_batch: trials of each task in an inner step.
        meta_rate: share of the way to the adapted weights, at the first meta-update.
        final_meta_rate: that at the last one.
        meta_update: reptile, or first-order maml.
        fresh: what of the discriminator is drawn anew for each task: its last layer, all, or nothing.
        task_capacity: trials in the task buffer.
        meta_capacity: tasks in the meta buffer.
        time_steps: length T of a trial in time steps.
        hidden: hidden neurons of the generator.
        latent_bits: random bits drawn once a trial and held through it.
        gate_latent: give each class synapses of its own for them.
        discriminator_hidden: width of the discriminator's hidden layer.
        estimator: gradient estimator of the generator.
        inner_lr: Adam's learning rate of both networks in inner steps.
        r1: weight of the R1 penalty.
        real_target: the discriminator's target for real trials.
        adapt_steps: within-task steps on a held-out task.
        adapt_batch: trials a step of them.
        random_lr: Adam's learning rate of both networks there, from random starts.
        meta_lr: that from learned starts.
        tasks: held-out tasks.
        synthetic_count: trials drawn of each task and each time.
    """

    name: ClassVar[str] = "digits-meta"
    summary: ClassVar[str] = "meta-SpikeGAN: starts that learn held-out pairs of digits in few steps"

    steps: int = 200
    batch: int = 50
    monitor_every: int = 50
    checkpoint_every: int = 50
    classes: int = 2
    any_angle: bool = False
    examples: int = 0
    task_steps: int = 4
    stored_tasks: int = 5
    inner_steps: int = 20
    inner_batch: int = 50
    meta_rate: float = 0.7
    final_meta_rate: float = 0.1
    meta_update: MetaUpdate = "reptile"
    fresh: Fresh = "head"
    task_capacity: int = 200
    meta_capacity: int = 50
    time_steps: int = 5
    hidden: int = 64
    latent_bits: int = 32
    gate_latent: bool = False
    discriminator_hidden: int = 128
    estimator: Estimator = "hybrid"
    inner_lr: float = 1e-2
    r1: float = 3.0
    real_target: float = 0.9
    adapt_steps: int = 100
    adapt_batch: int = 100
    random_lr: float = 2e-2
    meta_lr: float = 2e-2
    tasks: int = 10
    synthetic_count: int = 500

    def check(self) -> None:
        super().check()
        check_settings(
            self,
            classes=whole(2, len(HELD_OUT)),
            examples=whole(0, 1000),
            task_steps=whole(1, 1_000_000),
            stored_tasks=whole(1, 1000),
            adapt_steps=whole(1, 100_000),
            adapt_batch=whole(2, 100_000),
            tasks=whole(1, 1000),
            synthetic_count=whole(20, 100_000),
            time_steps=whole(1, 10_000),
            inner_lr=between(0, 1),
            random_lr=between(0, 1),
            meta_lr=between(0, 1),
        )
        check_settings(self, steps=whole(self.task_steps + 1, 100_000 * self.task_steps))

    def times(self) -> list[int]:
        """Numbers of within-task steps at which an arm is looked at."""
        usual = [0, 5, 10, 20, 30, 50, 100, 200, 300, 500, 1000]
        return sorted({*(i for i in usual if i < self.adapt_steps), self.adapt_steps})

    def within(self, lr: float, steps: int) -> SpikeGAN:
        """Within-task training: the stabilised SpikeGAN, at a constant rate."""
        return SpikeGAN(
            decode=rate_decode,
            updates=steps,
            estimator=self.estimator,
            baseline="leave_one_out",
            generator_lr=lr,
            discriminator_lr=lr,
            r1=self.r1,
            real_target=self.real_target,
            final_lr_fraction=1.0,
        )

    def validation_digits(self) -> tuple[int, ...]:
        """Digits whose task the stream does not have, to choose settings on."""
        return META_DIGITS[-self.classes :]

    def make_generator(self, weights: torch.Generator) -> ConditionalGenerator:
        """A fresh generator."""
        return ConditionalGenerator(
            self.classes,
            PIXELS,
            self.time_steps,
            hidden=self.hidden,
            latent_bits=self.latent_bits,
            gate_latent=self.gate_latent,
            basis=exponential_basis(6, 2.0),
            rng=weights,
        )

    def make_discriminator(self, weights: torch.Generator) -> MLPDiscriminator:
        """A fresh discriminator."""
        hidden = (self.discriminator_hidden,)
        return MLPDiscriminator(PIXELS, self.classes, hidden=hidden, label_scale=4.0, rng=weights)

    def _build(self, device: torch.device) -> "DigitsMetaExperiment":
        return DigitsMetaExperiment(self, device)


class DigitsMetaExperiment(Experiment):
    """Starts, tasks and measures of a `DigitsMeta` recipe."""

    panels: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "TRTS after within-task steps": ("trts_5", "trts_10", "trts_20"),
        "start's move (RMS)": ("moved",),
        "inner losses": ("discriminator_loss", "r1_penalty"),
    }

    state: MetaState
    generator: nn.ModuleDict

    def __init__(self, recipe: DigitsMeta, device: torch.device) -> None:
        self.recipe, self.device = recipe, device
        self.splits = load_digits()
        self._classifiers: dict[DigitTask, MLPClassifier] = {}
        weights = torch.Generator().manual_seed(recipe.seed)
        generator = recipe.make_generator(weights).to(device)
        discriminator = recipe.make_discriminator(weights).to(device)
        # Both starts are what a run is kept for.
        self.generator = nn.ModuleDict({"generator": generator, "discriminator": discriminator})
        self.algorithm: MetaSpikeGAN = self._learner(len(discriminator.layers))
        self.state = self.algorithm.init(
            generator,
            discriminator,
            *self._pairs(1 + recipe.stored_tasks, weights),
            torch.Generator(device).manual_seed(recipe.seed + 1),
        )
        stream = torch.Generator().manual_seed(recipe.seed + 2)
        count = -(-recipe.steps // recipe.task_steps)
        self.stream = draw_tasks(
            META_DIGITS,
            count,
            stream,
            classes=recipe.classes,
            any_angle=recipe.any_angle,
            without=[frozenset(recipe.validation_digits())],
        )

    def networks(self) -> dict[str, nn.Module]:
        """The generators' start."""
        return {"generator": self.generator["generator"]}

    def _learner(self, layers: int) -> MetaSpikeGAN:
        recipe = self.recipe
        last = f"layers.{layers - 1}"
        return MetaSpikeGAN(
            inner=recipe.within(recipe.inner_lr, recipe.inner_steps),
            updates=recipe.steps,
            inner_steps=recipe.inner_steps,
            inner_batch=recipe.inner_batch,
            rate=recipe.meta_rate,
            final_rate=recipe.final_meta_rate,
            meta_update=recipe.meta_update,
            fresh={"head": (last,), "all": ("",), "none": ()}[recipe.fresh],
            fresh_discriminator=recipe.make_discriminator,
            task_capacity=recipe.task_capacity,
            meta_capacity=recipe.meta_capacity,
        )

    def _pairs(self, count: int, weights: torch.Generator) -> tuple[Ensemble, DiscriminatorEnsemble]:
        """Fresh pairs of networks, side by side."""
        generators = [self.recipe.make_generator(weights) for _ in range(count)]
        discriminators = [self.recipe.make_discriminator(weights) for _ in range(count)]
        return (
            Ensemble(generators).to(self.device),
            DiscriminatorEnsemble(discriminators).to(self.device),
        )

    def next_batch(self, rng: torch.Generator) -> TaskBatch:
        """Trials of the stream's next batch."""
        number = self.state.updates // self.recipe.task_steps
        data = self.stream[number].pick(self.splits.train)
        return TaskBatch(number, self._encoded([data], self.recipe.batch, rng))

    def monitor(self) -> dict[str, float]:
        """TRTS on validation tasks after a few within-task steps from the starts of now (Fig. 8)."""
        tasks = self._tasks(self.recipe.validation_digits(), 5)
        real, times = self.splits.validation, [0, 5, 10, 20]
        curves = self._curves("meta", tasks, real, times, quick=True)
        return {f"trts_{i}": mean for i, mean in zip(curves.times, curves.mean("trts"), strict=True)}

    def evaluate(self) -> Results:
        """Curves over within-task steps from each kind of start, on held-out tasks."""
        test = self.recipe.evaluate_on == "test"
        real = self.splits.held_out(self.recipe.evaluate_on)
        tasks = self._tasks(HELD_OUT if test else self.recipe.validation_digits(), self.recipe.tasks)
        found = {arm: self._curves(arm, tasks, real, self.recipe.times()) for arm in ARMS}
        count = min(self.recipe.tasks, -(-len(self.stream) // 2))
        again = {"first_tasks": self.stream[:count], "last_tasks": self.stream[-count:]}
        metrics: dict[str, Any] = {
            "steps": self.recipe.times(),
            **{arm: curves.summary() for arm, curves in found.items()},
            "tasks": len(tasks),
            "seeds": 1,
            "meta_updates": self.recipe.steps,
            "stream_tasks": len(self.stream),
            **{
                name: self._curves("meta", part, self.splits.validation, [5, 10]).summary()
                for name, part in again.items()
            },
        }
        return Results(metrics, self._figures(found))

    def sample(self, labels: Tensor, rng: torch.Generator) -> dict[str, Tensor]:
        """Trials of the start itself: spikes ``[T, B, 64]``, decoded images ``[B, 64]``, labels."""
        spikes = self.generator["generator"](labels.to(self.device), rng).cpu()
        return {"spikes": spikes, "images": rate_decode(spikes), "labels": labels}

    def labels(self, count: int, label: int | None = None) -> Tensor:
        """Labels ``[count]``: all of one class of the task, or in turn.

        Raises:
            InputError: if the label is another one.
        """
        classes = self.recipe.classes
        if label is None:
            return torch.arange(count) % classes
        if not 0 <= label < classes:
            raise InputError("label", expected=f"0 .. {classes - 1}", got=f"{label}")
        return torch.full((count,), label)

    def _tasks(self, digits: Sequence[int], count: int) -> list[DigitTask]:
        """Tasks for evaluation, the same for all arms and for all seeds."""
        rng = torch.Generator().manual_seed(1000)
        classes, any_angle = self.recipe.classes, self.recipe.any_angle
        return draw_tasks(digits, count, rng, classes=classes, any_angle=any_angle)

    def _encoded(self, tasks: Sequence[Labelled], batch: int, rng: torch.Generator) -> Batch:
        """As many trials of each task, one task after another, rate-encoded afresh."""
        parts = []
        for data in tasks:
            picks = torch.randint(len(data.labels), (batch,), generator=rng, device=rng.device).cpu()
            parts.append(Labelled(data.images[picks], data.labels[picks]))
        images = torch.cat([part.images for part in parts]).to(self.device)
        labels = torch.cat([part.labels for part in parts]).to(self.device)
        return Batch(rate_encode(images, self.recipe.time_steps, rng=rng), labels)

    def _start(self, arm: Arm, count: int) -> tuple[Ensemble, DiscriminatorEnsemble]:
        """Pairs of networks as an arm starts them; what is fresh is the same in all arms."""
        pairs = self._pairs(count, torch.Generator().manual_seed(self.recipe.seed + 5000))
        generators, discriminators = pairs
        if arm != "random":
            initialise_from(generators, self.generator["generator"])
        if arm == "meta":
            initialise_from(discriminators, self.generator["discriminator"])
            rng = torch.Generator(self.device).manual_seed(self.recipe.seed + 6000)
            self.algorithm.refresh(discriminators, rng)
        return pairs

    def _curves(
        self,
        arm: Arm,
        tasks: Sequence[DigitTask],
        real: Labelled,
        times: Sequence[int],
        quick: bool = False,
    ) -> Curves:
        """Within-task training on all tasks side by side, and what samples are worth on the way.

        Batches and noise are the same for all arms.
        """
        recipe, seed = self.recipe, self.recipe.seed
        learn = [_first_of_each(task.pick(self.splits.train), recipe.examples) for task in tasks]
        judges = [
            Judge(self._classifier(task, data), task.pick(real), seed, quick)
            for data, task in zip(learn, tasks, strict=True)
        ]
        algorithm = recipe.within(
            recipe.random_lr if arm == "random" else recipe.meta_lr, max(*times, 1)
        )
        rngs = [torch.Generator(self.device).manual_seed(seed + salt) for salt in (7000, 8000, 9000)]
        state = algorithm.init(*self._start(arm, len(tasks)), rngs[0])
        curves = Curves(list(times))
        for i in range(max(times) + 1):
            if i in times:
                curves.add(self._samples(state.generator, len(tasks), rngs[2]), judges)
            algorithm.update(state, self._encoded(learn, recipe.adapt_batch, rngs[1]))
        return curves

    def _classifier(self, task: DigitTask, learn: Labelled) -> MLPClassifier:
        """The judge of TRTS, the same for all arms."""
        if task not in self._classifiers:
            self._classifiers[task] = classifiers.fit_classifier(learn, self.recipe.seed)
        return self._classifiers[task]

    def _samples(self, generators: nn.Module, count: int, rng: torch.Generator) -> list[Labelled]:
        """Decoded samples of each task's generator."""
        labels = self.labels(self.recipe.synthetic_count)
        population: Any = generators
        everyone = labels.repeat(count).to(self.device)
        drawn = population.sample(everyone, population.noise(len(everyone), rng)).spikes
        return [Labelled(images, labels) for images in rate_decode(drawn).cpu().chunk(count)]

    def _figures(self, found: Mapping[Arm, Curves]) -> dict[str, Figure]:
        times = self.recipe.times()
        figures = {
            key: plots.lines(
                {
                    arm.replace("_", " "): list(zip(times, curves.mean(key), strict=True))
                    for arm, curves in found.items()
                },
                x_label="within-task step",
                y_label=key.upper(),
            )
            for key in ("trts", "tstr")
        }
        for arm in ARMS[:2]:
            figures[f"samples_{arm}"] = plots.sample_grid(
                {f"step {i}": found[arm].samples[i] for i in times[:6]}, self.recipe.classes, SIDE
            )
        return figures


def _first_of_each(data: Labelled, examples: int) -> Labelled:
    """The first so many images of each class; all if 0."""
    if not examples:
        return data
    places = [
        torch.nonzero(data.labels == k).flatten()[:examples] for k in sorted(set(data.labels.tolist()))
    ]
    kept = torch.cat(places)
    return Labelled(data.images[kept], data.labels[kept])
