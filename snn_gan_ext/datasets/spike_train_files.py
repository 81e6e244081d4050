"""Spike trains from files and from objects of other packages, and back into files.

========== =======================================================================================
ending     contents
========== =======================================================================================
``.nwb``   NWB 2: units; a table of trials, or another table of intervals by its name
``.npz``   ``times`` and ``neuron``, one entry a spike, with ``trial`` and times within it, or with
           ``spans``; or binned ``spikes [T, B, N]`` and their ``width`` in seconds
``.h5``    ``spikes``, the times of all units end to end, and ``sCount``, their numbers (Eglen et al.)
others     whatever neo reads: a block; several segments are trials
========== =======================================================================================
"""

import io
import json
import os
import warnings
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from snn_gan_ext.datasets.spike_trains import Floats, SpikeTrains
from snn_gan_ext.errors import InputError, first_line
from snn_gan_ext.validation import path_of, require

__all__ = ["ENDINGS", "read_spike_trains", "write_spike_trains"]

ENDINGS = ".nwb", ".npz", ".nix"
EXAMPLE = Path(__file__).parent / "data" / "lif30.npz"
CURE = 'pip install "snn_gan_ext[neuro]", or ".[neuro]" in a clone'
Spans = tuple[Floats, np.ndarray | None, bool]  # spans, values of their labels, whether they are trials


def read_spike_trains(
    source: Any, *, label: str = "", intervals: str = "", keep_silent: bool = False
) -> SpikeTrains:
    """Read spike trains of a file, or of an object of pynapple or neo.

    Units that never fire within the spans are left out, with a warning that names them, unless they
    are to be kept. The name ``example`` stands for a recording that ships with the package: 30 leaky
    integrate-and-fire neurons simulated in Brian2, in 250 trials of 400 ms, recurrently connected, with
    common inputs, a gain that differs from trial to trial, and a stimulus at 120 ms.

    Args:
        source: Path of a file, or "example"; or a pynapple `TsGroup`, a neo `Block`, or `SpikeTrains`.
        label: Column of the table of trials or intervals with their labels.
        intervals: Name of the table in an NWB file, such as "epochs"; its trials by default.
        keep_silent: Whether to keep units that never fire.

    Raises:
        InputError: If the file is missing or damaged, holds no units, or has no such table or column.
    """
    if isinstance(source, SpikeTrains):
        return source
    if isinstance(source, str | os.PathLike):
        path = EXAMPLE if f"{source}" == "example" else path_of("recording", source)
        if not path.is_file():
            raise InputError(f"{path}", expected="a file of spike trains", got="no such file")
        readers = {".nwb": _read_nwb, ".npz": _read_npz, ".h5": _read_hdf5, ".hdf5": _read_hdf5}
        reader = readers.get(path.suffix.lower(), _read_neo)
        try:
            found = reader(path, label, intervals)
        except (InputError, KeyboardInterrupt):
            raise
        except Exception as error:  # damage shows up as almost any exception in these libraries
            expected = f"spike trains in a {path.suffix or 'neo'} file"
            got = f"{type(error).__name__}: {first_line(error)}"
            raise InputError(f"{path}", expected=expected, got=got) from None
    elif hasattr(source, "time_support"):
        found = _from_pynapple(source)
    elif hasattr(source, "segments"):
        found = _from_neo(source)
    else:
        expected, got = "a path, or an object of pynapple or neo", type(source).__name__
        cure = "make one with SpikeTrains(times=..., units=..., spans=...)"
        raise InputError("recording", expected=expected, got=got, cure=cure)
    return found if keep_silent else _without_silent_units(found)


def write_spike_trains(
    trains: SpikeTrains, path: Path | str, provenance: Mapping[str, Any] | None = None
) -> None:
    """Write spike trains into a new file: NWB, ``.npz`` or, by neo, NIX.

    Args:
        trains: Spike trains.
        path: Path ending in ``.nwb``, ``.npz`` or ``.nix``.
        provenance: Origin of the trains, plain values by name; kept in the file.

    Raises:
        InputError: If the ending is another one, or a package is missing.
    """
    path = path_of("out", path)
    writers = {".nwb": _write_nwb, ".npz": _write_npz, ".nix": _write_neo}
    writer = writers.get(path.suffix.lower())
    if writer is None:
        expected = f"a file name ending in {', '.join(ENDINGS)}"
        raise InputError("out", expected=expected, got=f"{path.name}")
    temporary = path.with_name(f".{os.getpid()}{path.name}")
    try:
        writer(trains, temporary, json.dumps(dict(provenance or {}), sort_keys=True))
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _without_silent_units(trains: SpikeTrains) -> SpikeTrains:
    fires = trains.rates > 0
    if not fires.any():
        expected, got = "units that fire", f"{len(fires)} that never do within the spans"
        raise InputError("units", expected=expected, got=got)
    if fires.all():
        return trains
    silent = [name for name, each in zip(trains.units, fires, strict=True) if not each]
    warnings.warn(f"{len(silent)} silent units are left out: {', '.join(silent)}", stacklevel=3)
    return trains.select([name for name in trains.units if name not in set(silent)])


def _check_unused(path: Path, name: str, value: str) -> None:
    """Refuse an option that a format has no use for."""
    if value:
        raise InputError(name, expected=f"none for {path.suffix} files", got=f"{value!r}")


def _labelled(spans: Spans, times: list[Floats], units: list[str], source: str) -> SpikeTrains:
    """Return spike trains of spans with values of any kind as labels."""
    edges, values, trials = spans
    found = None if values is None else np.unique(values.astype(str), return_inverse=True)
    return SpikeTrains(
        times=tuple(times),
        units=tuple(units),
        spans=edges,
        trials=trials,
        labels=None if found is None else found[1].astype(np.int64),
        label_names=() if found is None else tuple(map(str, found[0])),
        source=source,
    )


def _read_nwb(path: Path, label: str, intervals: str) -> SpikeTrains:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of files written by older versions
        with require("pynwb", CURE).NWBHDF5IO(str(path), "r") as file:
            content = file.read()
            units = content.units
            if units is None or not len(units):
                raise InputError(f"{path}", expected="a table of units", got="none")
            times = [np.asarray(units["spike_times"][row], float) for row in range(len(units))]
            column = next((x for x in ("unit_name", "label") if x in units.colnames), None)
            names = units.id[:] if column is None else units[column][:]
            spans = _nwb_spans(path, content, times, label, intervals)
            return _labelled(spans, times, list(map(str, names)), path.name)


def _nwb_spans(path: Path, content: Any, times: list[Floats], label: str, intervals: str) -> Spans:
    """Return the trials, the intervals of a name, or the whole recorded time."""
    tables = {name: content.intervals[name] for name in content.intervals}
    tables |= {} if content.trials is None else {"trials": content.trials}
    if intervals and intervals not in tables:
        raise InputError("intervals", expected=f"one of {sorted(tables)}", got=f"{intervals!r}")
    table = tables.get(intervals or "trials")
    if table is None:
        if label:
            cure = f"name one with --intervals: {', '.join(sorted(tables)) or 'the file has none'}"
            raise InputError("label", expected="a table of trials", got="none", cure=cure)
        return _observed(content.units, times), None, False
    if label and label not in table.colnames:
        got = f"{label!r}"
        raise InputError("label", expected=f"a column of {list(table.colnames)}", got=got)
    edges = np.stack([np.asarray(table[name][:], float) for name in ("start_time", "stop_time")], 1)
    values = np.array([str(value) for value in table[label][:]]) if label else None
    return edges, values, intervals in ("", "trials")


def _observed(units: Any, times: list[Floats]) -> Floats:
    """Return the intervals of observation, or the time from the first spike to the last."""
    if "obs_intervals" not in units.colnames:
        return _whole(times)
    return np.unique(np.asarray(units["obs_intervals"][0], float).reshape(-1, 2), axis=0)


def _whole(times: list[Floats]) -> Floats:
    """Return one span from the first spike of all to the last."""
    filled = [x for x in times if len(x)]
    if not filled:
        raise InputError("units", expected="units that fire", got="none that does")
    return np.array([[min(x.min() for x in filled), max(x.max() for x in filled) + 1e-3]])


def _read_npz(path: Path, label: str, intervals: str) -> SpikeTrains:
    with np.load(path, allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    _check_unused(path, "intervals", intervals)
    if label and label not in arrays:
        raise InputError("label", expected=f"one of {sorted(arrays)}", got=f"{label!r}")
    labels = arrays.get(label or "labels")
    units = arrays["units"].astype(str).tolist() if "units" in arrays else ()
    if "spikes" in arrays:
        if "width" not in arrays:
            cure = "add the width of a bin in seconds as `width`"
            raise InputError(f"{path}", expected="spikes and their width", got="spikes", cure=cure)
        width = float(arrays["width"])
        return SpikeTrains.from_dense(
            arrays["spikes"], width, labels=labels, units=units, source=path.name
        )
    if not {"times", "neuron"} <= arrays.keys():
        expected, got = "times and neuron, or spikes and width", f"{sorted(arrays)}"
        raise InputError(f"{path}", expected=expected, got=got)
    times, neuron = np.asarray(arrays["times"], float), arrays["neuron"]
    if "trial" in arrays:
        # Trials are as long as the last spike needs, in whole hundredths of a second.
        longest = np.ceil(times.max() * 100) / 100 if len(times) else 0.0
        duration = float(arrays.get("duration", longest))
        return SpikeTrains.from_trials(
            times, neuron, arrays["trial"], duration, labels=labels, units=units, source=path.name
        )
    each = [times[neuron == number] for number in range(int(neuron.max()) + 1)]
    names = list(units) or list(map(str, range(len(each))))
    each += [times[:0]] * (len(names) - len(each))
    spans = arrays["spans"] if "spans" in arrays else _whole(each)
    trials = bool(arrays.get("trials", False))
    return _labelled((spans, labels, trials), each, names, path.name)


def _read_hdf5(path: Path, label: str, intervals: str) -> SpikeTrains:
    _check_unused(path, "label", label)
    _check_unused(path, "intervals", intervals)
    with require("h5py", CURE).File(path) as file:
        times, counts = np.ravel(file["spikes"][:]).astype(float), np.ravel(file["sCount"][:])
        names = [str(x, "utf-8", "replace") for x in file["names"][:]] if "names" in file else []
    each = np.split(times, np.cumsum(counts.astype(int))[:-1])
    units = names if len(names) == len(each) else list(map(str, range(len(each))))
    return _labelled((_whole(each), None, False), each, units, path.name)


def _read_neo(path: Path, label: str, intervals: str) -> SpikeTrains:
    if path.suffix.lower() in (".pkl", ".pickle"):
        cure = "save it as .nix, .nwb or .npz"
        raise InputError(f"{path}", expected="a file that runs no code", got="a pickle", cure=cure)
    _check_unused(path, "label", label)
    _check_unused(path, "intervals", intervals)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        reader = require("neo.io", CURE).get_io(str(path))
        block = reader.read_block()
        found = _from_neo(block)
        if hasattr(reader, "close"):
            reader.close()
    return found


def _from_neo(block: Any) -> SpikeTrains:
    """Return the spike trains of a block, whose segments are trials if there are several."""
    segments = [segment for segment in block.segments if segment.spiketrains]
    if not segments:
        raise InputError("block", expected="segments with spike trains", got="none")
    units = len(segments[0].spiketrains)
    if any(len(segment.spiketrains) != units for segment in segments):
        raise InputError("block", expected=f"{units} units in each segment", got="other numbers")

    def seconds(value: Any) -> Floats:
        return np.asarray(value.rescale("s").magnitude, float)

    edges = np.array(
        [
            [
                min(float(seconds(train.t_start)) for train in segment.spiketrains),
                max(float(seconds(train.t_stop)) for train in segment.spiketrains),
            ]
            for segment in segments
        ]
    )
    apart = (edges[1:, 0] >= edges[:-1, 1]).all()
    # Segments that begin anew at 0 lie one after another here.
    lengths = edges[:, 1] - edges[:, 0]
    shifts = np.zeros(len(edges)) if apart else 2 * np.arange(len(edges)) * lengths.max() - edges[:, 0]
    shifted = list(zip(segments, shifts, strict=True))
    times = [
        np.concatenate([seconds(segment.spiketrains[unit].times) + shift for segment, shift in shifted])
        for unit in range(units)
    ]
    first = segments[0].spiketrains
    names = [str(train.name or place) for place, train in enumerate(first)]
    names = names if len(set(names)) == units else list(map(str, range(units)))
    spans = edges + shifts[:, None], None, len(segments) > 1
    return _labelled(spans, times, names, str(block.name or "neo"))


def _from_pynapple(group: Any) -> SpikeTrains:
    """Return the spike trains of a `TsGroup`, within its time support."""
    keys = list(group.keys())
    support = group.time_support
    spans = np.stack([np.asarray(support.start, float), np.asarray(support.end, float)], 1)
    times = [np.asarray(group[key].t, float) for key in keys]
    return _labelled((spans, None, False), times, list(map(str, keys)), "pynapple")


def _write_npz(trains: SpikeTrains, path: Path, provenance: str) -> None:
    neuron = np.concatenate([np.full(len(x), n) for n, x in enumerate(trains.times)])
    arrays: dict[str, Any] = {
        "units": np.array(trains.units),
        "provenance": np.array(provenance),
        "neuron": neuron.astype(np.int64),
    }
    arrays |= {"times": np.concatenate(trains.times), "spans": trains.spans}
    arrays["trials"] = np.array(trains.trials)
    if trains.labels is not None:
        arrays["labels"] = np.array(trains.label_names)[trains.labels]
    content = io.BytesIO()
    np.savez_compressed(content, allow_pickle=False, **arrays)
    path.write_bytes(content.getvalue())


def _write_nwb(trains: SpikeTrains, path: Path, provenance: str) -> None:
    pynwb = require("pynwb", CURE)
    file = pynwb.NWBFile(
        session_description="spike trains written by snn_gan_ext",
        identifier=trains.fingerprint(),
        session_start_time=datetime(1970, 1, 1, tzinfo=UTC),  # the trains have a clock of their own
        notes=provenance,
    )
    file.add_unit_column("unit_name", "name of the unit")
    for name, times in zip(trains.units, trains.times, strict=True):
        file.add_unit(spike_times=times, unit_name=name, obs_intervals=trains.spans)
    if trains.trials:
        if trains.labels is not None:
            file.add_trial_column("label", "label of the trial")
        for place, (start, stop) in enumerate(trains.spans):
            label = "" if trains.labels is None else trains.label_names[trains.labels[place]]
            values = {} if trains.labels is None else {"label": label}
            file.add_trial(start_time=start, stop_time=stop, **values)
    with pynwb.NWBHDF5IO(str(path), "w") as writer:
        writer.write(file)


def _write_neo(trains: SpikeTrains, path: Path, provenance: str) -> None:
    neo = require("neo", CURE)
    block = neo.Block(name=trains.source or "spike trains", provenance=provenance)
    spans = trains.spans if trains.trials else [(trains.spans.min(), trains.spans.max())]
    for start, stop in spans:
        segment = neo.Segment()
        for name, times in zip(trains.units, trains.times, strict=True):
            inside = times[(times >= start) & (times < stop)]
            segment.spiketrains.append(
                neo.SpikeTrain(inside, units="s", t_start=start, t_stop=stop, name=name)
            )
        block.segments.append(segment)
    require("nixio", CURE)
    writer = require("neo.io", CURE).NixIO(str(path), "ow")
    try:
        writer.write_block(block)
    finally:
        writer.close()
