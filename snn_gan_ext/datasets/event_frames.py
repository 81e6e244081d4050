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
from snn_gan_ext.datasets.recordings import UNOPENED, Problem, Recordings, first_line
from snn_gan_ext.errors import InputError
from snn_gan_ext.validation import check_setting, one_of, whole

__all__ = ["Damaged", "EventFrames", "time_first"]

Damaged = Literal["refuse", "skip"]

FORMAT = 1  # version of the cache, part of its key


class EventFrames(Dataset[tuple[Tensor, int]]):
    """Spikes of all recordings of a data set, binned once and then read from disk.

    The first pass checks and bins all recordings and writes them to disk, one bit for each pixel and
    step. Its memory does not grow with their number.

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
            without a key are to be cached, or the cache is damaged.
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
            kept = Path(cache).expanduser() / key
        self.binning = binning
        found = kept if kept is not None and kept.exists() else None
        self._folder = found or self._fill(recordings, kept, damaged, workers, progress)
        self._open()
        if self.problems:
            listed = _named(self.problems)
            warnings.warn(f"recordings: {len(self)} are used, {listed}", stacklevel=2)

    def _open(self) -> None:
        """Open the results of the first pass, and check that they are complete."""
        try:
            about = json.loads((self._folder / "about.json").read_text())
            self.targets: NDArray[np.int64] = np.array(about["targets"], dtype=np.int64)
            self.names: list[str] = list(about["names"])
            self.problems = [Problem(*problem) for problem in about["problems"]]
            self._packed: NDArray[np.uint8] | None = self._map()
            shape = (len(self.targets), -(-int(np.prod(self.binning.shape)) // 8))
            if self._packed.shape != shape or len(self.names) != len(self.targets):
                raise ValueError(f"spikes {self._packed.shape} for {len(self.targets)} targets")
        except (OSError, ValueError, KeyError, TypeError, EOFError) as error:
            expected = f"the complete results of an earlier pass in {self._folder}"
            got, cure = first_line(error), "remove that folder"
            raise InputError("cache", expected=expected, got=got, cure=cure) from error

    def fingerprint(self) -> str:
        """Return a hash of the recordings' targets and spikes, wherever their files lie."""
        digest = hashlib.sha256(json.dumps(self.targets.tolist()).encode())
        digest.update(self._map().data)
        return digest.hexdigest()[:16]

    def _map(self) -> NDArray[np.uint8]:
        packed: NDArray[np.uint8] = np.load(self._folder / "spikes.npy", mmap_mode="r")
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
        if kept is not None:
            kept.parent.mkdir(parents=True, exist_ok=True)
        place = Path(tempfile.mkdtemp(prefix="filling-", dir=kept and kept.parent))
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
        names, targets, unusable, silent = [], [], [], 0
        with (place / "bits").open("wb") as file:
            for read in tqdm(reads, desc="recordings", disable=None if progress else True, leave=False):
                if isinstance(read, Problem):
                    unusable.append(read)
                    continue
                name, target, bits = read
                silent += not bits.any()
                file.write(bits.tobytes())
                names.append(name)
                targets.append(target)
        if silent:
            said = f"{silent} of {len(names)} have no event within the binning's steps and pixels"
            warnings.warn(f"recordings: {said}", stacklevel=5)
        problems = [*self.recordings.ignored, *unusable]
        if not names or (unusable and damaged == "refuse"):
            got = _named(problems) if problems else "none"
            cure = "repair or remove them, or skip them: damaged='skip'"
            raise InputError("recordings", expected="readable events of the sensor", got=got, cure=cure)
        packed = np.memmap(place / "bits", np.uint8, "r").reshape(len(names), -1)
        np.save(place / "spikes.npy", packed)
        (place / "bits").unlink()
        about = {"names": names, "targets": targets, "problems": problems}
        (place / "about.json").write_text(json.dumps(about))
        return problems


def _as_it_is(item: Any) -> Any:
    return item
