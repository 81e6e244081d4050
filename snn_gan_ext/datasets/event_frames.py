"""Recordings as spikes: binned once, and cached on disk."""

import hashlib
import json
import shutil
import tempfile
import warnings
import weakref
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from snn_gan_ext.coding.events import Binning, bin_events
from snn_gan_ext.datasets.recordings import UNOPENED, Problem, Recordings
from snn_gan_ext.errors import InputError, first_line
from snn_gan_ext.validation import check_parts, check_setting, one_of, path_of, whole

__all__ = ["Damaged", "EventFrames", "time_first"]

Damaged = Literal["refuse", "skip"]

FORMAT = 2  # version of the cache, part of its key


class EventFrames(Dataset[tuple[Tensor, int]]):
    """Spikes of all recordings of a data set, binned once and then read from disk.

    The first pass checks and bins all recordings and writes them to disk, one bit for each pixel and
    step. Its memory does not grow with their number.

    Items have no batch axis, and the default collate of a `DataLoader` puts it first. Layers take time
    first: pass ``collate_fn=time_first``.

    Args:
        recordings: Recordings to bin.
        binning: Binning for the sensor of the recordings.
        damaged: Treatment of unusable recordings: ``refuse`` the data set, or ``skip`` them and warn.
        cache: Folder that keeps the spikes for later sets of the same recordings and binning. The
            default is a temporary folder.
        workers: Number of processes of the first pass.
        progress: Show a progress bar on a terminal.

    Attributes:
        binning: Binning of the recordings.
        targets: Labels ``[n]``.
        names: Names of the recordings.
        problems: Recordings that were skipped, and stray files.

    Raises:
        InputError: If unusable recordings are refused, none is left, the sensors differ, recordings
            without a key are to be cached, or the cache is damaged, cannot be written, or holds other
            recordings under the same key.
    """

    def __init__(
        self,
        recordings: Recordings,
        binning: Binning,
        *,
        damaged: Damaged = "refuse",
        cache: Path | str | None = None,
        workers: int = 0,
        progress: bool = True,
    ) -> None:
        check_setting("damaged", damaged, one_of(Damaged))
        check_setting("workers", workers, whole(0))
        check_parts("recordings", recordings, "Recordings(dataset)", "sensor", "key", "read")
        check_parts("binning", binning, "a Binning", "sensor", "shape")
        sensor, kept = tuple(recordings.sensor), None
        if tuple(binning.sensor) != sensor:
            expected = f"the recordings' sensor {sensor}"
            raise InputError("binning", expected=expected, got=f"{tuple(binning.sensor)}")
        if cache is not None:
            if recordings.key is None:
                cure = "give one: Recordings(dataset, key='name and version of the data')"
                raise InputError("cache", expected="recordings with a key", got="none", cure=cure)
            parts = {"format": FORMAT, "data": recordings.key, "damaged": damaged, **asdict(binning)}
            key = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:24]
            kept = path_of("cache", cache) / key
        self.binning = binning
        found = kept if kept is not None and kept.exists() else None
        self._folder = found or self._fill(recordings, kept, damaged, workers, progress)
        about = self._open()
        self.problems[:0] = recordings.ignored
        if found is not None:
            self._compare(recordings, about)
        if silent := about["silent"]:
            said = f"{silent} of {len(self)} have no event within the binning's steps and pixels"
            warnings.warn(f"recordings: {said}", stacklevel=2)
        if self.problems:
            listed = _named(self.problems)
            warnings.warn(f"recordings: {len(self)} are used, {listed}", stacklevel=2)

    def _open(self) -> dict[str, Any]:
        """Open the results of the first pass, and check that they are complete."""
        try:
            text = (self._folder / "about.json").read_text(encoding="utf-8")
            about: dict[str, Any] = json.loads(text)
            self._packed: NDArray[np.uint8] | None = self._map()
            if about.pop("checksum") != _checksum(about, self._packed):
                raise ValueError("files that have changed since")
        except Exception as error:  # formats raise many kinds
            expected = f"the complete results of an earlier pass in {self._folder}"
            got, cure = first_line(error), "remove that folder"
            raise InputError("cache", expected=expected, got=got, cure=cure) from error
        self.targets: NDArray[np.int64] = np.array(about["targets"], dtype=np.int64)
        self.names: list[str] = about["names"]
        self.problems: list[Problem] = [Problem(*problem) for problem in about["problems"]]
        return about

    def _compare(self, recordings: Recordings, about: dict[str, Any]) -> None:
        """Check that the cache holds these recordings: their names, the first and the last."""
        places = about["places"]
        same = about["count"] == len(recordings) and self.names == [recordings.name(x) for x in places]
        if same and recordings.own_key:
            reads = _FirstPass(recordings, self.binning)
            same = all(self._holds(place, reads[places[place]]) for place in (0, -1))
        if not same:
            expected, cure = f"the recordings of key {recordings.key!r:.60}", "give these another key"
            got = f"others in {self._folder}"
            raise InputError("cache", expected=expected, got=got, cure=cure)

    def _holds(self, place: int, read: "tuple[str, int, NDArray[np.uint8]] | Problem") -> bool:
        if isinstance(read, Problem):
            return False
        _, target, bits = read
        return target == self.targets[place] and bool((self._map()[place] == bits).all())

    def fingerprint(self) -> str:
        """Return a hash of the recordings' targets and spikes, wherever their files lie."""
        digest = hashlib.sha256(json.dumps(self.targets.tolist()).encode())
        digest.update(self._map().data)
        return digest.hexdigest()[:16]

    def _map(self) -> NDArray[np.uint8]:
        path = self._folder / "spikes.npy"
        packed: NDArray[np.uint8] = np.lib.format.open_memmap(path, mode="r")  # type: ignore[no-untyped-call]
        return packed

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        """Return spikes ``[T, C, H, W]`` and the target of a recording."""
        return self.spikes([index])[:, 0], int(self.targets[index])

    def spikes(self, indices: Sequence[int] | NDArray[np.int64]) -> Tensor:
        """Return spikes ``[T, B, C, H, W]`` of recordings of indices ``[B]``, as floats.

        Raises:
            InputError: If the indices are not whole numbers ``[B]``.
            IndexError: If there is no such recording.
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
        # Each worker process opens the file itself.
        return {**self.__dict__, "_packed": None}

    def _fill(
        self, recordings: Recordings, kept: Path | None, damaged: Damaged, workers: int, progress: bool
    ) -> Path:
        """Run the first pass and return its folder, which is complete."""
        try:
            if kept is not None:
                kept.parent.mkdir(parents=True, exist_ok=True)
            place = Path(tempfile.mkdtemp(prefix="filling-", dir=kept and kept.parent))
        except OSError as error:
            expected, got = "a folder that can be written", first_line(error)
            raise InputError("cache", expected=expected, got=got) from None
        # Removed with this object, unless it becomes the cache.
        remove = weakref.finalize(self, shutil.rmtree, place, ignore_errors=True)
        try:
            problems = _FirstPass(recordings, self.binning).write(place, damaged, workers, progress)
        except BaseException:
            remove()
            raise
        # A file that could not be opened this time may be readable the next.
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


def _named(problems: Sequence[Problem]) -> str:
    named = "; ".join(f"{name}: {reason}" for name, reason in problems[:5])
    more = f"; and {len(problems) - 5} more" if len(problems) > 5 else ""
    return f"{len(problems)} that cannot be used ({named}{more})".replace("\n", " ")


def time_first(batch: Sequence[tuple[Tensor, int]]) -> tuple[Tensor, Tensor]:
    """Collate items of a `DataLoader` to spikes ``[T, B, C, H, W]`` and targets ``[B]``."""
    spikes, targets = zip(*batch, strict=True)
    return torch.stack(spikes, 1), torch.tensor(targets)


class _FirstPass(Dataset[tuple[str, int, NDArray[np.uint8]] | Problem]):
    """Names, targets and bits of recordings."""

    def __init__(self, recordings: Recordings, binning: Binning) -> None:
        self.recordings, self.binning = recordings, binning

    def __len__(self) -> int:
        return len(self.recordings)

    def __getitem__(self, index: int) -> tuple[str, int, NDArray[np.uint8]] | Problem:
        read = self.recordings.read(index)
        if isinstance(read, Problem):
            return read
        events, target = read
        bits = np.packbits(bin_events(events, self.binning, check=False).reshape(-1))
        return self.recordings.name(index), target, bits

    def write(self, place: Path, damaged: Damaged, workers: int, progress: bool) -> list[Problem]:
        """Write ``spikes.npy``, one bit for each pixel and step, and ``about.json``."""
        reads = DataLoader(self, batch_size=None, num_workers=workers, collate_fn=_as_it_is)
        places, names, targets, unusable, silent = [], [], [], [], 0
        with (place / "bits").open("wb") as file:
            shown = tqdm(reads, desc="recordings", disable=None if progress else True, leave=False)
            for index, read in enumerate(shown):
                if isinstance(read, Problem):
                    unusable.append(read)
                    continue
                name, target, bits = read
                silent += not bits.any()
                file.write(bits.tobytes())
                places.append(index)
                names.append(name)
                targets.append(target)
        if not names or (unusable and damaged == "refuse"):
            problems = [*self.recordings.ignored, *unusable]
            got = _named(problems) if problems else "none"
            cure = "repair or remove them"
            if damaged == "refuse":
                cure += ", or skip them: damaged='skip'"
            raise InputError("recordings", expected="readable events of the sensor", got=got, cure=cure)
        packed = np.memmap(place / "bits", np.uint8, "r").reshape(len(names), -1)
        np.save(place / "spikes.npy", packed)
        about = {
            "count": len(self),
            "places": places,
            "names": names,
            "targets": targets,
            "problems": unusable,
            "silent": int(silent),
        }
        text = json.dumps({**about, "checksum": _checksum(about, packed)})
        (place / "about.json").write_text(text, encoding="utf-8")
        (place / "bits").unlink()
        return unusable


def _checksum(about: dict[str, Any], packed: NDArray[np.uint8]) -> str:
    parts = [about, packed.shape, packed.dtype.str]
    digest = hashlib.sha256(json.dumps(parts, sort_keys=True).encode())
    digest.update(packed.data)
    return digest.hexdigest()


def _as_it_is(item: Any) -> Any:
    return item
