"""The training loop: logs, monitoring, interruption, resumption bit for bit, early failure."""

import contextlib
import errno
import itertools
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from snn_gan_ext import InputError, validation
from snn_gan_ext.experiments import checkpoint, loop
from snn_gan_ext.experiments.loop import (
    Interrupted,
    MetricsLog,
    NonFiniteError,
    catch_signals,
    fit,
    read_metrics,
)
from tests.algorithms import toy
from tests.algorithms.toy import CONFIG, ToyAlgorithm, ToyState, next_batch


def run(folder, algorithm=None, *, resume=False, **options):
    state = ToyState()
    options = {"updates": 30, "checkpoint_every": 7, "log_every": 1, "progress": False, **options}
    fit(
        algorithm or ToyAlgorithm(),
        state,
        next_batch,
        folder=folder,
        config=CONFIG,
        resume=resume,
        **options,
    )
    return state


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_leaves_a_checkpoint_that_resumes_to_the_same_end(tmp_path, number):
    (tmp_path / "whole").mkdir()
    whole = run(tmp_path / "whole")

    def interrupt():
        os.kill(os.getpid(), number)
        return {"distance": 0.0}

    before = signal.getsignal(number)
    with pytest.raises(Interrupted) as caught:
        run(tmp_path, ToyAlgorithm(at=11, then=interrupt))
    assert caught.value.signal_number == number
    assert signal.getsignal(number) is before
    saved = checkpoint.load_checkpoint(tmp_path / "checkpoint.pt", CONFIG)
    assert saved.state["updates"] == 11
    resumed = run(tmp_path, resume=True)
    assert torch.equal(resumed.position, whole.position)
    assert [line["update"] for line in read_metrics(tmp_path / "metrics.jsonl")] == list(range(1, 31))


def test_seconds_are_those_of_the_updates_over_all_resumptions(tmp_path, monkeypatch):
    """On a clock that goes on by a second whenever it is read."""
    clock = itertools.count()
    monkeypatch.setattr(loop.time, "perf_counter", lambda: next(clock))

    def train(algorithm=None, resume=False):
        options = {"updates": 30, "folder": tmp_path, "config": CONFIG, "progress": False}
        options |= {"monitor": lambda: {"read": float(next(clock))}, "monitor_every": 5}
        return fit(algorithm or ToyAlgorithm(), ToyState(), next_batch, resume=resume, **options)

    def interrupt():
        signal.raise_signal(signal.SIGTERM)
        return {}

    with pytest.raises(Interrupted):
        train(ToyAlgorithm(at=11, then=interrupt))
    assert checkpoint.load_checkpoint(tmp_path / "checkpoint.pt", CONFIG).seconds == 11
    assert train(resume=True) == 30


@pytest.fixture
def _terminal():
    """Ctrl-C raises KeyboardInterrupt; jobs in a shell's background ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("_terminal")
def test_a_second_signal_ends_the_monitor_and_loses_no_update(tmp_path):
    def monitor():
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        return {}

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, monitor=monitor, monitor_every=10)
    assert checkpoint.load_checkpoint(tmp_path / "checkpoint.pt", CONFIG).state["updates"] == 10


def test_a_log_is_cut_back_to_the_checkpoint_it_goes_on_from(tmp_path):
    def crash():
        raise RuntimeError("power cut")

    with pytest.raises(RuntimeError):
        run(tmp_path, ToyAlgorithm(at=12, then=crash))  # checkpoint at 7, log up to 11
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"update": 12, "dist')  # torn in the middle of a line
    run(tmp_path, resume=True)
    lines = read_metrics(tmp_path / "metrics.jsonl")
    assert [line["update"] for line in lines] == list(range(1, 31))


def test_monitor_does_not_change_the_training(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    plain = run(tmp_path / "a")
    watched = run(tmp_path / "b", monitor=lambda: {"score": 0.5}, monitor_every=10)
    assert torch.equal(plain.position, watched.position)
    scores = [line for line in read_metrics(tmp_path / "b" / "metrics.jsonl") if "score" in line]
    assert [line["update"] for line in scores] == [10, 20, 30]


@pytest.mark.parametrize("log_every", [1, 20])
def test_a_look_that_a_kill_has_ended_is_taken_when_the_run_goes_on(tmp_path, log_every):
    def killed():
        raise MemoryError

    options = {"monitor_every": 10, "log_every": log_every}
    (tmp_path / "whole").mkdir()
    run(tmp_path / "whole", monitor=lambda: {"score": 0.5}, **options)
    with pytest.raises(MemoryError):
        run(tmp_path, monitor=killed, **options)
    for _ in range(2):  # the second time, no look is missing
        run(tmp_path, monitor=lambda: {"score": 0.5}, resume=True, **options)
        logs = [(folder / "metrics.jsonl").read_text() for folder in (tmp_path, tmp_path / "whole")]
        assert logs[0] == logs[1]


@pytest.mark.usefixtures("_terminal")
def test_a_signal_in_the_look_that_was_missing_stops_the_run(tmp_path):
    def interrupted():
        signal.raise_signal(signal.SIGTERM)
        return {"score": 0.5}

    run(tmp_path)
    with pytest.raises(Interrupted, match="after update 30"):
        run(tmp_path, monitor=interrupted, resume=True)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_the_first_non_finite_number_stops_and_keeps_the_checkpoint(tmp_path, value):
    with pytest.raises(NonFiniteError, match=r"update 12: loss is (nan|inf).*checkpoint"):
        run(tmp_path, ToyAlgorithm(at=12, then=lambda: {"loss": value}))
    assert checkpoint.load_checkpoint(tmp_path / "checkpoint.pt", CONFIG).state["updates"] == 7


def refusal(number):
    raise InputError("labels", expected="0 .. 9", got=f"{number}")


def spoil(state, value):
    state.position[1] = value
    return {"distance": 1.0}


@pytest.mark.parametrize(
    "then",
    [
        lambda state: validation.check_finite("error", torch.tensor([float("nan")])),
        lambda state: spoil(state, float("nan")) and refusal("nan"),
        lambda state: spoil(state, float("inf")) and 1 / 0,
        lambda state: spoil(state, float("nan")),  # seen when it would be saved
    ],
)
def test_a_state_that_is_not_finite_has_diverged_whatever_fails(tmp_path, then):
    class Diverging(ToyAlgorithm):
        def update(self, state, batch):
            metrics = super().update(state, batch)
            return then(state) if state.updates == 14 else metrics

    with pytest.raises(NonFiniteError, match=r"update 14: .*good state.*lower the learning rates"):
        run(tmp_path, Diverging())
    assert checkpoint.load_checkpoint(tmp_path / "checkpoint.pt", CONFIG).state["updates"] == 7


@pytest.mark.parametrize("error", [InputError("x", expected="1", got="2"), RuntimeError("other")])
def test_other_failures_of_an_update_stay_what_they_are(tmp_path, error):
    def fail():
        raise error

    with pytest.raises(type(error), match=f"{error}"):
        run(tmp_path, ToyAlgorithm(at=12, then=fail))


def test_a_checkpoint_that_has_diverged_is_no_start(tmp_path):
    state = {**ToyState().state_dict(), "position": torch.tensor([0, float("nan"), 0])}
    saved = checkpoint.Checkpoint(CONFIG, state, 0.0)
    checkpoint.save_checkpoint(tmp_path / "checkpoint.pt", saved)
    with pytest.raises(NonFiniteError, match=r"checkpoint\.pt is infinite or NaN; lower"):
        run(tmp_path, resume=True)


def test_a_full_disk_is_said_with_the_file_and_loses_no_checkpoint(tmp_path, monkeypatch):
    (tmp_path / "whole").mkdir()
    whole, count = run(tmp_path / "whole"), itertools.count()
    fsync = os.fsync

    def full(number):
        if next(count) == 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        fsync(number)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=r"No space left on device: '.*/checkpoint\.pt'"):
        run(tmp_path)
    assert torch.equal(run(tmp_path, resume=True).position, whole.position)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full")
def test_a_log_on_a_full_disk_names_its_file(tmp_path):
    log = MetricsLog(tmp_path / "metrics.jsonl")
    log._file.close()
    log._file = Path("/dev/full").open("a")  # noqa: SIM115
    with pytest.raises(OSError, match=r"No space left on device: '.*/metrics\.jsonl'"):
        log.write(1, {"loss": 1.0})
    with pytest.raises(OSError, match=r"metrics\.jsonl"):
        log.close()


def test_a_checkpoint_of_another_state_is_refused(tmp_path):
    path = tmp_path / "checkpoint.pt"
    state = ToyState().state_dict()
    for changes in ({"updates": "x"}, {"updates": -5}, {"updates": 31}, {"rng": torch.zeros(3)}):
        checkpoint.save_checkpoint(path, checkpoint.Checkpoint(CONFIG, {**state, **changes}, 0.0))
        with pytest.raises(InputError, match="training state"):
            run(tmp_path, resume=True)


def test_signals_stop_code_that_swallows_keyboard_interrupts():
    """scikit-learn's networks end their training early on Ctrl-C, and return what they have."""

    def swallow():
        with catch_signals("while evaluating"), contextlib.suppress(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
        return "half-trained"

    with pytest.raises(Interrupted, match="while evaluating"):
        swallow()


def test_a_run_cannot_be_resumed_without_its_checkpoint(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        run(tmp_path, resume=True)


def test_foreign_lines_in_the_log_are_left_out(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b'{"update": 1}\n3\n[]\n{"a": 1}\n{"update": "x"}\n\xff\n{"update": 2}\n{"up')
    assert read_metrics(path) == [{"update": 1}, {"update": 2}]


@pytest.mark.parametrize("value", ['"x"', "[1]", "null", "true", "1" + 400 * "0", "1" + 5000 * "0"])
def test_lines_of_other_values_than_numbers_are_left_out(tmp_path, value):
    path = tmp_path / "metrics.jsonl"
    for line in ('{"update": 3, "loss": VALUE}', '{"update": VALUE, "loss": 3}'):
        path.write_text('{"update": 1, "loss": NaN}\n' + line.replace("VALUE", value) + "\n")
        assert [line["update"] for line in read_metrics(path)] == [1]


def test_tensorboard_is_optional(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboard", None)  # as if it were not installed
    with pytest.raises(InputError, match="pip install"):
        run(tmp_path, tensorboard=True)
    monkeypatch.undo()
    pytest.importorskip("tensorboard", reason="TensorBoard is not installed")
    run(tmp_path, tensorboard=True)
    assert any((tmp_path / "tensorboard").iterdir())


@pytest.mark.parametrize("estimator", ["reinforce", "hybrid"])
def test_resume_after_a_kill_is_bit_for_bit(tmp_path, estimator):
    """A real SIGKILL in a random update; both networks, both optimisers and the noise go on exactly."""
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    for folder in (whole, killed):
        folder.mkdir()
    arguments = [sys.executable, "-m", "tests.algorithms.toy", str(killed), estimator, "fresh"]
    process = subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)
    toy.train_spikegan(whole, hybrid=estimator == "hybrid", resume=False)
    last = str(random.Random().randint(7, 38))
    for line in process.stdout:
        if line.strip() == last:
            process.send_signal(signal.SIGKILL)
            break
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    toy.train_spikegan(killed, hybrid=estimator == "hybrid", resume=True)
    one, other = (torch.load(folder / "final.pt") for folder in (whole, killed))
    assert_equal(one, other, f"killed in update {last}")
    logs = [(folder / "metrics.jsonl").read_text() for folder in (whole, killed)]
    assert logs[0] == logs[1]


def assert_equal(one, other, where):
    if isinstance(one, torch.Tensor):
        assert torch.equal(one, other), where
    elif isinstance(one, dict):
        assert one.keys() == other.keys(), where
        for key in one:
            assert_equal(one[key], other[key], f"{where}: {key}")
    elif isinstance(one, list | tuple):
        for a, b in zip(one, other, strict=True):
            assert_equal(a, b, where)
    else:
        assert one == other, where
