"""Spike trains: bins, splits, files of other packages and back, and bad input."""

import numpy as np
import pytest
import torch

from snn_gan_ext import InputError
from snn_gan_ext.datasets.spike_train_files import read_spike_trains, write_spike_trains
from snn_gan_ext.datasets.spike_trains import SpikeTrains


def ongoing(units=3, seconds=20.0, seed=0):
    rng = np.random.default_rng(seed)
    times = [np.sort(rng.uniform(0, seconds, rng.poisson(8 * seconds))) for _ in range(units)]
    names = [f"unit {place}" for place in range(units)]
    return SpikeTrains(tuple(times), tuple(names), np.array([[0.0, seconds]]))


def in_trials(trials=12, labels=True):
    rng = np.random.default_rng(1)
    count = 40 * trials
    times, neuron = rng.uniform(0, 1, count), rng.integers(0, 3, count)
    trial = np.arange(count) % trials
    names = ["left", "right"] * (trials // 2) if labels else None
    return SpikeTrains.from_trials(times, neuron, trial, 1.0, labels=names)


def same(a, b):
    assert a.units == b.units
    assert all(map(np.array_equal, a.times, b.times))
    assert np.array_equal(a.spans, b.spans)
    assert a.trials == b.trials
    assert a.label_names == b.label_names
    assert (a.labels is None) == (b.labels is None)
    assert a.labels is None or np.array_equal(a.labels, b.labels)


def test_spikes_fall_into_their_bins():
    trains = SpikeTrains((np.array([0.005, 0.015, 0.1, 0.9999]),), ("a",), np.array([[0.0, 1.0]]))
    binned = trains.bin(0.01, 0.5)
    assert binned.spikes.shape == (50, 2, 1)
    assert binned.spikes[:, 0, 0].nonzero().flatten().tolist() == [0, 1, 10]
    assert binned.spikes[:, 1, 0].nonzero().flatten().tolist() == [49]
    assert binned.lost == 0
    assert trains.bin(0.02, 1.0).lost == pytest.approx(1 / 4)


def test_windows_lie_within_spans_and_carry_their_labels():
    trains = in_trials()
    whole = trains.bin(0.05)
    assert whole.spikes.shape == (20, 12, 3)
    assert whole.labels.tolist() == [0, 1] * 6
    halves = trains.bin(0.05, 0.4, 0.2)
    assert halves.spikes.shape == (8, 12 * 4, 3)
    assert halves.labels.tolist() == [0] * 4 + [1] * 4 + ([0] * 4 + [1] * 4) * 5
    again = SpikeTrains.from_dense(whole.spikes, 0.05).bin(0.05)
    assert torch.equal(again.spikes, whole.spikes)


def test_parts_of_a_split_never_overlap():
    trains = ongoing()
    parts = trains.split((0.5, 0.25, 0.25))
    assert [part.duration for part in parts] == pytest.approx([10, 5, 5])
    assert sum(len(x) for part in parts for x in _inside(part)) == sum(map(len, trains.times))
    trials = in_trials().split((0.5, 0.25, 0.25), seed=3)
    assert [len(part.spans) for part in trials] == [6, 3, 3] or sum(len(x.spans) for x in trials) == 12
    starts = np.concatenate([part.spans[:, 0] for part in trials])
    assert len(np.unique(starts)) == 12
    assert all(len(np.unique(part.labels)) == 2 for part in trials)


def _inside(part):
    return [x[(x >= part.spans.min()) & (x < part.spans.max())] for x in part.times]


def test_a_signal_is_averaged_in_each_bin():
    signal = (np.arange(0, 1, 0.01), np.arange(100.0))
    trains = SpikeTrains((np.array([0.5]),), ("a",), np.array([[0.0, 1.0]]), signal=signal)
    found = trains.bin(0.1, 0.5).signal
    assert found.shape == (5, 2, 1)
    assert found[:, 0, 0].tolist() == pytest.approx([4.5, 14.5, 24.5, 34.5, 44.5])


@pytest.mark.parametrize("ending", [".npz", ".nwb", ".nix"])
@pytest.mark.parametrize("make", [ongoing, in_trials, lambda: in_trials(labels=False)])
def test_what_is_written_is_read_again(tmp_path, make, ending):
    pytest.importorskip({".nwb": "pynwb", ".nix": "nixio"}.get(ending, "numpy"))
    trains, path = make(), tmp_path / f"trains{ending}"
    write_spike_trains(trains, path, {"seed": 3, "run": "runs/x"})
    found = read_spike_trains(path, label="label" if ending == ".nwb" and trains.label_names else "")
    if ending == ".nix":  # neo's segments have no labels
        assert all(map(np.array_equal, trains.times, found.times))
        return
    same(trains, found)
    assert trains.fingerprint() == found.fingerprint()


def test_pynapple_reads_what_is_written(tmp_path):
    nap = pytest.importorskip("pynapple")
    trains = ongoing()
    write_spike_trains(trains, tmp_path / "trains.nwb")
    group = nap.load_file(str(tmp_path / "trains.nwb"))["units"]
    for times, key in zip(trains.times, group, strict=True):
        assert np.array_equal(times.round(9), group[key].t.round(9))  # pynapple keeps nanoseconds
    again = read_spike_trains(group)
    assert [len(x) for x in again.times] == [len(x) for x in trains.times]


def test_neo_reads_what_is_written(tmp_path):
    pytest.importorskip("nixio")
    neo = pytest.importorskip("neo")
    trains = in_trials(labels=False)
    write_spike_trains(trains, tmp_path / "trains.nix")
    reader = neo.io.NixIO(str(tmp_path / "trains.nix"), "ro")
    block = reader.read_block()
    reader.close()
    assert len(block.segments) == 12
    assert sum(len(x) for segment in block.segments for x in segment.spiketrains) == 480
    assert len(read_spike_trains(block).spans) == 12


def test_silent_units_are_left_out_by_name(tmp_path):
    trains = ongoing()
    quiet = SpikeTrains((*trains.times, np.empty(0)), (*trains.units, "quiet"), trains.spans)
    write_spike_trains(quiet, tmp_path / "trains.npz")
    with pytest.warns(UserWarning, match="1 silent units are left out: quiet"):
        assert read_spike_trains(tmp_path / "trains.npz").units == trains.units


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"times": (), "units": ()}, "units: expected at least one"),
        ({"units": ("a",)}, "units: expected 3 names"),
        ({"times": (np.array([0.1, np.nan]),) * 3}, "expected finite times"),
        ({"spans": np.array([[1.0, 0.5]])}, "spans that stop after"),
        ({"spans": np.empty((0, 2))}, "spans that stop after"),
        ({"labels": np.array([0, 1])}, "labels: expected one for each"),
        ({"times": tuple(1000 * x for x in ongoing().times), "spans": np.array([[0, 0.1]])}, "units"),
    ],
)
def test_impossible_trains_are_refused(change, words):
    trains = ongoing()
    parts = {"times": trains.times, "units": trains.units, "spans": trains.spans, **change}
    if words == "units":
        trains = SpikeTrains(**parts)
        assert trains.rates.max() == 0
        return
    with pytest.raises(InputError, match=words):
        SpikeTrains(**parts)


def test_milliseconds_for_seconds_are_noticed():
    times = tuple(np.arange(0, 1, 5e-4) for _ in range(2))
    with pytest.raises(InputError, match="milliseconds"):
        SpikeTrains(times, ("a", "b"), np.array([[0.0, 1.0]]))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"width": 0.0}, "width"),
        ({"width": 0.01, "window": 30.0}, "window: expected 0.01 .. 20 s"),
        ({"width": 0.01, "window": 0.001}, "window"),
    ],
)
def test_impossible_bins_are_refused(arguments, words):
    with pytest.raises(InputError, match=words):
        ongoing().bin(**arguments)


def test_impossible_splits_are_refused():
    with pytest.raises(InputError, match="shares"):
        ongoing().split((0.5, 0.2))
    with pytest.raises(InputError, match="3 trials or more for each label, got 1 of"):
        in_trials(2).split()
    with pytest.raises(InputError, match=r"units: expected some of .*, got \['x'\]"):
        ongoing().select(["x"])
    with pytest.raises(InputError, match=r"0 \.\. 1 s within trials"):
        SpikeTrains.from_trials([0.5, 2.0], [0, 0], [0, 0], 1.0)


def test_files_that_hold_no_spike_trains_are_refused(tmp_path):
    (tmp_path / "text.npz").write_text("no archive")
    (tmp_path / "text.nwb").write_text("no archive")
    (tmp_path / "trains.pkl").write_bytes(b"x")
    np.savez(tmp_path / "other.npz", x=np.zeros(3))
    np.savez(tmp_path / "dense.npz", spikes=np.zeros((5, 2, 3)))
    for name, words in {
        "text.npz": "spike trains in a .npz file",
        "trains.pkl": "runs no code",
        "other.npz": "times and neuron",
        "dense.npz": "width",
        "missing.npz": "no such file",
    }.items():
        with pytest.raises(InputError, match=words):
            read_spike_trains(tmp_path / name)
    pytest.importorskip("pynwb")
    with pytest.raises(InputError, match=r"spike trains in a \.nwb file"):
        read_spike_trains(tmp_path / "text.nwb")
    with pytest.raises(InputError, match="a path, or an object"):
        read_spike_trains(3)
    with pytest.raises(InputError, match="a file name ending in"):
        write_spike_trains(ongoing(), tmp_path / "trains.txt")


def test_tables_of_intervals_are_found_by_name(tmp_path):
    pytest.importorskip("pynwb")
    trains, path = in_trials(), tmp_path / "trains.nwb"
    write_spike_trains(trains, path)
    assert read_spike_trains(path).labels is None
    with pytest.raises(InputError, match="label: expected a column"):
        read_spike_trains(path, label="side")
    with pytest.raises(InputError, match=r"intervals: expected one of \['trials'\]"):
        read_spike_trains(path, intervals="epochs")


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: SpikeTrains((np.array(["x"]),), ("a",), np.array([[0, 1]])), "times: expected times"),
        (lambda: SpikeTrains((np.array([0.1]),) * 2, ("a", "a"), np.array([[0, 1]])), "twice"),
        (
            lambda: SpikeTrains(
                (np.array([0.1]),), ("a",), np.array([[0, 1]]), labels=np.array(["left"])
            ),
            "labels: expected whole numbers",
        ),
        (lambda: SpikeTrains.from_trials([0.1], [0], [-1], 1.0), "trial: expected numbers from 0"),
        (lambda: SpikeTrains.from_trials([0.1], [0], [5], 1.0, num_trials=2), "trial: .* below 2"),
        (lambda: ongoing().bin(0.01, float("nan")), "window"),
        (lambda: ongoing().bin(0.01, 1.0, -1.0), "stride"),
        (lambda: ongoing().bin(1e-9, 1e-7), "width: expected at most"),
    ],
)
def test_other_impossible_values_are_refused(make, words):
    with pytest.raises(InputError, match=words):
        make()
