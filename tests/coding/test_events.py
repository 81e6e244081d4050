"""Codes between events and spikes."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from snn_gan_ext import InputError
from snn_gan_ext.coding.events import (
    EVENT,
    Binning,
    Sensor,
    bin_events,
    pooled_counts,
    problem_of,
    to_events,
)

SENSOR = Sensor(6, 4, 2)
DATA = os.environ.get("SNN_GAN_EXT_DATA")


def events(*rows):
    """Rows of (x, y, t, p)."""
    return np.array(list(rows), EVENT)


def test_an_event_becomes_a_spike_of_its_pixel_step_and_polarity():
    spikes = bin_events(
        events((5, 3, 0, 1), (0, 0, 19, 0), (0, 0, 15, 0), (1, 2, 20, 0)),
        Binning(sensor=SENSOR, num_steps=2, step_us=10),
    )
    assert spikes.shape == (2, 2, 4, 6)
    assert [tuple(index) for index in np.argwhere(spikes)] == [(0, 1, 3, 5), (1, 0, 0, 0)]


def test_start_crop_pool_and_merge():
    binning = Binning(
        sensor=SENSOR,
        num_steps=1,
        step_us=10,
        start_us=5,
        crop=(1, 0, 5, 4),
        pool=2,
        merge_polarities=True,
    )
    assert binning.shape == (1, 1, 2, 3)
    assert binning.sensor_size == Sensor(3, 2, 1)
    inside, outside = [(5, 3, 5, 1), (1, 0, 14, 0)], [(0, 0, 6, 0), (2, 2, 4, 0), (2, 2, 15, 0)]
    spikes = bin_events(events(*inside, *outside), binning)
    assert [tuple(index) for index in np.argwhere(spikes)] == [(0, 0, 0, 0), (0, 0, 1, 2)]


def test_a_recording_without_rows_or_with_one_polarity():
    """Tonic's Heidelberg digits are such: no y, and p is 1 throughout."""
    dtype = [("t", np.int64), ("x", np.int64), ("p", np.int64)]
    recording = np.array([(0, 699, 1), (7, 3, 1)], dtype)
    sensor = Sensor(700, 1, 1)
    assert problem_of(recording, sensor) is None
    spikes = bin_events(recording, Binning(sensor=sensor, num_steps=2, step_us=5))
    assert [tuple(index) for index in np.argwhere(spikes)] == [(0, 0, 0, 699), (1, 0, 0, 3)]


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 4), st.sampled_from([0.0, 0.1, 0.9]))
def test_spikes_to_events_and_back_lose_nothing(seed, step_us, density):
    spikes = torch.rand(5, 2, 4, 6, generator=torch.Generator().manual_seed(seed)) < density
    recording = to_events(spikes, step_us, start_us=3)
    assert len(recording) == int(spikes.sum())
    assert problem_of(recording, SENSOR) in (None, "no events")
    binning = Binning(sensor=SENSOR, num_steps=5, step_us=step_us, start_us=3)
    assert (bin_events(recording, binning) == spikes.numpy()).all()


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        ([], "no events"),
        ([(6, 0, 0, 0)], "x from 6 to 6"),
        ([(0, -1, 0, 0)], "y from -1"),
        ([(0, 0, 0, 2)], "p from 2"),
        ([(0, 0, 5, 0), (0, 0, 4, 0)], "time runs backwards 1 times"),
    ],
)
def test_a_problem_is_named(rows, reason):
    assert reason in problem_of(events(*rows), SENSOR)
    if "from" in reason:
        with pytest.raises(InputError, match="events"):
            bin_events(events(*rows), Binning(sensor=SENSOR, num_steps=1, step_us=1))


def test_unsigned_times_that_run_backwards_are_noticed():
    recording = np.array([(0, 5), (0, 4)], [("x", np.uint16), ("t", np.uint64)])
    assert "no structured array" in problem_of(recording, SENSOR)
    full = np.array([(0, 0, 5, True), (0, 0, 4, True)], [*EVENT.descr[:2], ("t", "u8"), ("p", "?")])
    assert "backwards" in problem_of(full, SENSOR)


@pytest.mark.parametrize(
    "wrong",
    [
        {"num_steps": 0},
        {"step_us": 1.5},
        {"pool": 0},
        {"pool": 7},
        {"pool": 4, "crop": (0, 0, 3, 3)},
        {"crop": (0, 0, 7, 4)},
        {"crop": (-1, 0, 2, 2)},
        {"sensor": Sensor(0, 4, 2)},
        {"sensor": 34},
        {"crop": (0.5, 0, 2, 2)},
        {"crop": (0, 0, 2)},
        {"start_us": float("nan")},
        {"merge_polarities": "no"},
    ],
    ids=str,
)
def test_a_binning_out_of_range_is_refused(wrong):
    with pytest.raises(InputError):
        Binning(**{"sensor": SENSOR, "num_steps": 2, "step_us": 10, **wrong})


def test_only_frames_become_events():
    for wrong in (torch.ones(2, 4, 6), 0.5 * torch.ones(1, 2, 4, 6)):
        with pytest.raises(InputError, match="zeros and ones"):
            to_events(wrong, 10)


def test_pooled_counts_by_hand():
    spikes = torch.zeros(4, 1, 1, 3, 3)
    spikes[:, 0, 0, 0, 0] = 1
    spikes[3, 0, 0, 2, 2] = 1
    found = pooled_counts(spikes, ((1, 1), (2, 2)))
    assert found.shape == (1, 9 + 2 * 4)
    expected = torch.zeros(9)
    expected[0], expected[8] = 4 / 4**0.5, 1 / 4**0.5
    torch.testing.assert_close(found[0, :9], expected)
    # Two halves of the trial, blocks of 2 x 2 x 2, the last one over the edge.
    coarse = torch.tensor([2.0, 0, 0, 0, 2, 0, 0, 1]) / 8**0.5
    torch.testing.assert_close(found[0, 9:], coarse)
    with pytest.raises(InputError, match="divisors"):
        pooled_counts(spikes, ((3, 1),))


@pytest.mark.skipif(DATA is None, reason="SNN_GAN_EXT_DATA is not set")
def test_real_recordings_are_binned_as_tonic_bins_them_and_come_back_whole():
    tonic = pytest.importorskip("tonic", reason="tonic is not installed")
    sensor = Sensor(34, 34, 2)
    binning = Binning(sensor=sensor, num_steps=30, step_us=10_000)
    to_frame = tonic.transforms.ToFrame(
        sensor_size=sensor, time_window=10_000, start_time=0, end_time=300_000
    )
    paths = sorted(Path(DATA, "nmnist-small", "Train").glob("*/*.bin"))
    assert len(paths) == 1000
    for number, path in enumerate(paths):
        recording = tonic.io.read_mnist_file(path, dtype=tonic.datasets.NMNIST.dtype)
        spikes = bin_events(recording, binning)
        assert (bin_events(to_events(spikes, 10_000), binning) == spikes).all()
        if number % 50 == 0:
            assert (to_frame(recording).clip(0, 1) == spikes).all()


def test_events_are_whole_numbers_in_one_row():
    floats = [("x", float), ("y", float), ("t", float), ("p", float)]
    assert problem_of(np.array([(1.0, 2.0, 30.0, 1.0)], floats), SENSOR) is None
    for row in ((1.5, 2, 30, 1), (1, 2, float("nan"), 1), (1, 2, 0.03, 1)):
        assert "no whole numbers" in problem_of(np.array([row], floats), SENSOR)
    assert "no structured array" in problem_of(np.array((1, 2, 3, 0), EVENT), SENSOR)
    text = np.array([("1", 2, 3, 0)], [("x", "U1"), *EVENT.descr[1:]])
    assert "of dtype" in problem_of(text, SENSOR)
    for wrong in (np.ones((2, 4)), np.array([(0, 0, np.nan, 0)], floats)):
        with pytest.raises(InputError, match="events"):
            bin_events(wrong, Binning(sensor=SENSOR, num_steps=1, step_us=1))
    assert Binning(sensor=(6, 4, 2), num_steps=1, step_us=1).sensor == SENSOR


def test_a_pool_may_be_as_large_as_the_frame():
    assert Binning(sensor=SENSOR, num_steps=1, step_us=1, pool=6).shape == (1, 2, 1, 1)


def test_a_sensor_of_one_polarity_has_one():
    sensor = Sensor(6, 4, 1)
    for p in (0, 1):
        assert problem_of(events((0, 0, 0, p), (1, 0, 1, p)), sensor) is None
    both = events((0, 0, 0, 0), (1, 0, 1, 1))
    assert "both polarities" in problem_of(both, sensor)
    with pytest.raises(InputError, match="both polarities"):
        bin_events(both, Binning(sensor=sensor, num_steps=2, step_us=1))


@pytest.mark.parametrize("time", [1e300, -1e300, 2.0**62, -(2.0**62)])
def test_times_that_fit_no_whole_number_are_noticed(time):
    floats = np.array([(0, 0, time, 0)], [*EVENT.descr[:2], ("t", float), EVENT.descr[3]])
    assert "t from" in problem_of(floats, SENSOR)


@pytest.mark.parametrize(
    "pools", [(), 3, ((2,),), ((2, 1, 1),), (("a", 1),), ((2, 1.5),), ((0, 1),), ((2, -1),)], ids=str
)
def test_pools_are_pairs_of_whole_numbers(pools):
    with pytest.raises(InputError):
        pooled_counts(torch.zeros(4, 1, 1, 3, 3), pools)
