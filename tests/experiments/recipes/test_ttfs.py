"""The first-spike recipes end to end: short runs, resumption, samples, bad input."""

import json
import shutil
import signal

import numpy as np
import pytest
import torch

from snn_gan_ext import InputError, cli
from snn_gan_ext.experiments.recipes.base import Results
from snn_gan_ext.experiments.recipes.spiking_gan import (
    SpikingGANDigits,
    SpikingGANExperiment,
    SpikingGANMNIST,
)
from snn_gan_ext.experiments.recipes.ttfs import TTFSMNIST, TTFSDigits

CLASSIFIERS = {"strict_accuracy", "tie_accuracy", "latency", "spikes_to_decision", "spikes_full"}
MEASURES = {"frechet", "inception_score", "classes_covered", "tstr", "trts"}
FLOORS = {"pixel_marginals", "pca_gaussian", "real", "ann_gan"}

GAN = ("--steps", 40, "--monitor-every", 20, "--checkpoint-every", 15, "--synthetic-count", 300)

STAND_INS = {
    "monitor": lambda self: {},
    "evaluate": lambda self: Results({"mean": float(self.splits.test.images.mean())}, {}),
}


def run(recipe, out, *arguments):
    return cli.main(["train", recipe, "--no-progress", "--out", str(out), *map(str, arguments)])


@pytest.fixture(scope="module")
def mnist(tmp_path_factory):
    """Ten kinds of bright squares, so that no data are needed."""
    path = tmp_path_factory.mktemp("data") / "squares.npz"
    rng = np.random.default_rng(0)
    labels = np.arange(480) % 10
    images = rng.integers(0, 60, (480, 28, 28), np.uint8)
    for image, label in zip(images, labels, strict=True):
        top, left = 4 + 10 * (label // 4), 1 + 7 * (label % 4)
        image[top : top + 6, left : left + 6] += 190
    np.savez(path, images=images, labels=labels)
    return path


@pytest.fixture(scope="module")
def gan(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "gan"
    assert run("spiking-gan-digits", folder, *GAN) == 0
    return folder


def test_classifiers_are_measured_side_by_side(tmp_path):
    assert run("ttfs-digits", tmp_path / "run", "--steps", 150, "--monitor-every", 100) == 0
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    for name in ("relative", "aggressive"):
        assert set(metrics[name]) == CLASSIFIERS
        assert metrics[name]["spikes_to_decision"] <= metrics[name]["spikes_full"] <= 210
    assert metrics["aggressive"]["strict_accuracy"] > 0.3
    saved = 1 - metrics["aggressive"]["latency"] / metrics["relative"]["latency"]
    assert metrics["latency_saved"] == pytest.approx(saved, abs=1e-3)
    pictures = {path.stem for path in (tmp_path / "run").glob("*.png")}
    assert pictures == {"raster", "decisions", "learning_curves"}


def test_mnist_from_a_file(mnist, tmp_path):
    settings = ("--steps", 60, "--hidden", 60, "--data", mnist)
    assert run("ttfs-mnist", tmp_path / "run", *settings) == 0
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert metrics["aggressive"]["tie_accuracy"] > 0.3


def test_all_samplers_are_measured(gan):
    metrics = json.loads((gan / "metrics.json").read_text())
    assert set(metrics) >= MEASURES | FLOORS
    assert all(set(metrics[name]) == MEASURES for name in FLOORS)
    assert metrics["real"]["frechet"] < metrics["pca_gaussian"]["frechet"]
    assert metrics["pca_gaussian"]["frechet"] < metrics["pixel_marginals"]["frechet"]
    assert metrics["pixel_spikes"] <= 64
    assert metrics["hidden_spikes"] == pytest.approx(128 * metrics["hidden_active"], rel=1e-3)
    # The window has 48 ticks: the clock changes an image little.
    assert metrics["clocked_frechet"] == pytest.approx(metrics["frechet"], rel=0.25)


def test_samples_spike_once_and_are_the_images(gan, tmp_path):
    out = tmp_path / "samples.npz"
    assert cli.main(["sample", str(gan), "--n", "20", "--label", "3", "--out", str(out)]) == 0
    drawn = np.load(out)
    assert drawn["spikes"].shape == (32, 20, 64)
    assert drawn["spikes"].sum(0).max() == 1
    assert (drawn["labels"] == 3).all()
    first = drawn["spikes"].argmax(0)
    decoded = np.where(drawn["spikes"].any(0), 1 - first / 32, 0)
    assert np.abs(decoded - drawn["images"]).max() <= 1 / 32 + 1e-6


def test_an_interrupted_run_resumes_to_the_same_weights(gan, tmp_path, monkeypatch):
    looks = []

    def monitor(self):
        looks.append(self.state.step)
        if looks == [20]:
            signal.raise_signal(signal.SIGINT)
        return {}

    monkeypatch.setattr(SpikingGANExperiment, "monitor", monitor)
    monkeypatch.setattr(SpikingGANExperiment, "evaluate", STAND_INS["evaluate"])
    folder = tmp_path / "run"
    assert run("spiking-gan-digits", folder, *GAN) == 128 + signal.SIGINT
    assert run("spiking-gan-digits", folder, "--resume") == 0
    assert looks == [20, 40]
    resumed, whole = (
        torch.load(path / "checkpoint.pt", weights_only=True)["state"]["states"]
        for path in (folder, gan)
    )
    for name in ("spiking", "ann"):
        for part in ("generator", "discriminator", "averaged"):
            a, b = resumed[name][part], whole[name][part]
            assert all(torch.equal(a[key], b[key]) for key in a)


def test_samples_need_no_data(mnist, tmp_path, monkeypatch):
    monkeypatch.delenv("SNN_GAN_EXT_DATA", raising=False)
    settings = ("--steps", 2, "--synthetic-count", 100, "--no-conditional")
    folder, data = tmp_path / "gan", tmp_path / "moved.npz"
    data.write_bytes(mnist.read_bytes())
    assert run("spiking-gan-mnist", folder, *settings, "--data", data) == 0
    data.unlink()
    out = tmp_path / "samples.npz"
    assert cli.main(["sample", str(folder), "--n", "4", "--out", str(out)]) == 0
    assert (np.load(out)["labels"] == -1).all()  # they were drawn without one


@pytest.fixture(params=["ttfs-mnist", "spiking-gan-mnist-small"])
def moved(request, mnist, tmp_path, monkeypatch):
    """A run whose data are in a new place."""
    folder, old, new = (tmp_path / name for name in ("run", "old.npz", "new.npz"))
    shutil.copy(mnist, old)
    for look in ("monitor", "evaluate"):
        monkeypatch.setattr(SpikingGANExperiment, look, STAND_INS[look])
    assert run(request.param, folder, "--steps", 2, "--hidden", 20, "--data", old) == 0
    old.rename(new)
    return request.param, folder, old, new


def metrics_of(folder):
    return json.loads((folder / "metrics.json").read_text())


def test_a_run_knows_its_data_in_another_place(moved, capsys):
    recipe, folder, old, new = moved
    before = metrics_of(folder)
    assert cli.main(["evaluate", str(folder)]) == 2
    assert str(old) in capsys.readouterr().err
    assert cli.main(["evaluate", str(folder), "--data", str(new)]) == 0
    assert metrics_of(folder) == before
    assert run(recipe, folder, "--resume", "--data", new) == 0
    assert metrics_of(folder) == before


def test_other_data_in_the_same_place_are_refused(moved, capsys):
    recipe, folder, old, new = moved
    with np.load(new) as found:
        images, labels = found["images"], found["labels"]
    images[[0, 1]] = images[[1, 0]]
    np.savez(old, images=images, labels=labels)
    for arguments in (["evaluate", folder], ["train", recipe, "--resume", "--out", folder]):
        capsys.readouterr()
        assert cli.main([*map(str, arguments)]) == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1
        assert "expected the data that it learned from" in error


def test_a_recipe_that_needs_no_data_refuses_them(gan, mnist, capsys):
    assert cli.main(["evaluate", str(gan), "--data", str(mnist)]) == 2
    assert "--data: expected none for recipe 'spiking-gan-digits'" in capsys.readouterr().err


def test_a_classifier_draws_nothing(tmp_path, capsys):
    assert run("ttfs-digits", tmp_path / "run", "--steps", 2) == 0
    out = tmp_path / "samples.npz"
    assert cli.main(["sample", str(tmp_path / "run"), "--out", str(out)]) == 2
    assert "spiking-gan-digits" in capsys.readouterr().err
    assert cli.main(["crosscheck", str(tmp_path / "run")]) == 2
    assert "GLM" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("recipe", "words"),
    [
        (TTFSDigits(window=1), "window"),
        (TTFSDigits(deadline=64), "deadline"),
        (TTFSDigits(margin=64), "margin"),
        (TTFSDigits(hidden=0), "hidden"),
        (TTFSDigits(shift=-1), "shift"),
        (TTFSDigits(scale=1.0), "scale"),
        (TTFSMNIST(data="nowhere.npz"), "nowhere.npz"),
        (SpikingGANDigits(latents=0), "latents"),
        (SpikingGANDigits(synthetic_count=10), "synthetic_count"),
        (SpikingGANDigits(sparsity=-1.0), "sparsity"),
        (SpikingGANMNIST(data="x.npz", download=True), "one of them"),
        (SpikingGANMNIST(data="nowhere.npz"), "nowhere.npz"),
    ],
)
def test_settings_without_a_meaning_are_refused(recipe, words):
    with pytest.raises(InputError, match=words):
        recipe.build(torch.device("cpu")).prepare()
