"""Schedules, against the formulas that each algorithm had of its own before."""

import math

import pytest

from snn_gan_ext import InputError
from snn_gan_ext.types import CONSTANT, COSINE, LATE, LINEAR, Schedule

UPDATES = 701


def linear(update, lr, last):
    progress = min(update / UPDATES, 1.0)
    return lr * (1.0 - (1.0 - last) * progress)


def late(update, lr, last):
    decayed = min(max(2 * update / UPDATES - 1, 0.0), 1.0)
    return lr * (1.0 - (1.0 - last) * decayed)


def cosine(update, lr, last):
    return 0.5 * lr * (1 + math.cos(math.pi * min(update / UPDATES, 1.0)))


@pytest.mark.parametrize(
    ("schedule", "formula"),
    [
        (LINEAR, linear),
        (Schedule(1.0, 0.03), linear),
        (CONSTANT, linear),
        (LATE, late),
        (COSINE, cosine),
    ],
    ids=str,
)
@pytest.mark.parametrize("lr", [3e-3, 1e-2, 0.05, 1.0])
def test_schedules_equal_the_formulas_bit_for_bit(schedule, formula, lr):
    for update in range(UPDATES + 5):
        assert lr * schedule.at(update, UPDATES) == formula(update, lr, schedule.end)


def test_a_rate_between_two_values_equals_its_formula_bit_for_bit():
    schedule = Schedule(0.7, 0.1)
    for update in range(UPDATES + 5):
        progress = min(update / UPDATES, 1.0)
        assert schedule.at(update, UPDATES) == 0.7 + (0.1 - 0.7) * progress


@pytest.mark.parametrize("shape", ["linear", "late", "cosine"])
def test_schedules_begin_at_their_start_and_stay_at_their_end(shape):
    schedule = Schedule(0.8, 0.2, shape)
    assert schedule.at(0, 10) == pytest.approx(0.8)
    assert schedule.at(10, 10) == schedule.at(99, 10) == pytest.approx(0.2)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"start": -0.1}, "start: expected 0 or more"),
        ({"end": math.nan}, "end: expected 0 or more"),
        ({"end": math.inf}, "end: expected 0 or more"),
        ({"shape": "step"}, "linear, late, cosine"),
    ],
)
def test_schedules_out_of_range_are_refused(options, words):
    with pytest.raises(InputError, match=words):
        Schedule(**options)
