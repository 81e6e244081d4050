"""Event-camera recordings from any Tonic data set, each checked when it is read."""

import hashlib
import operator
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol

from snn_gan_ext.coding.events import Events, Sensor, problem_of
from snn_gan_ext.datasets.event_files import INSTALL_TONIC, missing, read_nmnist
from snn_gan_ext.errors import InputError
from snn_gan_ext.validation import check_setting, one_of

__all__ = ["DataSetName", "EventDataset", "Problem", "Recordings", "open_recordings"]

DataSetName = Literal["nmnist", "pokerdvs", "dvsgesture", "cifar10dvs", "shd"]

UNOPENED = "cannot be opened"


class EventDataset(Protocol):
    """A Tonic data set: recordings by index, each with its target."""

    def __len__(self) -> int: ...
    def __getitem__(self, index: int) -> tuple[Any, Any]: ...


class Problem(NamedTuple):
    """A recording that cannot be used: the name of its file, or its index, and its fault."""

    name: str
    reason: str


class _Layout(NamedTuple):
    """Locations of a data set's files, below its folder or below ``folder/tonic``."""

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
    """A data set with its sensor, to check recordings, and its key, to cache them.

    Args:
        dataset: Any Tonic data set without transforms, or another sequence of recordings and targets.
        sensor: Width, height and polarities of the sensor; by default ``dataset.sensor_size``.
        key: Text that changes with the data, for the cache. For data sets without transforms that list
            their files as ``data``, the default is a hash of their class, settings and files (names,
            sizes and times); for others it is None.
        ignored: Stray files beside the recordings.

    Raises:
        InputError: If the data set has no ``sensor_size`` and none is given.
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
        """Return the name of a recording: its file, if it has one."""
        return str(Path(*self._files[index].parts[-3:])) if self._files else f"recording {index}"

    def read(self, index: int) -> tuple[Events, int] | Problem:
        """Return a recording and its target, or its problem.

        Raises:
            InputError: If the data set's reader needs a package that is missing.
        """
        try:
            events, target = self.dataset[index]
        except ImportError as error:
            raise missing(f"{error.name}", f"install it: pip install {error.name}") from None
        except MemoryError:
            raise
        except Exception as error:  # readers raise many kinds on damaged files
            reason = UNOPENED if isinstance(error, OSError) else "cannot be read"
            return Problem(self.name(index), f"{reason}: {first_line(error)}")
        if (found := problem_of(events, self.sensor)) is not None:
            return Problem(self.name(index), found)
        try:
            label = operator.index(target)
        except TypeError:
            label = -1
        if not 0 <= label < 2**31:
            return Problem(self.name(index), f"target {target!r} is not a whole number of 0 or more")
        return events, label


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, or the error's name."""
    return (str(error).splitlines() or [type(error).__name__])[0][:200]


def _files_of(dataset: EventDataset) -> list[Path]:
    data: Any = getattr(dataset, "data", None)
    listed = isinstance(data, list) and len(data) == len(dataset)
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

    Raises:
        InputError: If Tonic is missing, the name is unknown, or the folder holds no such recordings.
    """
    check_setting("data set", name, one_of(DataSetName))
    try:
        import tonic
    except ImportError:
        raise missing("tonic", INSTALL_TONIC) from None
    layout = LAYOUTS[name]
    tonic_class = getattr(tonic.datasets, layout.tonic)
    split = {"train": train} if layout.has_split else {}
    if download:
        return Recordings(tonic_class(save_to=str(folder), **split))
    pattern = layout.train if train else layout.test
    folder = Path(folder).expanduser().resolve()
    roots = [root for root in (folder / layout.tonic, folder) if any(root.glob(pattern))]
    if not roots:
        got = "no such files" if folder.is_dir() else "no such folder"
        expected = f"{layout.tonic}/{pattern} or {pattern} in it"
        raise InputError(f"{folder}", expected=expected, got=got)
    root = roots[0]
    # Tonic looks for files in save_to / name of the class, and downloads them unless all are there.
    partial = type(root.name, (tonic_class,), {"_check_exists": lambda self: True, **OWN.get(name, {})})
    try:
        found = partial(save_to=str(root.parent), **split)
    except Exception as error:  # Tonic raises many kinds on foreign files
        got, expected = first_line(error), f"{pattern} in Tonic's layout"
        raise InputError(f"{root}", expected=expected, got=got) from error
    return Recordings(found, ignored=_strays(root, pattern))


def _strays(root: Path, pattern: str) -> tuple[Problem, ...]:
    """Return stray files among the recordings."""
    top = root / Path(pattern).parts[0]
    recordings = set(root.glob(pattern))
    places = {path.parent for path in recordings} - {root}
    among = top.rglob("*") if top.is_dir() else (path for place in places for path in place.iterdir())
    strays = sorted(path for path in among if not path.is_dir() and path not in recordings)
    return tuple(Problem(str(path.relative_to(root)), f"not of {pattern}") for path in strays)


def _list_nmnist(self: Any, save_to: str, train: bool = True) -> None:
    """List recordings by the label of their folder; Tonic takes its last letter."""
    import tonic

    tonic.dataset.Dataset.__init__(self, save_to)
    root, layout = Path(self.location_on_system), LAYOUTS["nmnist"]
    paths = sorted(root.glob(layout.train if train else layout.test))
    self.data, self.targets = [str(path) for path in paths], [int(path.parent.name) for path in paths]


def _read_nmnist(self: Any, index: int) -> tuple[Events, int]:
    """Read a recording; Tonic accepts files that end within an event."""
    return read_nmnist(Path(self.data[index])), self.targets[index]


OWN: dict[str, dict[str, Callable[..., Any]]] = {
    "nmnist": {"__init__": _list_nmnist, "__getitem__": _read_nmnist}
}


def _fingerprint(dataset: EventDataset, files: Sequence[Path]) -> str | None:
    """Return a hash that identifies a data set in files; None where that is impossible."""
    transforms = ("transform", "target_transform", "transforms")
    if not files or any(getattr(dataset, name, None) is not None for name in transforms):
        return None
    plain = (item for item in sorted(vars(dataset).items()) if isinstance(item[1], str | int | float))
    settings = {name: value for name, value in plain if name != "location_on_system"}
    kinds = [kind.__qualname__ for kind in type(dataset).__mro__]
    digest = hashlib.sha256(repr((kinds, settings)).encode())
    for path in files:
        about = path.stat() if path.exists() else None
        parts = (path.name, path.parent.name, about and about.st_size, about and about.st_mtime_ns)
        digest.update(repr(parts).encode())
    return digest.hexdigest()
