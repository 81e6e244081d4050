"""Run folders: train a recipe into one, evaluate it again, sample from it.

A folder holds ``config.json`` (the recipe), ``checkpoint.pt``, ``metrics.jsonl`` (the log),
``generator.safetensors`` (the trained weights), ``metrics.json``, the PNGs and ``report.html``.
"""

import io
import json
import re
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save

from snn_gan_ext import plots
from snn_gan_ext.coding.events import Binning, Events, to_events
from snn_gan_ext.datasets import event_files
from snn_gan_ext.errors import InputError
from snn_gan_ext.experiments import report
from snn_gan_ext.experiments.checkpoint import write_atomically
from snn_gan_ext.experiments.loop import (
    catch_signals,
    check_finite,
    fit,
    read_metrics,
    require_tensorboard,
)
from snn_gan_ext.experiments.recipes import RECIPES
from snn_gan_ext.experiments.recipes.base import Experiment, Recipe
from snn_gan_ext.validation import SEED, check_setting, one_of, whole
from snn_gan_ext.version import __version__

__all__ = [
    "FileFormat",
    "evaluate",
    "load_run",
    "read_metrics_json",
    "read_recipe",
    "sample",
    "train",
    "write_report",
]

FileFormat = Literal["npz", "hdf5", "nmnist"]

OWN_FILES = (
    "config.json",
    "checkpoint.pt",
    "crosscheck.json",
    "generator.safetensors",
    "metrics.json",
    "metrics.jsonl",
    "report.html",
)


def train(
    recipe: Recipe,
    folder: Path | str,
    *,
    resume: bool = False,
    force: bool = False,
    device: str = "cpu",
    tensorboard: bool = False,
    progress: bool = True,
) -> dict[str, Any]:
    """Trains a recipe, judges it and leaves everything in the folder.

    Args:
        recipe: what to train.
        folder: the run folder, made if need be.
        resume: go on from the folder's checkpoint; ``recipe`` has to be the one in its ``config.json``.
        force: throw away the run that is there.
        device: where to train.
        tensorboard: write TensorBoard event files too.
        progress: show a progress bar.

    Returns:
        The contents of ``metrics.json``.

    Raises:
        InputError: if the folder holds a run (and neither ``resume`` nor ``force``), or nothing to
            resume, or a run of other settings.
        Interrupted: after Ctrl-C or SIGTERM; the checkpoint or the generator is written.
        NonFiniteError: at the first training number that is infinite or NaN.
    """
    folder = Path(folder)
    if resume and force:
        raise InputError("--resume and --force", expected="one of them", got="both")
    experiment = recipe.build(_device(device))
    if resume:
        _check_same(recipe, read_recipe(folder), folder)
        fingerprint = _check_data(experiment, folder)
    else:
        experiment.prepare()
        _rehearse(recipe, device, tensorboard)
        fingerprint = experiment.fingerprint()
        _start_afresh(folder, force)
    about = {"version": __version__, "fingerprint": fingerprint}
    _write_json(folder / "config.json", {**about, **recipe.to_config()})
    seconds = fit(
        experiment.algorithm,
        experiment.state,
        experiment.next_batch,
        updates=recipe.steps,
        folder=folder,
        config=recipe.identity(),
        resume=resume,
        monitor=experiment.monitor,
        monitor_every=recipe.monitor_every,
        checkpoint_every=recipe.checkpoint_every,
        tensorboard=tensorboard,
        progress=progress,
    )
    with catch_signals("while judging; --resume goes on"):
        _save_generator(recipe, experiment, folder, seconds)
        return _judge(recipe, experiment, folder, seconds, progress)


def _save_generator(recipe: Recipe, experiment: Experiment, folder: Path, seconds: float) -> None:
    weights = {name: tensor.contiguous() for name, tensor in experiment.generator.state_dict().items()}
    about = {"config": json.dumps(recipe.identity()), "train_seconds": f"{seconds:.3f}"}
    write_atomically(folder / "generator.safetensors", save(weights, about))


def evaluate(
    folder: Path | str, device: str = "cpu", data: str = "", progress: bool = True
) -> dict[str, Any]:
    """Judges a trained run again, from its weights, and writes its metrics, pictures and report.

    Args:
        folder: a finished run.
        device: where to sample.
        data: where its data are now, if elsewhere than while it was trained.
        progress: say on standard error that it is judging.

    Returns:
        The contents of ``metrics.json``.

    Raises:
        InputError: if the folder holds no finished run, or the data are others than it learned from.
    """
    folder = Path(folder)
    recipe, experiment = load_run(folder, device, data)
    _check_data(experiment, folder)
    with safe_open(folder / "generator.safetensors", "pt") as file:
        seconds = float(file.metadata()["train_seconds"])
    with catch_signals("while judging; what was found before stays"):
        return _judge(recipe, experiment, folder, seconds, progress)


def sample(
    folder: Path | str,
    out: Path,
    count: int,
    label: int | None = None,
    seed: int = 0,
    device: str = "cpu",
    file_format: FileFormat = "npz",
) -> dict[str, torch.Tensor]:
    """Draws trials from a trained run into a file, or a folder of files.

    ========== ==================================================================================
    format     what is written
    ========== ==================================================================================
    ``npz``    ``spikes [T, n, N]``, of events ``[T, n, C, H, W]`` (0 or 1, uint8), ``labels [n]``;
               where the recipe has them decoded ``images [n, N]``, firing ``times [n, N]``,
               ``particles [n]``, ``events`` end to end with ``offsets [n + 1]``
    ``hdf5``   events: ``events/x``, ``events/y``, ``events/t``, ``events/p``, ``offsets``, ``labels``
    ``nmnist`` events: a folder ``Train/<label>/<number>.bin`` as N-MNIST's, for Tonic
    ========== ==================================================================================

    Args:
        folder: a finished run.
        out: a path ending in ``.npz``, ``.h5`` or ``.hdf5``; or a new or an empty folder.
        count: number of trials ``n``.
        label: one class for all of them; the classes in turn by default.
        seed: of the draws.
        device: where to sample.
        file_format: see above.

    Returns:
        What was written, as tensors.

    Raises:
        InputError: if the folder holds no finished run, or an argument makes no sense.
    """
    folder = Path(folder)
    check_setting("--n", count, whole(1))
    check_setting("--seed", seed, SEED)
    _check_out(out, file_format)
    recipe, experiment = load_run(folder, device)
    if file_format != "npz" and experiment.binning is None:
        raise InputError(
            "--format", expected=f"npz for recipe {recipe.name!r}, which has no events", got=file_format
        )
    rng = torch.Generator(_device(device)).manual_seed(seed)
    drawn = experiment.sample(experiment.labels(count, label), rng)
    arrays = {name: tensor.numpy() for name, tensor in drawn.items()}
    arrays["spikes"] = arrays["spikes"].astype(np.uint8)
    recordings = _recordings(arrays["spikes"], experiment.binning)
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


def _check_out(out: Path, file_format: FileFormat) -> None:
    check_setting("--format", file_format, one_of(FileFormat))
    if file_format == "nmnist":
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise InputError("--out", expected="a new or an empty folder", got=f"{out}")
        return
    endings = {"npz": (".npz",), "hdf5": (".h5", ".hdf5")}[file_format]
    if out.suffix not in endings:
        wanted = " or ".join(endings)
        raise InputError("--out", expected=f"a file name ending in {wanted}", got=f"{out.name}")
    if not out.parent.is_dir() or out.is_dir():
        raise InputError("--out", expected="a file in an existing folder", got=f"{out}")


def _recordings(spikes: np.ndarray, binning: Binning | None) -> list[Events]:
    """Events of trials ``[T, n, C, H, W]``; none if the data are no events."""
    if binning is None:
        return []
    return [to_events(trial, binning.step_us, binning.start_us) for trial in spikes.swapaxes(0, 1)]


def load_run(folder: Path | str, device: str = "cpu", data: str = "") -> tuple[Recipe, Experiment]:
    """A finished run's recipe, and its experiment with the trained generator.

    Args:
        folder: of the run.
        device: where to sample.
        data: where its data are now, if elsewhere than while it was trained.

    Raises:
        InputError: if the folder holds no finished run.
    """
    folder = Path(folder)
    recipe = read_recipe(folder)
    if data:
        if "data" not in recipe.whereabouts:
            raise InputError("--data", expected=f"none for recipe {recipe.name!r}", got=data)
        # What was fetched is there by now.
        recipe = replace(recipe, data=data, download=False)  # type: ignore[call-arg]
    path = folder / "generator.safetensors"
    if not path.is_file():
        raise InputError(
            f"{folder}",
            expected="a finished run",
            got="no generator.safetensors",
            cure="finish it with `snn-gan-ext train ... --resume`",
        )
    experiment = recipe.build(_device(device))
    try:
        with safe_open(path, "pt") as file:
            trained = json.loads((file.metadata() or {}).get("config", "{}"))
        if trained != recipe.identity():
            raise ValueError("weights of other settings")
        experiment.generator.load_state_dict(load_file(path, device=device))
    except (SafetensorError, RuntimeError, ValueError) as error:
        raise InputError(
            f"{path}",
            expected="the weights of this run's config.json",
            got=str(error).splitlines()[0],
            cure="restore config.json, or train it again with --force",
        ) from None
    return recipe, experiment


def _judge(
    recipe: Recipe, experiment: Experiment, folder: Path, seconds: float, progress: bool
) -> dict[str, Any]:
    if progress:
        print(f"judging on the {recipe.evaluate_on} split ...", file=sys.stderr)
    results = experiment.evaluate()
    found = _rounded(results.metrics)
    about = {
        "evaluated_on": recipe.evaluate_on,
        "steps": recipe.steps,
        "train_seconds": round(seconds, 3),
        "seed": recipe.seed,
        "version": __version__,
    }
    # What was found comes first in the file, and its names win.
    metrics: dict[str, Any] = {**found, **about, **found}
    curves = plots.learning_curves(read_metrics(folder / "metrics.jsonl"), experiment.panels)
    figures = {**results.figures, "learning_curves": curves}
    for name, figure in figures.items():
        figure.savefig(folder / f"{name}.png", dpi=110)
    write_report(folder, recipe, metrics)
    # The last: where it is, the run is finished.
    _write_json(folder / "metrics.json", metrics)
    return metrics


def write_report(folder: Path, recipe: Recipe, metrics: Mapping[str, Any]) -> None:
    """Writes ``report.html`` of the metrics, of what a crosscheck found, and of all pictures.

    Args:
        folder: of the run.
        recipe: what was run.
        metrics: contents of ``metrics.json``.
    """
    lines = dict(metrics)
    if (checks := folder / "crosscheck.json").is_file():
        lines["Brian2"] = report.brian_checks(json.loads(checks.read_text()))
    page = report.render(recipe, lines, sorted(folder.glob("*.png"), key=_in_reading_order))
    write_atomically(folder / "report.html", page)


def _in_reading_order(picture: Path) -> tuple[bool, list[str | int]]:
    """What was learned before crosschecks of it, and particle 2 before particle 10."""
    parts = re.split(r"(\d+)", picture.stem)
    return picture.stem.startswith("crosscheck"), [int(x) if x.isdigit() else x for x in parts]


def _rounded(metrics: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: _rounded(value) if isinstance(value, Mapping) else _round(value)
        for name, value in metrics.items()
    }


def _round(value: float | Sequence[float]) -> Any:
    return [round(x, 4) for x in value] if isinstance(value, Sequence) else round(value, 4)


def _check_same(asked: Recipe, stored: Recipe, folder: Path) -> None:
    here, there = stored.identity(), asked.identity()
    other = [key for key in here if here[key] != there.get(key)]
    if other:
        raise InputError(
            f"{folder}",
            expected=", ".join(f"{key} = {here[key]}" for key in other) + " as in its config.json",
            got=", ".join(f"{there.get(key)}" for key in other),
            cure="leave settings out with --resume (a run cannot be extended), or give another --out",
        )


def _check_data(experiment: Experiment, folder: Path) -> str:
    """Their fingerprint. Others would be split otherwise: what was learned from could be judged on."""
    found = experiment.fingerprint()
    if found != _read_json(folder / "config.json").get("fingerprint", ""):
        raise InputError(
            f"{folder}",
            expected="the data that it learned from",
            got="others, or more or fewer of them",
            cure="restore them, say where they are (--data), or train another run",
        )
    return found


def _rehearse(recipe: Recipe, device: str, tensorboard: bool) -> None:
    """One step on a copy, so that what cannot work fails before anything in the folder is touched."""
    if tensorboard:
        require_tensorboard()
    experiment = recipe.build(_device(device))
    experiment.prepare()
    metrics = experiment.algorithm.update(experiment.state, experiment.next_batch(experiment.state.rng))
    check_finite(metrics, step=1)


def _start_afresh(folder: Path, force: bool) -> None:
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder}", expected="a folder", got="a file", cure="give another --out")
    present = [folder / name for name in OWN_FILES if (folder / name).exists()]
    if present and not force:
        raise InputError(
            f"{folder}",
            expected="an empty or new folder",
            got="a run",
            cure="go on with --resume, overwrite it with --force, or give another --out",
        )
    for path in (*present, *(folder.glob("*.png") if present else ())):
        path.unlink()
    shutil.rmtree(folder / "tensorboard", ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)


def read_recipe(folder: Path) -> Recipe:
    """The recipe of a run folder.

    Raises:
        InputError: if the folder holds no run, or its ``config.json`` is damaged.
    """
    config = _read_json(folder / "config.json")
    if not config:
        raise InputError(
            f"{folder}",
            expected="a run folder",
            got="no config.json in it",
            cure="make one with `snn-gan-ext train`",
        )
    name = config.get("recipe")
    if not isinstance(name, str) or name not in RECIPES:
        raise InputError(
            f"{folder / 'config.json'}", expected=f"one of {list(RECIPES)}", got=f"{name!r}"
        )
    return RECIPES[name].from_config(config)


def read_metrics_json(folder: Path) -> dict[str, Any]:
    """What a finished run scored.

    Raises:
        InputError: if its ``metrics.json`` is missing or damaged.
    """
    found = _read_json(folder / "metrics.json")
    if not found:
        raise InputError(
            f"{folder}",
            expected="a finished run",
            got="no metrics.json in it",
            cure="judge it with `snn-gan-ext evaluate`",
        )
    return found


def _read_json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text())
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        raise InputError(
            f"{path}",
            expected="a JSON object",
            got="a damaged file",
            cure="restore it, or remove the run's folder and train it again",
        )
    return content


def _write_json(path: Path, content: dict[str, Any]) -> None:
    write_atomically(path, json.dumps(content, indent=2) + "\n")


def _device(name: str) -> torch.device:
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).item()
    except (RuntimeError, AssertionError, NotImplementedError):
        raise InputError(
            "--device", expected="cpu or a device of this machine", got=f"{name}", cure="take cpu"
        ) from None
    return device
