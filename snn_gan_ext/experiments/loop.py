"""The one training loop: progress, logs, evaluation, checkpoints, interruption, early failure.

A learning algorithm has ``update(state, batch) -> metrics``, which changes its state in place. A state
has the number of ``updates``, a random source ``rng``, and methods to save and load itself.
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

from snn_gan_ext.errors import InputError, NonFiniteInput
from snn_gan_ext.experiments import checkpoint as checkpoints
from snn_gan_ext.types import Algorithm, TrainingState
from snn_gan_ext.validation import require

__all__ = [
    "Interrupted",
    "MetricsLog",
    "NonFiniteError",
    "catch_signals",
    "fit",
    "read_metrics",
    "require_tensorboard",
    "update_once",
]


class Interrupted(Exception):
    """Ctrl-C or SIGTERM came, and everything is saved.

    Attributes:
        signal_number: Number of the signal.
    """

    def __init__(self, signal_number: int, where: str) -> None:
        super().__init__(f"{signal.Signals(signal_number).name}: stopped {where}")
        self.signal_number = signal_number


class NonFiniteError(ArithmeticError):
    """A number of the training became infinite or NaN; the message says where and in which update."""


class MetricsLog:
    """A log of metrics in a JSON-lines file and, on request, in TensorBoard.

    Args:
        path: File; one object a line, each with its ``update``.
        from_update: Last update whose line is kept; a resumed run goes through later ones again.
        tensorboard: Folder for TensorBoard's event files.

    Attributes:
        lines_at_start: Number of kept lines of the last update.

    Raises:
        InputError: If TensorBoard is requested and not installed.
    """

    def __init__(self, path: Path, from_update: int = 0, tensorboard: Path | None = None) -> None:
        self._writer = None if tensorboard is None else require_tensorboard()(str(tensorboard))
        kept = [line for line in read_metrics(path) if line["update"] <= from_update > 0]
        self.lines_at_start = sum(line["update"] == from_update for line in kept)
        checkpoints.write_atomically(path, "".join(json.dumps(line) + "\n" for line in kept))
        self._path, self._file = path, path.open("a", encoding="utf-8")

    def write(self, update: int, metrics: Mapping[str, float]) -> None:
        """Add one line."""
        with checkpoints.named(self._path):
            self._file.write(json.dumps({"update": update, **metrics}) + "\n")
            self._file.flush()
        if self._writer is not None:
            for name, value in metrics.items():
                self._writer.add_scalar(name, value, update)

    def close(self) -> None:
        """Close the files."""
        with checkpoints.named(self._path):
            self._file.close()
        if self._writer is not None:
            self._writer.close()


def read_metrics(path: Path) -> list[dict[str, float]]:
    """Read the lines of a metrics file, if there is one, without torn or foreign lines.

    No checksum protects the log: a digit that was changed in it is read as it stands.
    """
    lines = []
    content = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
    for text in content.splitlines():
        try:
            line = json.loads(text)
        except (ValueError, RecursionError):
            continue
        if (
            isinstance(line, dict)
            and type(line.get("update")) is int
            and all(map(_is_number, line.values()))
        ):
            lines.append(line)
    return lines


def _is_number(value: object) -> bool:
    """Whether a value is NaN, infinite, or a number that a float can hold."""
    return type(value) is float or (type(value) is int and abs(value) <= sys.float_info.max)


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
    """Train until ``state.updates == updates``.

    All randomness comes from ``state.rng``, which the checkpoint holds: a run that was stopped and
    resumed ends with the same weights, bit for bit on the same machine, as one that was not.

    Args:
        algorithm: Algorithm of an update.
        state: Training state, changed in place.
        next_batch: Function that draws a batch with ``state.rng``.
        updates: Total number of updates.
        folder: Existing folder for ``checkpoint.pt`` and ``metrics.jsonl``.
        config: Settings that the checkpoint is bound to, with their ``name``.
        resume: Go on from the folder's checkpoint.
        monitor: Evaluation while training; it must not use ``state.rng``.
        monitor_every: Updates between two of them.
        log_every: Updates between two log lines.
        checkpoint_every: Updates between two checkpoints.
        tensorboard: Write TensorBoard event files too.
        progress: Show a progress bar.

    Returns:
        Seconds spent training, without evaluations, over all resumptions.

    Raises:
        InputError: If there is nothing to resume, or the checkpoint is another run's.
        Interrupted: After Ctrl-C or SIGTERM, once the checkpoint is written.
        NonFiniteError: At the first number that is infinite or NaN; the last checkpoint stays.
    """
    path = folder / "checkpoint.pt"
    seconds = _restore(state, path, config, updates) if resume else 0.0
    events = folder / "tensorboard" if tensorboard else None
    log = MetricsLog(folder / "metrics.jsonl", state.updates, events)
    name, quiet = str(config.get("name", "")), not progress
    every = 0.1 if sys.stderr.isatty() else 30  # a file keeps every line
    bar = tqdm(
        desc=name, total=updates, initial=state.updates, unit="update", disable=quiet, mininterval=every
    )

    def due(every: int) -> bool:
        return state.updates % every == 0 or state.updates == updates

    # A kill may come between a checkpoint and the look that follows it.
    looked = monitor is None or state.updates == 0 or log.lines_at_start > due(log_every)
    try:
        with catch_signals() as caught:
            while True:
                if monitor is not None and not looked and due(monitor_every):
                    log.write(state.updates, monitor())
                if caught:
                    raise Interrupted(caught[0], f"after update {state.updates}; go on with --resume")
                if state.updates == updates:
                    break
                started = time.perf_counter()
                metrics = update_once(algorithm, state, next_batch(state.rng), path)
                seconds += time.perf_counter() - started
                looked = False
                bar.update()
                if due(log_every):
                    log.write(state.updates, metrics)
                    bar.set_postfix({k: f"{v:.3g}" for k, v in metrics.items()}, refresh=False)
                # Before the monitor, which a second signal may end.
                if caught or due(checkpoint_every) or (monitor is not None and due(monitor_every)):
                    saved = checkpoints.Checkpoint(dict(config), _finite_state(state, path), seconds)
                    checkpoints.save_checkpoint(path, saved)
    finally:
        bar.close()
        log.close()
    return seconds


def update_once(
    algorithm: Algorithm, state: TrainingState, batch: Any, checkpoint: Path | None = None
) -> dict[str, float]:
    """Make one update of a state, and return its metrics.

    Args:
        algorithm: Algorithm of the update.
        state: Training state, changed in place.
        batch: Training batch.
        checkpoint: Path of the last good state, if one has been saved.

    Raises:
        NonFiniteError: If a metric is infinite or NaN, or the update fails on such a number.
    """
    number = state.updates + 1
    try:
        metrics = algorithm.update(state, batch)
    except Exception as error:
        if isinstance(error, NonFiniteInput) or not _is_finite(state.state_dict()):
            raise _diverged(number, checkpoints.reason(error), checkpoint) from error
        raise
    for name, value in metrics.items():
        if not math.isfinite(value):
            raise _diverged(number, f"{name} is {value}", checkpoint)
    return metrics


def _finite_state(state: TrainingState, checkpoint: Path) -> dict[str, Any]:
    saved = state.state_dict()
    if not _is_finite(saved):
        raise _diverged(state.updates, "a weight is infinite or NaN", checkpoint)
    return saved


def _is_finite(value: Any) -> bool:
    """Whether all tensors of a state are finite."""
    if isinstance(value, Mapping):
        return all(map(_is_finite, value.values()))
    if isinstance(value, list | tuple):
        return all(map(_is_finite, value))
    return not isinstance(value, torch.Tensor) or bool(value.isfinite().all())


def _diverged(update: int, found: str, checkpoint: Path | None) -> NonFiniteError:
    kept = checkpoint is not None and checkpoint.exists()
    last = f"; the last good state is in {checkpoint}" if kept else ""
    return NonFiniteError(f"update {update}: {found}{last}; lower the learning rates or raise r1")


def _restore(state: TrainingState, path: Path, config: Mapping[str, Any], updates: int) -> float:
    checkpoint = checkpoints.load_checkpoint(path, config)
    try:
        state.load_state_dict(checkpoint.state)
        if type(state.updates) is not int or not 0 <= state.updates <= updates:
            raise ValueError(f"{state.updates!r} updates of {updates}")
    except Exception as error:
        got = f"{type(error).__name__}: {checkpoints.reason(error)}"
        expected = "the training state of this run"
        raise InputError(f"{path}", expected=expected, got=got, cure=checkpoints.AFRESH) from None
    if not _is_finite(checkpoint.state):
        raise _diverged(state.updates, f"a weight in {path} is infinite or NaN", None)
    return checkpoint.seconds


@contextmanager
def catch_signals(where: str | None = None) -> Iterator[list[int]]:
    """Collect the first SIGINT or SIGTERM; a second one acts as usual.

    Args:
        where: Words of an `Interrupted` to raise at once, instead of collecting. (Some libraries take a
            KeyboardInterrupt as a wish to end early, and return a half-trained model.)
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
    """Return TensorBoard's `SummaryWriter`.

    Raises:
        InputError: If TensorBoard is not installed, or fails on import.
    """
    cure = "pip install tensorboard, or leave --tensorboard out"
    require("tensorboard", cure)
    return require("torch.utils.tensorboard", cure).SummaryWriter
