"""Event-camera recordings from any Tonic data set, each checked when it is read."""

import hashlib
import inspect
import operator
import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path, PurePath
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np
from torch import Tensor

from snn_gan_ext.coding.events import Events, Sensor, problem_of
from snn_gan_ext.datasets.download import downloading
from snn_gan_ext.datasets.event_files import INSTALL_TONIC, check_array, check_lengths, check_nmnist
from snn_gan_ext.errors import InputError, first_line
from snn_gan_ext.validation import Rule, check_setting, one_of, path_of, plain, require

__all__ = ["DataSetName", "EventDataset", "Problem", "Recordings", "open_recordings"]

DataSetName = Literal["nmnist", "pokerdvs", "dvsgesture", "cifar10dvs", "shd"]

UNOPENED = "cannot be opened"
KEY = Rule("text, or None", lambda x: x is None or isinstance(x, str))


class EventDataset(Protocol):
    """A Tonic data set: recordings by index, each with its target."""

    def __len__(self) -> int: ...
    def __getitem__(self, index: int) -> tuple[Any, Any]: ...


class Problem(NamedTuple):
    """A recording that cannot be used: the name of its file, or its index, and its fault."""

    name: str
    reason: str


class _Layout(NamedTuple):
    """Files of a data set, below its folder or below ``folder/tonic``.

    Attributes:
        tonic: Name of Tonic's class.
        train: Pattern of the training files.
        test: Pattern of the test files.
        lists: Attributes of Tonic's class with a value for each file.
        check: Check of a file, for damage that Tonic's reader does not see or allocates memory for.
        needs: Package that the reader needs beside Tonic.
        has_split: Whether there are test files.
        in_memory: Whether ``data`` are the contents of the files, not their paths.
    """

    tonic: str
    train: str
    test: str
    lists: Mapping[str, Callable[[Any, Path], Any]] = {}
    check: Callable[[Path], object] | None = None
    needs: str = "tonic"
    has_split: bool = True
    in_memory: bool = False


LAYOUTS: dict[str, _Layout] = {
    "nmnist": _Layout(
        "NMNIST",
        "Train/[0-9]/*.bin",
        "Test/[0-9]/*.bin",
        lists={"targets": lambda kind, path: int(path.parent.name)},
        check=check_nmnist,
    ),
    "pokerdvs": _Layout(
        "POKERDVS",
        "pips_train/*/*.npy",
        "pips_test/*/*.npy",
        lists={"targets": lambda kind, path: kind.int_classes[path.parent.name]},
        check=check_array,
        in_memory=True,
    ),
    "dvsgesture": _Layout(
        "DVSGesture",
        "ibmGestureTrain/*/*.npy",
        "ibmGestureTest/*/*.npy",
        lists={
            "targets": lambda kind, path: int(path.stem),
            "users": lambda kind, path: int(path.parent.name.partition("_")[0][4:]),
            "lighting": lambda kind, path: path.parent.name.partition("_")[2],
        },
        check=check_array,
    ),
    "cifar10dvs": _Layout(
        "CIFAR10DVS",
        "*/*.aedat4",
        "*/*.aedat4",
        lists={"targets": lambda kind, path: kind.classes[path.parent.name]},
        needs="aedat",
        has_split=False,
    ),
    "shd": _Layout("SHD", "shd_train.h5", "shd_test.h5", needs="h5py"),
}


class Recordings:
    """A data set with its sensor, to check recordings, and its key, to cache them.

    Args:
        dataset: Any Tonic data set, or another sequence of recordings and targets.
        sensor: Width, height and polarities of the sensor; by default ``dataset.sensor_size``.
        key: Text that changes with the data, for the cache. For data sets that list their files as
            ``data``, the default is a hash of their class and its source, their attributes, and their
            files (names, sizes and times). It is None where an attribute, such as a transform, cannot
            be hashed.
        ignored: Stray files beside the recordings.
        check: Check of a recording by its index, which raises what the data set's reader overlooks.

    Attributes:
        own_key: Whether the key was given.

    Raises:
        InputError: If the data set has no ``sensor_size`` and none is given, or no length, or the key
            is no text.
    """

    def __init__(
        self,
        dataset: EventDataset,
        sensor: tuple[int, int, int] | None = None,
        key: str | None = None,
        ignored: Sequence[Problem] = (),
        check: Callable[[int], object] | None = None,
    ) -> None:
        size: Any = getattr(dataset, "sensor_size", None) if sensor is None else sensor
        try:
            self.sensor = Sensor(*map(operator.index, size))
        except TypeError:
            self.sensor = Sensor(0, 0, 0)
        if min(self.sensor) < 1:
            raise InputError("sensor", expected="(width, height, polarities)", got=f"{size!r:.60}")
        check_setting("key", key, KEY)
        try:
            self._count = len(dataset)
        except Exception as error:
            expected, got = "a data set with a length", f"{type(error).__name__}: {first_line(error)}"
            raise InputError("dataset", expected=expected, got=got) from None
        self.dataset, self.ignored, self._check = dataset, tuple(ignored), check
        self._files = _files_of(dataset, self._count)
        self.own_key = bool(key)
        self.key = key or _fingerprint(dataset, self._files)

    def __len__(self) -> int:
        return self._count

    def name(self, index: int) -> str:
        """Return the name of a recording: its file, if it has one."""
        return str(Path(*self._files[index].parts[-3:])) if self._files else f"recording {index}"

    def read(self, index: int) -> tuple[Events, int] | Problem:
        """Return a recording and its target, or its problem.

        Raises:
            InputError: If the data set's reader needs a package that is missing.
        """
        try:
            if self._check is not None:
                self._check(index)
            events, target = self.dataset[index]
            found = problem_of(events, self.sensor)
        except (KeyboardInterrupt, SystemExit):
            raise
        except ImportError as error:
            cure = f"install it: pip install {error.name}" if error.name else ""
            expected = "the packages that their reader imports"
            raise InputError(
                "recordings", expected=expected, got=first_line(error), cure=cure
            ) from None
        except BaseException as error:  # on damage readers raise many kinds, and those in Rust panics
            transient = isinstance(error, OSError | MemoryError)
            reason = UNOPENED if transient else "cannot be read"
            return Problem(self.name(index), f"{reason}: {first_line(error)}")
        if found is not None:
            return Problem(self.name(index), found)
        try:
            label = operator.index(target)
        except TypeError:
            label = -1
        if not 0 <= label < 2**31:
            wrong = f"target {target!r:.60} is not a whole number of 0 or more"
            return Problem(self.name(index), wrong)
        return events, label


class _Arrays(Sequence[Any]):
    """Arrays in files, each read when it is asked for, so that one damaged file spoils no other."""

    def __init__(self, files: list[str]) -> None:
        self.files = files

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: Any) -> Any:
        chosen = self.files[index]
        return np.load(chosen) if isinstance(chosen, str) else list(map(np.load, chosen))


def _files_of(dataset: EventDataset, count: int) -> list[Path]:
    data: Any = getattr(dataset, "data", None)
    data = getattr(data, "files", data)
    listed = isinstance(data, list) and len(data) == count
    files = [Path(x) for x in data] if listed and all(isinstance(x, str) for x in data) else []
    return files if any(path.exists() for path in files) else []


def open_recordings(
    name: DataSetName, folder: Path | str, *, train: bool = True, download: bool = False
) -> Recordings:
    """Open a data set through Tonic.

    Args:
        name: Name of the data set.
        folder: Tonic's ``save_to``, or the data set's own folder within it. Without ``download`` it may
            hold a part of the data set.
        train: Open the training recordings, not the test recordings; CIFAR10-DVS has no such split.
        download: Let Tonic download missing files to ``folder``.

    Returns:
        Recordings in the order of their paths. Their ``dataset`` is an object of Tonic's class.

    Raises:
        InputError: If Tonic is missing or broken, the name is unknown, the download fails, or the
            folder holds no such recordings.
    """
    check_setting("data set", name, one_of(DataSetName))
    folder, layout = path_of("folder", folder), LAYOUTS[name]
    tonic = require("tonic", INSTALL_TONIC)
    require(layout.needs, f"pip install {layout.needs}")
    kind = getattr(tonic.datasets, layout.tonic)
    split = {"train": train} if layout.has_split else {}
    if download:
        cure = "try again, or put the files there by hand"
        with downloading(f"{layout.tonic} in {folder}", cure):
            kind(save_to=str(folder), **split)
    pattern = layout.train if train else layout.test
    folder = folder.resolve()
    roots = [root for root in (folder / layout.tonic, folder) if any(root.glob(pattern))]
    if not roots:
        got = "no such files" if folder.is_dir() else "no such folder"
        expected = f"{layout.tonic}/{pattern} or {pattern} in it"
        cure = "name another folder, or have Tonic download the data set into this one"
        raise InputError(f"{folder}", expected=expected, got=got, cure=cure)
    root = roots[0]
    files, unlabelled = sorted(root.glob(pattern)), []
    values: dict[str, list[Any]] = {name: [] for name in ("data", *layout.lists)}
    for path in files:
        try:
            row = [str(path), *(value(kind, path) for value in layout.lists.values())]
        except (ValueError, KeyError):
            unlabelled.append(Problem(str(path.relative_to(root)), "its path names no class"))
            continue
        for column, value in zip(values.values(), row, strict=True):
            column.append(value)
    try:
        # Tonic's own listing follows the file system, and stops at the first foreign file.
        dataset = _undownloaded(kind, os.devnull if layout.lists else f"{root}", split)
    except Exception as error:  # Tonic raises many kinds on foreign files
        got, expected = first_line(error), f"{pattern} in Tonic's layout"
        raise InputError(f"{root}", expected=expected, got=got) from error
    if layout.lists:
        data = _Arrays(values["data"]) if layout.in_memory else values["data"]
        vars(dataset).update(values, data=data, location_on_system=f"{root}")
    ignored = (*_strays(root, pattern), *unlabelled)
    if name == "shd":
        return Recordings(dataset, ignored=ignored, check=partial(check_lengths, files[0]))
    check = layout.check and partial(_check_file, layout.check, values["data"])
    return Recordings(dataset, ignored=ignored, check=check)


def _check_file(check: Callable[[Path], object], files: Sequence[str], index: int) -> None:
    check(Path(files[index]))


def _undownloaded(kind: Any, place: str, split: Mapping[str, bool]) -> Any:
    """Return an object of Tonic's class with the files of a folder, complete or not."""
    dataset = kind.__new__(kind)

    def move() -> bool:
        dataset.location_on_system = place  # Tonic takes a folder of the class's name
        return True

    dataset._check_exists = move  # called before files are downloaded or listed
    dataset.__init__("", **split)
    del dataset._check_exists
    return dataset


def _strays(root: Path, pattern: str) -> tuple[Problem, ...]:
    """Return stray files among the recordings."""
    top = root / Path(pattern).parts[0]
    recordings = set(root.glob(pattern))
    places = {path.parent for path in recordings} - {root}
    among = top.rglob("*") if top.is_dir() else (path for place in places for path in place.iterdir())
    strays = sorted(path for path in among if not path.is_dir() and path not in recordings)
    return tuple(Problem(str(path.relative_to(root)), f"not of {pattern}") for path in strays)


def _fingerprint(dataset: EventDataset, files: Sequence[Path]) -> str | None:
    """Return a hash that identifies a data set in files; None where that is impossible."""
    if not files:
        return None
    settings = {
        name: x for name, x in vars(dataset).items() if name not in ("data", "location_on_system")
    }
    try:
        sources = [_source(kind) for kind in type(dataset).__mro__ if kind.__module__ != "builtins"]
        digest = hashlib.sha256(repr((sources, _plain(settings))).encode())
    except (TypeError, OSError):
        return None
    for path in files:
        about = path.stat() if path.exists() else None
        # A copy may keep the time of its content, not that of its entry in the file system.
        times = about and (about.st_size, about.st_mtime_ns, about.st_ctime_ns)
        digest.update(repr((path.parts[-3:], times)).encode())
    return digest.hexdigest()


def _source(kind: type) -> str:
    """Return the name and the source of a class; a `TypeError` for one that is made in a function."""
    if "<locals>" in kind.__qualname__:
        raise TypeError(kind.__qualname__)
    return f"{kind.__module__}.{kind.__qualname__} {inspect.getsource(kind)}"


def _plain(value: Any) -> object:
    """Return an attribute as parts whose text says all about them; a `TypeError` for others."""
    if isinstance(value, Tensor):
        value = plain(value).numpy()
    if isinstance(value, np.ndarray | np.generic) and not value.dtype.hasobject:
        return value.dtype.descr, value.shape, hashlib.sha256(value.tobytes()).hexdigest()
    if isinstance(value, Mapping):
        return type(value).__name__, [(_plain(name), _plain(x)) for name, x in value.items()]
    if isinstance(value, list | tuple):
        return type(value).__name__, [_plain(x) for x in value]
    if value is None or isinstance(value, str | int | float | bytes | PurePath):
        return type(value).__name__, repr(value)
    raise TypeError(type(value).__name__)
