"""Evaluations stay on the split that an experiment names, and have one schema."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.neural_network import MLPClassifier

from snn_gan_ext.datasets.digits import DigitSplits
from snn_gan_ext.experiments.measures import MEASURES
from snn_gan_ext.experiments.recipes import RECIPES
from snn_gan_ext.experiments.recipes.events import EventRecordings
from snn_gan_ext.experiments.trainer import build
from tests.experiments.helpers import SHORT, scorecard

NEURONS = {
    "temporal-modes": {"data.trials": 50, "evaluation.synthetic_count": 100},
    "brian-adex": {
        "data.trials": 50,
        "evaluation.synthetic_count": 100,
        "evaluation.classifier_updates": 1,
    },
}
FILES = {
    "digits": {"evaluation.synthetic_count": 100, "evaluation.copies": 1},
    "digits-spikes-pooled": {
        "evaluation.synthetic_count": 100,
        "evaluation.copies": 1,
        "evaluation.classifier_updates": 1,
    },
    "digits-meta": {
        "evaluation.updates": 1,
        "evaluation.tasks": 1,
        "evaluation.synthetic_count": 20,
        "learner.updates": 5,
    },
    "ttfs-digits": {"generator.hidden": 10},
    "spiking-gan-digits": {"evaluation.synthetic_count": 100},
    "nmnist-small": {
        "evaluation.synthetic_count": 100,
        "evaluation.classifier_updates": 1,
        "data.pool": 8,
    },
    "nmnist-augment": {
        "evaluation.copies": 1,
        "evaluation.classifier_updates": 1,
        "data.shots": 2,
        "data.pool": 8,
    },
}
SMALL = FILES | NEURONS


class FewFrames:
    """Noise in place of recordings: 40 of each digit."""

    targets = np.arange(400) % 10

    def __init__(self, shape):
        noise = torch.rand(shape[0], 400, *shape[1:], generator=torch.Generator().manual_seed(0))
        self.noise = (noise < 0.2).float()

    def spikes(self, picks):
        return self.noise[:, picks]


class Watched:
    """Splits that note which of them are read."""

    def __init__(self, parts, read):
        self.parts, self.read = parts, read

    def __getitem__(self, part):
        self.read.add(part)
        return self.parts[part]

    __getattr__ = __getitem__

    def held_out(self, name):
        return DigitSplits.held_out(self, name)


@pytest.fixture(autouse=True)
def _quick(request, monkeypatch):
    """Classifiers learn for an epoch, and recordings are made up."""
    if "finished" in request.fixturenames:
        return
    fit = MLPClassifier.fit
    monkeypatch.setattr(
        MLPClassifier, "fit", lambda self, *data: fit(self.set_params(max_iter=1), *data)
    )
    frames = property(lambda self: FewFrames(self.binning.shape))
    monkeypatch.setattr(EventRecordings, "frames", frames)


def small(name, **changes):
    experiment = RECIPES[name].vary({**SMALL[name], **changes})
    experiment = experiment.vary({"data": replace(experiment.data)})  # with nothing in its caches
    return build(experiment, torch.device("cpu"))


def watched(trainer, monkeypatch):
    """Names of the splits that are read from now on."""
    read, data = set(), trainer.data
    if hasattr(data, "draw"):

        def noise(self, count, role):
            read.add(role.split(",")[0])
            rng = torch.Generator().manual_seed(0)
            return (torch.rand(self.num_steps, count, 1, generator=rng) < 0.2).float()

        monkeypatch.setattr(type(data), "draw", noise)
    else:
        splits = data.splits
        parts = splits if isinstance(splits, dict) else splits._asdict()
        vars(data)["splits"] = Watched(parts, read)
    return read


def without_brian(name):
    if name.startswith("brian"):
        pytest.importorskip("brian2", reason="brian2 is not installed")


@pytest.mark.parametrize("split", ["validation", "test"])
@pytest.mark.parametrize("name", SMALL)
def test_a_recipe_is_evaluated_on_the_split_that_it_names(name, split, monkeypatch):
    without_brian(name)
    trainer = small(name, evaluate_on=split)
    read = watched(trainer, monkeypatch)
    trainer.prepare()
    trainer.evaluate()
    # Tasks of the stream are looked at again on validation digits.
    again = {"validation"} if name == "digits-meta" else set()
    assert read - {"train"} == {split} | again


@pytest.mark.parametrize("name", [name for name in SMALL if name != "nmnist-augment"])
def test_training_is_followed_on_the_validation_split_alone(name, monkeypatch):
    without_brian(name)
    trainer = small(name, evaluate_on="test")
    read = watched(trainer, monkeypatch)
    trainer.prepare()
    trainer.next_batch(trainer.state.rng)
    assert read <= {"train"}
    assert trainer.monitor()
    # Shares of the firing modes need no real trials.
    assert read - {"train"} == (set() if name == "temporal-modes" else {"validation"})


def rows_of(splits):
    if isinstance(splits, dict):
        return [set(places.tolist()) for places in splits.values()]
    return [{image.numpy().tobytes() for image in part.images} for part in splits]


@pytest.mark.parametrize("name", FILES)
def test_no_row_is_in_two_splits(name):
    train, validation, test = rows_of(small(name).data.splits)
    assert min(map(len, (train, validation, test))) >= 20
    assert not train & validation
    assert not train & test
    assert not validation & test


def test_each_set_of_a_neurons_trials_is_drawn_on_its_own():
    """Equal trials are in two sets by chance: they are short."""
    data = small("temporal-modes").data
    sets = [data.held_out(split, 50, second=k) for split in ("validation", "test") for k in (0, 1)]
    assert len({trials.numpy().tobytes() for trials in (data.trials_to_learn_from[..., 0], *sets)}) == 5


HEADER = {"recipe", "seed", "updates", "evaluated_on", "seconds", "version", "samplers"}
REFERENCES = {
    "class_means",
    "kmeans",
    "poisson",
    "pixel_marginals",
    "pca_gaussian",
    "pixel_marginals_per_class",
    "pca_gaussian_per_class",
}


def is_number(value):
    return value is None or type(value) in (int, float)


@pytest.mark.parametrize("name", SHORT)
def test_scorecards_have_one_schema(name, finished):
    metrics = scorecard(finished(name))
    assert metrics.keys() >= HEADER
    assert metrics["recipe"] == name
    assert metrics["evaluated_on"] == "test"
    assert isinstance(metrics["samplers"], dict)
    for row in metrics["samplers"].values():
        assert row
        assert row.keys() <= MEASURES.keys()
        assert all(map(is_number, row.values()))
    trained = set(RECIPES[name].arms) if name != "digits-meta" else set()
    assert trained <= metrics["samplers"].keys()
    others = metrics["samplers"].keys() - trained - REFERENCES - {"real"}
    assert others <= {"random", "meta", "meta_generator", "jitter", "jitter_and_spikegan"}


@pytest.mark.parametrize("name", [n for n in SHORT if n not in ("ttfs-digits", "digits-meta")])
def test_real_trials_and_trained_generators_are_measured_alike(name, finished):
    samplers = scorecard(finished(name))["samplers"]
    assert samplers["real"].keys() <= samplers[RECIPES[name].label].keys()
