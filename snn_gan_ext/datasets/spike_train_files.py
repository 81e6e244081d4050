"""Files of spike trains."""

from pathlib import Path

import numpy as np

from snn_gan_ext.datasets.spike_trains import SpikeTrains
from snn_gan_ext.errors import InputError
from snn_gan_ext.validation import path_of

__all__ = ["read_spike_trains"]


def read_spike_trains(source: str | Path) -> SpikeTrains:
    """Read spike trains from a file ``.npz``: ``times``, ``neuron`` and ``trial``, one entry a spike.

    Args:
        source: Path of the file.

    Raises:
        InputError: If it is missing, damaged, or of another kind.
    """
    path = path_of("recording", source)
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        times, neuron, trial = (arrays[name] for name in ("times", "neuron", "trial"))
    except Exception as error:
        expected = "an .npz file with times, neuron and trial"
        raise InputError(f"{path}", expected=expected, got=f"{type(error).__name__}") from error
    duration = float(arrays.get("duration", np.ceil(times.max() * 100) / 100))
    return SpikeTrains.from_trials(times, neuron, trial, duration, source=path.name)
