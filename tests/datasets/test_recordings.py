"""Data sets of recordings: Tonic's layout, damaged files, and the cache."""

import multiprocessing
import os
import pwd
import sys
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from snn_gan_ext import InputError
from snn_gan_ext.coding.events import EVENT, Binning, Sensor, bin_events
from snn_gan_ext.datasets import event_files
from snn_gan_ext.datasets.event_frames import EventFrames, time_first
from snn_gan_ext.datasets.recordings import Problem, Recordings, open_recordings

tonic = pytest.importorskip("tonic", reason="tonic is not installed")

SENSOR = (34, 34, 2)
BINNING = Binning(sensor=Sensor(*SENSOR), num_steps=4, step_us=100)


def recording(seed, count=40, size=34):
    rng = np.random.default_rng(seed)
    events = np.empty(count, EVENT)
    events["x"], events["y"] = rng.integers(0, size, (2, count))
    events["t"], events["p"] = np.sort(rng.integers(0, 400, count)), rng.integers(0, 2, count)
    return events


class Listed:
    """A data set without files."""

    sensor_size = SENSOR

    def __init__(self, count=6):
        self.recordings = [recording(k) for k in range(count)]

    def __len__(self):
        return len(self.recordings)

    def __getitem__(self, index):
        return self.recordings[index], index % 3


class Whole(tonic.datasets.NMNIST):
    """Tonic's class for a part of the data set, in a folder of the class's name."""

    def _check_exists(self):
        return True


@pytest.fixture
def folder(tmp_path):
    """Six recordings of three digits, in Tonic's layout of N-MNIST."""
    recordings = [recording(k) for k in range(6)]
    event_files.write_nmnist_folder(recordings, np.arange(6) % 3, tmp_path / "mine")
    return tmp_path / "mine"


def frames(recordings, **options):
    return EventFrames(recordings, BINNING, progress=False, **options)


def test_a_part_of_nmnist_is_read_and_nothing_is_downloaded(folder):
    opened = open_recordings("nmnist", folder)
    assert (len(opened), tuple(opened.sensor)) == (6, SENSOR)
    events, target = opened.read(1)
    assert opened.name(1) == "Train/0/00003.bin"
    assert target == 0
    assert (events == recording(3)).all()


def test_spikes_are_the_binned_events_with_and_without_workers(folder):
    found = frames(open_recordings("nmnist", folder))
    also = frames(open_recordings("nmnist", folder), workers=2)
    assert found.targets.tolist() == also.targets.tolist() == [0, 0, 1, 1, 2, 2]
    spikes = found.spikes([1, 4])
    assert spikes.shape == (4, 2, 2, 34, 34)
    assert (spikes[:, 0].numpy() == bin_events(recording(3), BINNING)).all()
    assert torch.equal(spikes, also.spikes([1, 4]))
    one, target = found[4]
    assert torch.equal(one, spikes[:, 1])
    assert target == 2


@pytest.mark.parametrize("workers", [0, 2])
def test_a_loader_gives_batches_with_time_first(folder, workers):
    loader = DataLoader(
        frames(open_recordings("nmnist", folder)), 4, collate_fn=time_first, num_workers=workers
    )
    (spikes, targets), (rest, _) = list(loader)
    assert spikes.shape == (4, 4, 2, 34, 34)
    assert rest.shape[1] == 2
    assert targets.tolist() == [0, 0, 1, 1]


def test_the_cache_distinguishes_data_and_binning(folder, tmp_path, monkeypatch):
    cache = tmp_path / "cache"
    first = frames(open_recordings("nmnist", folder), cache=cache)
    assert len(list(cache.iterdir())) == 1
    with monkeypatch.context() as patch:
        patch.setattr(Recordings, "read", None)  # nothing is read again
        again = frames(open_recordings("nmnist", folder), cache=cache)
    assert torch.equal(first.spikes(range(6)), again.spikes(range(6)))
    other = Binning(sensor=BINNING.sensor, num_steps=4, step_us=50)
    finer = EventFrames(open_recordings("nmnist", folder), other, cache=cache, progress=False)
    assert not torch.equal(finer.spikes(range(6)), again.spikes(range(6)))
    event_files.write_nmnist(recording(77), folder / "Train" / "0" / "00003.bin")
    changed = frames(open_recordings("nmnist", folder), cache=cache)
    assert not torch.equal(changed.spikes([1]), first.spikes([1]))
    assert len(list(cache.iterdir())) == 3


def test_an_interrupted_pass_leaves_no_cache(folder, tmp_path, monkeypatch):
    def interrupt(self, index):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Recordings, "read", interrupt)
        with pytest.raises(KeyboardInterrupt):
            frames(open_recordings("nmnist", folder), cache=tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []
    assert len(frames(open_recordings("nmnist", folder), cache=tmp_path / "cache")) == 6


def test_data_without_files_need_a_key_to_be_cached(tmp_path):
    with pytest.raises(InputError, match="key"):
        frames(Recordings(Listed()), cache=tmp_path)
    assert len(frames(Recordings(Listed(), key="listed 1"), cache=tmp_path)) == 6
    assert len(frames(Recordings(Listed()))) == 6


DAMAGED = {
    "empty": lambda path, data: path.write_bytes(b""),
    "within an event": lambda path, data: path.write_bytes(data[:-3]),
    "off the sensor, x": lambda path, data: path.write_bytes(bytes([34]) + data[1:]),
    "off the sensor, y": lambda path, data: path.write_bytes(data[:1] + bytes([99]) + data[2:]),
    "backwards": lambda path, data: path.write_bytes(data[-5:] + data[:-5]),
    "overflow only": lambda path, data: path.write_bytes(bytes([0, 240, 0, 0, 0])),
    "not readable": lambda path, data: (path.unlink(), path.symlink_to("nowhere")),
}
REASONS = {
    "empty": "no events",
    "within an event": "cannot be read: .*5 bytes",
    "off the sensor, x": "x from",
    "off the sensor, y": "y from",
    "backwards": "time runs backwards",
    "overflow only": "no events",
    "not readable": "cannot be opened",
}


@pytest.mark.parametrize("damage", DAMAGED)
def test_damaged_recordings_are_named_or_skipped(folder, damage):
    path = folder / "Train" / "1" / "00004.bin"
    DAMAGED[damage](path, path.read_bytes())
    opened = open_recordings("nmnist", folder)
    with pytest.raises(InputError, match=rf"1/00004\.bin: {REASONS[damage]}"):
        frames(opened)
    with pytest.warns(UserWarning, match=r"5 are used.*00004\.bin"):
        found = frames(opened, damaged="skip")
    assert found.targets.tolist() == [0, 0, 1, 2, 2]
    assert [problem.name for problem in found.problems] == ["Train/1/00004.bin"]


def test_stray_files_are_named_and_an_empty_set_is_refused(folder):
    (folder / "Train" / "2" / "notes.txt").write_text("?")
    with pytest.warns(UserWarning, match=r"notes\.txt: not of Train"):
        found = frames(open_recordings("nmnist", folder))
    assert len(found) == 6
    assert found.problems == [Problem("Train/2/notes.txt", "not of Train/[0-9]/*.bin")]
    for path in folder.glob("Train/*/*.bin"):
        path.write_bytes(b"")
    with pytest.raises(InputError, match="7 that cannot be used"):
        frames(open_recordings("nmnist", folder), damaged="skip")


def test_wrong_folders_and_names_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"NMNIST/Train/\[0-9\]/\*\.bin"):
        open_recordings("nmnist", tmp_path)
    with pytest.raises(InputError, match="no such folder"):
        open_recordings("shd", tmp_path / "nowhere")
    with pytest.raises(InputError, match="one of nmnist"):
        open_recordings("imagenet", tmp_path)


def test_bad_settings_are_refused():
    with pytest.raises(InputError, match="one of refuse, skip"):
        frames(Recordings(Listed()), damaged="ignore")
    with pytest.raises(InputError, match="recordings' sensor"):
        frames(Recordings(Listed(), sensor=(35, 34, 2)))
    with pytest.raises(InputError, match="sensor"):
        Recordings([1, 2])


def test_other_data_sets_in_tonics_layout(tmp_path):
    """Small folders in Tonic's layout, each read through Tonic."""
    h5py = pytest.importorskip("h5py")
    poker = tmp_path / "POKERDVS" / "pips_train" / "cl"
    poker.mkdir(parents=True)
    np.save(poker / "0.npy", np.array([[0, 3, 4, 1], [9, 5, 34, 0]]))
    gesture = tmp_path / "DVSGesture" / "ibmGestureTest" / "user01_led"
    gesture.mkdir(parents=True)
    np.save(gesture / "7.npy", np.array([[1, 2, 1, 0], [127, 3, 0, 2]]))
    (tmp_path / "SHD").mkdir()
    with h5py.File(tmp_path / "SHD" / "shd_train.h5", "w") as file:
        file["spikes/times"] = np.array([[0.0, 0.25]])
        file["spikes/units"] = np.array([[5, 699]])
        file["labels"] = np.array([4])
        file["extra/keys"], file["extra/speaker"] = np.array([0]), np.array([0])
    expected = {
        ("pokerdvs", True): ((35, 35, 2), 0, [0, 9]),
        ("dvsgesture", False): ((128, 128, 2), 7, [0, 2000]),
        ("shd", True): ((700, 1, 1), 4, [0, 250_000]),
    }
    for (name, train), (sensor, label, times) in expected.items():
        opened = open_recordings(name, tmp_path, train=train)
        events, target = opened.read(0)
        assert (tuple(opened.sensor), target) == (sensor, label)
        assert events["t"].tolist() == times


def test_files_are_read_back_equal_by_tonic(tmp_path):
    events = recording(3, count=300)
    events["t"] *= 20_000  # up to 8 seconds
    path = tmp_path / "one.bin"
    event_files.write_nmnist(events, path)
    theirs = tonic.io.read_mnist_file(path, dtype=tonic.datasets.NMNIST.dtype)
    assert (theirs == events).all()
    assert (event_files.read_nmnist(path) == events).all()


def test_an_overflow_of_the_clock_is_read_as_by_tonic(tmp_path):
    path = tmp_path / "one.bin"
    path.write_bytes(bytes([1, 2, 128, 0, 9, 0, 240, 0, 0, 0, 3, 4, 0, 0, 7]))
    theirs = tonic.io.read_mnist_file(path, dtype=tonic.datasets.NMNIST.dtype)
    ours = event_files.read_nmnist(path)
    assert (theirs == ours).all()
    assert ours["t"].tolist() == [9, 8199]


@pytest.mark.parametrize("field", ["x", "y", "t", "p"])
def test_events_that_do_not_fit_into_nmnists_format_are_refused(tmp_path, field):
    events = recording(1)
    events[field][0] = 2**24
    with pytest.raises(InputError, match=f"events, {field}"):
        event_files.write_nmnist(events, tmp_path / "one.bin")


def test_hdf5(tmp_path):
    h5py = pytest.importorskip("h5py")
    recordings = [recording(k, count=10 + k) for k in range(3)]
    event_files.write_hdf5(recordings, np.arange(3), tmp_path / "all.h5")
    with h5py.File(tmp_path / "all.h5") as file:
        start, end = file["offsets"][1:3]
        assert (file["events/t"][start:end] == recordings[1]["t"]).all()
        assert file["labels"][:].tolist() == [0, 1, 2]


def test_the_cache_distinguishes_data_sets_of_the_same_files(folder, tmp_path):
    """Options of the data set are part of the key; transforms could be anything."""

    folder.rename(tmp_path / "Whole")

    def kind(**options):
        return Whole(str(tmp_path), **options)

    cache = tmp_path / "cache"
    frames(Recordings(kind()), cache=cache)
    frames(Recordings(kind(first_saccade_only=True)), cache=cache)
    assert len(list(cache.iterdir())) == 2
    with pytest.raises(InputError, match="key"):
        frames(Recordings(kind(transform=len)), cache=cache)


@pytest.mark.parametrize(
    "place", ["Train/11/1.bin", "Train/x/1.bin", "Train/1.bin", "Train/0/sub/1.bin"]
)
def test_files_in_odd_places_have_no_label(folder, place):
    path = folder / place
    path.parent.mkdir(exist_ok=True)
    event_files.write_nmnist(recording(1), path)
    with pytest.warns(UserWarning, match=f"{place}: not of"):
        found = frames(open_recordings("nmnist", folder))
    assert len(found) == 6


DAMAGED_CACHE = {
    "no text": lambda place: (place / "about.json").write_text(""),
    "other text": lambda place: (place / "about.json").write_text("[]"),
    "fewer targets": lambda place: (place / "about.json").write_text(
        '{"targets": [1], "names": ["a"], "problems": []}'
    ),
    "no spikes": lambda place: (place / "spikes.npy").unlink(),
    "half of the spikes": lambda place: (place / "spikes.npy").write_bytes(
        (place / "spikes.npy").read_bytes()[:500]
    ),
    "other spikes": lambda place: np.save(place / "spikes.npy", np.zeros((6, 3), np.uint8)),
}


@pytest.mark.parametrize("damage", DAMAGED_CACHE)
def test_a_damaged_cache_is_refused(folder, tmp_path, damage):
    cache = tmp_path / "cache"
    frames(open_recordings("nmnist", folder), cache=cache)
    DAMAGED_CACHE[damage](next(cache.iterdir()))
    with pytest.raises(InputError, match="remove that folder"):
        frames(open_recordings("nmnist", folder), cache=cache)


def test_a_set_with_unopened_files_is_not_cached(folder, tmp_path):
    path, away = folder / "Train" / "1" / "00004.bin", tmp_path / "away.bin"
    path.rename(away)
    path.symlink_to("nowhere")
    with pytest.warns(UserWarning, match="5 are used"):
        found = frames(open_recordings("nmnist", folder), damaged="skip", cache=tmp_path / "cache")
    assert not any(place.name[:8] != "filling-" for place in (tmp_path / "cache").iterdir())
    assert len(found) == 5


def test_skipped_recordings_are_reported_each_time(folder, tmp_path):
    (folder / "Train" / "1" / "00004.bin").write_bytes(b"")
    for _ in range(2):
        with pytest.warns(UserWarning, match="5 are used"):
            frames(open_recordings("nmnist", folder), damaged="skip", cache=tmp_path / "cache")


def test_two_passes_at_once_leave_one_complete_cache(folder, tmp_path, monkeypatch):
    """The second pass begins and ends during the first one."""
    cache, inner = tmp_path / "cache", []
    opened = open_recordings("nmnist", folder)
    read = Recordings.read

    def read_and_overtake(self, index):
        if index == 3 and not inner:
            inner.append(None)
            inner.append(frames(opened, cache=cache))
        return read(self, index)

    monkeypatch.setattr(Recordings, "read", read_and_overtake)
    outer = frames(opened, cache=cache)
    assert torch.equal(outer.spikes(range(6)), inner[1].spikes(range(6)))
    kept = [place for place in cache.iterdir() if not place.name.startswith("filling-")]
    assert len(kept) == 1


def test_a_window_without_events_is_reported(folder):
    late = Binning(sensor=BINNING.sensor, num_steps=4, step_us=100, start_us=10**9)
    with pytest.warns(UserWarning, match="6 of 6 have no event"):
        EventFrames(open_recordings("nmnist", folder), late, progress=False)


@pytest.mark.parametrize("target", ["3", 1.5, None, -1, 2**40])
def test_targets_are_whole_numbers(target):
    class Odd(Listed):
        def __getitem__(self, index):
            return self.recordings[index], target if index == 2 else 1

    with pytest.raises(InputError, match="recording 2: target"):
        frames(Recordings(Odd()))


def test_indices_are_whole_numbers(folder):
    found = frames(open_recordings("nmnist", folder))
    assert found.spikes([]).shape == (4, 0, 2, 34, 34)
    for wrong in ([[0, 1]], 2, [0.5], None):
        with pytest.raises(InputError, match="indices"):
            found.spikes(wrong)
    with pytest.raises(IndexError):
        found.spikes([6])


def test_a_missing_reader_is_not_taken_for_damage():
    class Lacking(Listed):
        def __getitem__(self, index):
            raise ModuleNotFoundError("No module named 'aedat'", name="aedat")

    with pytest.raises(InputError, match="pip install aedat"):
        frames(Recordings(Lacking()), damaged="skip")


class Cropped:
    """A data set of files with a setting."""

    sensor_size = SENSOR

    def __init__(self, folder, **settings):
        self.data = [str(path) for path in sorted(folder.glob("Train/*/*.bin"))]
        self.targets = [0, 0, 1, 1, 2, 2]
        vars(self).update(settings)

    def __len__(self):
        return len(self.data)

    def __getitem__(self, index):
        return event_files.read_nmnist(self.data[index]), self.targets[index]


@pytest.mark.parametrize(
    "changed",
    [
        {"targets": [0, 1, 0, 1, 0, 1]},
        {"rows": (1, 2)},
        {"rows": [1, {"to": 2}]},
        {"mask": np.arange(3)},
        {"mask": torch.arange(3)},
        {"place": Path("x")},
    ],
    ids=str,
)
def test_every_attribute_of_the_data_set_decides_about_the_cache(folder, tmp_path, changed):
    for settings in ({}, changed, changed):
        found = frames(Recordings(Cropped(folder, **settings)), cache=tmp_path / "cache")
        assert found.targets.tolist() == settings.get("targets", [0, 0, 1, 1, 2, 2])
    assert len(list((tmp_path / "cache").iterdir())) == 2


class Inverted(Cropped):
    def __getitem__(self, index):
        events, target = super().__getitem__(index)
        return events, 2 - target


def test_the_code_of_the_data_set_decides_about_the_cache(folder):
    class Local(Cropped):
        pass

    assert Recordings(Inverted(folder)).key != Recordings(Cropped(folder)).key
    assert Recordings(Local(folder)).key is None


@pytest.mark.parametrize(
    "setting", [len, object(), np.array([None])], ids=["function", "object", "array"]
)
def test_settings_that_cannot_be_compared_need_a_key(folder, setting):
    with pytest.raises(InputError, match="key"):
        frames(Recordings(Cropped(folder, choose=setting)), cache=folder.parent / "cache")


def test_a_copy_with_the_times_of_the_original_is_another_file(folder):
    path = folder / "Train" / "0" / "00003.bin"
    before, about = Recordings(Cropped(folder)).key, path.stat()
    event_files.write_nmnist(recording(9), path)
    os.utime(path, ns=(about.st_atime_ns, about.st_mtime_ns))
    assert Recordings(Cropped(folder)).key != before


@pytest.mark.parametrize("other", [Listed(5), Listed(7), Listed(6)], ids=["fewer", "more", "changed"])
def test_a_key_belongs_to_one_data_set(tmp_path, other):
    other.recordings[-1] = recording(50)
    frames(Recordings(Listed(), key="mine"), cache=tmp_path)
    frames(Recordings(Listed(), key="mine"), cache=tmp_path)
    with pytest.raises(InputError, match=r"key 'mine', got others in .*; give these another key"):
        frames(Recordings(other, key="mine"), cache=tmp_path)


def test_recordings_are_in_the_order_of_their_paths(tmp_path):
    place = tmp_path / "DVSGesture" / "ibmGestureTrain" / "user01_led"
    place.mkdir(parents=True)
    for label in (2, 0, 1):
        np.save(place / f"{label}.npy", np.array([[1, 2, 1, label]]))
    np.save(place / "x.npy", np.array([[1, 2, 1, 0]]))
    opened = open_recordings("dvsgesture", tmp_path)
    assert opened.dataset.targets == [0, 1, 2]
    assert (opened.dataset.users, opened.dataset.lighting) == ([1] * 3, ["led"] * 3)
    assert [problem.name for problem in opened.ignored] == ["ibmGestureTrain/user01_led/x.npy"]


def test_the_data_set_is_tonics_with_all_that_tonic_does(folder):
    dataset = open_recordings("nmnist", folder).dataset
    assert type(dataset) is tonic.datasets.NMNIST
    dataset.transform = tonic.transforms.ToFrame(sensor_size=SENSOR, n_time_bins=4)
    dataset.target_transform = lambda digit: digit + 10
    item, target = dataset[-1]
    assert (item.shape, target) == ((4, 2, 34, 34), 12)
    dataset.transforms = lambda item, target: (target, item.shape)
    assert dataset[0] == (10, (4, 2, 34, 34))
    dataset.transform = dataset.target_transform = dataset.transforms = None
    events = recording(1)
    events["t"] += 99_900
    event_files.write_nmnist(events, folder / "Train" / "1" / "00001.bin")
    dataset.first_saccade_only = True
    assert (dataset[2][0] == events[events["t"] < 100_000]).all()


@pytest.mark.parametrize("index", [-1, np.int64(5), torch.tensor(5)])
def test_an_index_is_any_whole_number(folder, index):
    found = frames(open_recordings("nmnist", folder))
    spikes, target = found[index]
    assert torch.equal(spikes, found.spikes([5])[:, 0])
    assert target == 2


@pytest.mark.parametrize("index", [slice(2), np.arange(2), [0, 1], 1.0, True, None, "0"], ids=str)
def test_other_indices_are_refused(folder, index):
    with pytest.raises(InputError, match="indices"):
        frames(open_recordings("nmnist", folder))[index]


def test_an_end_that_is_reached_ends_a_loop(folder):
    assert len(list(frames(open_recordings("nmnist", folder)))) == 6


class Panic(BaseException):
    """As readers in Rust raise it."""


@pytest.mark.parametrize(
    "error", [Panic("at index 3"), MemoryError(), RecursionError(), GeneratorExit()]
)
@pytest.mark.parametrize("workers", [0, 2])
def test_whatever_a_reader_raises_is_damage_of_that_recording(error, workers):
    class Panicking(Listed):
        def __getitem__(self, index):
            if index == 2:
                raise error
            return super().__getitem__(index)

    with pytest.raises(InputError, match="recording 2: cannot be"):
        frames(Recordings(Panicking()), workers=workers)
    with pytest.warns(UserWarning, match="5 are used.*recording 2: cannot be"):
        frames(Recordings(Panicking()), damaged="skip", workers=workers)


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_the_user_may_end_a_pass(error):
    class Stopped(Listed):
        def __getitem__(self, index):
            raise error

    with pytest.raises(error):
        frames(Recordings(Stopped()), damaged="skip")


def test_a_damaged_array_spoils_no_other(tmp_path):
    place = tmp_path / "POKERDVS" / "pips_train" / "cl"
    place.mkdir(parents=True)
    for name in "ab":
        np.save(place / f"{name}.npy", np.array([[0, 3, 4, 1], [9, 5, 34, 0]]))
    (place / "a.npy").write_bytes(b"nothing")
    opened = open_recordings("pokerdvs", tmp_path)
    assert [len(x) for x in opened.dataset.data[1:]] == [2]
    binning = Binning(sensor=opened.sensor, num_steps=1, step_us=10)
    with pytest.warns(UserWarning, match=r"1 are used.*cl/a\.npy: cannot be read"):
        assert len(EventFrames(opened, binning, damaged="skip", progress=False)) == 1


def test_a_damaged_file_of_many_recordings_is_refused(tmp_path):
    (tmp_path / "SHD").mkdir()
    (tmp_path / "SHD" / "shd_train.h5").write_bytes(b"nothing")
    with pytest.raises(InputError, match=r"SHD: expected shd_train\.h5 in Tonic's layout"):
        open_recordings("shd", tmp_path)


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_workers_need_no_fork(folder, method):
    multiprocessing.set_start_method(method, force=True)
    try:
        found = frames(open_recordings("nmnist", folder), workers=1)
        loader = DataLoader(found, 6, collate_fn=time_first, num_workers=1)
        spikes, targets = next(iter(loader))
    finally:
        multiprocessing.set_start_method(None, force=True)
    assert torch.equal(spikes, found.spikes(range(6)))
    assert targets.tolist() == [0, 0, 1, 1, 2, 2]


@pytest.mark.parametrize(
    "broken", ["import nothing_at_all", "raise RuntimeError('NumPy 9\\n?')", "1 / 0"]
)
@pytest.mark.parametrize("package", ["tonic", "h5py"])
def test_a_broken_extra_is_named_with_its_cure(folder, monkeypatch, package, broken):
    (folder / f"{package}.py").write_text(broken)
    monkeypatch.delitem(sys.modules, package, raising=False)
    monkeypatch.syspath_prepend(str(folder))
    use = {
        "tonic": lambda: open_recordings("nmnist", folder),
        "h5py": lambda: event_files.write_hdf5([recording(1)], np.arange(1), folder / "x.h5"),
    }
    with pytest.raises(InputError, match=f"{package}, got one that fails on import.*; pip") as found:
        use[package]()
    assert "\n" not in str(found.value)


def test_a_missing_extra_is_named_with_its_cure(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "aedat", None)
    with pytest.raises(InputError, match="pip install aedat"):
        open_recordings("cifar10dvs", folder)
    monkeypatch.setitem(sys.modules, "tonic", None)
    with pytest.raises(InputError, match="pip install tonic"):
        open_recordings("nmnist", folder)


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("File corrupted."),
        URLError("no net"),
        FileNotFoundError("x"),
        EOFError(),
        KeyError("md5"),
    ],
    ids=repr,
)
def test_a_download_that_fails_is_refused_in_one_line(tmp_path, monkeypatch, error):
    def download(self):
        raise error

    monkeypatch.setattr(tonic.datasets.NMNIST, "download", download)
    expected = f"NMNIST in .*: expected a complete download, got {type(error).__name__}.*; try again"
    with pytest.raises(InputError, match=expected):
        open_recordings("nmnist", tmp_path, download=True)


def test_a_home_that_is_nowhere_is_named(folder, monkeypatch):
    def no_entry(user):
        raise KeyError(user)

    monkeypatch.delenv("HOME")
    monkeypatch.setattr(pwd, "getpwuid", no_entry)
    with pytest.raises(InputError, match="folder: expected a home folder"):
        open_recordings("nmnist", "~/data")
    with pytest.raises(InputError, match="cache: expected a home folder"):
        frames(Recordings(Listed(), key="k"), cache="~/cache")


def test_a_cache_that_cannot_be_written_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cache: expected a folder that can be written"):
        frames(Recordings(Listed(), key="k"), cache=tmp_path / "file")


def test_silence_and_stray_files_are_reported_of_a_cache_too(folder, tmp_path):
    late = Binning(sensor=BINNING.sensor, num_steps=4, step_us=100, start_us=10**9)
    for _ in range(2):
        with pytest.warns(UserWarning, match="6 of 6 have no event"):
            EventFrames(
                open_recordings("nmnist", folder), late, progress=False, cache=tmp_path / "cache"
            )
    (folder / "Train" / "2" / "notes.txt").write_text("?")
    with pytest.warns(UserWarning, match=r"have no event|notes\.txt") as said:
        EventFrames(open_recordings("nmnist", folder), late, progress=False, cache=tmp_path / "cache")
    assert len(said) == 2


@pytest.mark.parametrize(
    ("options", "says"),
    [({"sensor": 34}, "sensor"), ({"sensor": (34.5, 34, 2)}, "sensor"), ({"key": 3}, "key")],
)
def test_sensors_and_keys_of_other_types_are_refused(options, says):
    with pytest.raises(InputError, match=says):
        Recordings(Listed(), **options)


def test_data_sets_and_recordings_are_told_apart():
    with pytest.raises(InputError, match=r"Recordings\(dataset\)"):
        frames(Listed())
    with pytest.raises(InputError, match="a data set with a length"):
        Recordings(iter([]), sensor=SENSOR)


def test_a_way_out_is_named_only_where_there_is_one(tmp_path):
    with pytest.raises(InputError, match="name another folder, or have Tonic download"):
        open_recordings("nmnist", tmp_path / "nope")
    empty = Listed(1)
    empty.recordings[0] = recording(0, count=0)
    with pytest.raises(InputError, match="damaged='skip'"):
        frames(Recordings(empty))
    with pytest.raises(InputError, match=r"repair or remove them$"):
        frames(Recordings(empty), damaged="skip")


@pytest.mark.parametrize("labels", [[0], [0, 1, 2], [0.5, 1], [[0, 1]]], ids=str)
@pytest.mark.parametrize("write", [event_files.write_hdf5, event_files.write_nmnist_folder])
def test_each_written_recording_has_a_label(tmp_path, write, labels):
    with pytest.raises(InputError, match=r"labels: expected whole numbers \[2\]"):
        write([recording(1), recording(2)], np.array(labels), tmp_path / "x.h5")
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    "events", [np.ones(3), recording(1)[["x", "y"]], [(0, 0, 0, 0)]], ids=["a", "b", "c"]
)
def test_what_is_no_recording_is_not_written(tmp_path, events):
    with pytest.raises(InputError, match="events: expected a structured array"):
        event_files.write_nmnist(events, tmp_path / "x.bin")
    with pytest.raises(InputError, match="events: expected a structured array"):
        event_files.end_to_end([events])


def shd(folder, chunks):
    """Write six recordings of three events; return the file and the place of the last one's entry."""
    h5py = pytest.importorskip("h5py")
    path = folder / "shd_train.h5"
    with h5py.File(path, "w") as file:
        for name, dtype in (("times", np.float32), ("units", np.uint16)):
            part = file.create_dataset(f"spikes/{name}", 6, h5py.vlen_dtype(dtype), chunks=chunks)
            for index in range(6):
                part[index] = np.arange(3)
        entry = part.id.get_chunk_info(1).byte_offset + 16 if chunks else part.id.get_offset() + 80
        file["labels"], file["extra/keys"], file["extra/speaker"] = np.arange(6), [0], [0]
    return path, entry


@pytest.mark.parametrize("chunks", [None, (4,)])
def test_a_length_beyond_the_file_takes_no_memory(tmp_path, chunks):
    path, entry = shd(tmp_path, chunks)
    with path.open("r+b") as file:
        file.seek(entry)
        file.write((2**32 - 1).to_bytes(4, "little"))
    opened = open_recordings("shd", tmp_path)
    assert opened.read(4)[1] == 4
    assert "cannot be read: 4294967295 values" in opened.read(5).reason


@pytest.mark.parametrize("length", [0, 2**40])
def test_a_wrong_length_among_the_objects_of_hdf5_does_not_hang(tmp_path, length):
    path, _ = shd(tmp_path, None)
    content = path.read_bytes()
    start = content.index(b"GCOL") + 16
    path.write_bytes(content[:start] + bytes(8) + length.to_bytes(8, "little") + content[start + 16 :])
    opened = open_recordings("shd", tmp_path)
    assert all("cannot be read: 3 values" in opened.read(index).reason for index in range(6))
