"""Samples of a trained run in files."""

import io
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from snn_gan_ext.coding.events import Events, to_events
from snn_gan_ext.datasets import event_files
from snn_gan_ext.datasets.spike_train_files import write_spike_trains
from snn_gan_ext.errors import InputError
from snn_gan_ext.experiments.checkpoint import write_atomically
from snn_gan_ext.experiments.runs import device_named, load_run
from snn_gan_ext.experiments.trainer import Trainer
from snn_gan_ext.rng import stream
from snn_gan_ext.validation import SEED, check_setting, one_of, path_of, whole
from snn_gan_ext.version import __version__

__all__ = ["FileFormat", "sample"]

ENDINGS = ".nwb", ".nix"  # of spike trains of a recording, beside .npz
FileFormat = Literal["npz", "hdf5", "nmnist"]


def sample(
    folder: Path | str,
    out: Path | str,
    count: int,
    label: int | None = None,
    seed: int = 0,
    device: str | torch.device = "cpu",
    file_format: FileFormat = "npz",
    force: bool = False,
) -> dict[str, torch.Tensor]:
    """Draw trials from a trained run into a file, or a folder of files.

    ========== ==================================================================================
    format     contents
    ========== ==================================================================================
    ``npz``    ``spikes [T, n, N]``, of events ``[T, n, C, H, W]`` (0 or 1, uint8); where trials have
               them ``labels [n]``; where the recipe has them decoded ``images [n, N]``, firing
               ``times [n, N]``, ``particles [n]``, ``events`` end to end with ``offsets [n + 1]``
    ``hdf5``   events: ``events/x``, ``events/y``, ``events/t``, ``events/p``, ``offsets``, ``labels``
    ``nmnist`` events: a folder ``Train/<label>/<number>.bin`` as N-MNIST's, for Tonic
    ========== ==================================================================================

    Spike trains of a recording go into ``.npz``, ``.nwb`` or ``.nix`` as `write_spike_trains` writes
    them.

    Args:
        folder: Finished run.
        out: Path ending in ``.npz``, ``.h5`` or ``.hdf5``; or a new or an empty folder.
        count: Number of trials ``n``.
        label: Class of all trials; the classes in turn by default.
        seed: Seed of the draws.
        device: Device of the networks.
        file_format: One of the formats above.
        force: Overwrite a file that is there.

    Returns:
        The written tensors.

    Raises:
        InputError: If the folder holds no finished run, an argument is out of bounds, or a file would
            be overwritten without ``force``.
    """
    check_setting("--n", count, whole(1))
    check_setting("--seed", seed, SEED)
    out = path_of("--out", out)
    _check_out(out, file_format, force)
    trainer = load_run(folder, device)
    experiment, data = trainer.experiment, trainer.data
    if out.suffix in ENDINGS or experiment.name == "recording":
        about = {"run": f"{folder}", "seed": seed, "version": __version__, "n": count}
        return _sample_recording(trainer, out, count, label, about)
    if file_format != "npz" and data.binning is None:
        expected = f"npz for recipe {experiment.name!r}, which has no events"
        raise InputError("--format", expected=expected, got=file_format)
    rng = stream(seed, "samples", device_named(device))
    drawn = experiment.evaluation.sample(trainer, data.labels(count, label), rng)
    arrays = {name: tensor.numpy() for name, tensor in drawn.items()}
    arrays["spikes"] = arrays["spikes"].astype(np.uint8)
    recordings: list[Events] = []
    if (binning := data.binning) is not None:
        trials = arrays["spikes"].swapaxes(0, 1)
        recordings = [to_events(trial, binning.step_us, binning.start_us) for trial in trials]
    if file_format == "nmnist":
        event_files.write_nmnist_folder(recordings, arrays["labels"], out)
    elif file_format == "hdf5":
        event_files.write_hdf5(recordings, arrays["labels"], out)
    else:
        if recordings:
            arrays["events"], arrays["offsets"] = event_files.end_to_end(recordings)
        content = io.BytesIO()
        np.savez_compressed(content, allow_pickle=False, **arrays)
        write_atomically(out, content.getvalue())
    return drawn


def _sample_recording(
    trainer: Trainer, out: Path, count: int, label: int | None, about: dict[str, object]
) -> dict[str, torch.Tensor]:
    """Draw spike trains of a recording's units into a file that other packages read."""
    rng = stream(int(f"{about['seed']}"), "samples", trainer.device)
    drawn = trainer.experiment.evaluation.sample(trainer, trainer.data.labels(count, label), rng)
    trains = trainer.data.trains_of(drawn, stream(int(f"{about['seed']}"), "times within bins"))
    if trains is None:
        expected = f"a file name ending in .npz, for recipe {trainer.experiment.name!r}"
        raise InputError("--out", expected=expected, got=f"{out.name}")
    write_spike_trains(trains, out, about)
    return drawn


def _check_out(out: Path, file_format: FileFormat, force: bool) -> None:
    check_setting("--format", file_format, one_of(FileFormat))
    if file_format == "nmnist":
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise InputError("--out", expected="a new or an empty folder", got=f"{out}")
        return
    endings = {"npz": (".npz", *ENDINGS), "hdf5": (".h5", ".hdf5")}[file_format]
    if out.suffix not in endings:
        expected = f"a file name ending in {' or '.join(endings)}"
        raise InputError("--out", expected=expected, got=f"{out.name}")
    if not out.parent.is_dir() or out.is_dir():
        raise InputError("--out", expected="a file in an existing folder", got=f"{out}")
    if out.exists() and not force:
        cure = "give another, or overwrite it with --force"
        raise InputError("--out", expected="a new file", got=f"{out}, which is there", cure=cure)
