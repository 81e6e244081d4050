import contextlib
import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from snn_gan_ext import InputError
from snn_gan_ext.algorithms import checkpoint
from snn_gan_ext.experiments.loop import Interrupted, NonFiniteError, catch_signals, fit, read_metrics
from tests.algorithms.toy import CONFIG, ToyAlgorithm, ToyState, next_batch


def run(folder, algorithm=None, *, resume=False, **options):
    state = ToyState()
    options = {"steps": 30, "checkpoint_every": 7, "log_every": 1, "progress": False, **options}
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
    resumed = run(tmp_path, resume=True)
    assert torch.equal(resumed.position, whole.position)
    assert [line["step"] for line in read_metrics(tmp_path / "metrics.jsonl")] == list(range(1, 31))


@pytest.fixture
def _terminal():
    """Ctrl-C raises KeyboardInterrupt; jobs in a shell's background are told to ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("_terminal")
def test_a_second_signal_ends_the_monitor_and_loses_no_step(tmp_path):
    def monitor():
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        return {}

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, monitor=monitor, monitor_every=10)
    assert checkpoint.load_checkpoint(tmp_path / "checkpoint.pt", CONFIG).state["step"] == 10


def test_a_log_is_cut_back_to_the_checkpoint_it_goes_on_from(tmp_path):
    def crash():
        raise RuntimeError("power cut")

    with pytest.raises(RuntimeError):
        run(tmp_path, ToyAlgorithm(at=12, then=crash))  # checkpoint at 7, log up to 11
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 12, "dist')  # torn in the middle of a line
    run(tmp_path, resume=True)
    lines = read_metrics(tmp_path / "metrics.jsonl")
    assert [line["step"] for line in lines] == list(range(1, 31))


def test_monitor_does_not_change_the_training(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    plain = run(tmp_path / "a")
    watched = run(tmp_path / "b", monitor=lambda: {"score": 0.5}, monitor_every=10)
    assert torch.equal(plain.position, watched.position)
    scores = [line for line in read_metrics(tmp_path / "b" / "metrics.jsonl") if "score" in line]
    assert [line["step"] for line in scores] == [10, 20, 30]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_the_first_non_finite_number_stops_and_keeps_the_checkpoint(tmp_path, value):
    with pytest.raises(NonFiniteError, match=r"step 12: loss is (nan|inf).*checkpoint"):
        run(tmp_path, ToyAlgorithm(at=12, then=lambda: {"loss": value}))
    assert checkpoint.load_checkpoint(tmp_path / "checkpoint.pt", CONFIG).state["step"] == 7


def test_a_failed_write_leaves_the_old_checkpoint(tmp_path, monkeypatch):
    path = tmp_path / "checkpoint.pt"
    checkpoint.save_checkpoint(path, checkpoint.Checkpoint(CONFIG, {"step": 1}, 0.0))

    def full(file):
        raise OSError("disk full")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="disk full"):
        checkpoint.write_atomically(path, b"half")
    assert checkpoint.load_checkpoint(path, CONFIG).state == {"step": 1}
    assert os.listdir(tmp_path) == ["checkpoint.pt"]


def test_what_a_killed_write_leaves_behind_the_next_one_takes_away(tmp_path, monkeypatch):
    def killed(file):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", killed)
        patch.setattr(Path, "unlink", lambda *_, **__: None)
        with pytest.raises(KeyboardInterrupt):
            checkpoint.write_atomically(tmp_path / "checkpoint.pt", b"half")
    assert os.listdir(tmp_path) == [".checkpoint.pt.tmp"]
    checkpoint.write_atomically(tmp_path / "checkpoint.pt", b"whole")
    assert os.listdir(tmp_path) == ["checkpoint.pt"]


def test_damaged_and_foreign_checkpoints_are_refused(tmp_path, monkeypatch):
    path = tmp_path / "checkpoint.pt"
    with pytest.raises(InputError, match="no such file"):
        run(tmp_path, resume=True)
    run(tmp_path)
    whole = path.read_bytes()
    hole = whole[:400] + bytes(64) + whole[464:]
    truncated = [whole[: len(whole) * part // 10] for part in range(10)]
    for damaged in (hole, b"not a checkpoint", *truncated):
        path.write_bytes(damaged)
        with pytest.raises(InputError, match="damaged or foreign"):
            checkpoint.load_checkpoint(path, CONFIG)
    torch.save({"weights": torch.zeros(3)}, path)
    with pytest.raises(InputError, match="damaged or foreign"):
        checkpoint.load_checkpoint(path, CONFIG)
    path.write_bytes(whole)
    with pytest.raises(InputError, match=r"recipe = 'digits'.*got 'toy'"):
        checkpoint.load_checkpoint(path, {**CONFIG, "recipe": "digits"})
    with pytest.raises(InputError, match=r"rate = 0.2.*got 0.1"):
        checkpoint.load_checkpoint(path, {**CONFIG, "rate": 0.2})
    monkeypatch.setattr(checkpoint, "__version__", "9.9")
    with pytest.raises(InputError, match=r"install snn_gan_ext=="):
        checkpoint.load_checkpoint(path, CONFIG)


def test_a_checkpoint_of_another_state_is_refused(tmp_path):
    path = tmp_path / "checkpoint.pt"
    state = ToyState().state_dict()
    for changes in ({"step": "x"}, {"step": -5}, {"step": 31}, {"rng": torch.zeros(3)}):
        checkpoint.save_checkpoint(path, checkpoint.Checkpoint(CONFIG, {**state, **changes}, 0.0))
        with pytest.raises(InputError, match="training state"):
            run(tmp_path, resume=True)


def test_signals_can_stop_what_swallows_keyboard_interrupts():
    """scikit-learn's networks end their training early on Ctrl-C, and return what they have."""

    def swallow():
        with catch_signals("while judging"), contextlib.suppress(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
        return "half-trained"

    with pytest.raises(Interrupted, match="while judging"):
        swallow()


def test_foreign_lines_in_the_log_are_left_out(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b'{"step": 1}\n3\n[]\n{"a": 1}\n{"step": "x"}\n\xff\n{"step": 2}\n{"st')
    assert read_metrics(path) == [{"step": 1}, {"step": 2}]


class Harmful:
    """What a hostile checkpoint would hold."""

    def __reduce__(self):
        return (os.mkdir, ("harm",))


def test_a_checkpoint_runs_no_code(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"version": "0", "recipe": Harmful(), "state": {}, "train_seconds": 0.0}, "c.pt")
    with pytest.raises(InputError):
        checkpoint.load_checkpoint(tmp_path / "c.pt", "toy")
    assert not (tmp_path / "harm").exists()


def test_tensorboard_is_optional(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)  # as if it were not installed
    with pytest.raises(InputError, match="pip install"):
        run(tmp_path, tensorboard=True)
    monkeypatch.undo()
    pytest.importorskip("tensorboard", reason="TensorBoard is not installed")
    run(tmp_path, tensorboard=True)
    assert any((tmp_path / "tensorboard").iterdir())


@pytest.mark.parametrize("estimator", ["reinforce", "hybrid"])
def test_resume_after_a_kill_is_bit_for_bit(tmp_path, estimator):
    """A real SIGKILL at a random step; both networks, both optimisers and the noise go on exactly."""

    def start(folder, mode):
        folder.mkdir(exist_ok=True)
        arguments = [sys.executable, "-m", "tests.algorithms.toy", str(folder), estimator, mode]
        return subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)

    whole = start(tmp_path / "whole", "fresh")
    killed = start(tmp_path / "killed", "fresh")
    last = str(random.Random().randint(7, 38))
    for line in killed.stdout:
        if line.strip() == last:
            killed.send_signal(signal.SIGKILL)
            break
    killed.communicate()
    assert killed.returncode == -signal.SIGKILL
    resumed = start(tmp_path / "killed", "resume")
    for process in (whole, resumed):
        process.communicate()
        assert process.returncode == 0
    one, other = (torch.load(tmp_path / n / "final.pt") for n in ("whole", "killed"))
    assert_equal(one, other, f"killed at step {last}")
    logs = [(tmp_path / name / "metrics.jsonl").read_text() for name in ("whole", "killed")]
    assert [json.loads(line) for line in logs[0].splitlines()] == [
        json.loads(line) for line in logs[1].splitlines()
    ]


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
