"""Files with random damage: a right answer or an error of one line, in little time and memory."""

import struct
import time
import tracemalloc

import numpy as np
import pytest

from snn_gan_ext import InputError
from snn_gan_ext.coding.events import EVENT, Binning
from snn_gan_ext.datasets.event_files import write_nmnist_folder
from snn_gan_ext.datasets.event_frames import EventFrames
from snn_gan_ext.datasets.mnist import load_mnist
from snn_gan_ext.datasets.recordings import open_recordings

h5py = pytest.importorskip("h5py", reason="h5py is not installed")
pytest.importorskip("tonic", reason="tonic is not installed")
pytestmark = [
    pytest.mark.filterwarnings("ignore"),
    # On damage a reader may fail while it is being deleted.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
MEMORY = 2**21  # bytes of every pass, whatever the file


def recording(count=2000, size=34):
    rng = np.random.default_rng(0)
    events = np.empty(count, EVENT)
    events["x"], events["y"] = rng.integers(0, size, (2, count))
    events["t"], events["p"] = np.sort(rng.integers(0, 99_000, count)), rng.integers(0, 2, count)
    return events


def columns(names):
    return np.stack([recording()[name] for name in names], 1)


def frames(name, root, **options):
    opened = open_recordings(name, root)
    binning = Binning(sensor=opened.sensor, num_steps=10, step_us=10_000)
    return EventFrames(opened, binning, progress=False, **options)


def arrays(root, name, folder, names):
    place = root / folder
    place.mkdir(parents=True)
    for number in range(2):
        np.save(place / f"{number}.npy", columns(names))
    return place / "0.npy", lambda: len(frames(name, root, damaged="skip")) in (1, 2)


def nmnist(root):
    write_nmnist_folder([recording()] * 2, np.arange(2), root)
    return root / "Train/0/00000.bin", lambda: len(frames("nmnist", root, damaged="skip")) in (1, 2)


def pokerdvs(root):
    return arrays(root, "pokerdvs", "POKERDVS/pips_train/cl", "txyp")


def dvsgesture(root):
    return arrays(root, "dvsgesture", "DVSGesture/ibmGestureTrain/user01_led", "xypt")


def shd(root):
    path, rng = root / "shd_train.h5", np.random.default_rng(0)
    with h5py.File(path, "w") as file:
        times = file.create_dataset("spikes/times", 6, h5py.vlen_dtype(np.float32))
        units = file.create_dataset("spikes/units", 6, h5py.vlen_dtype(np.uint16))
        for index in range(6):
            times[index], units[index] = np.sort(rng.random(500)), rng.integers(0, 700, 500)
        file["labels"], file["extra/keys"], file["extra/speaker"] = (
            np.arange(6),
            np.arange(2),
            np.zeros(6),
        )
    return path, lambda: 1 <= len(frames("shd", root, damaged="skip")) <= 6


def mnist(root, save=np.savez):
    images = np.random.default_rng(0).integers(0, 256, (320, 28, 28), np.uint8)
    save(root / "mnist.npz", images=images, labels=np.arange(320) % 10)
    return (
        root / "mnist.npz",
        lambda: sum(len(part.labels) for part in load_mnist(root / "mnist.npz")) == 320,
    )


def compressed_mnist(root):
    return mnist(root, np.savez_compressed)


def cached(root, name):
    write_nmnist_folder([recording()] * 3, np.arange(3), root / "data")
    good = frames("nmnist", root / "data", cache=root / "cache")

    def unchanged():
        found = frames("nmnist", root / "data", cache=root / "cache")
        return (found.fingerprint(), found.names) == (good.fingerprint(), good.names)

    return next(root.glob(f"cache/*/{name}")), unchanged


def cached_spikes(root):
    return cached(root, "spikes.npy")


def cached_targets(root):
    return cached(root, "about.json")


INFO = """<dv version="2.0"><node name="outInfo" path="/mainloop/Recorder/outInfo/">
<node name="0" path="/mainloop/Recorder/outInfo/0/"><attr key="compression" type="string">NONE</attr>
<attr key="typeIdentifier" type="string">EVTS</attr>
<node name="info" path="/mainloop/Recorder/outInfo/0/info/"><attr key="sizeX" type="int">128</attr>
<attr key="sizeY" type="int">128</attr></node></node></node></dv>"""


def cifar10dvs(root):
    """Two files of AEDAT4, each a header and two packets as flatbuffers."""
    pytest.importorskip("aedat", reason="aedat is not installed")

    def sized(content):
        return struct.pack("<I", len(content)) + content

    header = struct.pack("<I4s5H2xiqiI", 20, b"IOHE", 10, 20, 12, 4, 16, 12, -1, 0, 4)
    data = b"#!AER-DAT4.0\r\n" + sized(header + sized(INFO.encode()) + b"\0")
    for events in np.split(recording(), 2):
        rows = [struct.pack("<qhhBxxx", *row) for row in events[["t", "x", "y", "p"]].tolist()]
        start = struct.pack("<I4s3H2xiII", 16, b"EVTS", 6, 8, 4, 8, 4, len(rows))
        packet = sized(start + b"".join(rows))
        data += struct.pack("<II", 0, len(packet)) + packet
    place = root / "CIFAR10DVS" / "cat"
    place.mkdir(parents=True)
    for number in range(2):
        (place / f"{number}.aedat4").write_bytes(data)
    return place / "0.aedat4", lambda: len(frames("cifar10dvs", root, damaged="skip")) in (1, 2)


def cut(data, place, rng):
    return data[:place]


def flipped(data, place, rng):
    return data[:place] + bytes([data[place] ^ 1 << rng.integers(8)]) + data[place + 1 :]


def overwritten(data, place, rng):
    return data[:place] + rng.bytes(min(100, len(data) - place)) + data[place + 100 :]


def sized_otherwise(data, place, rng):
    """Other numbers near the start, where sizes and offsets are."""
    place, size = place % 400, int(rng.choice([1, 2, 4, 8]))
    number = [b"\xff" * size, bytes(size), rng.bytes(size)][rng.integers(3)]
    return data[:place] + number + data[place + size :]


def swapped(data, place, rng):
    return data[place:] + data[:place]


FORMATS = (nmnist, pokerdvs, dvsgesture, shd, cifar10dvs)
FILES = (*FORMATS, mnist, compressed_mnist, cached_spikes, cached_targets)
DAMAGES = (cut, flipped, overwritten, sized_otherwise, swapped)


@pytest.mark.parametrize("count", [25, pytest.param(500, marks=pytest.mark.slow)])
@pytest.mark.parametrize("kind", FILES)
def test_damage_gives_a_right_answer_or_one_line(tmp_path, kind, count):
    path, right = kind(tmp_path)
    data, rng = path.read_bytes(), np.random.default_rng(count)
    assert right()
    for number in range(count):
        place = int(rng.integers(len(data)))
        path.write_bytes(DAMAGES[number % len(DAMAGES)](data, place, rng))
        begun = time.monotonic()
        tracemalloc.start()
        try:
            message, answered = "", right()
        except InputError as error:
            message, answered = str(error), True
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert answered
        assert len(message.splitlines()) <= 1
        assert most < 10 * len(data) + MEMORY
        assert time.monotonic() - begun < 10


@pytest.mark.parametrize("kind", FORMATS)
def test_formats_without_damage_are_read_whole(tmp_path, kind):
    kind(tmp_path)
    name = kind.__name__
    assert len(frames(name, tmp_path)) == (6 if name == "shd" else 2)
