"""Checkpoints that are whole or not there, and that name the run they belong to."""

import io
import os
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch

from snn_gan_ext.errors import InputError
from snn_gan_ext.experiments.experiment import differences
from snn_gan_ext.version import __version__

__all__ = [
    "Checkpoint",
    "load_checkpoint",
    "main_differences",
    "named",
    "reason",
    "save_checkpoint",
    "write_atomically",
]

AFRESH = "start afresh with --force"
"""The cure where a checkpoint is of no use."""


class Checkpoint(NamedTuple):
    """A stopped run.

    Attributes:
        config: Settings of the run; the checkpoint serves no other.
        state: The training state's ``state_dict``.
        seconds: Time spent training so far.
    """

    config: Mapping[str, Any]
    state: Mapping[str, Any]
    seconds: float


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint; a reader at any time, or after a crash, finds the old or the new one."""
    content = io.BytesIO()
    torch.save({"version": __version__, **checkpoint._asdict()}, content)
    write_atomically(path, content.getvalue())


def load_checkpoint(path: Path, config: Mapping[str, Any]) -> Checkpoint:
    """Read a checkpoint of this version and these settings (``weights_only``: it runs no code).

    Raises:
        InputError: If it is missing, damaged, or from another version, recipe or setting.
    """
    if not path.is_file():
        raise InputError(f"{path}", expected="a checkpoint", got="no such file", cure=AFRESH)
    version, checkpoint = _read(path)
    if version != __version__:
        expected = f"a checkpoint of snn_gan_ext {__version__}"
        cure = f"install snn_gan_ext=={version}, or {AFRESH}"
        raise InputError(f"{path}", expected=expected, got=f"one of {version}", cure=cure)
    other = main_differences(config, checkpoint.config)
    if other:
        expected = "a checkpoint with " + ", ".join(
            f"{k} = {ours!r:.60}" for k, (ours, _) in other.items()
        )
        got = ", ".join(f"{theirs!r:.60}" for _, theirs in other.values())
        cure = "restore config.json, or give another --out"
        raise InputError(f"{path}", expected=expected, got=got, cure=cure)
    return checkpoint


def reason(error: Exception) -> str:
    """Return the message of another library's exception in one short line."""
    return f"{' '.join(f'{error}'.split()) or type(error).__name__:.200}"


def main_differences(ours: Any, theirs: Any) -> dict[str, tuple[Any, Any]]:
    """Return the name alone if two configurations differ in it, else at most three differences."""
    other = differences(ours, theirs)
    if "name" in other:
        return {"name": other["name"]}
    return dict(sorted(other.items())[:3])


def _read(path: Path) -> tuple[str, Checkpoint]:
    try:
        # torch.load does not look at the checksums that torch.save has written.
        with zipfile.ZipFile(path) as archive:
            if archive.testzip() is not None:
                raise zipfile.BadZipFile
        payload = torch.load(path, map_location="cpu", weights_only=True)
        version, checkpoint = payload.pop("version"), Checkpoint(**payload)
        if not isinstance(checkpoint.config, dict) or not isinstance(checkpoint.seconds, float):
            raise TypeError
    except Exception:  # damage shows up as almost any exception in there
        got = "a damaged or foreign file"
        raise InputError(f"{path}", expected="a whole checkpoint", got=got, cure=AFRESH) from None
    return str(version), checkpoint


def write_atomically(path: Path, content: bytes | str) -> None:
    """Write a file in one step: it is there as a whole, or as it was before."""
    content = content.encode() if isinstance(content, str) else content
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with named(path):
            with temporary.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def named(path: Path) -> Iterator[None]:
    """Name a file in the errors of its writing; that of a full disk names none."""
    try:
        yield
    except OSError as error:
        if error.errno is not None:
            error.filename = str(path)
        raise
