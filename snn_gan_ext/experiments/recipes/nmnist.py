"""SpikeGAN on event-camera recordings of digits (N-MNIST)."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from snn_gan_ext.algorithms.likelihood import MaximumLikelihood
from snn_gan_ext.algorithms.spikegan import SpikeGAN
from snn_gan_ext.coding.decoders import Counts
from snn_gan_ext.experiments.components import MLP, Basis, Conditional, Convolutional
from snn_gan_ext.experiments.evaluation import Results, Trained
from snn_gan_ext.experiments.experiment import Arm, Experiment
from snn_gan_ext.experiments.recipes import events
from snn_gan_ext.metrics import classifiers, references
from snn_gan_ext.metrics.events import labels_of
from snn_gan_ext.types import Batch, Schedule, setting
from snn_gan_ext.validation import whole

__all__ = ["RECIPES", "AugmentationEvaluation"]


@dataclass(frozen=True, kw_only=True)
class AugmentationEvaluation(events.EventEvaluation):
    """Accuracy on real recordings of classifiers that differ in the samples they learn from.

    Attributes:
        copies: Synthetic or jittered recordings for each real one.
        jitter: Largest shift of jittered recordings, in pixels that pooling leaves.
    """

    copies: int = setting(30, whole(1, 1000))
    jitter: int = setting(1, whole(0, 10))

    def evaluate(self, trainer: Trained) -> Results:
        """Score classifiers of real recordings, each with the samples of one events.sampler added."""
        data = trainer.data_as(events.EventRecordings)
        train, real = data.trials("train"), data.trials(trainer.split)
        repeated = _joined([train] * self.copies)
        rng = trainer.stream("jitter", "cpu")
        jittered = Batch(references.shifted(repeated.spikes, self.jitter, rng), repeated.labels)
        means = events.reference(data, references.class_means(references.as_images(train)))
        arms = {name: events.sampler(trainer, name) for name in trainer.generators}
        added = {
            name: self.drawn(trainer, draw, labels_of(repeated), "synthetic")
            for name, draw in {"class_means": means, **arms}.items()
        }
        ours = added[trainer.label]
        sets = {
            "real": train,
            "jitter": _joined([repeated, jittered]),
            **{name: _joined([repeated, drawn]) for name, drawn in added.items()},
            f"jitter_and_{trainer.label}": _joined([repeated, jittered, ours]),
        }
        model = classifiers.FrameCNN(trainer.seed_of("tstr"), self.classifier_updates)
        rows = {
            name: {"accuracy": classifiers.tstr(model, trials, real, repeats=1)}
            for name, trials in trainer.each(sets.items())
        }
        return Results(rows, events.frame_figures(real, ours))


def _joined(parts: Sequence[Batch]) -> Batch:
    spikes = torch.cat([part.spikes for part in parts], 1)
    return Batch(spikes, torch.cat([labels_of(part) for part in parts]))


BASIS = Basis(kind="raised_cosine", functions=5, window=10)
DENSE = Conditional(hidden=0, weight_std=0.1, latent_scale=(0.5, 1.0), class_rates=True, basis=BASIS)
LIKELIHOOD = MaximumLikelihood(updates=3000, lr=5e-3)
SMALL = Experiment(
    name="nmnist-small",
    batch=60,
    data=events.EventRecordings(),
    generator=DENSE,
    discriminator=MLP(hidden=(256,), projection=True),
    learner=SpikeGAN(
        updates=3000,
        decode=Counts(),
        estimator="hybrid",
        generator_lr=5e-3,
        discriminator_lr=1e-3,
        schedule=Schedule(1.0, 0.03),
        r1=2.0,
    ),
    references={"ml": Arm(generator=replace(DENSE, latent_bits=0), learner=LIKELIHOOD)},
    evaluation=events.EventEvaluation(),
)
NMNIST = replace(SMALL, name="nmnist", data=events.EventRecordings(pool=1)).with_updates(2000)
CONVOLUTIONAL = replace(SMALL, name="nmnist-convolutional", generator=Convolutional(basis=BASIS))
AUGMENT = replace(
    SMALL,
    name="nmnist-augment",
    data=events.EventRecordings(shots=10),
    evaluation=AugmentationEvaluation(),
).with_updates(800)
RECIPES = (SMALL, NMNIST, CONVOLUTIONAL, AUGMENT)
