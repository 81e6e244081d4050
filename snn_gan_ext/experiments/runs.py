"""Run folders: train an experiment into one, evaluate it again, load it.

A folder holds ``config.json`` (the experiment), ``checkpoint.pt``, ``metrics.jsonl`` (the log),
``generator.safetensors`` (the trained weights), ``metrics.json`` (the scorecard), pictures and
``report.html``.
"""

import json
import math
import re
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save

from snn_gan_ext import plots
from snn_gan_ext.errors import InputError
from snn_gan_ext.experiments import loop, report
from snn_gan_ext.experiments.checkpoint import write_atomically
from snn_gan_ext.experiments.experiment import Experiment, differences
from snn_gan_ext.experiments.recipes import RECIPES
from snn_gan_ext.experiments.trainer import Trainer, build
from snn_gan_ext.version import __version__

__all__ = [
    "device_named",
    "evaluate",
    "load_run",
    "locked",
    "read_experiment",
    "read_metrics_json",
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
ABOUT = ("version", "fingerprint")
"""Entries of ``config.json`` beside the experiment."""


def train(
    experiment: Experiment,
    folder: Path | str,
    *,
    resume: bool = False,
    force: bool = False,
    device: str = "cpu",
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
    folder = Path(folder)
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
        trainer.prepare()
        _rehearse(experiment, device, tensorboard)
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
            tensorboard=tensorboard,
            progress=progress,
        )
        with loop.catch_signals("while evaluating; --resume goes on"):
            state = trainer.generators.state_dict()
            weights = {name: tensor.contiguous() for name, tensor in state.items()}
            about = {"config": json.dumps(experiment.identity()), "seconds": f"{seconds:.3f}"}
            write_atomically(folder / "generator.safetensors", save(weights, about))
            return _evaluate(trainer, folder, seconds, progress)


def evaluate(
    folder: Path | str, device: str = "cpu", data: str = "", progress: bool = True
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
    folder = Path(folder)
    trainer = load_run(folder, device, data)
    _check_data(trainer, folder)
    with safe_open(folder / "generator.safetensors", "pt") as file:
        seconds = float(file.metadata()["seconds"])
    with locked(folder), loop.catch_signals("while evaluating; earlier results stay"):
        return _evaluate(trainer, folder, seconds, progress)


def load_run(folder: Path | str, device: str = "cpu", data: str = "") -> Trainer:
    """Load a finished run.

    Args:
        folder: Run folder.
        device: Device of the networks.
        data: Path of its data, if they have moved since it was trained.

    Returns:
        Its networks (``generator``, and all by name in ``generators``) and its ``experiment``.

    Raises:
        InputError: If the folder holds no finished run.
    """
    folder = Path(folder)
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
            trained = json.loads((file.metadata() or {}).get("config", "{}"))
        if trained != experiment.identity():
            raise ValueError("weights of other settings")
        trainer.generators.load_state_dict(load_file(path, device=device))
    except (SafetensorError, RuntimeError, ValueError) as error:
        cure, got = "restore config.json, or train it again with --force", str(error).splitlines()[0]
        expected = "the weights of this run's config.json"
        raise InputError(f"{path}", expected=expected, got=got, cure=cure) from None
    return trainer


def _evaluate(trainer: Trainer, folder: Path, seconds: float, progress: bool) -> dict[str, Any]:
    experiment = trainer.experiment
    if progress:
        print(f"evaluating on the {experiment.evaluate_on} split ...", file=sys.stderr)
    results = trainer.evaluate()
    about = {"recipe": experiment.name, "seed": experiment.seed, "updates": experiment.updates}
    about |= {"evaluated_on": experiment.evaluate_on, "seconds": round(seconds, 3)}
    samplers = _rounded(results.samplers)
    metrics = {**about, "version": __version__, "samplers": samplers, **_rounded(results.others)}
    log = loop.read_metrics(folder / "metrics.jsonl")
    curves = plots.learning_curves(log, experiment.evaluation.panels)
    for name, figure in {**results.figures, "learning_curves": curves}.items():
        plots.save(figure, folder / f"{name}.png")
    write_report(folder, experiment, metrics)
    # The last: where it is, the run is finished.
    _write_json(folder / "metrics.json", metrics)
    return metrics


def write_report(folder: Path, experiment: Experiment, metrics: Mapping[str, Any]) -> None:
    """Write ``report.html``: the metrics, the comparison with Brian2 where there is one, all pictures.

    Args:
        folder: Run folder.
        experiment: Its experiment.
        metrics: Contents of ``metrics.json``.
    """
    checks = folder / "crosscheck.json"
    brian = json.loads(checks.read_text()) if checks.is_file() else None
    pictures = sorted(folder.glob("*.png"), key=_in_reading_order)
    write_atomically(folder / "report.html", report.render(experiment, metrics, pictures, brian))


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
    other = differences(stored.identity(), asked.identity())
    if other:
        expected = ", ".join(f"{name} = {here}" for name, (here, _) in other.items())
        got = ", ".join(f"{there}" for _, there in other.values())
        cure = "leave settings out with --resume (a run cannot be extended), or give another --out"
        raise InputError(f"{folder}", expected=f"{expected} as in its config.json", got=got, cure=cure)


def _check_data(trainer: Trainer, folder: Path) -> str:
    """Their fingerprint. Others would be split otherwise: training trials could be evaluated on."""
    found = trainer.data.fingerprint()
    if found != _read_json(folder / "config.json").get("fingerprint", ""):
        cure = "restore them, name their place (--data), or train another run"
        expected, got = "the data that it learned from", "others, or more or fewer of them"
        raise InputError(f"{folder}", expected=expected, got=got, cure=cure)
    return found


def _rehearse(experiment: Experiment, device: str, tensorboard: bool) -> None:
    """Make one update of a copy, so that errors come before anything in the folder is touched."""
    if tensorboard:
        loop.require_tensorboard()
    trainer = build(experiment, device_named(device))
    trainer.prepare()
    metrics = trainer.algorithm.update(trainer.state, trainer.next_batch(trainer.state.rng))
    loop.check_finite(metrics, update=1)


def _clear(folder: Path, force: bool) -> None:
    """Remove an earlier run, if that is allowed."""
    present = [folder / name for name in OWN_FILES if (folder / name).exists()]
    if present and not force:
        cure = "go on with --resume, overwrite it with --force, or give another --out"
        raise InputError(f"{folder}", expected="an empty or new folder", got="a run", cure=cure)
    for path in (*present, *(folder.glob("*.png") if present else ())):
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
    config = _read_json(folder / "config.json")
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
    found = _read_json(folder / "metrics.json")
    if not found:
        cure = "evaluate it with `snn-gan-ext evaluate`"
        raise InputError(f"{folder}", expected="a finished run", got="no metrics.json in it", cure=cure)
    return found


def _read_json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text())
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        cure = "restore it, or remove the run's folder and train it again"
        raise InputError(f"{path}", expected="a JSON object", got="a damaged file", cure=cure)
    return content


def _write_json(path: Path, content: dict[str, Any]) -> None:
    write_atomically(path, json.dumps(content, indent=2) + "\n")


def device_named(name: str) -> torch.device:
    """Return a device by name.

    Raises:
        InputError: If this machine has no such device.
    """
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).item()
    except (RuntimeError, AssertionError, NotImplementedError):
        expected = "cpu or a device of this machine"
        raise InputError("--device", expected=expected, got=f"{name}", cure="take cpu") from None
    return device
