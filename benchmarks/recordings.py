"""Recordings per second through `EventFrames` beside Tonic's `ToFrame` and `DiskCachedDataset`.

Cold: every recording is read, checked, binned and cached. Warm: it comes from the cache. Both sides
make 30 frames of 10 ms of the same N-MNIST recordings, in turn, rounds over.

Usage: python -m benchmarks.recordings FOLDER [--rounds N]
"""

import argparse
import resource
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import tonic
import torch

from snn_gan_ext.coding.events import Binning
from snn_gan_ext.datasets.event_frames import EventFrames
from snn_gan_ext.datasets.recordings import open_recordings

STEPS, STEP_US = 30, 10_000


class WithToFrame:
    """The same files through Tonic's reader and its transform, frames clamped to 0 and 1."""

    def __init__(self, dataset: Any) -> None:
        self.data, self.targets = dataset.data, dataset.targets
        self.to_frame = tonic.transforms.ToFrame(
            sensor_size=(34, 34, 2), time_window=STEP_US, start_time=0, end_time=STEPS * STEP_US
        )

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        events = tonic.io.read_mnist_file(self.data[index], dtype=tonic.datasets.NMNIST.dtype)
        return self.to_frame(events).clip(0, 1), self.targets[index]


def seconds(action: Callable[[], None]) -> float:
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def take_all(dataset: Any) -> None:
    for index in range(len(dataset)):
        dataset[index]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    recordings = open_recordings("nmnist", options.folder)
    binning = Binning(sensor=recordings.sensor, num_steps=STEPS, step_us=STEP_US)
    theirs = WithToFrame(recordings.dataset)
    times: dict[str, list[float]] = {}
    for _ in range(options.rounds):
        with tempfile.TemporaryDirectory() as place:
            ours = partial(EventFrames, recordings, binning, cache=Path(place) / "ours", progress=False)
            cached = tonic.DiskCachedDataset(theirs, str(Path(place) / "tonic"))
            for name, action in (
                ("EventFrames, cold", lambda ours=ours: take_all(ours())),
                ("EventFrames, warm", lambda ours=ours: take_all(ours())),
                ("EventFrames, warm, batches of 100", lambda ours=ours: take_batches(ours())),
                ("ToFrame, no cache", lambda: take_all(theirs)),
                ("ToFrame, DiskCachedDataset, cold", partial(take_all, cached)),
                ("ToFrame, DiskCachedDataset, warm", partial(take_all, cached)),
            ):
                times.setdefault(name, []).append(len(recordings) / seconds(action))
    peer = statistics.median(times["ToFrame, no cache"])
    print("| | recordings a second | over ToFrame |\n| --- | --- | --- |")
    for name, rates in times.items():
        rate = statistics.median(rates)
        print(f"| {name} | {rate:.0f} | {rate / peer:.1f} |")
    print(f"\nLargest memory: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")


def take_batches(frames: EventFrames) -> None:
    for start in range(0, len(frames), 100):
        frames.spikes(range(start, min(start + 100, len(frames))))


if __name__ == "__main__":
    main()
