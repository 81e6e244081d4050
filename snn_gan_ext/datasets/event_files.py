"""Files of event recordings: N-MNIST's binary format, and many recordings in one HDF5 file."""

import struct
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from snn_gan_ext.coding.events import EVENT, Events, check_fields
from snn_gan_ext.errors import InputError
from snn_gan_ext.validation import path_of, require

__all__ = [
    "check_array",
    "check_lengths",
    "check_nmnist",
    "end_to_end",
    "h5py_module",
    "read_nmnist",
    "write_hdf5",
    "write_nmnist",
    "write_nmnist_folder",
]

OVERFLOW_Y = 240  # row that marks an overflow of the clock instead of an event
OVERFLOW_US = 2**13
LAST_US = 2**23 - 1
INSTALL_TONIC = 'pip install tonic, or ".[tonic]" in a clone'


def h5py_module() -> ModuleType:
    """Return the module ``h5py``, which comes with Tonic.

    Raises:
        InputError: If it is missing or broken.
    """
    return require("h5py", f"{INSTALL_TONIC}, or use the format npz")


def check_nmnist(path: Path) -> None:
    """Check that a file in N-MNIST's format ends with an event.

    Raises:
        InputError: If it ends within one.
        OSError: If there is no such file.
    """
    if (size := path.stat().st_size) % 5:
        raise InputError(f"{path}", expected="events of 5 bytes", got=f"{size} bytes")


def check_array(path: Path) -> None:
    """Check that a ``.npy`` file is as long as its header says, before memory is taken for it.

    Raises:
        ValueError: If it is shorter, or no such file.
        OSError: If it cannot be read.
    """
    np.lib.format.open_memmap(path, mode="r")  # type: ignore[no-untyped-call]


def check_lengths(path: Path, index: int) -> None:
    """Check the lengths that belong to a recording of Tonic's SHD.

    HDF5 takes memory for as many values as an entry says, and on wrong lengths in the collection of
    objects that holds them it may never end.

    Raises:
        ValueError: If one is longer than the file or the collection.
    """
    size = path.stat().st_size
    with h5py_module().File(path) as file, path.open("rb") as content:
        for entries in (file["spikes/times"], file["spikes/units"]):
            # Entries of fixed length need no check, and those that are compressed cannot be had.
            if entries.dtype != object or entries.id.get_create_plist().get_nfilters():
                continue
            if entries.chunks:
                place = index % entries.chunks[0]
                entry = entries.id.read_direct_chunk((index - place,))[1][16 * place :][:16]
            else:
                content.seek(entries.id.get_offset() + 16 * index)
                entry = content.read(16)
            length, address, _ = struct.unpack("<IQI", entry)
            if length > size or not _is_collection(content, address, size):
                raise ValueError(f"{length} values at {address} in a file of {size} bytes")


def _is_collection(content: BinaryIO, address: int, size: int) -> bool:
    """Return whether there is a collection of objects (a "global heap") in which each object ends."""
    if address + 16 > size:
        return False
    content.seek(address)
    mark, length = struct.unpack("<8sQ", content.read(16))
    place, end = address + 16, address + length
    if mark[:4] != b"GCOL" or end > size:
        return False
    while end - place >= 16:
        content.seek(place)
        number, length = struct.unpack("<H6xQ", content.read(16))
        step = 16 + -(-length // 8) * 8 if number else length  # that of free space has its header in it
        if step < 16:
            return False
        place += step
    return bool(place <= end)


def read_nmnist(path: Path | str) -> Events:
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
    path = path_of("path", path)
    check_nmnist(path)
    data = np.fromfile(path, dtype=np.uint8)
    columns = data.reshape(-1, 5).T.astype(np.int64)
    times = (columns[2] & 127) << 16 | columns[3] << 8 | columns[4]
    overflow = columns[1] == OVERFLOW_Y
    if overflow.any():
        times += OVERFLOW_US * np.cumsum(overflow)
        columns, times = columns[:, ~overflow], times[~overflow]
    events = np.empty(len(times), EVENT)
    events["x"], events["y"], events["t"], events["p"] = columns[0], columns[1], times, columns[2] >> 7
    return events


def write_nmnist(events: Events, path: Path | str) -> None:
    """Write events to a file in N-MNIST's format, which holds them without loss.

    Raises:
        InputError: If these are no events, or one does not fit into the format: a row of 240 or more,
            more than two polarities, or a time of 2^23 microseconds (8.4 s) or more.
    """
    path_of("path", path).write_bytes(_packed(events))


def _packed(events: Events) -> bytes:
    """Return events in N-MNIST's format."""
    limits = {"x": 255, "y": OVERFLOW_Y - 1, "t": LAST_US, "p": 1}
    check_fields(events)
    for name, last in limits.items():
        values = events[name]
        if len(values) and not 0 <= int(values.min()) <= int(values.max()) <= last:
            expected, got = f"0 .. {last} in N-MNIST files", f"{values.min()} .. {values.max()}"
            cure = "use the format npz or hdf5"
            raise InputError(f"events, {name}", expected=expected, got=got, cure=cure)
    x, y, t, p = (events[name].astype(np.int64) for name in limits)
    columns = np.stack([x, y, p << 7 | t >> 16, t >> 8 & 255, t & 255], 1)
    return columns.astype(np.uint8).tobytes()


def write_hdf5(recordings: Sequence[Events], labels: NDArray[np.int64], path: Path | str) -> None:
    """Write recordings end to end into a file: ``events/x`` and so on, ``offsets`` and ``labels [n]``.

    Recording k reaches from ``offsets[k]`` to ``offsets[k + 1]``.

    Raises:
        InputError: If h5py, which comes with Tonic, is missing or broken, these are no events, or there
            is not one label for each recording.
    """
    h5py = h5py_module()
    path = path_of("path", path)
    _check_labels(labels, recordings)
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
    """Return all events in a row, and the offsets ``[n + 1]`` of recordings and of the end.

    Raises:
        InputError: If these are no events.
    """
    for events in recordings:
        check_fields(events)
    offsets = np.cumsum([0, *map(len, recordings)])
    return np.concatenate([np.empty(0, EVENT), *recordings]), offsets


def write_nmnist_folder(
    recordings: Sequence[Events], labels: NDArray[np.int64], folder: Path | str
) -> None:
    """Write recordings and their labels ``[n]`` in Tonic's layout: ``Train/<label>/<number>.bin``.

    Raises:
        InputError: If an event does not fit into the format, as for `write_nmnist`, or there is not one
            label for each recording.
    """
    folder = path_of("folder", folder)
    _check_labels(labels, recordings)
    files = [_packed(events) for events in recordings]
    for number, (packed, label) in enumerate(zip(files, labels, strict=True)):
        place = folder / "Train" / str(int(label))
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{number:05}.bin").write_bytes(packed)


def _check_labels(labels: NDArray[np.int64], recordings: Sequence[Events]) -> None:
    if np.asarray(labels).dtype.kind not in "iu" or np.shape(labels) != (len(recordings),):
        got = f"{np.asarray(labels).dtype} {list(np.shape(labels))}"
        raise InputError("labels", expected=f"whole numbers [{len(recordings)}]", got=got)
