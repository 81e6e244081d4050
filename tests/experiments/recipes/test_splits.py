"""Recipes are judged on the split that they name, and nothing is in two splits."""

import numpy as np
import pytest
import torch
from sklearn.neural_network import MLPClassifier

from snn_gan_ext.datasets.digits import DigitSplits
from snn_gan_ext.experiments.recipes import RECIPES
from snn_gan_ext.experiments.recipes.nmnist import NMNISTExperiment

NEURONS = {
    "temporal-modes": {"trials": 50, "synthetic_count": 100},
    "brian-adex": {"trials": 50, "synthetic_count": 100, "judge_updates": 1},
}
QUICK = {
    "digits": {"synthetic_count": 100},
    "digits-spikes-pooled": {"synthetic_count": 100, "judge_steps": 1},
    "digits-meta": {"adapt_steps": 1, "tasks": 1, "synthetic_count": 20},
    "ttfs-digits": {"hidden": 10},
    "spiking-gan-digits": {"synthetic_count": 100},
    "nmnist-small": {"synthetic_count": 100, "judge_updates": 1, "pool": 8},
    "nmnist-augment": {"shots": 2, "copies": 1, "judge_updates": 1, "pool": 8},
}
SPLITS = ("train", "validation", "test")
SALTS = 500
"""Of single neurons' trials there are so many for each split."""


class FewFrames:
    """Noise in place of recordings: 40 of each digit."""

    targets = np.arange(400) % 10

    def __init__(self, shape):
        noise = torch.rand(shape[0], 400, *shape[1:], generator=torch.Generator().manual_seed(0))
        self.noise = (noise < 0.2).float()

    def spikes(self, picks):
        return self.noise[:, picks]


class Watched:
    """Splits that say which of them were read."""

    def __init__(self, parts):
        self.parts, self.read = parts, set()

    def __getitem__(self, part):
        self.read.add(part)
        return self.parts[part]

    __getattr__ = __getitem__

    def held_out(self, name):
        return DigitSplits.held_out(self, name)


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    """Classifiers learn for an epoch, and recordings are made up."""
    fit = MLPClassifier.fit
    monkeypatch.setattr(
        MLPClassifier, "fit", lambda self, *data: fit(self.set_params(max_iter=1), *data)
    )
    frames = property(lambda self: FewFrames(self.binning.shape))
    monkeypatch.setattr(NMNISTExperiment, "frames", frames)


def build(name, **settings):
    recipe = RECIPES[name](**settings, **{**QUICK, **NEURONS}[name])
    return recipe.build(torch.device("cpu"))


def watch_splits(experiment):
    """Names of the splits that are read from now on."""
    splits = experiment.splits
    experiment.splits = Watched(splits if isinstance(splits, dict) else splits._asdict())
    return experiment.splits.read


def watch_salts(experiment):
    """Names of the splits that trials are drawn of from now on; the trials are noise."""
    read = set()

    def noise(count, salt):
        read.add(SPLITS[salt // SALTS])
        rng = torch.Generator().manual_seed(salt)
        return (torch.rand(experiment.recipe.time_steps, count, 1, generator=rng) < 0.2).float()

    experiment._real = noise
    return read


@pytest.mark.parametrize("split", ["validation", "test"])
@pytest.mark.parametrize("name", [*QUICK, *NEURONS])
def test_a_recipe_is_judged_on_the_split_that_it_names(name, split):
    experiment = build(name, evaluate_on=split)
    read = (watch_salts if name in NEURONS else watch_splits)(experiment)
    experiment.figures = lambda *_: {}
    experiment.prepare()
    experiment.evaluate()
    # Tasks of the stream are looked at again on validation digits.
    again = {"validation"} if name == "digits-meta" else set()
    assert read - {"train"} == {split} | again


def rows_of(splits):
    if isinstance(splits, dict):
        return [set(places.tolist()) for places in splits.values()]
    return [{image.numpy().tobytes() for image in part.images} for part in splits]


@pytest.mark.parametrize("name", QUICK)
def test_no_row_is_in_two_splits(name):
    train, validation, test = rows_of(build(name).splits)
    assert not train & validation
    assert not train & test
    assert not validation & test


def test_each_split_of_a_neurons_trials_has_a_seed_of_its_own():
    """Equal trials are in two splits by chance: they are short."""
    experiment = build("temporal-modes")
    drawn = [experiment._real(50, salt).numpy().tobytes() for salt in (0, SALTS, 2 * SALTS)]
    assert len(set(drawn)) == 3
