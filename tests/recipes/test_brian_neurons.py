"""Learning from neurons simulated in Brian2, end to end on a few steps."""

import json

import pytest
import torch

from snn_gan_ext import InputError, cli
from snn_gan_ext.recipes import RECIPES

pytest.importorskip("brian2", reason="brian2 is not installed")

QUICK = ["--steps", "3", "--monitor-every", "2", "--trials", "60", "--synthetic-count", "200"]


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


def test_both_spikegans_begin_at_what_likelihood_found():
    recipe = RECIPES["brian-modes"](trials=60, batch=12, steps=8, warm_std=0.0)
    experiment = recipe.build(torch.device("cpu"))
    state, weights = experiment.state, experiment.state.rng

    def learn(count):
        for _ in range(count):
            metrics = experiment.algorithm.update(state, experiment.next_batch(weights))
        return metrics

    assert {key.partition("_")[0] for key in learn(2)} == {"ml"}
    found = {n: p.clone() for n, p in experiment.generators["ml"].named_parameters()}
    experiment._hand_over(state)
    for name, value in found.items():
        assert torch.equal(dict(experiment.generators["spikegan"].named_parameters())[name], value)
        members = dict(state.states["bayes"].generator.members.named_parameters())[name]
        assert torch.equal(members, value.expand_as(members))
    assert {key.partition("_")[0] for key in learn(6)} == {"spikegan", "bayes"}
    rested = dict(experiment.generators["ml"].named_parameters())
    assert all(torch.equal(rested[name], value) for name, value in found.items())


@pytest.mark.parametrize("share", [-0.1, 1.0])
def test_a_warm_start_leaves_steps_for_the_rest(share):
    with pytest.raises(InputError, match="warm_start"):
        RECIPES["brian-modes"](warm_start=share).build(torch.device("cpu"))
