"""Schedules, against the formulas that each algorithm had of its own before."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import pytest

from snn_gan_ext import InputError
from snn_gan_ext.types import CONSTANT, COSINE, LATE, LINEAR, Schedule, check_rules

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


@pytest.mark.parametrize(("update", "updates"), [(0, 0), (-1, 5), (0.5, 5), (0, 2.0)])
def test_progress_is_counted_in_updates(update, updates):
    with pytest.raises(InputError, match=r"update.*a whole number"):
        LINEAR.at(update, updates)


@dataclass
class Settings:
    flag: Any = True
    names: Any = ()
    function: Any = abs
    maybe: Any = None
    inner: Any = LINEAR
    either: Any = "a"


Settings.__annotations__ = {
    "flag": bool,
    "names": tuple[str, ...],
    "function": Callable[[int], int],
    "maybe": Callable[[int], int] | None,
    "inner": Schedule,
    "either": Literal["a", "b"],
}


def test_settings_have_the_type_that_is_declared():
    check_rules(Settings())
    check_rules(Settings(maybe=abs, names=("a",), flag=False, either="b"))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"flag": "no"}, "flag: expected True or False"),
        ({"flag": 1}, "flag: expected True or False"),
        ({"names": "abc"}, "names: expected a tuple"),
        ({"function": 3}, "function: expected a function"),
        ({"function": None}, "function: expected a function"),
        ({"maybe": 3}, "maybe: expected a function or None"),
        ({"inner": 1.0}, "inner: expected a Schedule"),
        ({"either": "c"}, "either: expected one of a, b"),
    ],
)
def test_settings_of_another_type_are_refused(options, words):
    with pytest.raises(InputError, match=words):
        check_rules(Settings(**options))
    with pytest.raises(InputError, match=f"learner.{words}"):
        check_rules(Settings(**options), "learner")
