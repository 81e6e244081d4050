"""Run folders: train a recipe into one, evaluate it again, sample from it.

A folder holds ``config.json`` (the recipe), ``checkpoint.pt``, ``metrics.jsonl`` (the log),
``generator.safetensors`` (the trained weights), ``metrics.json``, the PNGs and ``report.html``.
"""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from snn_gan_ext import plots, report
from snn_gan_ext.errors import InputError
from snn_gan_ext.recipes import RECIPES
from snn_gan_ext.recipes.base import Experiment, Recipe
from snn_gan_ext.training.checkpoint import write_atomically
from snn_gan_ext.training.loop import fit, read_metrics
from snn_gan_ext.version import __version__

__all__ = ["evaluate", "load_run", "sample", "train"]

OWN_FILES = (
    "config.json",
    "checkpoint.pt",
    "generator.safetensors",
    "metrics.json",
    "metrics.jsonl",
    "report.html",
)


def train(
    recipe: Recipe,
    folder: Path,
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
        resume: go on from the folder's checkpoint, with the settings in its ``config.json``.
        force: throw away the run that is there.
        device: where to train.
        tensorboard: write TensorBoard event files too.
        progress: show a progress bar.

    Returns:
        The contents of ``metrics.json``.

    Raises:
        InputError: if the folder holds a run (and neither ``resume`` nor ``force``), or nothing to
            resume, or a run of other settings.
        Interrupted: after Ctrl-C or SIGTERM; the checkpoint is written.
        NonFiniteError: at the first training number that is infinite or NaN.
    """
    if resume and force:
        raise InputError("--resume and --force", expected="one of them", got="both")
    if resume:
        recipe = _stored_recipe(folder, recipe)
    experiment = recipe.build(_device(device))
    if not resume:
        _start_afresh(recipe, folder, force)
    seconds = fit(
        experiment.algorithm,
        experiment.state,
        experiment.next_batch,
        steps=recipe.steps,
        folder=folder,
        recipe=recipe.name,
        resume=resume,
        monitor=experiment.monitor,
        monitor_every=recipe.monitor_every,
        checkpoint_every=recipe.checkpoint_every,
        tensorboard=tensorboard,
        progress=progress,
    )
    weights = {name: tensor.contiguous() for name, tensor in experiment.generator.state_dict().items()}
    write_atomically(
        folder / "generator.safetensors",
        lambda temporary: save_file(weights, temporary, {"version": __version__}),
    )
    return _judge(recipe, experiment, folder, seconds)


def evaluate(folder: Path, device: str = "cpu") -> dict[str, Any]:
    """Judges a trained run again, from its weights, and writes its metrics, pictures and report.

    Args:
        folder: a finished run.
        device: where to sample.

    Returns:
        The contents of ``metrics.json``.

    Raises:
        InputError: if the folder holds no finished run.
    """
    recipe, experiment = load_run(folder, device)
    seconds = _read_json(folder / "metrics.json").get("train_seconds", float("nan"))
    return _judge(recipe, experiment, folder, seconds)


def sample(
    folder: Path,
    out: Path,
    count: int,
    label: int | None = None,
    seed: int = 0,
    device: str = "cpu",
) -> dict[str, torch.Tensor]:
    """Draws trials from a trained run into an ``.npz`` file.

    Args:
        folder: a finished run.
        out: a path ending in ``.npz``; ``spikes [T, n, N]`` (0 or 1, uint8), ``labels [n]``, and the
            decoded ``images [n, N]`` where the recipe has images.
        count: number of trials ``n``.
        label: one class for all of them; the classes in turn by default.
        seed: of the draws.
        device: where to sample.

    Returns:
        What was written, as tensors.

    Raises:
        InputError: if the folder holds no finished run, or an argument makes no sense.
    """
    if count < 1:
        raise InputError("--n", expected="at least 1", got=f"{count}")
    if not 0 <= seed < 2**32:
        raise InputError("--seed", expected="0 .. 2^32 - 1", got=f"{seed}")
    if out.suffix != ".npz":
        raise InputError("--out", expected="a file name ending in .npz", got=f"{out.name}")
    if not out.parent.is_dir():
        raise InputError("--out", expected="a file in an existing folder", got=f"{out}")
    _, experiment = load_run(folder, device)
    rng = torch.Generator(_device(device)).manual_seed(seed)
    drawn = experiment.sample(experiment.labels(count, label), rng)
    arrays = {name: tensor.numpy() for name, tensor in drawn.items()}
    arrays["spikes"] = arrays["spikes"].astype(np.uint8)

    def write(temporary: Path) -> None:
        with temporary.open("wb") as file:
            np.savez_compressed(file, allow_pickle=False, **arrays)

    write_atomically(out, write)
    return drawn


def load_run(folder: Path, device: str = "cpu") -> tuple[Recipe, Experiment]:
    """A finished run's recipe, and its experiment with the trained generator.

    Raises:
        InputError: if the folder holds no finished run.
    """
    recipe = _read_recipe(folder)
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
        experiment.generator.load_state_dict(load_file(path, device=device))
    except (SafetensorError, RuntimeError) as error:
        raise InputError(
            f"{path}",
            expected="the weights of this run's config.json",
            got=str(error).splitlines()[0],
            cure="train it again with --force",
        ) from None
    return recipe, experiment


def _judge(recipe: Recipe, experiment: Experiment, folder: Path, seconds: float) -> dict[str, Any]:
    results = experiment.evaluate()
    metrics: dict[str, Any] = {
        **{name: round(value, 4) for name, value in results.metrics.items()},
        "evaluated_on": recipe.evaluate_on,
        "steps": recipe.steps,
        "train_seconds": round(seconds, 1),
        "seed": recipe.seed,
        "version": __version__,
    }
    curves = plots.learning_curves(
        read_metrics(folder / "metrics.jsonl"),
        {
            "losses": ("discriminator_loss", "r1_penalty"),
            "signal": ("reward", "real_logit", "fake_logit"),
            "train on synthetic, test on real": ("validation_tstr",),
        },
    )
    figures = {**results.figures, "learning_curves": curves}
    for name, figure in figures.items():
        figure.savefig(folder / f"{name}.png", dpi=110)
    _write_json(folder / "metrics.json", metrics)
    page = report.render(recipe, metrics, [folder / f"{name}.png" for name in figures])
    _write_text(folder / "report.html", page)
    return metrics


def _stored_recipe(folder: Path, asked: Recipe) -> Recipe:
    """The recipe that a resumed run goes on with; what was asked for may leave settings at default."""
    stored = _read_recipe(folder)
    if type(stored) is not type(asked):
        raise InputError(
            f"{folder}", expected=f"a run of {asked.name!r}", got=f"one of {stored.name!r}"
        )
    here, there, default = (r.to_config() for r in (stored, asked, type(asked)()))
    other = [key for key in here if there[key] not in (here[key], default[key])]
    if other:
        raise InputError(
            f"{folder}",
            expected=", ".join(f"{key} = {here[key]}" for key in other) + " as in its config.json",
            got=", ".join(f"{there[key]}" for key in other),
            cure="leave settings out with --resume, or give another --out",
        )
    return stored


def _start_afresh(recipe: Recipe, folder: Path, force: bool) -> None:
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
    for path in present:
        path.unlink()
    shutil.rmtree(folder / "tensorboard", ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    _write_json(folder / "config.json", {"version": __version__, **recipe.to_config()})


def _read_recipe(folder: Path) -> Recipe:
    config = _read_json(folder / "config.json")
    if not config:
        raise InputError(
            f"{folder}",
            expected="a run folder",
            got="no config.json in it",
            cure="make one with `snn-gan-ext train`",
        )
    config.pop("version", None)
    name = config.get("recipe")
    if name not in RECIPES:
        raise InputError(
            f"{folder / 'config.json'}", expected=f"one of {list(RECIPES)}", got=f"{name!r}"
        )
    return RECIPES[name].from_config(config)


def _read_json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text())
    except (json.JSONDecodeError, UnicodeDecodeError):
        content = None
    if not isinstance(content, dict):
        raise InputError(
            f"{path}",
            expected="a JSON object",
            got="a damaged file",
            cure="start afresh with --force",
        )
    return content


def _write_json(path: Path, content: dict[str, Any]) -> None:
    _write_text(path, json.dumps(content, indent=2) + "\n")


def _write_text(path: Path, text: str) -> None:
    write_atomically(path, lambda temporary: temporary.write_text(text))


def _device(name: str) -> torch.device:
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError):
        raise InputError(
            "--device", expected="cpu or a device of this machine", got=f"{name}", cure="take cpu"
        ) from None
    return device
