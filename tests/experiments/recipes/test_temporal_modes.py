"""One neuron, several firing modes (Fig. 7), end to end on a few updates."""

from dataclasses import replace

import pytest
import torch

from snn_gan_ext import InputError
from snn_gan_ext.experiments.recipes import RECIPES
from snn_gan_ext.experiments.trainer import build
from tests.experiments.helpers import pictures, scorecard

MODES = RECIPES["temporal-modes"]
SMALL = {"data.trials": 50, "data.modes": "four", "generator.size": 4, "batch": 16}


def test_each_generator_is_measured(finished):
    rows = scorecard(finished("temporal-modes"))["samplers"]
    assert list(rows) == ["real", "ml", "spikegan", "bayes"]
    for row in rows.values():
        assert row["valid"] == pytest.approx(row["burst"] + row["tonic"], abs=1e-3)
        assert row["isi_wasserstein"] >= 0
    assert rows["real"]["valid"] == 1
    assert abs(rows["real"]["mmd"]) < 0.1 < rows["ml"]["mmd"]
    assert 0 <= rows["bayes"]["silent_particles"] <= 2
    shown = {"raster", "rasters_over_training", "learning_curves"}
    assert {name for name in pictures(finished("temporal-modes")) if "crosscheck" not in name} == shown


def test_a_run_that_goes_on_ends_like_one_that_did_not_stop():
    def start():
        experiment = MODES.vary({**SMALL, "data.phase": "start"}).with_updates(6)
        return build(experiment, torch.device("cpu"))

    def go_on(trainer, updates):
        for _ in range(updates):
            trainer.algorithm.update(trainer.state, trainer.next_batch(trainer.state.rng))
        trainer.monitor()

    whole, half, resumed = start(), start(), start()
    go_on(whole, 3)
    go_on(whole, 3)
    go_on(half, 3)
    resumed.state.load_state_dict(half.state.state_dict())
    go_on(resumed, 3)
    assert list(resumed.state.drawn) == ["3", "6"]
    assert torch.equal(resumed.state.drawn["6"], whole.state.drawn["6"])
    weights = whole.generators.state_dict()
    assert all(torch.equal(x, weights[name]) for name, x in resumed.generators.state_dict().items())


def test_modes_are_two_or_four():
    two, four = (replace(MODES.data, modes=modes).patterns for modes in ("two", "four"))
    assert [pattern.name for pattern in two] == ["burst", "tonic"]
    assert [pattern.name for pattern in four] == ["burst", "tonic", "plateau", "regular"]


@pytest.mark.parametrize(
    "changes",
    [
        {"batch": 12},
        {"batch": 5},
        {"generator.size": 0},
        {"generator.member.basis.window": 0},
        {"data.num_steps": 10},
        {"data.trials": 1},
        {"data.modes": "three"},
        {"data.phase": "end"},
        {"evaluation.synthetic_count": 99},
    ],
    ids=str,
)
def test_settings_out_of_bounds_are_refused(changes):
    with pytest.raises(InputError):
        MODES.vary(changes).check()
