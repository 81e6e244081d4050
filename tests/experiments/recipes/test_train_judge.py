"""The convolutional judge of spike trains."""

import math

import pytest
import torch

from snn_gan_ext import InputError
from snn_gan_ext.experiments.recipes.train_judge import told_apart_by_convolutions


def trains(rng, count=400):
    return torch.bernoulli(torch.full((60, count), 0.2), generator=rng)


def test_trains_of_one_law_are_not_told_apart_and_others_are(rng):
    real = trains(rng)
    assert 0.4 < told_apart_by_convolutions(real, trains(rng), 0, updates=100) < 0.6
    # As many spikes, and all in pairs.
    paired = torch.bernoulli(torch.full((30, 400), 0.2), generator=rng).repeat_interleave(2, 0)
    assert told_apart_by_convolutions(real, paired, 0, updates=100) > 0.9


def test_the_judge_leaves_the_global_random_source_alone(rng):
    before = torch.get_rng_state()
    first, second = (told_apart_by_convolutions(trains(rng, 20), trains(rng, 20), 1, 3) for _ in "ab")
    assert 0 <= first <= 1 >= second >= 0
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("shape", [(60, 19), (59, 40), (61, 40)])
def test_trains_that_cannot_be_judged_are_refused(shape, rng):
    with pytest.raises(InputError, match="trains"):
        told_apart_by_convolutions(trains(rng), torch.zeros(shape), 0)


def test_bad_input_is_named_instead_of_judged(rng):
    real = trains(rng, 20)
    for other in (real * math.nan, real * 5, real[:, 0], real.numpy()):
        with pytest.raises(InputError, match="spikes"):
            told_apart_by_convolutions(real, other, 0)
    for options in ({"seed": -1}, {"seed": 0.5}, {"seed": 0, "updates": 0}):
        with pytest.raises(InputError, match=r"seed|updates"):
            told_apart_by_convolutions(real, real, **options)
    with torch.no_grad():
        told_apart_by_convolutions(real, real, 0, 2)
