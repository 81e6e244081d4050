"""Learning from neurons simulated in Brian2, end to end on a few steps."""

import json

import pytest
import torch

from snn_gan_ext import cli
from snn_gan_ext.experiments.recipes import RECIPES

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


def trials_of(spikes):
    return {trial.numpy().tobytes() for trial in spikes.unbind(1)}


def test_trials_are_of_all_kinds_and_no_trial_is_in_two_splits():
    modes, adex = (RECIPES[f"brian-{name}"]().build(torch.device("cpu")) for name in ("modes", "adex"))
    train, validation, test = (trials_of(adex._real(20, salt)) for salt in (0, 500, 1000))
    assert len(train | validation | test) == 60
    # The kinds take turns: a third of the trials are AdEx neurons of the same seed.
    assert len(modes.recipe.neurons) == 3
    among = trials_of(modes._real(60, 0))
    assert len(among) == 60
    assert train < among
