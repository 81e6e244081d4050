"""Checkpoints that are whole or not there, and that say what they belong to."""

import os
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch

from snn_gan_ext.errors import InputError
from snn_gan_ext.version import __version__

__all__ = ["Checkpoint", "load_checkpoint", "save_checkpoint", "write_atomically"]


class Checkpoint(NamedTuple):
    """A stopped run.

    Attributes:
        recipe: name of the recipe it belongs to.
        state: the training state's ``state_dict``.
        train_seconds: time spent training so far.
    """

    recipe: str
    state: Mapping[str, Any]
    train_seconds: float


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Writes a checkpoint; whoever reads meanwhile, or after a crash, finds the old or the new one."""
    payload = {"version": __version__, **checkpoint._asdict()}
    write_atomically(path, lambda temporary: torch.save(payload, temporary))


def load_checkpoint(path: Path, recipe: str) -> Checkpoint:
    """Reads a checkpoint of this recipe and this version (``weights_only``: it runs no code).

    Raises:
        InputError: if it is missing, damaged, or from another recipe or version.
    """
    if not path.is_file():
        raise InputError(
            f"{path}",
            expected="a checkpoint",
            got="no such file",
            cure="start afresh without --resume",
        )
    try:
        payload = torch.load(path, map_location="cpu", weights_only=True)
        version, checkpoint = payload.pop("version"), Checkpoint(**payload)
    except (RuntimeError, pickle.UnpicklingError, EOFError, KeyError, TypeError, AttributeError):
        raise InputError(
            f"{path}",
            expected="a whole checkpoint",
            got="a damaged or foreign file",
            cure="start afresh with --force",
        ) from None
    if version != __version__:
        raise InputError(
            f"{path}",
            expected=f"a checkpoint of snn_gan_ext {__version__}",
            got=f"one of {version}",
            cure=f"install snn_gan_ext=={version}, or start afresh with --force",
        )
    if checkpoint.recipe != recipe:
        raise InputError(
            f"{path}",
            expected=f"a checkpoint of recipe {recipe!r}",
            got=f"{checkpoint.recipe!r}",
            cure="give another --out",
        )
    return checkpoint


def write_atomically(path: Path, write: Any) -> None:
    """Calls ``write(temporary path)`` and moves the result into place in one step."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        write(temporary)
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
