"""Event-camera data sets as spikes: any Tonic data set, checked, binned and cached on disk."""

import hashlib
import json
import os
import shutil
import tempfile
import warnings
import weakref
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from snn_gan_ext.coding.events import Binning, Events, Sensor, bin_events, problem_of
from snn_gan_ext.data.event_files import read_nmnist
from snn_gan_ext.errors import InputError

__all__ = [
    "DataSetName",
    "EventDataset",
    "EventFrames",
    "Problem",
    "Recordings",
    "open_recordings",
    "time_first",
]

DataSetName = Literal["nmnist", "pokerdvs", "dvsgesture", "cifar10dvs", "shd"]
Damaged = Literal["refuse", "skip"]

FORMAT = 1
"""Counts up when what a cache holds changes its meaning."""


class EventDataset(Protocol):
    """What a Tonic data set is: recordings by index, with their target."""

    def __len__(self) -> int: ...
    def __getitem__(self, index: int) -> tuple[Any, Any]: ...


class Problem(NamedTuple):
    """A recording that cannot be used.

    Attributes:
        name: of its file, or its index.
        reason: what is wrong with it.
    """

    name: str
    reason: str


class _Layout(NamedTuple):
    """Where a data set's files are, below its folder or below ``folder/tonic``."""

    tonic: str
    train: str
    test: str
    has_split: bool = True


LAYOUTS: dict[str, _Layout] = {
    "nmnist": _Layout("NMNIST", "Train/*/*.bin", "Test/*/*.bin"),
    "pokerdvs": _Layout("POKERDVS", "pips_train/*/*.npy", "pips_test/*/*.npy"),
    "dvsgesture": _Layout("DVSGesture", "ibmGestureTrain/*/*.npy", "ibmGestureTest/*/*.npy"),
    "cifar10dvs": _Layout("CIFAR10DVS", "*/*.aedat4", "*/*.aedat4", has_split=False),
    "shd": _Layout("SHD", "shd_train.h5", "shd_test.h5"),
}


class Recordings:
    """A data set with what is needed to check it and to know it again.

    Args:
        dataset: recordings by index; any Tonic data set, without transforms.
        sensor: its sensor; by default what the data set calls ``sensor_size``.
        key: something that changes with the data, for the cache; by default made of the names, sizes
            and times of the files that the data set lists as ``data``, if it does.
        ignored: files beside the recordings that are none.

    Attributes:
        dataset: as above.
        sensor: its size.
        key: as above, or None.
        ignored: as above.

    Raises:
        InputError: if the data set has no ``sensor_size`` and none is given.
    """

    def __init__(
        self,
        dataset: EventDataset,
        sensor: tuple[int, int, int] | None = None,
        key: str | None = None,
        ignored: Sequence[Problem] = (),
    ) -> None:
        size = getattr(dataset, "sensor_size", None) if sensor is None else sensor
        if size is None or len(size) != 3 or min(size) < 1:
            raise InputError("sensor", expected="(width, height, polarities)", got=f"{size}")
        self.dataset, self.sensor, self.ignored = dataset, Sensor(*map(int, size)), tuple(ignored)
        self._files = _files_of(dataset)
        self.key = key or (_fingerprint(self._files) if self._files else None)

    def __len__(self) -> int:
        return len(self.dataset)

    def name(self, index: int) -> str:
        """Of a recording: its file, if it has one."""
        return str(Path(*self._files[index].parts[-3:])) if self._files else f"recording {index}"

    def read(self, index: int) -> tuple[Events, int] | Problem:
        """A recording and its target, or what is wrong with it."""
        try:
            events, target = self.dataset[index]
        except Exception as error:  # whatever a reader says of a damaged file
            said = str(error).splitlines() or [type(error).__name__]
            return Problem(self.name(index), f"cannot be read: {said[0][:200]}")
        if (reason := problem_of(events, self.sensor)) is not None:
            return Problem(self.name(index), reason)
        try:
            return events, int(target)
        except (TypeError, ValueError):
            return Problem(self.name(index), f"target {target!r} is no whole number")


def _files_of(dataset: EventDataset) -> list[Path]:
    data: Any = getattr(dataset, "data", None)
    listed = isinstance(data, list) and len(data) == len(dataset)
    return [Path(x) for x in data] if listed and all(isinstance(x, str) for x in data) else []


def open_recordings(
    name: DataSetName, folder: Path, *, train: bool = True, download: bool = False
) -> Recordings:
    """A named data set through Tonic.

    Args:
        name: which.
        folder: Tonic's ``save_to``, or the data set's own folder within it. Without ``download`` what
            is there is all there is, be it a part of the data set.
        train: the training or the test recordings; CIFAR10-DVS has no such split.
        download: let Tonic download what is missing into ``folder``.

    Raises:
        InputError: if Tonic is missing, the name is unknown, or the folder holds no such recordings.
    """
    if name not in get_args(DataSetName):
        names = ", ".join(get_args(DataSetName))
        raise InputError("data set", expected=f"one of {names}", got=f"{name!r}")
    layout = LAYOUTS[name]
    tonic_class = getattr(_require_tonic().datasets, layout.tonic)
    split = {"train": train} if layout.has_split else {}
    if download:
        return Recordings(tonic_class(save_to=str(folder), **split))
    pattern = layout.train if train else layout.test
    root = _root(folder, layout, pattern)
    # Tonic looks for its files in save_to / name of the class, and downloads unless they are all there.
    partial = type(
        root.name, (tonic_class,), {"_check_exists": lambda self: True, **READERS.get(name, {})}
    )
    found = partial(save_to=str(root.parent), **split)
    return Recordings(found, ignored=_strays(root, pattern))


def _require_tonic() -> Any:
    try:
        import tonic
    except ImportError:
        raise InputError(
            "tonic",
            expected="the package tonic",
            got="an environment without it",
            cure='pip install "snn_gan_ext[tonic]"',
        ) from None
    return tonic


def _root(folder: Path, layout: _Layout, pattern: str) -> Path:
    folder = folder.expanduser().resolve()
    for root in (folder / layout.tonic, folder):
        if any(root.glob(pattern)):
            return root
    raise InputError(
        f"{folder}",
        expected=f"{layout.tonic}/{pattern} or {pattern} in it",
        got="no such files" if folder.is_dir() else "no such folder",
    )


def _strays(root: Path, pattern: str) -> tuple[Problem, ...]:
    """Files beside recordings that have another ending."""
    ending = Path(pattern).suffix
    beside = sorted({path.parent for path in root.glob(pattern)})
    return tuple(
        Problem(str(path.relative_to(root)), f"no {ending} file")
        for place in beside
        for path in sorted(place.iterdir())
        if path.is_file() and path.suffix != ending and place != root
    )


def _read_strictly(self: Any, index: int) -> tuple[Events, int]:
    """Tonic's own reader takes a file that ends within an event for a shorter one."""
    return read_nmnist(Path(self.data[index])), self.targets[index]


READERS: dict[str, dict[str, Callable[..., Any]]] = {"nmnist": {"__getitem__": _read_strictly}}


def _fingerprint(files: Sequence[Path]) -> str:
    digest = hashlib.sha256()
    for path in files:
        about = path.stat() if path.exists() else None
        parts = (path.name, path.parent.name, about and about.st_size, about and about.st_mtime_ns)
        digest.update(repr(parts).encode())
    return digest.hexdigest()


class EventFrames(Dataset[tuple[Tensor, int]]):
    """Spikes of all recordings of a data set, binned once and then read from disk.

    On the first pass all recordings are read, checked and binned, by several processes if wanted, and
    written to disk a bit a spike; memory does not grow with their number.

    Args:
        recordings: what to bin.
        binning: how; for the sensor of the recordings.
        damaged: what to do about recordings that cannot be used: ``refuse`` them all, or ``skip`` these
            with a warning.
        cache: a folder in which later sets of the same recordings and binning find the spikes. Without
            one they are kept in a temporary folder.
        workers: processes for the first pass.
        progress: show a progress bar.

    Attributes:
        binning: as above.
        targets: labels ``[n]``.
        names: of the recordings.
        problems: recordings that were skipped, and files that are none.

    Raises:
        InputError: if recordings cannot be used and are to be refused, none is left, the sensors
            differ, or a cache is asked for and the recordings have no key.
    """

    def __init__(
        self,
        recordings: Recordings,
        binning: Binning,
        *,
        damaged: Damaged = "refuse",
        cache: Path | None = None,
        workers: int = 0,
        progress: bool = True,
    ) -> None:
        if damaged not in get_args(Damaged):
            raise InputError("damaged", expected="refuse or skip", got=f"{damaged!r}")
        if tuple(binning.sensor) != tuple(recordings.sensor):
            raise InputError(
                "binning",
                expected=f"the recordings' sensor {tuple(recordings.sensor)}",
                got=f"{tuple(binning.sensor)}",
            )
        if cache is not None and recordings.key is None:
            raise InputError(
                "cache",
                expected="recordings with a key, to know them again by",
                got="none",
                cure="Recordings(dataset, key='name and version of the data')",
            )
        self.binning = binning
        if cache is None:
            self._folder = Path(tempfile.mkdtemp(prefix="snn_gan_ext"))
            weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
        else:
            self._folder = Path(cache).expanduser() / _key_of(recordings, binning, damaged)
        if not (self._folder / "about.json").is_file():
            self._write(recordings, damaged, workers, progress)
        about = json.loads((self._folder / "about.json").read_text())
        self.targets: NDArray[np.int64] = np.array(about["targets"], dtype=np.int64)
        self.names: list[str] = about["names"]
        self.problems = [Problem(*problem) for problem in about["problems"]]
        self._packed: NDArray[np.uint8] | None = None

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        """Spikes ``[T, C, H, W]`` and the target of a recording."""
        return self.spikes([index])[:, 0], int(self.targets[index])

    def spikes(self, indices: Sequence[int] | NDArray[np.int64]) -> Tensor:
        """Spikes ``[T, B, C, H, W]`` of some recordings, floats."""
        if self._packed is None:
            self._packed = np.load(self._folder / "spikes.npy", mmap_mode="r")
        shape = self.binning.shape
        bits = np.unpackbits(self._packed[np.asarray(indices)], axis=1, count=int(np.prod(shape)))
        return torch.from_numpy(bits.reshape(-1, *shape)).transpose(0, 1).float()

    def __getstate__(self) -> dict[str, Any]:
        # A worker process opens the file for itself.
        return {**self.__dict__, "_packed": None}

    def _write(self, recordings: Recordings, damaged: Damaged, workers: int, progress: bool) -> None:
        """The first pass; what is written is there as a whole or not at all."""
        self._folder.parent.mkdir(parents=True, exist_ok=True)
        bytes_each = -(-int(np.prod(self.binning.shape)) // 8)
        names, targets, problems = [], [], list(recordings.ignored)
        with tempfile.TemporaryDirectory(dir=self._folder.parent) as place:
            bits = Path(place) / "bits"
            with bits.open("wb") as file:
                for read in _passed(recordings, self.binning, workers, progress):
                    if isinstance(read, Problem):
                        problems.append(read)
                        continue
                    file.write(read.bits.tobytes())
                    names.append(read.name)
                    targets.append(read.target)
            _report(problems, recordings, damaged, len(names))
            self._folder.mkdir(parents=True, exist_ok=True)
            raw = np.memmap(bits, np.uint8, "r", shape=(len(names), bytes_each))
            np.save(Path(place) / "spikes.npy", raw)
            os.replace(Path(place) / "spikes.npy", self._folder / "spikes.npy")
        about = {"names": names, "targets": targets, "problems": problems}
        written = self._folder / "about.json.part"
        written.write_text(json.dumps(about))
        written.replace(self._folder / "about.json")


def time_first(batch: Sequence[tuple[Tensor, int]]) -> tuple[Tensor, Tensor]:
    """A `DataLoader`'s ``collate_fn``: spikes ``[T, B, C, H, W]`` and targets ``[B]``."""
    spikes, targets = zip(*batch, strict=True)
    return torch.stack(spikes, 1), torch.tensor(targets)


class _Binned(NamedTuple):
    name: str
    target: int
    bits: NDArray[np.uint8]


class _FirstPass(Dataset[_Binned | Problem]):
    def __init__(self, recordings: Recordings, binning: Binning) -> None:
        self.recordings, self.binning = recordings, binning

    def __len__(self) -> int:
        return len(self.recordings)

    def __getitem__(self, index: int) -> _Binned | Problem:
        read = self.recordings.read(index)
        if isinstance(read, Problem):
            return read
        events, target = read
        bits = np.packbits(bin_events(events, self.binning, check=False).reshape(-1))
        return _Binned(self.recordings.name(index), target, bits)


def _passed(
    recordings: Recordings, binning: Binning, workers: int, progress: bool
) -> Iterator[_Binned | Problem]:
    loader = DataLoader(
        _FirstPass(recordings, binning), batch_size=None, num_workers=workers, collate_fn=_as_it_is
    )
    return iter(tqdm(loader, desc="recordings", disable=not progress, leave=False))


def _as_it_is(item: Any) -> Any:
    return item


def _report(problems: Sequence[Problem], recordings: Recordings, damaged: Damaged, usable: int) -> None:
    if not problems and usable:
        return
    named = "; ".join(f"{name}: {reason}" for name, reason in problems[:5])
    more = f"; and {len(problems) - 5} more" if len(problems) > 5 else ""
    found = f"{len(problems)} that cannot be used ({named}{more})" if problems else "none"
    unusable = [problem for problem in problems if problem not in recordings.ignored]
    if not usable or (unusable and damaged == "refuse"):
        raise InputError(
            "recordings",
            expected="sound ones",
            got=found,
            cure="mend or remove them, or skip them: damaged='skip'",
        )
    warnings.warn(f"recordings: {usable} are used, {found}", stacklevel=4)


def _key_of(recordings: Recordings, binning: Binning, damaged: Damaged) -> str:
    parts = {"format": FORMAT, "data": recordings.key, "damaged": damaged, **asdict(binning)}
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:24]
