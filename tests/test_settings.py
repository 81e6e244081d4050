"""Rules for settings."""

import math
from types import SimpleNamespace
from typing import Literal

import numpy as np
import pytest

from snn_gan_ext.errors import InputError
from snn_gan_ext.settings import above, at_least, between, check_setting, check_settings, one_of, whole


@pytest.mark.parametrize(
    ("rule", "allowed", "refused", "says"),
    [
        (whole(1), (1, 7), (0, 1.0, np.int64(7), True, "1", None), "a whole number of at least 1"),
        (whole(0, 3), (0, 3), (-1, 4, 2.5), "a whole number from 0 to 3"),
        (at_least(0), (0, 0.5, 10**6), (-1e-9, math.inf, math.nan, "0", False, 10**400), "0 or more"),
        (above(0), (1e-9, 1), (0, -1, math.inf), "above 0"),
        (between(0, 1), (0, 1, 0.5), (-0.1, 1.1, math.nan), "0 .. 1"),
        (between(0, 1, closed="left"), (0, 0.9), (1, -0.1), "0 or more, below 1"),
        (between(0, 1, closed="right"), (1, 0.1), (0, 1.1), "above 0, at most 1"),
        (between(0, 1, closed="neither"), (0.5,), (0, 1), "above 0, below 1"),
        (one_of(Literal["a", "b"]), ("a", "b"), ("c", None, 1), "one of a, b"),
    ],
)
def test_a_rule_allows_what_it_says(rule, allowed, refused, says):
    for value in allowed:
        check_settings(SimpleNamespace(it=value), it=rule)
    for value in refused:
        with pytest.raises(InputError, match=rf"it: expected {says}, got ") as failure:
            check_settings(SimpleNamespace(it=value), it=rule)
        assert value == 10**400 or repr(value) in str(failure.value)


@pytest.mark.parametrize(
    "value", [10**5000, list(range(10**5)), np.zeros((9, 9))], ids=["int", "list", "array"]
)
def test_what_is_refused_is_shown_on_one_short_line(value):
    for rule in (whole(1, 3), between(0, 1), one_of(Literal["a"])):
        with pytest.raises(InputError) as failure:
            check_setting("it", value, rule)
        assert len(str(failure.value)) < 200
        assert "\n" not in str(failure.value)
