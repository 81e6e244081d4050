"""Event-camera data sets as spikes: any Tonic data set, checked, binned and cached on disk."""

import hashlib
import json
import operator
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

UNOPENED = "cannot be opened"
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
    "nmnist": _Layout("NMNIST", "Train/[0-9]/*.bin", "Test/[0-9]/*.bin"),
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
        key: something that changes with the data, for the cache; by default made of the data set's
            class and settings and of the names, sizes and times of the files that it lists as ``data``,
            if it does and has no transforms.
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
        self.key = key or _fingerprint(dataset, self._files)

    def __len__(self) -> int:
        return len(self.dataset)

    def name(self, index: int) -> str:
        """Of a recording: its file, if it has one."""
        return str(Path(*self._files[index].parts[-3:])) if self._files else f"recording {index}"

    def read(self, index: int) -> tuple[Events, int] | Problem:
        """A recording and its target, or what is wrong with it.

        Raises:
            InputError: if the data set's reader needs a package that is missing.
        """
        try:
            events, target = self.dataset[index]
        except ImportError as error:
            raise InputError(
                "reader",
                expected=f"the package {error.name}",
                got="an environment without it",
                cure=f"pip install {error.name}",
            ) from None
        except MemoryError:
            raise
        except Exception as error:  # whatever a reader says of a damaged file
            said = str(error).splitlines() or [type(error).__name__]
            reason = UNOPENED if isinstance(error, OSError) else "cannot be read"
            return Problem(self.name(index), f"{reason}: {said[0][:200]}")
        if (reason_of_events := problem_of(events, self.sensor)) is not None:
            return Problem(self.name(index), reason_of_events)
        try:
            label = operator.index(target)
        except TypeError:
            label = -1
        if not 0 <= label < 2**31:
            return Problem(self.name(index), f"target {target!r} is no whole number of 0 or more")
        return events, label


def _files_of(dataset: EventDataset) -> list[Path]:
    data: Any = getattr(dataset, "data", None)
    listed = isinstance(data, list) and len(data) == len(dataset)
    files = [Path(x) for x in data] if listed and all(isinstance(x, str) for x in data) else []
    return files if any(path.exists() for path in files) else []


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
    root = _root(Path(folder), layout, pattern)
    # Tonic looks for its files in save_to / name of the class, and downloads unless they are all there.
    partial = type(root.name, (tonic_class,), {"_check_exists": lambda self: True, **OWN.get(name, {})})
    try:
        found = partial(save_to=str(root.parent), **split)
    except Exception as error:  # whatever Tonic says of files that are none of the data set's
        said = str(error).splitlines() or [type(error).__name__]
        raise InputError(
            f"{root}", expected=f"{pattern} as Tonic lays them out", got=said[0][:200]
        ) from error
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
    """Files among the recordings that are none."""
    top = root / Path(pattern).parts[0]
    recordings = set(root.glob(pattern))
    places = {path.parent for path in recordings} - {root}
    among = top.rglob("*") if top.is_dir() else (path for place in places for path in place.iterdir())
    strays = sorted(path for path in among if not path.is_dir() and path not in recordings)
    return tuple(Problem(str(path.relative_to(root)), f"not of {pattern}") for path in strays)


def _list_nmnist(self: Any, save_to: str, train: bool = True) -> None:
    """Tonic's own list takes the last letter of any folder for the label."""
    _require_tonic().dataset.Dataset.__init__(self, save_to)
    root, layout = Path(self.location_on_system), LAYOUTS["nmnist"]
    paths = sorted(root.glob(layout.train if train else layout.test))
    self.data, self.targets = [str(path) for path in paths], [int(path.parent.name) for path in paths]


def _read_nmnist(self: Any, index: int) -> tuple[Events, int]:
    """Tonic's own reader takes a file that ends within an event for a shorter one."""
    return read_nmnist(Path(self.data[index])), self.targets[index]


OWN: dict[str, dict[str, Callable[..., Any]]] = {
    "nmnist": {"__init__": _list_nmnist, "__getitem__": _read_nmnist}
}


def _fingerprint(dataset: EventDataset, files: Sequence[Path]) -> str | None:
    """What tells a data set in files from all others; None where that cannot be told."""
    transforms = ("transform", "target_transform", "transforms")
    if not files or any(getattr(dataset, name, None) is not None for name in transforms):
        return None
    settings = {
        name: value
        for name, value in sorted(vars(dataset).items())
        if isinstance(value, str | int | float | bool) and name != "location_on_system"
    }
    kinds = [kind.__qualname__ for kind in type(dataset).__mro__]
    digest = hashlib.sha256(repr((kinds, settings)).encode())
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
        progress: show a progress bar, on a terminal.

    Attributes:
        binning: as above.
        targets: labels ``[n]``.
        names: of the recordings.
        problems: recordings that were skipped, and files that are none.

    Raises:
        InputError: if recordings cannot be used and are to be refused, none is left, the sensors
            differ, a cache is asked for and the recordings have no key, or what is in it is damaged.
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
        if type(workers) is not int or workers < 0:
            raise InputError("workers", expected="0 or more processes", got=f"{workers}")
        self.binning = binning
        kept = (
            None if cache is None else Path(cache).expanduser() / _key_of(recordings, binning, damaged)
        )
        if kept is not None and kept.exists():
            self._folder = kept
        else:
            self._folder = self._fill(recordings, kept, damaged, workers, progress)
        self._open()
        if self.problems:
            listed = _named(self.problems)
            warnings.warn(f"recordings: {len(self)} are used, {listed}", stacklevel=2)

    def _open(self) -> None:
        """Reads what the first pass left, and makes sure that it is whole."""
        try:
            about = json.loads((self._folder / "about.json").read_text())
            self.targets: NDArray[np.int64] = np.array(about["targets"], dtype=np.int64)
            self.names: list[str] = list(about["names"])
            self.problems = [Problem(*problem) for problem in about["problems"]]
            self._packed: NDArray[np.uint8] | None = self._map()
            expected = (len(self.targets), -(-int(np.prod(self.binning.shape)) // 8))
            if self._packed.shape != expected or len(self.names) != len(self.targets):
                raise ValueError(f"spikes {self._packed.shape} for {len(self.targets)} targets")
        except (OSError, ValueError, KeyError, TypeError, EOFError) as error:
            raise InputError(
                "cache",
                expected=f"what an earlier pass left in {self._folder}",
                got=str(error).splitlines()[0] if str(error) else type(error).__name__,
                cure="remove that folder",
            ) from error

    def _map(self) -> NDArray[np.uint8]:
        packed: NDArray[np.uint8] = np.load(self._folder / "spikes.npy", mmap_mode="r")
        return packed

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        """Spikes ``[T, C, H, W]`` and the target of a recording."""
        return self.spikes([index])[:, 0], int(self.targets[index])

    def spikes(self, indices: Sequence[int] | NDArray[np.int64]) -> Tensor:
        """Spikes ``[T, B, C, H, W]`` of some recordings, floats.

        Raises:
            InputError: if the indices are no whole numbers ``[B]``.
            IndexError: if there is no such recording.
        """
        if self._packed is None:
            self._packed = self._map()
        picks = np.asarray(indices)
        if picks.ndim != 1 or (len(picks) and picks.dtype.kind not in "iu"):
            raise InputError("indices", expected="whole numbers [B]", got=f"{indices!r}"[:60])
        shape = self.binning.shape
        rows = self._packed[picks.astype(np.int64)]
        bits = np.unpackbits(rows, axis=1, count=int(np.prod(shape)))
        return torch.from_numpy(bits.reshape(-1, *shape)).transpose(0, 1).float()

    def __getstate__(self) -> dict[str, Any]:
        # A worker process opens the file for itself.
        return {**self.__dict__, "_packed": None}

    def _fill(
        self,
        recordings: Recordings,
        kept: Path | None,
        damaged: Damaged,
        workers: int,
        progress: bool,
    ) -> Path:
        """The first pass; the folder that it returns is there as a whole."""
        if kept is not None:
            kept.parent.mkdir(parents=True, exist_ok=True)
        place = Path(tempfile.mkdtemp(prefix="filling-", dir=kept and kept.parent))
        # Removed with this object, unless it has become the cache's.
        remove = weakref.finalize(self, shutil.rmtree, place, ignore_errors=True)
        try:
            problems = _first_pass(recordings, self.binning, place, workers, progress)
            _refuse(problems, recordings, damaged, place)
        except BaseException:
            remove()
            raise
        # What could not be opened this time may be there the next.
        if kept is None or any(reason.startswith(UNOPENED) for _, reason in problems):
            return place
        try:
            place.rename(kept)
        except OSError:
            if not kept.is_dir():  # else another process was first
                raise
            return kept
        remove.detach()
        return kept


def _first_pass(
    recordings: Recordings, binning: Binning, place: Path, workers: int, progress: bool
) -> list[Problem]:
    """Writes ``spikes.npy``, a bit a spike, and ``about.json``."""
    names, targets, problems, silent = [], [], list(recordings.ignored), 0
    bytes_each = -(-int(np.prod(binning.shape)) // 8)
    bits = place / "bits"
    with bits.open("wb") as file:
        for read in _passed(recordings, binning, workers, progress):
            if isinstance(read, Problem):
                problems.append(read)
                continue
            silent += not read.bits.any()
            file.write(read.bits.tobytes())
            names.append(read.name)
            targets.append(read.target)
    if silent:
        warnings.warn(
            f"recordings: {silent} of {len(names)} have no event within the binning's steps and pixels",
            stacklevel=5,
        )
    if names:
        np.save(place / "spikes.npy", np.memmap(bits, np.uint8, "r", shape=(len(names), bytes_each)))
    bits.unlink()
    about = {"names": names, "targets": targets, "problems": problems}
    (place / "about.json").write_text(json.dumps(about))
    return problems


def _refuse(problems: Sequence[Problem], recordings: Recordings, damaged: Damaged, place: Path) -> None:
    usable = (place / "spikes.npy").exists()
    unusable = [problem for problem in problems if problem not in recordings.ignored]
    if not usable or (unusable and damaged == "refuse"):
        raise InputError(
            "recordings",
            expected="sound ones",
            got=_named(problems) if problems else "none",
            cure="mend or remove them, or skip them: damaged='skip'",
        )


def _named(problems: Sequence[Problem]) -> str:
    named = "; ".join(f"{name}: {reason}" for name, reason in problems[:5])
    more = f"; and {len(problems) - 5} more" if len(problems) > 5 else ""
    return f"{len(problems)} that cannot be used ({named}{more})".replace("\n", " ")


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
    return iter(tqdm(loader, desc="recordings", disable=None if progress else True, leave=False))


def _as_it_is(item: Any) -> Any:
    return item


def _key_of(recordings: Recordings, binning: Binning, damaged: Damaged) -> str:
    parts = {"format": FORMAT, "data": recordings.key, "damaged": damaged, **asdict(binning)}
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:24]
