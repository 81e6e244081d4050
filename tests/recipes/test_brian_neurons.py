"""Learning from neurons simulated in Brian2, end to end on a few steps."""

import json

import pytest
import torch

from snn_gan_ext import cli
from snn_gan_ext.recipes import RECIPES

pytest.importorskip("brian2", reason="brian2 is not installed")

QUICK = ["--steps", "3", "--monitor-every", "2", "--trials", "60", "--synthetic-count", "200"]
QUICK += ["--judge-updates", "3"]


@pytest.mark.parametrize("name", ["brian-adex", "brian-modes"])
def test_each_generator_is_held_against_new_simulations(name, tmp_path):
    folder = tmp_path / "run"
    assert cli.main(["train", name, *QUICK, "--out", str(folder)]) == 0
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics["real"]["over_poisson"] < 0.5
    assert metrics["poisson"]["over_poisson"] == 1
    assert metrics["real"]["c2st"] < 0.65
    for generator in ("ml", "spikegan", "bayes"):
        assert set(metrics[generator]) == set(metrics["real"])
    pictures = {"raster", "statistics", "learning_curves"}
    assert {path.stem for path in folder.glob("*.png")} == pictures


def test_trials_are_of_all_kinds_and_no_trial_is_in_two_splits():
    experiment = RECIPES["brian-modes"](trials=60).build(torch.device("cpu"))
    train, test = experiment._real(60, 0), experiment._real(60, 1000)
    assert train.shape == (200, 60, 1)
    assert not torch.equal(train, test)
    kinds = experiment.recipe.neurons
    parts = [RECIPES["brian-adex"](trials=20).build(torch.device("cpu"))._real(20, 0)]
    # AdEx trials of the same seed are among them.
    among = (parts[0].unsqueeze(2) == train.unsqueeze(1)).all(0)[..., 0].any(1)
    assert len(kinds) == 3
    assert among.all()
