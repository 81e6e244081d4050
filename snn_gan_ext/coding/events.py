"""Codes between event-camera recordings and spikes.

A recording is a structured NumPy array with Tonic's fields ``x``, ``y``, ``t`` and ``p``, in any order:
pixel, time in microseconds and polarity of each event. Sensors of one row need no ``y``; sensors of one
polarity have one value of ``p`` throughout. Spikes are frames ``[T, C, H, W]``, exactly 0 or 1.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from snn_gan_ext.errors import InputError
from snn_gan_ext.validation import (
    Rule,
    check_floats,
    check_positive,
    check_setting,
    check_settings,
    check_shapes,
    plain,
    whole,
)

__all__ = [
    "EVENT",
    "Binning",
    "Sensor",
    "bin_events",
    "check_fields",
    "pooled_counts",
    "problem_of",
    "to_events",
]

EVENT = np.dtype([("x", np.int64), ("y", np.int64), ("t", np.int64), ("p", np.int64)])
"""Dtype of an event, as in Tonic's N-MNIST."""

Events = NDArray[np.void]
FLAG = Rule("True or False", lambda x: type(x) is bool)
POOLS = Rule(
    "pairs of numbers of time blocks and sides, one at least",
    lambda x: isinstance(x, tuple | list) and len(x) > 0 and all(map(_is_pair, x)),
)
TIME = whole(1 - 2**53, 2**53 - 1)  # in microseconds


def _is_pair(value: object) -> bool:
    return isinstance(value, tuple | list) and len(value) == 2


class Sensor(NamedTuple):
    """Size of a sensor, in the order of Tonic's ``sensor_size``.

    Attributes:
        width: Number of pixels along x.
        height: Number of pixels along y.
        polarities: Number of polarities.
    """

    width: int
    height: int
    polarities: int


@dataclass(frozen=True, kw_only=True)
class Binning:
    """Bins of time and space: a pixel spikes at a step that holds at least one of its events.

    Attributes:
        sensor: Size of the sensor.
        num_steps: Number of time steps ``T``.
        step_us: Length of a step in microseconds.
        start_us: Start of the first step in microseconds. Events outside the steps are dropped.
        crop: Pixels to keep, (left, top, width, height); all by default.
        pool: Side of the squares of pixels that become one; squares at the edge may be smaller.
        merge_polarities: Whether both polarities become one channel.

    Raises:
        InputError: If a size, a step or ``pool`` is below 1, the crop leaves the sensor, or ``pool`` is
            larger than the frame.
    """

    sensor: Sensor
    num_steps: int
    step_us: int
    start_us: int = 0
    crop: tuple[int, int, int, int] | None = None
    pool: int = 1
    merge_polarities: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.sensor, tuple) or len(self.sensor) != 3:
            raise InputError("sensor", expected="(width, height, polarities)", got=f"{self.sensor!r}")
        object.__setattr__(self, "sensor", Sensor(*self.sensor))
        check_positive(**{f"sensor.{name}": size for name, size in self.sensor._asdict().items()})
        check_positive(num_steps=self.num_steps, step_us=self.step_us)
        check_settings(self, start_us=TIME, merge_polarities=FLAG)
        if self.crop is not None:
            self._check_crop()
        check_setting("pool", self.pool, whole(1, max(self.window[2:])))

    def _check_crop(self) -> None:
        if not isinstance(self.crop, tuple) or len(self.crop) != 4:
            raise InputError("crop", expected="(left, top, width, height)", got=f"{self.crop!r}")
        left, top, width, height = self.crop
        check_setting("width of the crop", width, whole(1, self.sensor.width))
        check_setting("height of the crop", height, whole(1, self.sensor.height))
        check_setting("left of the crop", left, whole(0, self.sensor.width - width))
        check_setting("top of the crop", top, whole(0, self.sensor.height - height))

    @property
    def window(self) -> tuple[int, int, int, int]:
        """Pixels to keep: left, top, width, height."""
        return self.crop or (0, 0, self.sensor.width, self.sensor.height)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Shape of the spikes ``(T, C, H, W)``."""
        _, _, width, height = self.window
        channels = 1 if self.merge_polarities else self.sensor.polarities
        return self.num_steps, channels, -(-height // self.pool), -(-width // self.pool)

    @property
    def sensor_size(self) -> Sensor:
        """Size of a sensor for the spikes, as `to_events` returns them."""
        _, channels, height, width = self.shape
        return Sensor(width, height, channels)


def bin_events(events: Events, binning: Binning, *, check: bool = True) -> NDArray[np.bool_]:
    """Return the spikes ``[T, C, H, W]`` of a recording.

    Args:
        events: Events of the sensor of the binning, in any order.
        binning: Bins of time and space.
        check: Whether to check the events; unnecessary after `problem_of`.

    Raises:
        InputError: If an event does not fit the sensor.
    """
    steps, channels, height, width = binning.shape
    if check and (problem := _unusable(events, binning.sensor)) is not None:
        raise InputError("events", expected=f"events of {tuple(binning.sensor)}", got=problem)
    left, top, crop_width, crop_height = binning.window
    step = (_field(events, "t") - binning.start_us) // binning.step_us
    x, y = _field(events, "x") - left, _field(events, "y") - top
    kept = (step >= 0) & (step < steps)
    if binning.crop:
        kept &= (x >= 0) & (x < crop_width) & (y >= 0) & (y < crop_height)
    index = (step * channels * height + y // binning.pool) * width + x // binning.pool
    if channels > 1:
        index += _field(events, "p") * (height * width)
    spikes = np.zeros(steps * channels * height * width, dtype=np.bool_)
    spikes[index[kept]] = True
    return spikes.reshape(binning.shape)


def to_events(spikes: Tensor | NDArray[np.bool_], step_us: int, start_us: int = 0) -> Events:
    """Return a recording with one event per spike, in the middle of its step, sorted by time.

    It has the dtype `EVENT`. `bin_events` with the same ``step_us`` recovers the spikes exactly.

    Args:
        spikes: Spikes ``[T, C, H, W]``, zeros and ones.
        step_us: Length of a step in microseconds.
        start_us: Start of the first step in microseconds.

    Raises:
        InputError: If the spikes have another shape or other values, or ``step_us`` is below 1.
    """
    values = plain(spikes).numpy() if isinstance(spikes, Tensor) else np.asarray(spikes)
    if values.ndim != 4 or not np.isin(values, (0, 1)).all():
        got = f"{list(values.shape)}, or others"
        raise InputError("spikes", expected="zeros and ones [T, C, H, W]", got=got)
    check_setting("step_us", step_us, whole(1, 2**40 - 1))
    check_setting("start_us", start_us, TIME)
    step, polarity, y, x = np.nonzero(values)
    events = np.empty(len(step), EVENT)
    events["x"], events["y"], events["p"] = x, y, polarity
    events["t"] = start_us + step * step_us + step_us // 2
    return events


def problem_of(events: Events, sensor: Sensor) -> str | None:
    """Return the first problem of a recording in words, or None.

    Problems are a missing field, an event outside the sensor, both polarities where the sensor has one,
    no events, and time that runs backwards.
    """
    if (problem := _unusable(events, sensor)) is not None:
        return problem
    if not len(events):
        return "no events"
    if (backwards := int((np.diff(_field(events, "t")) < 0).sum())) > 0:
        return f"time runs backwards {backwards} times"
    return None


def check_fields(events: Events) -> None:
    """Check that events are a structured array ``[n]`` of whole numbers x, y, t and p.

    Raises:
        InputError: If they are not.
    """
    if (problem := _unreadable(events, {"x", "y", "t", "p"})) is not None:
        expected = "a structured array [n] with whole numbers x, y, t and p"
        raise InputError("events", expected=expected, got=problem)


def _unusable(events: Events, sensor: Sensor) -> str | None:
    """Return the first problem that does not depend on the order of events, or None."""
    needed = {"x", "t", "p"} if sensor.height == 1 else {"x", "y", "t", "p"}
    if (problem := _unreadable(events, needed)) is not None:
        return problem
    for name, size in zip(("x", "y", "p"), sensor, strict=True):
        values = _field(events, name)
        if not len(values):
            continue
        if name == "p" and size == 1:  # its value may be 0 or 1
            if values.min() != values.max():
                return "both polarities, of a sensor of one (Binning merges those of a sensor of two)"
        elif not 0 <= values.min() <= values.max() < size:
            return f"{name} from {values.min()} to {values.max()}, of 0 .. {size - 1}"
    return None


def _unreadable(events: Events, needed: set[str]) -> str | None:
    """Return the first problem with fields and their types, or None."""
    names = getattr(getattr(events, "dtype", None), "names", None)
    if names is None or events.ndim != 1 or not needed <= set(names):
        return f"no structured array [n] with x, y, t and p, but {names or type(events).__name__}"
    for name in sorted(needed):
        kind, values = events.dtype[name].kind, events[name]
        if kind not in "biuf":
            return f"{name} of dtype {events.dtype[name]}"
        if kind == "f" and not (np.isfinite(values) & (values == np.floor(values))).all():
            return f"{name} that are no whole numbers (times are in microseconds)"
        if len(values) and max(float(values.max()), -float(values.min())) >= 2**62:
            return f"{name} from {values.min()} to {values.max()}"
    return None


def _field(events: Events, name: str) -> NDArray[np.int64]:
    if name == "y" and name not in (events.dtype.names or ()):
        return np.zeros(len(events), np.int64)
    return events[name].astype(np.int64, copy=False)


def pooled_counts(spikes: Tensor, pools: tuple[tuple[int, int], ...]) -> Tensor:
    r"""Return spike counts ``[B, F]`` in blocks, divided by the root of the block size.

    .. math:: x_b = \frac{1}{\sqrt{n_b}} \sum_{i \in b} s_i

    Blocks of all poolings are concatenated; those at the edge are padded with silence.

    Args:
        spikes: Spikes ``[T, B, C, H, W]``; differentiable.
        pools: Number of time blocks, a divisor of ``T``, and side of the pixel blocks of each pooling.

    Raises:
        InputError: If the spikes are no floats of that shape, a number is below 1, or a number of time
            blocks does not divide ``T``.
    """
    check_shapes(spikes=(spikes, "TBCHW"))
    check_floats("spikes", spikes)
    check_setting("pools", pools, POOLS)
    parts = []
    steps, batch, channels, height, width = spikes.shape
    for blocks, side in pools:
        check_positive(blocks=blocks, side=side)
        if steps % blocks:
            raise InputError("pools", expected=f"divisors of {steps} steps", got=f"{pools}")
        counts = spikes.reshape(blocks, steps // blocks, batch, channels, height, width).sum(1)
        flat = counts.transpose(0, 1).reshape(batch, blocks * channels, height, width)
        if side > 1:
            flat = side**2 * F.avg_pool2d(F.pad(flat, (0, -width % side, 0, -height % side)), side)
        parts.append(flat.flatten(1) / (steps // blocks * side**2) ** 0.5)
    return torch.cat(parts, 1)
