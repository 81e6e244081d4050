"""The papers' tables: runs are done once and gone on with. Quick stand-ins train and evaluate."""

import json
import shutil

import numpy as np
import pytest
import torch

from snn_gan_ext import InputError
from snn_gan_ext.experiments import runs
from snn_gan_ext.experiments.evaluation import Results
from snn_gan_ext.experiments.loop import Interrupted, read_metrics
from snn_gan_ext.experiments.papers import (
    PAPERS,
    Settings,
    digits_curves,
    digits_meta,
    digits_noise,
    digits_spikes,
    meta,
    nmnist_augment,
)
from snn_gan_ext.experiments.papers.table_1 import TABLE_1
from snn_gan_ext.experiments.recipes import RECIPES
from snn_gan_ext.experiments.recipes.digit_spikes import SpikeTrainEvaluation
from snn_gan_ext.experiments.recipes.events import EventEvaluation
from snn_gan_ext.metrics import classifiers
from tests.experiments.helpers import SHORT, command, refused, scorecard

QUICK = {"seeds": 1, "updates": 2, "classifier_updates": 2}
MEASURES = ("snn_tstr", "snn_tstr_count", "tstr", "c2st", "energy_distance")


def settings(folder, **options):
    return Settings(out=folder, **{"evaluate_on": "validation", "progress": False, **options})


def table_of(folder):
    return (folder / "table.md").read_text()


@pytest.fixture
def evaluated(monkeypatch):
    """Counts evaluations, and scores each sampler by the mean firing rate of its run."""
    calls = []

    def evaluate(self, trainer):
        spikes = trainer.draw(trainer.label, torch.arange(20) % 10, trainer.stream("stand-in"))
        calls.append((trainer.experiment.name, trainer.split, self.classifier_updates, spikes.shape))
        row = dict.fromkeys(MEASURES, float(spikes.mean()))
        return Results({name: row for name in ("real", "class_means", "kmeans", trainer.label)})

    monkeypatch.setattr(SpikeTrainEvaluation, "evaluate", evaluate)
    monkeypatch.setattr(SpikeTrainEvaluation, "monitor", lambda self, trainer: {})
    return calls


def test_table_1_is_made_once_and_gone_on_with(evaluated, tmp_path, monkeypatch):
    trained = [row for row in TABLE_1.values() if row.experiment is not None]
    found = digits_spikes(settings(tmp_path, **QUICK))
    assert len(evaluated) == len(trained)
    assert {call[1:] for call in evaluated} == {("validation", 2, (16, 20, 64))}
    for measure in ("snn_tstr", "tstr", "c2st", "energy_distance"):
        assert list(found[measure]) == list(TABLE_1)
        assert all(0 < value < 1 for value in found[measure].values())
    assert scorecard(tmp_path) == found
    assert table_of(tmp_path).count("\n|") == len(TABLE_1) + 1
    assert "| maximum likelihood (VAE) | 0.12 |" in table_of(tmp_path)

    (tmp_path / "ml-seed0" / "metrics.json").unlink()  # stopped while it was evaluated
    monkeypatch.setattr(runs, "train", None)  # nothing is trained again
    again = digits_spikes(settings(tmp_path, **QUICK))
    assert len(evaluated) == len(trained) + 1
    assert again["snn_tstr"] == found["snn_tstr"]

    with pytest.raises(InputError, match="give another --out"):
        digits_spikes(settings(tmp_path, **{**QUICK, "updates": 3}))


def test_references_of_table_1_are_those_of_one_run_of_the_seed(evaluated, tmp_path):
    found = digits_spikes(settings(tmp_path, **QUICK))
    pooled = scorecard(tmp_path / "spikegan_pooled-seed0")["samplers"]
    for name in ("real", "class_means", "kmeans"):
        assert found["per_seed"][0][name] == pooled[name]


def test_an_interrupted_reproduction_says_how_to_go_on(evaluated, tmp_path, monkeypatch):
    def interrupted(*_, **__):
        raise Interrupted(2, "after update 1; go on with --resume")

    monkeypatch.setattr(runs, "train", interrupted)
    with pytest.raises(Interrupted, match="the same command goes on"):
        digits_spikes(settings(tmp_path, **QUICK))


def test_an_unfinished_run_is_gone_on_with(evaluated, tmp_path, monkeypatch):
    digits_spikes(settings(tmp_path, **QUICK))
    for name in ("metrics.json", "generator.safetensors"):
        (tmp_path / "ml-seed0" / name).unlink()
    train, resumed = runs.train, []

    def noted(experiment, folder, **options):
        resumed.append((folder.name, options["resume"], options["force"]))
        return train(experiment, folder, **options)

    monkeypatch.setattr(runs, "train", noted)
    digits_spikes(settings(tmp_path, **QUICK))
    assert resumed == [("ml-seed0", True, False)]


@pytest.fixture
def trained(monkeypatch):
    """Counts runs, and leaves the log and the scorecard of each behind."""
    names = []

    def train(experiment, folder, **options):
        names.append(folder.name)
        folder.mkdir(parents=True)
        (folder / "config.json").write_text(json.dumps(experiment.to_config()))
        every = experiment.monitor_every
        log = [{"update": u, "validation_tstr": u / 3000} for u in range(every, 3001, every)]
        (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in log))
        metrics = {
            "samplers": {
                "real": {"trts": 0.92},
                experiment.label: {
                    "trts": 0.9 - experiment.data.noise_fraction / 2,
                    "tstr": 0.8 + experiment.seed / 10,
                },
            },
            "real_accuracy": 0.95,
            "recipe": experiment.name,
            "seed": experiment.seed,
            "updates": experiment.updates,
            "evaluated_on": experiment.evaluate_on,
            "seconds": 1.0,
            "version": "1",
            "pictures": [],
        }
        (folder / "metrics.json").write_text(json.dumps(metrics))
        return metrics

    monkeypatch.setattr(runs, "train", train)
    return names


def test_figure_5_is_made_of_runs_at_every_noise_level(tmp_path, trained, monkeypatch):
    class Sampled:
        def __init__(self, folder):
            self.experiment = self
            self.evaluation = self

        def sample(self, trainer, labels, rng):
            return {"images": torch.rand(len(labels), 64, generator=rng)}

    monkeypatch.setattr(runs, "load_run", Sampled)
    found = digits_noise(settings(tmp_path, seeds=2))
    assert len(set(trained)) == len(trained) == 3 * 2 * 6
    assert found["trts"]["belief"] == {
        "0.0": 0.9,
        "0.05": 0.875,
        "0.1": 0.85,
        "0.2": 0.8,
        "0.4": 0.7,
        "0.8": 0.5,
    }
    assert set(found["trts"]["spikegan_code"].values()) == {0.92}
    assert set(found["trts"]["noisy_real"].values()) == {0.95}
    assert table_of(tmp_path).count("\n|") == 8
    assert (tmp_path / "samples-0.2.png").stat().st_size > 10_000
    assert (tmp_path / "pca-0.0.png").stat().st_size > 10_000
    digits_noise(settings(tmp_path, seeds=2))
    assert len(trained) == 3 * 2 * 6
    with pytest.raises(InputError, match="classifier-updates"):
        digits_noise(settings(tmp_path, classifier_updates=3))
    with pytest.raises(InputError, match="give another --out"):
        digits_noise(settings(tmp_path, updates=5))


def test_figure_4_is_made_of_the_logs(tmp_path, trained):
    found = digits_curves(settings(tmp_path, seeds=2))
    assert len(trained) == 5 * 2
    assert found["updates"] == list(range(250, 3001, 250))
    assert found["validation_tstr"]["digits-belief"][-1] == 1
    assert found["tstr"]["digits"] == 0.85
    assert "| 0.083 | 0.167 | 0.333 | 0.667 | 0.850 (0.800 to 0.900) |" in table_of(tmp_path)
    assert (tmp_path / "curves.png").stat().st_size > 10_000


def test_figure_4_needs_the_same_updates_of_all_seeds(tmp_path, trained):
    digits_curves(settings(tmp_path, seeds=2))
    log = tmp_path / "digits-seed1" / "metrics.jsonl"
    log.write_text("".join(f"{line}\n" for line in log.read_text().splitlines()[1:]))
    assert len(read_metrics(log)) == 11
    with pytest.raises(InputError, match="remove the damaged run's folder"):
        digits_curves(settings(tmp_path, seeds=2))


def test_figure_8_merges_seeds(tmp_path, monkeypatch):
    names = {
        "--stored-tasks": "stored_tasks",
        "--learner.inner.updates": "learner.inner.updates",
        "--evaluation.updates": "evaluation.updates",
        "--evaluation.tasks": "evaluation.tasks",
        "--evaluation.synthetic-count": "evaluation.synthetic_count",
    }
    options = dict(option.split("=") for option in SHORT["digits-meta"].split())
    short = RECIPES["digits-meta"].vary({names[o]: int(v) for o, v in options.items() if o in names})
    monkeypatch.setattr(meta, "DIGITS_META", short)
    fit = classifiers.MLP.fit
    monkeypatch.setattr(
        classifiers.MLP, "fit", lambda self, data: fit(type(self)(self.seed, epochs=3), data)
    )
    found = digits_meta(settings(tmp_path, seeds=2, updates=5))
    assert (found["seeds"], found["meta_updates"]) == (2, 5)
    curves = [scorecard(tmp_path / f"digits-meta-seed{seed}")["curves"]["meta"] for seed in (0, 1)]
    means = [curve["trts_mean"][1] for curve in curves]
    assert found["meta"]["trts_mean"][1] == pytest.approx(sum(means) / 2, abs=1e-3)
    spread = np.sqrt(np.mean([curve["trts_std"][1] ** 2 for curve in curves]) + np.var(means))
    assert found["meta"]["trts_std"][1] == pytest.approx(spread, abs=1e-3)
    assert "learned initialisation" in table_of(tmp_path)
    assert (tmp_path / "meta_updates.png").exists()


def test_the_table_of_few_recordings_is_made_of_all_draws(recordings, tmp_path, monkeypatch):
    pytest.importorskip("tonic", reason="tonic is not installed")
    monkeypatch.setenv("SNN_GAN_EXT_DATA", str(recordings.parent))
    monkeypatch.setattr(EventEvaluation, "monitor", lambda self, trainer: {})
    # A stand-in for classifiers: the number of trials that they learn from.
    monkeypatch.setattr(
        classifiers, "tstr", lambda model, synthetic, real, repeats: len(synthetic.labels) / 1e4
    )
    found = nmnist_augment(settings(tmp_path, seeds=2, updates=1))
    assert found["5"]["real"] == 0.005
    assert found["10"]["spikegan"] == 10 * 10 * 30 * 2 / 1e4
    assert found["10"]["jitter_and_spikegan"] == 10 * 10 * 30 * 3 / 1e4
    assert len(found["per_seed"]["5"]["ml"]) == 2
    assert "| and shifted copies | 0.300 ± 0.000 | 0.600 ± 0.000 |" in table_of(tmp_path)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--classifier-updates", 0), "--classifier-updates: expected a whole number of at least 1"),
        (("--updates", 0), "--updates: expected a whole number of at least 1"),
        (("--seeds", 1001), "--seeds: expected a whole number from 1 to 1000"),
        (("--classifier-updates", 3), "--classifier-updates: expected none in this experiment"),
    ],
)
def test_settings_are_checked_before_the_first_run(options, says, tmp_path, capsys):
    error = refused(capsys, "reproduce", "digits-noise", *options, "--out", tmp_path / "new")
    assert says in error
    assert not (tmp_path / "new").exists()


def test_missing_recordings_are_missed_before_the_first_run(tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("SNN_GAN_EXT_DATA", raising=False)
    error = refused(capsys, "reproduce", "nmnist-augment", "--out", tmp_path / "new")
    assert error.startswith("snn-gan-ext: data: expected a folder of nmnist recordings")
    assert not (tmp_path / "new").exists()


def test_a_file_is_no_folder_for_a_reproduction(tmp_path, capsys):
    (tmp_path / "file").touch()
    error = refused(capsys, "reproduce", "digits-noise", "--out", tmp_path / "file")
    assert "expected a folder for many runs, got a file; give another --out" in error


def test_all_folders_are_looked_at_before_the_first_run(tmp_path, trained, monkeypatch, capsys):
    digits_curves(settings(tmp_path, seeds=2))
    shutil.rmtree(tmp_path / "digits-seed0")
    config = tmp_path / "digits-belief-grey-seed1" / "config.json"
    config.write_text(config.read_text().replace('"batch": 200', '"batch": 201'))
    monkeypatch.setattr(runs, "train", None)  # nothing is trained
    with pytest.raises(InputError, match="digits-belief-grey-seed1: expected a run of these settings"):
        digits_curves(settings(tmp_path, seeds=2, progress=True))
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("value", [None, "absent"])
def test_scorecards_without_a_number_are_refused(value, tmp_path, trained):
    digits_curves(settings(tmp_path, seeds=1))
    path = tmp_path / "digits-seed0" / "metrics.json"
    metrics = json.loads(path.read_text())
    row = metrics["samplers"]["spikegan"]
    row["tstr"] = value
    if value == "absent":
        del row["tstr"]
    path.write_text(json.dumps(metrics))
    with pytest.raises(InputError, match=r"metrics.json: expected all numbers of the runs"):
        digits_curves(settings(tmp_path, seeds=1))


@pytest.mark.parametrize("paper", PAPERS)
def test_every_reproduction_is_a_command(paper, tmp_path, capsys):
    error = refused(capsys, "reproduce", paper, "--seeds", 0, "--out", tmp_path)
    assert "--seeds" in error


def test_a_reproduction_prints_its_table(evaluated, tmp_path, capsys):
    options = ("--seeds", 1, "--updates", 2, "--classifier-updates", 2, "--no-progress")
    assert command("reproduce", "digits-spikes", *options, "--out", tmp_path) == 0
    assert capsys.readouterr().out == table_of(tmp_path)
    assert {split for _, split, *_ in evaluated} == {"test"}


def test_a_run_folder_is_no_folder_for_a_reproduction(finished):
    with pytest.raises(InputError, match="a folder for many runs"):
        settings(finished("digits"))
