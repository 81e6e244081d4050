"""The recipe of Fig. 7, end to end on a few steps."""

import json

import numpy as np
import pytest
import torch

from snn_gan_ext import InputError, cli
from snn_gan_ext.experiments.recipes.temporal_modes import TemporalModes

QUICK = ("--steps", 6, "--monitor-every", 2, "--checkpoint-every", 4, "--synthetic-count", 100)


def command(*arguments):
    return cli.main([str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "modes"
    assert command("train", "temporal-modes", *QUICK, "--trials", 50, "--out", folder) == 0
    return folder


def test_each_generator_is_measured(run):
    metrics = json.loads((run / "metrics.json").read_text())
    for name in ("ml", "spikegan", "bayes"):
        scores = metrics[name]
        assert scores["valid"] == pytest.approx(scores["burst"] + scores["tonic"], abs=1e-4)
        assert scores["isi_wasserstein"] > 0
    assert metrics["real"]["valid"] == 1
    assert abs(metrics["real"]["mmd"]) < 0.1 < metrics["ml"]["mmd"]
    pictures = {"raster", "rasters_over_training", "learning_curves"}
    assert {path.stem for path in run.glob("*.png")} == pictures
    assert "<th>silent particles</th>" in (run / "report.html").read_text()


def test_samples_name_their_particle(run, tmp_path):
    out = tmp_path / "drawn.npz"
    assert command("sample", run, "--out", out, "--n", 200) == 0
    drawn = np.load(out)
    assert drawn["spikes"].shape == (50, 200, 1)
    assert set(drawn["particles"]) == set(range(5))
    assert command("sample", run, "--out", out, "--label", 1) == 2


def test_judging_again_gives_the_same_numbers(run):
    before = json.loads((run / "metrics.json").read_text())
    assert command("evaluate", run) == 0
    assert json.loads((run / "metrics.json").read_text()) == before


def test_a_run_that_goes_on_ends_like_one_that_did_not_stop():
    recipe = TemporalModes(steps=6, trials=50, modes="four", particles=4, batch=16, phase="start")

    def start():
        return recipe.build(torch.device("cpu"))

    def go_on(experiment, steps):
        for _ in range(steps):
            batch = experiment.next_batch(experiment.state.rng)
            experiment.algorithm.update(experiment.state, batch)
        experiment.monitor()

    whole, half, resumed = start(), start(), start()
    go_on(whole, 3)
    go_on(whole, 3)
    go_on(half, 3)
    resumed.state.load_state_dict(half.state.state_dict())
    go_on(resumed, 3)
    assert list(resumed.state.drawn) == ["3", "6"]
    assert torch.equal(resumed.state.drawn["6"], whole.state.drawn["6"])
    weights = whole.generator.state_dict()
    assert all(torch.equal(x, weights[name]) for name, x in resumed.generator.state_dict().items())


@pytest.mark.parametrize(
    "settings",
    [{"batch": 12}, {"batch": 5}, {"particles": 0}, {"window": 0}, {"time_steps": 10}, {"trials": 1}],
    ids=str,
)
def test_settings_without_a_meaning_are_refused(settings):
    with pytest.raises(InputError):
        TemporalModes(**settings).check()
