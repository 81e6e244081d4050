"""SpikeGAN on event recordings, made up here, and classifiers that have few of them."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from snn_gan_ext import InputError
from snn_gan_ext.coding.events import EVENT
from snn_gan_ext.datasets import event_files
from snn_gan_ext.experiments.recipes import RECIPES
from snn_gan_ext.experiments.trainer import build
from tests.experiments.helpers import command, pictures, refused, scorecard

pytest.importorskip("tonic", reason="tonic is not installed")

SMALL, AUGMENT = RECIPES["nmnist-small"], RECIPES["nmnist-augment"]


def test_all_samplers_are_measured(finished):
    """The least TSTR is SpikeGAN's, 0.89 +- 0.07 (8 seeds); chance is 0.1."""
    found = scorecard(finished("nmnist-small"))
    rows = found["samplers"]
    assert list(rows) == ["real", "class_means", "kmeans", "spikegan", "ml"]
    for row in rows.values():
        assert row.keys() == rows["real"].keys()
        assert row["tstr"] > 0.5
        assert row["autocorrelation_distance"] > 0
        assert row["nearest_ratio"] > 0
    assert rows["real"]["nearest_ratio"] == 1
    assert found["peak_memory_mb"] > 0
    shown = {"frames", "time_surfaces", "learning_curves"}
    assert pictures(finished("nmnist-small")) == shown


def test_generators_are_initialised_at_the_classes_rates(finished):
    """Both ratios are 1.001 +- 0.004 (8 seeds)."""
    rows = scorecard(finished("nmnist-small"))["samplers"]
    assert rows["class_means"]["rate_ratio"] == pytest.approx(1, abs=0.05)
    assert rows["ml"]["rate_ratio"] == pytest.approx(1, abs=0.05)


def test_classifiers_differ_in_the_samples_that_they_learn_from(finished):
    """The least accuracies are 0.88 +- 0.08 (8 seeds); chance, on 40 recordings, is 0.1 +- 0.05."""
    rows = scorecard(finished("nmnist-augment"))["samplers"]
    added = {"real", "jitter", "spikegan", "ml", "class_means", "jitter_and_spikegan"}
    assert rows.keys() == added
    assert all(0.4 < row["accuracy"] <= 1 for row in rows.values())


def few(recordings, **changes):
    return replace(AUGMENT.data, path=str(recordings), pool=4, **changes)


def test_few_recordings_are_of_each_class_and_held_out_ones_stay(recordings):
    data = few(recordings, shots=3)
    everything = few(recordings, shots=0)
    assert np.bincount(data.frames.targets[data.splits["train"]]).tolist() == [3] * 10
    assert set(data.splits["train"].tolist()) <= set(everything.splits["train"].tolist())
    for split in ("validation", "test"):
        assert (data.splits[split] == everything.splits[split]).all()


def test_the_few_depend_on_their_own_seed_alone(recordings):
    draws = [few(recordings, shots=3, shots_seed=seed).splits["train"] for seed in (0, 0, 1)]
    assert (draws[0] == draws[1]).all()
    assert not (draws[0] == draws[2]).all()


def test_recordings_are_known_by_their_content(recordings, tmp_path):
    def fingerprint(folder):
        return replace(SMALL.data, path=str(folder)).fingerprint()

    same, other = (shutil.copytree(recordings, tmp_path / name) for name in ("same", "other"))
    one, another = sorted(other.rglob("*.bin"))[:2]
    shutil.copy(another, one)
    assert fingerprint(same) == fingerprint(recordings)
    assert fingerprint(other) != fingerprint(recordings)


def test_recordings_that_change_are_read_again(recordings, tmp_path):
    data = replace(SMALL.data, path=str(shutil.copytree(recordings, tmp_path / "changing")))
    before = data.fingerprint()
    assert replace(data).frames is data.frames
    one, another = sorted((tmp_path / "changing").rglob("*.bin"))[:2]
    shutil.copy(another, one)
    assert replace(data).fingerprint() != before


def test_missing_and_foreign_recordings_are_named(recordings, tmp_path, monkeypatch, capsys):
    monkeypatch.delenv("SNN_GAN_EXT_DATA", raising=False)
    out = ("--out", tmp_path / "run")
    assert "--data FOLDER" in refused(capsys, "train", "nmnist-small", *out)
    foreign = refused(capsys, "train", "nmnist-small", "--data", tmp_path, *out)
    assert "Train/[0-9]/*.bin" in foreign
    odd = ("--data", recordings, "--data.pool", 8, "--batch", 55, *out)
    assert "multiple of the 10 classes" in refused(capsys, "train", "nmnist-small", *odd)
    assert not (tmp_path / "run").exists()


def test_recordings_are_found_by_the_environment(recordings, tmp_path, monkeypatch):
    monkeypatch.setenv("SNN_GAN_EXT_DATA", str(recordings.parent))
    assert len(replace(SMALL.data, path="", pool=8).frames.targets) == 200


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"data.classes": 20}, "at least 20 of each of 20 classes"),
        ({"data.shots": 99}, "shots: expected at most"),
    ],
)
def test_settings_that_the_recordings_do_not_allow_are_refused(changes, says, recordings):
    data = SMALL.with_data(str(recordings)).vary({"data.pool": 4, **changes}).data
    with pytest.raises(InputError, match=says):
        data.load()


@pytest.mark.filterwarnings("ignore:recordings")
def test_a_window_without_events_is_refused(tmp_path):
    late = np.zeros(50, EVENT)
    late["t"] = 1000
    event_files.write_nmnist_folder([late] * 20, np.zeros(20, int), tmp_path)
    data = replace(SMALL.data, path=str(tmp_path), classes=1, step_us=10)
    with pytest.raises(InputError, match="nearly silent"):
        data.load()


@pytest.mark.parametrize(
    "changes",
    [
        {"data.pool": 0},
        {"data.pool": 100},
        {"data.num_steps": 0},
        {"data.step_us": 0},
        {"data.shots": -1},
        {"data.format": "flowers"},
        {"evaluation.copies": 0},
        {"evaluation.jitter": -1},
        {"evaluation.classifier_updates": 0},
        {"evaluation.synthetic_count": 99},
    ],
    ids=str,
)
def test_settings_out_of_bounds_are_refused(changes):
    with pytest.raises(InputError):
        AUGMENT.vary(changes).check()


def test_time_is_divided_into_the_discriminators_bins():
    with pytest.raises(InputError, match="5 steps"):
        build(SMALL.vary({"data.num_steps": 5}), torch.device("cpu"))


def test_recordings_may_be_downloaded_by_an_option(tmp_path, monkeypatch):
    from snn_gan_ext.experiments.recipes import events

    asked = []

    def open_recordings(name, folder, *, download):
        asked.append((name, folder, download))
        raise InputError("nmnist", expected="a network", got="none")

    monkeypatch.setattr(events, "open_recordings", open_recordings)
    options = ("--data", tmp_path, "--data.download", "--out", tmp_path / "run")
    assert command("train", "nmnist-small", *options) == 2
    assert asked == [("nmnist", tmp_path, True)]
