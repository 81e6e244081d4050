"""Event-camera recordings: any Tonic data set, each recording checked as it is read."""

import hashlib
import operator
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol

from snn_gan_ext.coding.events import Events, Sensor, problem_of
from snn_gan_ext.datasets.event_files import read_nmnist
from snn_gan_ext.errors import InputError
from snn_gan_ext.settings import check_setting, one_of

__all__ = [
    "DataSetName",
    "EventDataset",
    "Problem",
    "Recordings",
    "open_recordings",
]

DataSetName = Literal["nmnist", "pokerdvs", "dvsgesture", "cifar10dvs", "shd"]

UNOPENED = "cannot be opened"


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
    check_setting("data set", name, one_of(DataSetName))
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
            cure='install the extra tonic: pip install ".[tonic]"',
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
