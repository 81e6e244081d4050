"""Classifiers by the first spike, end to end on short runs."""

from dataclasses import replace

import pytest
import torch

from snn_gan_ext import InputError
from snn_gan_ext.experiments.recipes import RECIPES
from snn_gan_ext.experiments.trainer import build
from tests.experiments.helpers import command, pictures, refused, scorecard

DIGITS, MNIST = RECIPES["ttfs-digits"], RECIPES["ttfs-mnist"]
MEASURES = {"strict_accuracy", "tie_accuracy", "latency", "spikes_to_decision", "spikes_full"}


def test_classifiers_are_measured_side_by_side(finished):
    """The accuracy is 0.69 +- 0.04 (8 seeds); chance is 0.1."""
    found = scorecard(finished("ttfs-digits"))
    rows = found["samplers"]
    assert rows.keys() == {"relative", "aggressive"}
    for row in rows.values():
        assert row.keys() == MEASURES
        assert row["spikes_to_decision"] <= row["spikes_full"] <= 210
    assert rows["aggressive"]["strict_accuracy"] > 0.3
    saved = 1 - rows["aggressive"]["latency"] / rows["relative"]["latency"]
    assert found["latency_saved"] == pytest.approx(saved, abs=1e-3)
    assert pictures(finished("ttfs-digits")) == {"raster", "decisions", "learning_curves"}


def test_classifiers_learn_digits_of_a_file(squares, tmp_path):
    """All 8 of 8 seeds know every square; chance is 0.1."""
    options = ("--updates", 60, "--generator.hidden", 60, "--data", squares, "--no-progress")
    assert command("train", "ttfs-mnist", *options, "--out", tmp_path / "run") == 0
    rows = scorecard(tmp_path / "run")["samplers"]
    assert rows["aggressive"]["tie_accuracy"] > 0.9


def test_a_classifier_draws_nothing(finished, tmp_path, capsys):
    out = ("--out", tmp_path / "samples.npz")
    assert "spiking-gan-digits" in refused(capsys, "sample", finished("ttfs-digits"), *out)
    assert "GLM" in refused(capsys, "crosscheck", finished("ttfs-digits"))


def test_training_images_are_moved_within_the_settings_alone(squares, rng):
    data = replace(MNIST.data, path=str(squares), degrees=0.0, scale=0.0, shift=0)
    plain = data.batch(20, torch.Generator().manual_seed(0))
    again = data.batch(20, torch.Generator().manual_seed(0))
    moved = replace(data, shift=2).batch(20, torch.Generator().manual_seed(0))
    assert torch.equal(plain.times, again.times)
    assert torch.equal(plain.labels, moved.labels)
    assert not torch.equal(plain.times, moved.times)


def test_digits_are_known_by_their_content(squares, tmp_path):
    import numpy as np

    with np.load(squares) as found:
        images, labels = found["images"], found["labels"]
    images[[0, 1]] = images[[1, 0]]
    np.savez(tmp_path / "other.npz", images=images, labels=labels)
    same, other = (replace(MNIST.data, path=str(path)) for path in (squares, tmp_path / "other.npz"))
    assert same.fingerprint() == replace(MNIST.data, path=str(squares)).fingerprint()
    assert same.fingerprint() != other.fingerprint()


@pytest.mark.parametrize(
    ("recipe", "changes", "says"),
    [
        (DIGITS, {"data.window": 1}, "window"),
        (DIGITS, {"data.shift": -1}, "shift"),
        (DIGITS, {"data.scale": 1.0}, "scale"),
        (DIGITS, {"data.degrees": 181.0}, "degrees"),
        (DIGITS, {"data.side": 14}, "side: expected 8 for digits"),
        (MNIST, {"data.side": 8}, "side: expected 14 or 28 for mnist"),
        (DIGITS, {"generator.hidden": 0}, "hidden"),
        (DIGITS, {"learner.deadline": 64}, "deadline"),
        (DIGITS, {"learner.margin": 64}, "margin"),
        (MNIST, {"data.path": "nowhere.npz"}, r"nowhere\.npz"),
    ],
)
def test_settings_out_of_bounds_are_refused(recipe, changes, says):
    with pytest.raises(InputError, match=says):
        build(recipe.vary(changes), torch.device("cpu")).prepare()
