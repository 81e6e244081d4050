"""The meta-learning recipe: a short run, its curves, its samples, and other ways to learn."""

from dataclasses import replace

import pytest
import torch

from snn_gan_ext import InputError
from snn_gan_ext.experiments.recipes import RECIPES
from snn_gan_ext.experiments.recipes.digits_meta import ARMS
from snn_gan_ext.experiments.trainer import build
from snn_gan_ext.metrics import classifiers
from tests.experiments.helpers import pictures, scorecard

META = RECIPES["digits-meta"].vary({"learner.inner.updates": 1, "stored_tasks": 1})
CPU = torch.device("cpu")


def test_all_initialisations_are_measured(finished):
    found = scorecard(finished("digits-meta"))
    assert list(found["samplers"]) == list(ARMS)
    assert found["within_task_updates"] == [0, 5]
    assert (found["tasks"], found["seed"], found["updates"]) == (2, 0, 6)
    for arm in ARMS:
        curves = found["curves"][arm]
        for measure in ("trts", "tstr", "energy_distance"):
            assert len(curves[f"{measure}_mean"]) == len(curves[f"{measure}_std"]) == 2
            assert found["samplers"][arm][measure] == curves[f"{measure}_mean"][-1]
        assert curves["energy_distance_mean"][1] < curves["energy_distance_mean"][0]
    assert len(found["stream"]["first_tasks"]["trts_mean"]) == 2
    shown = {"trts", "tstr", "samples_random", "samples_meta", "learning_curves"}
    assert pictures(finished("digits-meta")) == shown


def test_arms_differ_in_their_initialisation_alone(finished):
    curves = scorecard(finished("digits-meta"))["curves"]
    # The learned generator is one for both arms, and so is the noise.
    assert curves["meta"]["trts_mean"][0] == curves["meta_generator"]["trts_mean"][0]
    assert curves["random"]["energy_distance_mean"][0] != curves["meta"]["energy_distance_mean"][0]


@pytest.mark.parametrize(
    "changes",
    [{"learner.fresh": ()}, {"learner.fresh": ("layers",)}, {"learner.meta_update": "maml"}],
    ids=str,
)
def test_other_ways_to_learn(changes):
    small = {"batch": 10, "task_updates": 2, "data.classes": 3, "data.any_angle": True}
    trainer = build(META.vary({**small, **changes}).with_updates(8), CPU)
    for _ in range(4):
        found = trainer.algorithm.update(trainer.state, trainer.next_batch(trainer.state.rng))
    assert found["moved"] > 0
    assert found["stored_tasks"] == 1


def test_held_out_tasks_have_digits_of_their_own():
    trainer = build(META, CPU)
    drawn = trainer.data.tasks((7, 8, 9), 20, torch.Generator().manual_seed(0))
    assert all(set(task.digits) <= {7, 8, 9} for task in drawn)
    assert all(set(task.digits) <= {0, 1, 2, 3, 4, 5, 6} for task in trainer.tasks)
    assert all(set(task.digits) != {5, 6} for task in trainer.tasks)


def test_few_examples_of_a_held_out_task_are_the_first_of_each_digit():
    trainer = build(META, CPU)
    data, task = replace(trainer.data, examples=4), trainer.tasks[0]
    few, all_of_them = data.to_learn_from(task), task.pick(data.splits.train)
    assert few.labels.bincount().tolist() == [4, 4]
    first = all_of_them.images[all_of_them.labels == 1][:4]
    assert torch.equal(few.images[few.labels == 1], first)


def test_initialisations_learn_within_a_task(monkeypatch):
    fit = classifiers.MLP.fit
    monkeypatch.setattr(classifiers.MLP, "fit", lambda self, data: fit(replace(self, epochs=3), data))
    trainer = build(META.vary({"evaluation.synthetic_count": 20}), CPU)
    curves = trainer.experiment.evaluation._curves(
        trainer, "meta", trainer.tasks[:1], trainer.data.splits.validation, [0, 2]
    )
    assert len(curves.mean("tstr")) == 2
    assert curves.mean("energy_distance")[1] != curves.mean("energy_distance")[0]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"data.classes": 4}, "classes"),
        ({"data.examples": -1}, "examples"),
        ({"evaluation.tasks": 0}, "tasks"),
        ({"evaluation.meta_lr": 1e9}, "meta_lr"),
        ({"learner.updates": 4}, "updates"),
        ({"task_updates": 0}, "task_updates"),
        ({"stored_tasks": 0}, "stored_tasks"),
    ],
)
def test_settings_out_of_bounds_are_refused(changes, says):
    with pytest.raises(InputError, match=says):
        build(META.vary(changes), CPU)
