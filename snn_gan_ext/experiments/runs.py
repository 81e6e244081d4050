"""Run folders: train an experiment into one, evaluate it again, load it.

A folder holds ``config.json`` (the experiment), ``checkpoint.pt``, ``metrics.jsonl`` (the log),
``generator.safetensors`` (the trained weights), ``metrics.json`` (the scorecard), pictures and
``report.html``. Weights carry a checksum and the settings they belong to. The log, the scorecard and
``crosscheck.json`` are for people and programs to read, and carry none.
"""

import hashlib
import json
import math
import re
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import NoneType
from typing import Any

import torch
from filelock import FileLock, Timeout
from safetensors import safe_open
from safetensors.torch import save

from snn_gan_ext import plots
from snn_gan_ext.errors import InputError
from snn_gan_ext.experiments import loop, report
from snn_gan_ext.experiments.checkpoint import main_differences, reason, write_atomically
from snn_gan_ext.experiments.evaluation import Figures
from snn_gan_ext.experiments.experiment import Experiment
from snn_gan_ext.experiments.recipes import RECIPES
from snn_gan_ext.experiments.trainer import Trainer, build, fitting
from snn_gan_ext.validation import path_of
from snn_gan_ext.version import __version__

__all__ = [
    "device_named",
    "evaluate",
    "load_run",
    "locked",
    "read_experiment",
    "read_metrics_json",
    "save_pictures",
    "train",
    "write_report",
]

OWN_FILES = (
    "config.json",
    "checkpoint.pt",
    "crosscheck.json",
    "generator.safetensors",
    "metrics.json",
    "metrics.jsonl",
    "report.html",
)
HEADER = {
    "recipe": str,
    "seed": int,
    "updates": int,
    "evaluated_on": str,
    "seconds": float,
    "version": str,
}
"""Entries of ``metrics.json`` beside numbers, and their types."""
RESTORE = "restore it, or remove the run's folder and train it again"
ABOUT = ("version", "fingerprint")
"""Entries of ``config.json`` beside the experiment."""


def train(
    experiment: Experiment,
    folder: Path | str,
    *,
    resume: bool = False,
    force: bool = False,
    device: str | torch.device = "cpu",
    tensorboard: bool = False,
    progress: bool = True,
) -> dict[str, Any]:
    """Train an experiment, evaluate it, and leave everything in the folder.

    Args:
        experiment: Experiment to run.
        folder: Run folder; made if it is missing.
        resume: Go on from the folder's checkpoint. The experiment must be the one in ``config.json``.
        force: Throw away the run that is there.
        device: Device of the networks.
        tensorboard: Write TensorBoard event files too.
        progress: Show a progress bar.

    Returns:
        The contents of ``metrics.json``.

    Raises:
        InputError: If the folder holds a run (and neither ``resume`` nor ``force``), nothing to resume,
            or a run of other settings.
        Interrupted: After Ctrl-C or SIGTERM; the checkpoint or the generator is written.
        NonFiniteError: At the first training number that is infinite or NaN.
    """
    folder = path_of("folder", folder)
    if not isinstance(experiment, Experiment):
        cure = "take one from `RECIPES`"
        got = f"{experiment!r:.60}"
        raise InputError("experiment", expected="an Experiment", got=got, cure=cure)
    if resume and force:
        raise InputError("--resume and --force", expected="one of them", got="both")
    if experiment.name not in RECIPES:
        cure = "add it with `recipes.register`, so that the run can be read again"
        got = f"{experiment.name!r}"
        raise InputError("experiment", expected="the name of a recipe", got=got, cure=cure)
    # A run whose settings cannot be read again would be lost: refuse it before anything is touched.
    RECIPES[experiment.name].from_config(json.loads(json.dumps(experiment.to_config())))
    trainer = build(experiment, device_named(device))
    if resume:
        _check_same(experiment, read_experiment(folder), folder)
        fingerprint = _check_data(trainer, folder)
    else:
        _rehearse(experiment, device, tensorboard)
        trainer.prepare()
        fingerprint = trainer.data.fingerprint()
        if folder.exists() and not folder.is_dir():
            raise InputError(f"{folder}", expected="a folder", got="a file", cure="give another --out")
        folder.mkdir(parents=True, exist_ok=True)
    with locked(folder):
        if not resume:
            _clear(folder, force)
        for name in OWN_FILES:
            for remains in folder.glob(f".{name}.*.tmp"):  # of writes that were killed
                remains.unlink()
        about = {"version": __version__, "fingerprint": fingerprint}
        _write_json(folder / "config.json", {**about, **experiment.to_config()})
        seconds = loop.fit(
            trainer.algorithm,
            trainer.state,
            trainer.next_batch,
            updates=experiment.updates,
            folder=folder,
            config=experiment.identity(),
            resume=resume,
            monitor=trainer.monitor,
            monitor_every=experiment.monitor_every,
            checkpoint_every=experiment.checkpoint_every,
            log_every=20 if experiment.updates > 20 else 1,
            tensorboard=tensorboard,
            progress=progress,
        )
        with loop.catch_signals("while evaluating; --resume goes on"):
            _write_weights(folder / "generator.safetensors", trainer, seconds)
            return _evaluate(trainer, folder, seconds, progress)


def evaluate(
    folder: Path | str, device: str | torch.device = "cpu", data: str = "", progress: bool = True
) -> dict[str, Any]:
    """Evaluate a trained run again, from its weights, and write its metrics, pictures and report.

    Args:
        folder: Finished run.
        device: Device of the networks.
        data: Path of its data, if they have moved since it was trained.
        progress: Say on standard error that it is being evaluated.

    Returns:
        The contents of ``metrics.json``.

    Raises:
        InputError: If the folder holds no finished run, or the data differ from those it learned from.
    """
    folder = path_of("run", folder)
    trainer, seconds = _load(folder, device, data)
    _check_data(trainer, folder)
    with locked(folder), loop.catch_signals("while evaluating; earlier results stay"):
        return _evaluate(trainer, folder, seconds, progress)


def load_run(folder: Path | str, device: str | torch.device = "cpu", data: str = "") -> Trainer:
    """Load a finished run.

    Args:
        folder: Run folder.
        device: Device of the networks.
        data: Path of its data, if they have moved since it was trained.

    Returns:
        Its networks (``generator``, and all by name in ``generators``) and its ``experiment``.

    Raises:
        InputError: If the folder holds no finished run, or one that is damaged.
    """
    return _load(path_of("run", folder), device, data)[0]


def _load(folder: Path, device: str | torch.device, data: str) -> tuple[Trainer, float]:
    """The run, and the seconds that its training took."""
    experiment = read_experiment(folder)
    if data:
        experiment = experiment.with_data(data)
    path = folder / "generator.safetensors"
    if not path.is_file():
        cure = "finish it with `snn-gan-ext train ... --resume`"
        got = "no generator.safetensors"
        raise InputError(f"{folder}", expected="a finished run", got=got, cure=cure)
    trainer = build(experiment, device_named(device))
    try:
        with safe_open(path, "pt") as file:
            about = dict(file.metadata() or {})
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if about.pop("sha256", "") != _checksum(weights, about):
            raise ValueError("damaged weights")
        if json.loads(about["config"]) != experiment.identity():
            raise ValueError("weights of other settings")
        trainer.generators.load_state_dict(weights)
        return trainer, float(about["seconds"])
    except Exception as error:  # damage shows up as almost any exception in there
        cure, got = "restore config.json, or write them again with `train ... --resume`", reason(error)
        expected = "the weights of this run's config.json"
        raise InputError(f"{path}", expected=expected, got=got, cure=cure) from None


def _write_weights(path: Path, trainer: Trainer, seconds: float) -> None:
    state = trainer.generators.state_dict()
    weights = {name: tensor.contiguous() for name, tensor in state.items()}
    about = {"config": json.dumps(trainer.experiment.identity()), "seconds": f"{seconds:.3f}"}
    write_atomically(path, save(weights, {**about, "sha256": _checksum(weights, about)}))


def _checksum(weights: Mapping[str, torch.Tensor], about: Mapping[str, str]) -> str:
    words = json.dumps(about, sort_keys=True).encode()
    return hashlib.sha256(words + save(dict(weights))).hexdigest()


def _evaluate(trainer: Trainer, folder: Path, seconds: float, progress: bool) -> dict[str, Any]:
    experiment = trainer.experiment
    trainer.progress = progress
    if progress:
        print(f"evaluating on the {experiment.evaluate_on} split ...", file=sys.stderr)
    results = trainer.evaluate()
    about = {"recipe": experiment.name, "seed": experiment.seed, "updates": experiment.updates}
    about |= {"evaluated_on": experiment.evaluate_on, "seconds": round(seconds, 3)}
    samplers = _rounded(results.samplers)
    log = loop.read_metrics(folder / "metrics.jsonl")
    curves = partial(plots.learning_curves, log, experiment.evaluation.panels)
    figures: Figures = {**results.figures, "learning_curves": curves}
    metrics = {**about, "version": __version__, "samplers": samplers, **_rounded(results.others)}
    metrics["pictures"] = sorted({*figures, *_known_pictures(folder)})  # some need the training state
    # Numbers first: a picture may fail.
    _write_json(folder / "metrics.json", metrics)
    save_pictures(figures, folder)
    write_report(folder, experiment, metrics)
    return metrics


def save_pictures(figures: Figures, folder: Path) -> None:
    """Draw pictures into PNG files; one that fails is a line on standard error."""
    for name, draw in figures.items():
        path = folder / f"{name}.png"
        with _spared(path):
            path.unlink(missing_ok=True)  # an old picture would belie the numbers
            plots.save(draw(), path)


def write_report(folder: Path, experiment: Experiment, metrics: Mapping[str, Any]) -> None:
    """Write ``report.html``; if that fails, say so in a line on standard error.

    The page shows the metrics, the comparison with Brian2 where there is one, and the run's pictures.

    Args:
        folder: Run folder.
        experiment: Its experiment.
        metrics: Contents of ``metrics.json``.
    """
    path = folder / "report.html"
    with _spared(path):
        brian = _read_json(folder / "crosscheck.json", "crosscheck it again") or None
        pictures = sorted(_pictures(folder, metrics["pictures"]), key=_in_reading_order)
        write_atomically(path, report.render(experiment, metrics, pictures, brian))


@contextmanager
def _spared(path: Path) -> Iterator[None]:
    """Turn a failure into a line on standard error: the numbers are written by then."""
    try:
        yield
    except loop.Interrupted:
        raise
    except Exception as error:
        print(f"warning: {path} is not written: {reason(error)}", file=sys.stderr)


def _known_pictures(folder: Path) -> list[str]:
    """Names of the pictures in the scorecard, if there is one."""
    try:
        return list(read_metrics_json(folder)["pictures"])
    except InputError:
        return []


def _pictures(folder: Path, names: Sequence[str]) -> list[Path]:
    """Pictures of the run, without other files of the folder."""
    return [x for x in folder.glob("*.png") if x.stem in names or x.stem.startswith("crosscheck_")]


def _in_reading_order(picture: Path) -> tuple[bool, list[str | int]]:
    """Pictures of the evaluation before those of crosschecks, and particle 2 before particle 10."""
    parts = re.split(r"(\d+)", picture.stem)
    return picture.stem.startswith("crosscheck"), [int(x) if x.isdigit() else x for x in parts]


def _rounded(value: Any) -> Any:
    """Numbers as they stand in files: four digits behind the point, null for infinity and NaN."""
    if isinstance(value, Mapping):
        return {name: _rounded(part) for name, part in value.items()}
    if isinstance(value, Sequence):
        return [_rounded(part) for part in value]
    return round(value, 4) if math.isfinite(value) else None


def _check_same(asked: Experiment, stored: Experiment, folder: Path) -> None:
    other = main_differences(stored.identity(), asked.identity())
    if other:
        expected = ", ".join(f"{name} = {f'{here}':.60}" for name, (here, _) in other.items())
        got = ", ".join(f"{f'{there}':.60}" for _, there in other.values())
        cure = "leave settings out with --resume (a run cannot be extended), or give another --out"
        raise InputError(f"{folder}", expected=f"{expected} as in its config.json", got=got, cure=cure)


def _check_data(trainer: Trainer, folder: Path) -> str:
    """Their fingerprint. Others would be split otherwise: training trials could be evaluated on."""
    found = trainer.data.fingerprint()
    if found != _read_json(folder / "config.json", RESTORE).get("fingerprint", ""):
        cure = "restore them, name their place (--data), or train another run"
        expected, got = "the data that it learned from", "others, or more or fewer of them"
        raise InputError(f"{folder}", expected=expected, got=got, cure=cure)
    return found


def _rehearse(experiment: Experiment, device: str | torch.device, tensorboard: bool) -> None:
    """Make one update of a copy, so that errors come before anything in the folder is touched."""
    if tensorboard:
        loop.require_tensorboard()
    trainer = build(experiment, device_named(device))
    with fitting():
        trainer.prepare()
        loop.update_once(trainer.algorithm, trainer.state, trainer.next_batch(trainer.state.rng))


def _clear(folder: Path, force: bool) -> None:
    """Remove an earlier run, if that is allowed."""
    present = [folder / name for name in OWN_FILES if (folder / name).exists()]
    if present and not force:
        cure = "go on with --resume, overwrite it with --force, or give another --out"
        raise InputError(f"{folder}", expected="an empty or new folder", got="a run", cure=cure)
    pictures = _pictures(folder, _known_pictures(folder)) if present else []
    for path in (*pictures, *present):
        path.unlink()
    if present:
        shutil.rmtree(folder / "tensorboard", ignore_errors=True)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep other processes from writing into a run folder.

    Raises:
        InputError: If another process is writing into it.
    """
    lock = FileLock(folder / ".lock", timeout=0)
    try:
        lock.acquire()
    except Timeout:
        expected, got = "a run folder that nobody writes into", "one in which a run is going on"
        cure = "wait for its end, or give another --out"
        raise InputError(f"{folder}", expected=expected, got=got, cure=cure) from None
    try:
        yield
    finally:
        lock.release()


def read_experiment(folder: Path) -> Experiment:
    """Read the experiment of a run folder.

    Raises:
        InputError: If the folder holds no run, or its ``config.json`` is damaged.
    """
    config = _read_json(folder / "config.json", RESTORE)
    if not config:
        cure = "make one with `snn-gan-ext train`"
        raise InputError(f"{folder}", expected="a run folder", got="no config.json in it", cure=cure)
    if "recipe" in config:
        cure, got = "train it again with --force", "one from before experiments were values"
        raise InputError(f"{folder}", expected="a run of this version", got=got, cure=cure)
    name = config.get("name")
    if not isinstance(name, str) or name not in RECIPES:
        path = folder / "config.json"
        cure = "call `recipes.register` with the experiment first, if it is one of yours"
        expected = f"one of {list(RECIPES)}"
        raise InputError(f"{path}", expected=expected, got=f"{name!r}", cure=cure)
    return RECIPES[name].from_config({k: v for k, v in config.items() if k not in ABOUT})


def read_metrics_json(folder: Path) -> dict[str, Any]:
    """Read the scorecard of a finished run.

    Raises:
        InputError: If its ``metrics.json`` is missing or damaged.
    """
    cure = "evaluate it with `snn-gan-ext evaluate`"
    found = _read_json(folder / "metrics.json", cure)
    if not found:
        raise InputError(f"{folder}", expected="a finished run", got="no metrics.json in it", cure=cure)
    rows, pictures = found.get("samplers"), found.get("pictures")
    fits = isinstance(rows, dict) and isinstance(pictures, list) and all(map(_is_row, rows.values()))
    if not fits or not all(isinstance(found.get(name), kind) for name, kind in HEADER.items()):
        path, got = folder / "metrics.json", "a damaged file"
        raise InputError(f"{path}", expected="the scorecard of a run", got=got, cure=cure)
    return found


def _is_row(row: object) -> bool:
    """Whether a value is a row of numbers, null for those that have no value."""
    kinds = (int, float, NoneType)
    return isinstance(row, dict) and all(isinstance(value, kinds) for value in row.values())


def _read_json(path: Path, cure: str) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        raise InputError(f"{path}", expected="a JSON object", got="a damaged file", cure=cure)
    return content


def _write_json(path: Path, content: dict[str, Any]) -> None:
    write_atomically(path, json.dumps(content, indent=2) + "\n")


def device_named(name: str | torch.device) -> torch.device:
    """Return a device by name; a device is returned as it is.

    Raises:
        InputError: If this machine has no such device.
    """
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).item()
    except (RuntimeError, AssertionError, NotImplementedError, TypeError):
        expected = "cpu or a device of this machine"
        raise InputError("--device", expected=expected, got=f"{name}", cure="take cpu") from None
    return device
