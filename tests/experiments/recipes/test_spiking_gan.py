"""Spiking-GAN end to end on short runs: measures, samples, resumption."""

import signal
from dataclasses import replace

import numpy as np
import pytest
import torch

from snn_gan_ext import InputError
from snn_gan_ext.experiments.evaluation import Results
from snn_gan_ext.experiments.recipes import RECIPES
from snn_gan_ext.experiments.recipes.spiking_gan import GreyImageEvaluation
from snn_gan_ext.experiments.trainer import build
from tests.experiments.helpers import SHORT, command, pictures, scorecard

DIGITS, MNIST = RECIPES["spiking-gan-digits"], RECIPES["spiking-gan-mnist"]
MEASURES = {"frechet", "inception_score", "classes_covered", "tstr", "trts"}


def test_all_samplers_are_measured(finished):
    rows = scorecard(finished("spiking-gan-digits"))["samplers"]
    assert next(iter(rows)) == "real"
    assert {"pixel_marginals", "pca_gaussian", "ann_gan", "spiking_gan"} <= rows.keys()
    assert all(row.keys() == MEASURES for name, row in rows.items() if name != "spiking_gan")
    assert rows["real"]["frechet"] < rows["pca_gaussian"]["frechet"]
    assert rows["pca_gaussian"]["frechet"] < rows["pixel_marginals"]["frechet"]
    assert rows["real"]["classes_covered"] == 10
    assert pictures(finished("spiking-gan-digits")) == {"samples", "pca", "learning_curves"}


def test_spikes_of_the_spiking_generator_are_counted(finished):
    ours = scorecard(finished("spiking-gan-digits"))["samplers"]["spiking_gan"]
    assert ours.keys() > MEASURES
    assert ours["pixel_spikes"] <= 64
    assert ours["hidden_spikes"] == pytest.approx(128 * ours["hidden_active"], rel=1e-2)
    # The window has 48 ticks: the clock changes an image little.
    assert ours["clocked_frechet"] == pytest.approx(ours["frechet"], rel=0.25)


def test_samples_spike_once_and_are_the_images(finished, tmp_path):
    out = tmp_path / "samples.npz"
    run = finished("spiking-gan-digits")
    assert command("sample", run, "--n", 20, "--label", 3, "--out", out) == 0
    drawn = np.load(out)
    assert drawn["spikes"].shape == (32, 20, 64)
    assert drawn["spikes"].sum(0).max() == 1
    assert (drawn["labels"] == 3).all()
    first = drawn["spikes"].argmax(0)
    decoded = np.where(drawn["spikes"].any(0), 1 - first / 32, 0)
    assert np.abs(decoded - drawn["images"]).max() <= 1 / 32 + 1e-6
    assert ((drawn["times"] < 1.5) == drawn["spikes"].any(0)).all()


def test_an_interrupted_run_resumes_to_the_same_weights(finished, tmp_path, monkeypatch):
    looks = []

    def monitor(self, trainer):
        looks.append(trainer.state.updates)
        if looks == [20]:
            signal.raise_signal(signal.SIGINT)
        return {}

    monkeypatch.setattr(GreyImageEvaluation, "monitor", monitor)
    monkeypatch.setattr(GreyImageEvaluation, "evaluate", lambda self, trainer: Results({}))
    options = ("--no-progress", "--out", tmp_path)
    short = SHORT["spiking-gan-digits"].split()
    assert command("train", "spiking-gan-digits", *short, *options) == 128 + signal.SIGINT
    assert command("train", "spiking-gan-digits", "--resume", *options) == 0
    assert looks == [20, 40]
    resumed, whole = (
        torch.load(folder / "checkpoint.pt", weights_only=True)["state"]["states"]
        for folder in (tmp_path, finished("spiking-gan-digits"))
    )
    for name in ("spiking_gan", "ann_gan"):
        for part in ("generator", "discriminator", "averaged"):
            a, b = resumed[name][part], whole[name][part]
            assert all(torch.equal(a[key], b[key]) for key in a)


def test_samples_need_no_data_and_no_labels(squares, tmp_path, monkeypatch):
    monkeypatch.delenv("SNN_GAN_EXT_DATA", raising=False)
    monkeypatch.setattr(GreyImageEvaluation, "monitor", lambda self, trainer: {})
    monkeypatch.setattr(GreyImageEvaluation, "evaluate", lambda self, trainer: Results({}))
    settings = ("--updates", 2, "--data.no-conditional")
    folder, data = tmp_path / "gan", tmp_path / "moved.npz"
    data.write_bytes(squares.read_bytes())
    options = (*settings, "--no-progress", "--data", data, "--out", folder)
    assert command("train", "spiking-gan-mnist", *options) == 0
    data.unlink()
    out = tmp_path / "samples.npz"
    assert command("sample", folder, "--n", 4, "--out", out) == 0
    drawn = np.load(out)
    assert drawn["spikes"].shape == (32, 4, 784)
    assert "labels" not in drawn
    assert command("sample", folder, "--label", 3, "--out", out) == 2


def test_networks_without_labels_receive_none(squares, rng):
    data = replace(MNIST.data, path=str(squares), conditional=False)
    assert data.batch(4, rng).labels is None
    assert data.classes == 0
    assert replace(data, conditional=True).batch(4, rng).labels.shape == (4,)


@pytest.mark.parametrize(
    ("recipe", "changes", "says"),
    [
        (DIGITS, {"generator.latents": 0}, "latents"),
        (DIGITS, {"evaluation.synthetic_count": 10}, "synthetic_count"),
        (DIGITS, {"learner.sparsity": -1.0}, "sparsity"),
        (MNIST, {"data.path": "x.npz", "data.download": True}, "one of them"),
        (MNIST, {"data.path": "nowhere.npz"}, r"nowhere\.npz"),
    ],
)
def test_settings_out_of_bounds_are_refused(recipe, changes, says):
    with pytest.raises(InputError, match=says):
        build(recipe.vary(changes), torch.device("cpu")).prepare()
