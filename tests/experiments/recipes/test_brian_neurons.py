"""Learning from neurons simulated in Brian2, end to end on a few updates."""

from dataclasses import replace

import pytest

from snn_gan_ext import InputError
from snn_gan_ext.experiments.recipes import RECIPES
from tests.experiments.helpers import pictures, scorecard

pytest.importorskip("brian2", reason="brian2 is not installed")


def test_each_generator_is_compared_with_new_simulations(finished):
    """Of real trials, over_poisson is 0.19 +- 0.03 and c2st 0.48 +- 0.04 (8 seeds).

    The c2st of particles after three updates is 0.95 +- 0.02.
    """
    rows = scorecard(finished("brian-adex"))["samplers"]
    assert list(rows) == ["real", "poisson", "ml", "spikegan", "bayes"]
    assert rows["real"]["over_poisson"] < 0.6
    assert rows["poisson"]["over_poisson"] == 1
    assert rows["real"]["c2st"] < 0.7 < rows["bayes"]["c2st"]
    assert all(row.keys() == rows["real"].keys() for row in rows.values())
    assert pictures(finished("brian-adex")) == {"raster", "statistics", "learning_curves"}


def trials_of(spikes):
    return {trial.numpy().tobytes() for trial in spikes.unbind(1)}


def test_trials_are_of_all_kinds_and_no_trial_is_in_two_sets():
    adex, modes = (replace(RECIPES[f"brian-{name}"].data, trials=20) for name in ("adex", "modes"))
    train = trials_of(adex.trials_to_learn_from[..., 0])
    validation, test = (trials_of(adex.held_out(split, 20)) for split in ("validation", "test"))
    assert len(train | validation | test) == 60
    # The kinds take turns: a third of the trials are those of the AdEx neurons alone.
    assert len(modes.neurons) == 3
    among = trials_of(replace(modes, trials=60).trials_to_learn_from[..., 0])
    assert len(among) == 60
    assert train < among


def test_each_kind_has_a_trial():
    data = replace(RECIPES["brian-modes"].data, trials=2)
    with pytest.raises(InputError, match="trials: expected 3 or more"):
        _ = data.trials_to_learn_from


def test_there_is_a_kind_of_neurons():
    with pytest.raises(InputError, match="neurons: expected at least one kind"):
        RECIPES["brian-adex"].vary({"data.neurons": ()}).check()
