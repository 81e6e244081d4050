"""Does SpikeGAN help a classifier that has few recordings to learn from?"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from snn_gan_ext.errors import InputError
from snn_gan_ext.experiments.recipes.base import Results
from snn_gan_ext.experiments.recipes.event_judge import EventJudge
from snn_gan_ext.experiments.recipes.nmnist import CLASSES, NMNISTExperiment, NMNISTSmall, as_images
from snn_gan_ext.metrics import references
from snn_gan_ext.metrics.events import LabelledFrames
from snn_gan_ext.settings import check_settings, whole

__all__ = ["NMNISTAugment", "NMNISTAugmentExperiment"]


@dataclass(frozen=True, kw_only=True)
class NMNISTAugment(NMNISTSmall):
    """A few real recordings of each digit, with and without synthetic ones to learn from.

    Attributes:
        shots: real recordings of each digit, drawn by the seed.
        copies: synthetic or jittered recordings for each real one.
        jitter: pixels, of those that pooling leaves, by which jittered recordings are shifted at most.
    """

    name: ClassVar[str] = "nmnist-augment"
    summary: ClassVar[str] = "does SpikeGAN help a classifier that has few recordings?"

    steps: int = 800
    shots: int = 10
    copies: int = 30
    jitter: int = 1

    def check(self) -> None:
        super().check()
        check_settings(self, shots=whole(2, 10_000), copies=whole(1, 1000), jitter=whole(0, 10))

    def _build(self, device: torch.device) -> "NMNISTAugmentExperiment":
        return NMNISTAugmentExperiment(self, device)


class NMNISTAugmentExperiment(NMNISTExperiment):
    """Few recordings to learn from, and classifiers that learn from them and what was made of them."""

    recipe: NMNISTAugment

    @cached_property
    def splits(self) -> dict[str, NDArray[np.int64]]:
        """As for all recipes, but a few recordings alone to learn from."""
        splits = super().splits
        rng = np.random.default_rng(self.recipe.seed)
        train, shots = splits["train"], self.recipe.shots
        by_class = [train[self.frames.targets[train] == label] for label in range(CLASSES)]
        if min(map(len, by_class)) < shots:
            fewest = min(map(len, by_class))
            raise InputError("shots", expected=f"at most {fewest}, as there are", got=f"{shots}")
        few = [rng.choice(places, shots, replace=False) for places in by_class]
        return {**splits, "train": np.concatenate(few)}

    def evaluate(self) -> Results:
        """Accuracy on real recordings of classifiers that differ in what they learned from."""
        recipe = self.recipe
        judge = EventJudge(recipe.seed, recipe.judge_updates)
        train, real = self._real("train"), self._real(recipe.evaluate_on)
        rng = torch.Generator().manual_seed(recipe.seed)
        repeated = _together([train] * recipe.copies)
        jittered = LabelledFrames(_shifted(repeated.spikes, recipe.jitter, rng), repeated.labels)
        gan, likelihood, means = (
            self._synthetic(draw, repeated.labels, salt=3)
            for draw in (
                self._draw("spikegan"),
                self._draw("ml"),
                self._floor(lambda labels, _: references.class_means(as_images(train), labels)),
            )
        )
        taught = {
            "real": train,
            "jitter": _together([repeated, jittered]),
            "spikegan": _together([repeated, gan]),
            "ml": _together([repeated, likelihood]),
            "class_means": _together([repeated, means]),
            "jitter_and_spikegan": _together([repeated, jittered, gan]),
        }
        metrics = {name: judge.tstr(data, real, CLASSES) for name, data in taught.items()}
        shown = LabelledFrames(gan.spikes[:, :: recipe.shots], gan.labels[:: recipe.shots])
        first = LabelledFrames(shown.spikes[:, :CLASSES], shown.labels[:CLASSES])
        return Results(metrics, self.figures(real, first))


def _together(parts: Sequence[LabelledFrames]) -> LabelledFrames:
    return LabelledFrames(
        torch.cat([part.spikes for part in parts], 1), torch.cat([part.labels for part in parts])
    )


def _shifted(spikes: Tensor, pixels: int, rng: torch.Generator) -> Tensor:
    """Every trial ``[T, b, C, H, W]`` moved by up to so many pixels in x and y; silence comes in."""
    padded = torch.nn.functional.pad(spikes, (pixels,) * 4)
    height, width = spikes.shape[-2:]
    offsets = torch.randint(2 * pixels + 1, (spikes.shape[1], 2), generator=rng).tolist()
    moved = [
        padded[:, trial, :, top : top + height, left : left + width]
        for trial, (top, left) in enumerate(offsets)
    ]
    return torch.stack(moved, 1)
