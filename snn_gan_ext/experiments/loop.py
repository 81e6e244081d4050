"""The one training loop: progress, logs, evaluation, checkpoints, interruption, early failure.

A learning algorithm is anything with ``update(state, batch) -> metrics`` that changes its state in
place; the state knows its ``step``, its random source ``rng``, and how to save and load itself.
"""

import json
import math
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from tqdm import tqdm

from snn_gan_ext.errors import InputError
from snn_gan_ext.experiments.checkpoint import (
    Checkpoint,
    load_checkpoint,
    save_checkpoint,
    write_atomically,
)
from snn_gan_ext.types import Algorithm, TrainingState

__all__ = [
    "Algorithm",
    "Interrupted",
    "MetricsLog",
    "NonFiniteError",
    "TrainingState",
    "catch_signals",
    "check_finite",
    "fit",
    "read_metrics",
    "require_tensorboard",
]


class Interrupted(Exception):
    """Ctrl-C or SIGTERM came, and what there was to save is saved.

    Attributes:
        signal_number: which signal.
    """

    def __init__(self, signal_number: int, where: str) -> None:
        super().__init__(f"{signal.Signals(signal_number).name}: stopped {where}")
        self.signal_number = signal_number


class NonFiniteError(ArithmeticError):
    """A number of the training became infinite or NaN; the message names it and the step."""


class MetricsLog:
    """Appends metrics to a JSON-lines file and, if asked for, to TensorBoard.

    Args:
        path: the file; one object a line, each with its ``step``.
        from_update: lines after this step are dropped (they belong to a future that a resumed run
            goes through again).
        tensorboard: a folder for TensorBoard's event files.

    Raises:
        InputError: if TensorBoard is asked for and not installed.
    """

    def __init__(self, path: Path, from_update: int = 0, tensorboard: Path | None = None) -> None:
        self._writer = None if tensorboard is None else require_tensorboard()(str(tensorboard))
        kept = [line for line in read_metrics(path) if line["update"] <= from_update > 0]
        text = "".join(json.dumps(line) + "\n" for line in kept)
        write_atomically(path, text)
        self._file = path.open("a")

    def write(self, update: int, metrics: Mapping[str, float]) -> None:
        """Adds one line."""
        self._file.write(json.dumps({"update": update, **metrics}) + "\n")
        self._file.flush()
        if self._writer is not None:
            for name, value in metrics.items():
                self._writer.add_scalar(name, value, update)

    def close(self) -> None:
        """Closes the files."""
        self._file.close()
        if self._writer is not None:
            self._writer.close()


def read_metrics(path: Path) -> list[dict[str, float]]:
    """The lines of a metrics file; none where there is no file. Torn or foreign lines are left out."""
    lines = []
    for text in path.read_text(errors="replace").splitlines() if path.is_file() else []:
        try:
            line = json.loads(text)
        except (ValueError, RecursionError):
            continue
        if isinstance(line, dict) and type(line.get("update")) is int:
            lines.append(line)
    return lines


def fit(
    algorithm: Algorithm,
    state: TrainingState,
    next_batch: Callable[[torch.Generator], Any],
    *,
    updates: int,
    folder: Path,
    config: Mapping[str, Any],
    resume: bool = False,
    monitor: Callable[[], dict[str, float]] | None = None,
    monitor_every: int = 500,
    log_every: int = 20,
    checkpoint_every: int = 500,
    tensorboard: bool = False,
    progress: bool = True,
) -> float:
    """Trains until ``state.updates == updates``.

    All randomness comes from ``state.rng``, which the checkpoint holds: a run that was stopped and
    resumed ends with the same weights, bit for bit on the same machine, as one that was not.

    Args:
        algorithm: what a step does.
        state: changed in place.
        next_batch: draws a batch with ``state.rng``.
        updates: total number of updates.
        folder: where ``checkpoint.pt`` and ``metrics.jsonl`` go; it exists.
        config: what the checkpoint is bound to: the ``recipe`` and all its settings.
        resume: go on from the folder's checkpoint.
        monitor: an evaluation while training; it must not use ``state.rng``.
        monitor_every: steps between two of them.
        log_every: steps between two log lines.
        checkpoint_every: steps between two checkpoints.
        tensorboard: write TensorBoard event files too.
        progress: show a progress bar.

    Returns:
        Seconds spent training, evaluations left out, over all resumptions.

    Raises:
        InputError: if there is nothing to resume, or the checkpoint is not this run's.
        Interrupted: after Ctrl-C or SIGTERM, once the checkpoint is written.
        NonFiniteError: at the first metric that is infinite or NaN; the last checkpoint stays.
    """
    path = folder / "checkpoint.pt"
    seconds = _restore(state, path, config, updates) if resume else 0.0

    def save() -> None:
        save_checkpoint(path, Checkpoint(dict(config), state.state_dict(), seconds))

    log = MetricsLog(
        folder / "metrics.jsonl", state.updates, folder / "tensorboard" if tensorboard else None
    )
    bar = tqdm(
        total=updates,
        initial=state.updates,
        unit="update",
        disable=not progress,
        desc=str(config.get("recipe", "")),
        mininterval=0.1 if sys.stderr.isatty() else 30,  # a file keeps every line
    )
    try:
        with catch_signals() as caught:
            while state.updates < updates:
                started = time.perf_counter()
                metrics = algorithm.update(state, next_batch(state.rng))
                seconds += time.perf_counter() - started
                check_finite(metrics, state.updates, path)
                bar.update()
                last = state.updates == updates
                if state.updates % log_every == 0 or last:
                    log.write(state.updates, metrics)
                    bar.set_postfix({k: f"{v:.3g}" for k, v in metrics.items()}, refresh=False)
                look = monitor if state.updates % monitor_every == 0 or last else None
                # Before the monitor, which a second signal may end.
                if caught or look is not None or state.updates % checkpoint_every == 0 or last:
                    save()
                if look is not None:
                    log.write(state.updates, look())
                if caught:
                    raise Interrupted(caught[0], f"after update {state.updates}; go on with --resume")
    finally:
        bar.close()
        log.close()
    return seconds


def _restore(state: TrainingState, path: Path, config: Mapping[str, Any], updates: int) -> float:
    checkpoint = load_checkpoint(path, config)
    try:
        state.load_state_dict(checkpoint.state)
        if type(state.updates) is not int or not 0 <= state.updates <= updates:
            raise ValueError(f"{state.updates!r} updates of {updates}")
    except Exception as error:
        raise InputError(
            f"{path}",
            expected="the training state of this run",
            got=f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}",
            cure="start afresh with --force",
        ) from None
    return checkpoint.train_seconds


def check_finite(metrics: Mapping[str, float], update: int, checkpoint: Path | None = None) -> None:
    """Raises `NonFiniteError` at the first metric that is infinite or NaN."""
    for name, value in metrics.items():
        if not math.isfinite(value):
            kept = checkpoint is not None and checkpoint.exists()
            last = f"; the last good state is in {checkpoint}" if kept else ""
            raise NonFiniteError(
                f"update {update}: {name} is {value}{last}; lower the learning rates or raise r1"
            )


@contextmanager
def catch_signals(where: str | None = None) -> Iterator[list[int]]:
    """Collects the first SIGINT or SIGTERM; a second one acts as it would without us.

    Args:
        where: raise `Interrupted` with these words at once, instead of collecting. (Some libraries take
            a KeyboardInterrupt as a wish to end early, and return what they have.)
    """
    caught: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield caught
        return
    previous: dict[int, Any] = {}

    def handle(number: int, frame: FrameType | None) -> None:
        caught.append(number)
        restore()
        if where is not None:
            raise Interrupted(number, where)

    def restore() -> None:
        for number, handler in previous.items():
            signal.signal(number, handler)

    for number in (signal.SIGINT, signal.SIGTERM):
        previous[number] = signal.signal(number, handle)
    try:
        yield caught
    finally:
        restore()


def require_tensorboard() -> Any:
    """TensorBoard's `SummaryWriter`.

    Raises:
        InputError: if TensorBoard is not installed.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise InputError(
            "tensorboard",
            expected="the package tensorboard",
            got="an environment without it",
            cure="pip install tensorboard, or leave --tensorboard out",
        ) from None
    return SummaryWriter
