"""The meta-learning recipe end to end: a short run, its lists, samples, and the reproduction."""

import json

import numpy as np
import pytest
import torch

from snn_gan_ext import InputError, cli
from snn_gan_ext.experiments.recipes.digits_meta import ARMS, DigitsMeta
from snn_gan_ext.metrics import classifiers

QUICK = {"inner_steps": 1, "stored_tasks": 1, "adapt_steps": 5, "tasks": 2, "synthetic_count": 20}


@pytest.fixture(scope="module", autouse=True)
def _quick_judges():
    fit = classifiers.fit_classifier
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(classifiers, "fit_classifier", lambda data, seed, epochs=60: fit(data, seed, 3))
        yield


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "run"
    options = [f"--{name.replace('_', '-')}={value}" for name, value in QUICK.items()]
    arguments = ["train", "digits-meta", "--steps", "6", "--monitor-every", "3", *options]
    assert cli.main([*arguments, "--no-progress", "--out", str(folder)]) == 0
    return folder


def test_all_starts_are_measured(run):
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics["steps"] == [0, 5]
    assert (metrics["tasks"], metrics["seeds"], metrics["meta_updates"]) == (2, 1, 6)
    for arm in ARMS:
        for key in ("trts_mean", "trts_std", "tstr_mean", "energy_mean"):
            assert len(metrics[arm][key]) == 2
        assert metrics[arm]["energy_mean"][1] < metrics[arm]["energy_mean"][0]
    # What differs is the start alone: the learned generator is one for both arms.
    assert metrics["meta"]["trts_mean"][0] == metrics["meta_generator"]["trts_mean"][0]
    assert len(metrics["first_tasks"]["trts_mean"]) == 2
    pictures = {path.stem for path in run.glob("*.png")}
    assert pictures == {"trts", "tstr", "samples_random", "samples_meta", "learning_curves"}


def test_a_run_is_judged_again_with_both_of_its_starts(run):
    before = json.loads((run / "metrics.json").read_text())
    assert cli.main(["evaluate", str(run)]) == 0
    assert json.loads((run / "metrics.json").read_text()) == before


def test_samples_are_the_starts(run, tmp_path):
    out = tmp_path / "s.npz"
    assert cli.main(["sample", str(run), "--n", "8", "--label", "1", "--out", str(out)]) == 0
    assert np.load(out)["spikes"].shape == (5, 8, 64)
    assert cli.main(["sample", str(run), "--label", "2", "--out", str(out)]) == 2


@pytest.mark.parametrize("settings", [{"fresh": "none"}, {"fresh": "all"}, {"meta_update": "maml"}])
def test_other_ways_to_learn(settings):
    recipe = DigitsMeta(steps=8, batch=10, task_steps=2, classes=3, any_angle=True, **settings, **QUICK)
    experiment = recipe.build(torch.device("cpu"))
    for _ in range(4):
        batch = experiment.next_batch(experiment.state.rng)
        metrics = experiment.algorithm.update(experiment.state, batch)
    assert metrics["moved"] > 0
    assert metrics["stored_tasks"] == 1


def test_held_out_tasks_and_few_examples():
    experiment = DigitsMeta(examples=4, **QUICK).build(torch.device("cpu"))
    assert all(set(task.digits) <= {7, 8, 9} for task in experiment._tasks((7, 8, 9), 20))
    assert all(set(task.digits) <= {0, 1, 2, 3, 4, 5, 6} for task in experiment.stream)
    assert all(set(task.digits) != {5, 6} for task in experiment.stream)
    curves = experiment._curves("meta", experiment.stream[:1], experiment.splits.validation, [0, 2])
    assert len(curves.mean("tstr")) == 2


def test_the_reproduction_merges_seeds(tmp_path, monkeypatch):
    from snn_gan_ext.experiments.papers import Settings, digits_meta, meta

    monkeypatch.setattr(meta, "DigitsMeta", lambda **given: DigitsMeta(**QUICK, **given))
    settings = Settings(out=tmp_path, seeds=2, steps=5, progress=False)
    metrics = digits_meta(settings)
    assert metrics["seeds"] == 2
    runs = [
        json.loads((tmp_path / f"digits-meta-seed{seed}" / "metrics.json").read_text())
        for seed in (0, 1)
    ]
    means = [run["meta"]["trts_mean"][1] for run in runs]
    assert metrics["meta"]["trts_mean"][1] == pytest.approx(sum(means) / 2, abs=1e-3)
    spread = np.sqrt(np.mean([run["meta"]["trts_std"][1] ** 2 for run in runs]) + np.var(means))
    assert metrics["meta"]["trts_std"][1] == pytest.approx(spread, abs=1e-3)
    assert "learned starts" in (tmp_path / "table.md").read_text()
    assert (tmp_path / "meta_updates.png").exists()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"classes": 4}, "classes"),
        ({"tasks": 0}, "tasks"),
        ({"examples": -1}, "examples"),
        ({"steps": 4}, "steps"),
        ({"meta_lr": 1e9}, "meta_lr"),
    ],
)
def test_settings_without_a_meaning_are_refused(settings, words):
    with pytest.raises(InputError, match=words):
        DigitsMeta(**settings).build(torch.device("cpu"))
