"""Digits as spike trains: a spiking classifier beside the others, good samplers apart from bad ones."""

import pytest
import torch
from torch import nn

from snn_gan_ext import InputError
from snn_gan_ext.coding.images import rate_decode, rate_encode
from snn_gan_ext.experiments.recipes import RECIPES
from snn_gan_ext.experiments.trainer import build
from tests.experiments.helpers import scorecard

POOLED = RECIPES["digits-spikes-pooled"]
CPU = torch.device("cpu")


def test_a_spiking_classifier_is_tested_by_probability_and_by_count(finished):
    rows = scorecard(finished("digits-spikes-pooled"))["samplers"]
    assert list(rows) == ["real", "class_means", "kmeans", "spikegan"]
    assert all({"snn_tstr", "snn_tstr_count", "tstr", "c2st"} <= row.keys() for row in rows.values())


def test_samples_are_decoded_as_rates_whatever_the_discriminator_receives(rng):
    for name in ("digits-spikes-time-surface", "digits-spikes-cnn", "digits-spikes-ml"):
        trainer = build(RECIPES[name], CPU)
        drawn = trainer.experiment.evaluation.sample(trainer, torch.arange(6), rng)
        assert torch.equal(drawn["images"], rate_decode(drawn["spikes"]))


class MixedUp(nn.Module):
    """Real digits of the next class."""

    def __init__(self, data):
        super().__init__()
        self.data = data

    def forward(self, labels, rng):
        train = self.data.splits.train
        wanted = ((labels + 1) % 10).tolist()
        places = [int((train.labels == k).nonzero()[i % 80]) for i, k in enumerate(wanted)]
        return rate_encode(train.images[places], self.data.num_steps, rng=rng)


def test_a_sampler_that_mixes_up_the_classes_fails_by_every_measure():
    """The bounds are 6 or more standard deviations from the means of 8 seeds.

    The nearest are snn_tstr, 0.74 +- 0.04, and snn_tstr_count, 0.34 +- 0.04, of real digits.
    """
    small = {"synthetic_count": 300, "copies": 1, "classifier_updates": 60}
    changes = {"data.num_steps": 8, **{f"evaluation.{name}": value for name, value in small.items()}}
    trainer = build(POOLED.vary(changes), CPU)
    trainer.generators["spikegan"] = MixedUp(trainer.data)
    rows = trainer.evaluate().samplers
    right, wrong = rows["real"], rows["spikegan"]
    for measure in ("tstr", "trts", "snn_tstr"):
        assert wrong[measure] < 0.2 < 0.5 < right[measure], measure
    assert wrong["snn_tstr_count"] < 0.1 < right["snn_tstr_count"]
    assert abs(right["c2st"] - 0.5) < 0.15
    assert wrong["c2st"] > 0.8
    assert wrong["energy_distance"] > right["energy_distance"] + 0.5


@pytest.mark.parametrize("name", [name for name in RECIPES if name.startswith("digits-spikes")])
def test_settings_out_of_bounds_are_refused(name):
    for changes in ({"evaluation.copies": 0}, {"evaluation.classifier_updates": 0}):
        with pytest.raises(InputError):
            RECIPES[name].vary(changes).check()


def test_time_is_divided_into_whole_bins():
    with pytest.raises(InputError, match="10 steps, got 4"):
        build(POOLED.vary({"data.num_steps": 10}), CPU)
