"""Recorded spike trains of several units, and their bins."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from snn_gan_ext.errors import InputError
from snn_gan_ext.validation import above, check_setting, check_shapes, check_spikes, plain_floats

__all__ = ["BinnedSpikes", "SpikeTrains"]

Floats = NDArray[np.float64]
LARGEST = 1_000_000_000  # bins, four bytes each
FASTEST = 1000.0  # spikes a second of one unit, above which times are hardly in seconds


class BinnedSpikes(NamedTuple):
    """Spikes in bins.

    Attributes:
        spikes: Spikes ``[T, B, N]``, zeros and ones: B windows of T bins.
        labels: Labels of the windows ``[B]``, if there are any.
        signal: Mean of the signal in each bin ``[T, B, D]``, if there is one.
        starts: Start of each window in seconds ``[B]``.
        width: Width of a bin in seconds.
        lost: Share of the spikes that share a bin with another one of their unit.
        units: Names of the units.
    """

    spikes: Tensor
    labels: Tensor | None
    signal: Tensor | None
    starts: Floats
    width: float
    lost: float
    units: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class SpikeTrains:
    """Spike times of several units, in seconds, within spans of time.

    Attributes:
        times: Sorted times of each unit's spikes in seconds, on the clock of the recording.
        units: Names of the units.
        spans: Start and stop of each span in seconds ``[S, 2]``: trials, or stretches of recorded time.
        trials: Whether spans are trials, aligned at their starts.
        labels: Whole numbers from 0 ``[S]``, one for each span; None for none.
        label_names: Names of the labels, in their order.
        signal: Times in seconds ``[M]`` and values ``[M, D]`` of a stimulus or another signal.
        source: Origin of the data, for reports.

    Raises:
        InputError: If there is no unit, a time is not finite, a unit fires faster than 1 kHz, spans do
            not go forward, or parts differ in length.
    """

    times: tuple[Floats, ...]
    units: tuple[str, ...]
    spans: Floats
    trials: bool = False
    labels: NDArray[np.int64] | None = None
    label_names: tuple[str, ...] = ()
    signal: tuple[Floats, Floats] | None = None
    source: str = ""

    def __post_init__(self) -> None:
        try:
            times = tuple(np.sort(np.asarray(x, dtype=np.float64).reshape(-1)) for x in self.times)
            spans = np.asarray(self.spans, dtype=np.float64).reshape(-1, 2)
        except (TypeError, ValueError):
            expected = "times and spans [S, 2] in seconds"
            raise InputError("times", expected=expected, got="other values") from None
        object.__setattr__(self, "times", times)
        object.__setattr__(self, "spans", spans)
        if not times:
            raise InputError("units", expected="at least one", got="none")
        if len(self.units) != len(times):
            raise InputError("units", expected=f"{len(times)} names", got=f"{len(self.units)}")
        if twice := sorted({x for x in self.units if self.units.count(x) > 1}):
            raise InputError("units", expected="a name for each", got=f"{twice[:5]} twice")
        for name, values in (*zip(self.units, times, strict=True), ("spans", spans)):
            if not np.isfinite(values).all():
                raise InputError(f"{name}", expected="finite times in seconds", got="NaN or infinity")
        if not len(spans) or (spans[:, 1] <= spans[:, 0]).any():
            got = "none" if not len(spans) else "one that does not"
            raise InputError("spans", expected="spans that stop after their start", got=got)
        _check_labels(self.labels, len(spans))
        fastest = self.rates.max()
        if fastest > FASTEST:
            cure = "divide times and spans by 1000 if they are in milliseconds"
            expected, got = "times in seconds", f"a unit of {fastest:.0f} spikes a second"
            raise InputError("times", expected=expected, got=got, cure=cure)

    @property
    def duration(self) -> float:
        """Length of all spans in seconds."""
        return float((self.spans[:, 1] - self.spans[:, 0]).sum())

    @property
    def rates(self) -> Floats:
        """Spikes a second of each unit within the spans."""
        return np.array([len(_within(x, self.spans)) for x in self.times]) / self.duration

    @classmethod
    def from_trials(
        cls,
        times: ArrayLike,
        neuron: ArrayLike,
        trial: ArrayLike,
        duration: float,
        *,
        num_trials: int | None = None,
        labels: ArrayLike | None = None,
        units: Sequence[str] = (),
        source: str = "",
    ) -> Self:
        """Return spike trains of trials whose spikes are listed one by one.

        Args:
            times: Time of each spike within its trial, in seconds.
            neuron: Number of its unit, from 0.
            trial: Number of its trial, from 0.
            duration: Length of a trial in seconds.
            num_trials: Number of trials; the last one with a spike is the last one by default.
            labels: Label of each trial, of any kind.
            units: Names of the units; their numbers by default.
            source: Origin of the data.

        Raises:
            InputError: If lists differ in length, or a time is not within its trial.
        """
        seconds, which, within = np.asarray(times, float), np.asarray(neuron), np.asarray(trial)
        check_setting("duration", duration, above(0))
        if not seconds.shape == which.shape == within.shape or seconds.ndim != 1:
            got = f"{seconds.shape}, {which.shape} and {within.shape}"
            raise InputError("times, neuron and trial", expected="lists of one length", got=got)
        if not len(seconds):
            raise InputError("times", expected="at least one spike", got="none")
        if (outside := (seconds < 0) | (seconds > duration)).any():
            got = f"{seconds[outside][0]:.6g}"
            raise InputError("times", expected=f"0 .. {duration:g} s within trials", got=got)
        count = int(within.max()) + 1 if num_trials is None else num_trials
        for name, numbers, end in (("trial", within, count), ("neuron", which, np.inf)):
            if numbers.min() < 0 or numbers.max() >= end:
                got = f"{numbers.min()} .. {numbers.max()}"
                raise InputError(name, expected=f"numbers from 0, below {end}", got=got)
        # Trials lie one after another, with a gap that no filter bridges by mistake.
        starts = np.arange(count) * 2.0 * duration
        on_clock = seconds + starts[within.astype(int)]
        each = range(int(which.max()) + 1)
        found = None if labels is None else np.unique(np.asarray(labels), return_inverse=True)
        return cls(
            times=tuple(on_clock[which == number] for number in each),
            units=tuple(units) or tuple(map(str, each)),
            spans=np.stack([starts, starts + duration], 1),
            trials=True,
            labels=None if found is None else found[1].astype(np.int64),
            label_names=() if found is None else tuple(map(str, found[0])),
            source=source,
        )

    @classmethod
    def from_dense(
        cls,
        spikes: Tensor | NDArray[Any],
        width: float,
        *,
        trials: bool = True,
        labels: ArrayLike | None = None,
        units: Sequence[str] = (),
        source: str = "",
    ) -> Self:
        """Return spike trains of binned spikes ``[T, B, N]``, each in the middle of its bin.

        Args:
            spikes: Spikes, zeros and ones.
            width: Width of a bin in seconds.
            trials: Whether windows are trials, aligned at their starts.
            labels: Label of each window, of any kind.
            units: Names of the units; their numbers by default.
            source: Origin of the data.

        Raises:
            InputError: If the spikes have another shape, or hold other numbers.
        """
        dense = torch.as_tensor(spikes)
        check_shapes(spikes=(dense, ("T >= 1", "B >= 1", "N >= 1")))
        check_spikes("spikes", dense)
        step, trial, neuron = plain_floats(dense).nonzero().numpy().T
        steps, count, neurons = dense.shape
        names = tuple(units) or tuple(map(str, range(neurons)))
        middle = (step + 0.5) * width
        found = cls.from_trials(
            middle, neuron, trial, steps * width, num_trials=count, labels=labels, source=source
        )
        silent = (np.empty(0),) * (neurons - len(found.times))
        return replace(found, times=(*found.times, *silent), units=names, trials=trials)

    def select(self, units: Sequence[str]) -> Self:
        """Return the trains of some units, by name, in the order given.

        Raises:
            InputError: If a unit is unknown.
        """
        unknown = [name for name in units if name not in self.units]
        if unknown:
            raise InputError("units", expected=f"some of {list(self.units)}", got=f"{unknown}")
        picks = [self.units.index(name) for name in units]
        return replace(self, times=tuple(self.times[pick] for pick in picks), units=tuple(units))

    def pick(self, spans: Sequence[int]) -> Self:
        """Return the trains within some of the spans, by their numbers."""
        kept = np.asarray(spans, dtype=int)
        labels = None if self.labels is None else self.labels[kept]
        return replace(self, spans=self.spans[kept], labels=labels)

    def split(self, shares: Sequence[float] = (0.6, 0.2, 0.2), seed: int = 0) -> tuple[Self, ...]:
        """Split trials at random, label by label, or stretches of time into successive blocks.

        Parts never overlap: windows are cut after the split.

        Args:
            shares: Share of each part; they add up to 1.
            seed: Seed of the choice of trials.

        Raises:
            InputError: If shares do not add up to 1, or there are fewer trials than parts.
        """
        if not shares or min(shares) <= 0 or abs(sum(shares) - 1) > 1e-6:
            raise InputError("shares", expected="positive shares that add up to 1", got=f"{shares}")
        return self._split_trials(shares, seed) if self.trials else self._split_time(shares)

    def _split_trials(self, shares: Sequence[float], seed: int) -> tuple[Self, ...]:
        rng = np.random.default_rng(seed)
        labels = np.zeros(len(self.spans), int) if self.labels is None else self.labels
        parts: list[list[int]] = [[] for _ in shares]
        for label in np.unique(labels):
            trials = rng.permutation(np.flatnonzero(labels == label))
            if len(trials) < len(shares):
                name = self.label_names[label] if self.label_names else "no label"
                expected = f"{len(shares)} trials or more for each label"
                raise InputError("trials", expected=expected, got=f"{len(trials)} of {name}")
            cuts = np.round(np.cumsum(shares)[:-1] * len(trials)).astype(int)
            least = np.arange(1, len(shares))  # a trial for each part
            cuts = np.clip(cuts, least, len(trials) - least[::-1])
            for part, some in zip(parts, np.split(trials, cuts), strict=True):
                part.extend(some.tolist())
        return tuple(self.pick(sorted(part)) for part in parts)

    def _split_time(self, shares: Sequence[float]) -> tuple[Self, ...]:
        parts, start = [], 0.0
        for share in shares:
            stop = start + share * self.duration
            spans, labels = self._stretch(start, stop)
            parts.append(replace(self, spans=spans, labels=labels))
            start = stop
        return tuple(parts)

    def _stretch(self, start: float, stop: float) -> tuple[Floats, NDArray[np.int64] | None]:
        """Return the spans between two times that are counted within spans alone, and their labels."""
        lengths = self.spans[:, 1] - self.spans[:, 0]
        before = np.concatenate([[0.0], np.cumsum(lengths)[:-1]])
        begins = self.spans[:, 0] + np.clip(start - before, 0, lengths)
        ends = self.spans[:, 0] + np.clip(stop - before, 0, lengths)
        kept = ends - begins > 1e-9
        return np.stack([begins, ends], 1)[kept], None if self.labels is None else self.labels[kept]

    def bin(
        self, width: float, window: float | None = None, stride: float | None = None
    ) -> BinnedSpikes:
        """Cut windows out of the spans, and count spikes in bins, at most one in each.

        Args:
            width: Width of a bin in seconds.
            window: Length of a window in seconds; of trials by default the whole trial, of other spans
                100 bins. It is rounded to whole bins.
            stride: Time from one window to the next in seconds; the window by default.

        Raises:
            InputError: If no window fits into a span.
        """
        check_setting("width", width, above(0))
        for name, length in (("window", window), ("stride", stride)):
            if length is not None:
                check_setting(name, length, above(0))
        lengths = self.spans[:, 1] - self.spans[:, 0]
        default = float(lengths.min()) if self.trials else min(100 * width, float(lengths.max()))
        steps = int(np.floor((default if window is None else window) / width + 1e-6))
        if steps < 1 or steps * width > lengths.max() + 1e-6:
            longest = f"{width:g} .. {lengths.max():g} s, as the longest span"
            raise InputError("window", expected=longest, got=f"{window if window else default:g} s")
        apart = steps * width if stride is None else max(round(stride / width), 1) * width
        counts = np.floor((lengths - steps * width) / apart + 1e-6).astype(int) + 1
        if (size := int(counts.sum()) * steps * len(self.times)) > LARGEST:
            cure = "take wider bins, or a longer stride"
            raise InputError(
                "width", expected=f"at most {LARGEST:.0e} bins", got=f"{size:.1e}", cure=cure
            )
        numbers = [(span, k) for span, count in enumerate(counts) for k in range(count)]
        spans = np.array([span for span, _ in numbers])
        starts = self.spans[spans, 0] + apart * np.array([k for _, k in numbers])
        spikes, total = np.zeros((len(starts), steps, len(self.times)), np.float32), 0
        for unit, times in enumerate(self.times):
            for place, start in enumerate(starts):
                first, last = np.searchsorted(times, [start, start + steps * width])
                bins = np.floor((times[first:last] - start) / width + 1e-9).astype(int)
                spikes[place, bins.clip(max=steps - 1), unit] = 1
                total += last - first
        lost = 1 - float(spikes.sum()) / total if total else 0.0
        labels = None if self.labels is None else torch.from_numpy(self.labels[spans])
        return BinnedSpikes(
            torch.from_numpy(spikes).transpose(0, 1).contiguous(),
            labels,
            self._signal(starts, steps, width),
            starts,
            width,
            lost,
            self.units,
        )

    def _signal(self, starts: Floats, steps: int, width: float) -> Tensor | None:
        """Return the mean of the signal in each bin; without a value there, the last one before it."""
        if self.signal is None:
            return None
        times, values = (np.asarray(part, float) for part in self.signal)
        values = values.reshape(len(times), -1)
        edges = starts[None, :, None] + width * (np.arange(steps)[:, None, None] + np.array([0.0, 1.0]))
        # A sample at an edge belongs to the later bin, however the edge was rounded.
        first, last = (np.searchsorted(times, edges[..., side] - 1e-9) for side in (0, 1))
        sums = np.concatenate([np.zeros((1, values.shape[1])), np.cumsum(values, 0)])
        count = np.maximum(last - first, 1)[..., None]
        held = values[np.clip(first - 1, 0, len(values) - 1)]
        means = np.where((last > first)[..., None], (sums[last] - sums[first]) / count, held)
        return torch.from_numpy(means.astype(np.float32))

    def fingerprint(self) -> str:
        """Return a hash of all times, units, spans, labels and signals."""
        digest = hashlib.sha256()
        parts: list[Any] = [*self.times, self.spans, *(self.signal or ())]
        parts += [] if self.labels is None else [self.labels]
        for part in parts:
            digest.update(np.ascontiguousarray(part).tobytes())
            digest.update(b"|")
        digest.update(repr((self.units, self.trials, self.label_names)).encode())
        return digest.hexdigest()


def _check_labels(labels: NDArray[np.int64] | None, spans: int) -> None:
    if labels is None:
        return
    known = np.asarray(labels)
    if known.shape != (spans,):
        raise InputError("labels", expected=f"one for each of {spans} spans", got=f"{known.shape}")
    if known.dtype.kind not in "iu" or known.min() < 0:
        expected = "whole numbers from 0, with their names in label_names"
        raise InputError("labels", expected=expected, got=f"{known.dtype}")


def _within(times: Floats, spans: Floats) -> Floats:
    """Return the times that lie in one of the spans."""
    parts = [times[slice(*np.searchsorted(times, span))] for span in spans]
    return np.concatenate(parts) if parts else times[:0]
