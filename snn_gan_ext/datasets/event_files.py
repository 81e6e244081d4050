"""Files of event recordings: N-MNIST's binary format, and many recordings in one HDF5 file."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from snn_gan_ext.coding.events import EVENT, Events
from snn_gan_ext.errors import InputError

__all__ = ["end_to_end", "missing", "read_nmnist", "write_hdf5", "write_nmnist", "write_nmnist_folder"]

OVERFLOW_Y = 240  # row that marks an overflow of the clock instead of an event
OVERFLOW_US = 2**13
LAST_US = 2**23 - 1
INSTALL_TONIC = 'pip install tonic, or ".[tonic]" in a clone'


def missing(package: str, cure: str) -> InputError:
    """Return the error of a package that is not installed."""
    expected, got = f"the package {package}", "an environment without it"
    return InputError(package, expected=expected, got=got, cure=cure)


def read_nmnist(path: Path) -> Events:
    """Read a file in N-MNIST's format, five bytes an event: x, y, polarity (1 bit) and time (23 bits).

    Returns:
        Events of dtype `EVENT`, times in microseconds, as ``tonic.io.read_mnist_file`` returns them.

    Raises:
        InputError: If the file ends within an event.
        OSError: If it cannot be read.

    References:
        Orchard et al. (2015), "Converting static image datasets to spiking neuromorphic datasets using
        saccades".
    """
    data = np.fromfile(path, dtype=np.uint8)
    if len(data) % 5:
        raise InputError(f"{path}", expected="events of 5 bytes", got=f"{len(data)} bytes")
    columns = data.reshape(-1, 5).T.astype(np.int64)
    times = (columns[2] & 127) << 16 | columns[3] << 8 | columns[4]
    overflow = columns[1] == OVERFLOW_Y
    if overflow.any():
        times += OVERFLOW_US * np.cumsum(overflow)
        columns, times = columns[:, ~overflow], times[~overflow]
    events = np.empty(len(times), EVENT)
    events["x"], events["y"], events["t"], events["p"] = columns[0], columns[1], times, columns[2] >> 7
    return events


def write_nmnist(events: Events, path: Path) -> None:
    """Write events to a file in N-MNIST's format, which holds them without loss.

    Raises:
        InputError: If an event does not fit into the format: a row of 240 or more, more than two
            polarities, or a time of 2^23 microseconds (8.4 s) or more.
    """
    path.write_bytes(_packed(events))


def _packed(events: Events) -> bytes:
    """Return events in N-MNIST's format."""
    limits = {"x": 255, "y": OVERFLOW_Y - 1, "t": LAST_US, "p": 1}
    for name, last in limits.items():
        values = events[name]
        if len(values) and not 0 <= int(values.min()) <= int(values.max()) <= last:
            expected, got = f"0 .. {last} in N-MNIST files", f"{values.min()} .. {values.max()}"
            cure = "use the format npz or hdf5"
            raise InputError(f"events, {name}", expected=expected, got=got, cure=cure)
    x, y, t, p = (events[name].astype(np.int64) for name in limits)
    columns = np.stack([x, y, p << 7 | t >> 16, t >> 8 & 255, t & 255], 1)
    return columns.astype(np.uint8).tobytes()


def write_hdf5(recordings: Sequence[Events], labels: NDArray[np.int64], path: Path) -> None:
    """Write recordings end to end into a file: ``events/x`` and so on, ``offsets`` and ``labels [n]``.

    Recording k reaches from ``offsets[k]`` to ``offsets[k + 1]``.

    Raises:
        InputError: If h5py, which comes with Tonic, is missing.
    """
    try:
        import h5py
    except ImportError:
        raise missing("h5py", f"{INSTALL_TONIC}, or use the format npz") from None
    events, offsets = end_to_end(recordings)
    part = path.with_name(path.name + ".part")
    try:
        with h5py.File(part, "w") as file:
            for name in EVENT.names or ():
                file.create_dataset(f"events/{name}", data=events[name], compression="gzip")
            file["offsets"], file["labels"] = offsets, labels
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def end_to_end(recordings: Sequence[Events]) -> tuple[Events, NDArray[np.int64]]:
    """Return all events in a row, and the offsets ``[n + 1]`` of recordings and of the end."""
    offsets = np.cumsum([0, *map(len, recordings)])
    return np.concatenate([np.empty(0, EVENT), *recordings]), offsets


def write_nmnist_folder(recordings: Sequence[Events], labels: NDArray[np.int64], folder: Path) -> None:
    """Write recordings and their labels ``[n]`` in Tonic's layout: ``Train/<label>/<number>.bin``.

    Raises:
        InputError: If an event does not fit into the format, as for `write_nmnist`.
    """
    files = [_packed(events) for events in recordings]
    for number, (packed, label) in enumerate(zip(files, labels, strict=True)):
        place = folder / "Train" / str(int(label))
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{number:05}.bin").write_bytes(packed)
