"""Runs that are ended from outside, at any moment, go on to the same end."""

import io
import multiprocessing
import os
import random
import resource
import signal
import sys
import tempfile
import time
from functools import cache
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.experiments.helpers import SHORT, command

NAMES = ("digits", "temporal-modes", "ttfs-digits")
TERMINATED = (128 + signal.SIGTERM, -signal.SIGTERM)  # the latter before the run has begun

# Processes that start in no time, since their server has loaded the package.
SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(["tests.experiments.test_kills", "snn_gan_ext.experiments.runs"])


def _train(arguments, said, largest_file):
    sys.stdout = sys.stderr = io.StringIO()
    torch.set_num_threads(1)
    if largest_file is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, largest_file))
    code = command(*arguments)
    said.send(sys.stderr.getvalue())
    os._exit(code)


def train(name, folder, *, after=None, number=signal.SIGKILL, largest_file=None):
    """Train, or go on where a run was ended; return the exit code and the output.

    Args:
        name: Recipe.
        folder: Run folder.
        after: Seconds, from the first file in the folder on, after which the process gets a signal.
        number: Number of that signal.
        largest_file: Bytes that a file may have, as on a disk that is almost full.
    """
    begun = "--resume" if (folder / "checkpoint.pt").exists() else "--force"
    options = [*SHORT[name].split(), "--checkpoint-every=1", "--no-progress", begun, "--out", folder]
    receive, send = SERVER.Pipe(duplex=False)
    process = SERVER.Process(target=_train, args=(["train", name, *options], send, largest_file))
    process.start()
    while after is not None and process.is_alive() and not (folder / "config.json").exists():
        time.sleep(0.002)
    process.join(after)
    if process.is_alive():
        os.kill(process.pid, number)
    process.join()
    return process.exitcode, receive.recv() if receive.poll() else ""


@cache
def seconds_of(name):
    """Seconds that a run takes from its first file on, if nobody ends it."""
    with tempfile.TemporaryDirectory() as folder:
        assert train(name, Path(folder))[0] == 0
        written = [path.stat().st_mtime for path in Path(folder).iterdir()]
        return max(written) - (Path(folder) / "config.json").stat().st_mtime


def assert_same_end(folder, whole):
    ours, theirs = (load_file(each / "generator.safetensors") for each in (folder, whole))
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert (folder / "metrics.jsonl").read_text() == (whole / "metrics.jsonl").read_text()
    assert not list(folder.glob(".*.tmp"))


@pytest.mark.parametrize(
    ("number", "times"),
    [
        (signal.SIGKILL, 3),
        (signal.SIGTERM, 1),
        pytest.param(signal.SIGKILL, 50, marks=pytest.mark.slow),
        pytest.param(signal.SIGTERM, 50, marks=pytest.mark.slow),
    ],
)
def test_a_run_that_is_ended_at_any_moment_goes_on_to_the_same_end(number, times, finished, tmp_path):
    moments = random.Random(int(number))
    for count in range(times):
        name = NAMES[count % len(NAMES)]
        folder = tmp_path / f"{count}"
        moment = moments.uniform(0, seconds_of(name))
        code, said = train(name, folder, after=moment, number=number)
        assert code in (0, *((-number,) if number == signal.SIGKILL else TERMINATED)), said
        code, said = train(name, folder)
        assert code == 0, said
        assert_same_end(folder, finished(name))


@pytest.mark.parametrize("largest_file", [300, 20_000])
def test_a_run_on_a_full_disk_ends_in_one_line_and_goes_on_to_the_same_end(
    largest_file, finished, tmp_path
):
    folder = tmp_path / "run"
    code, said = train("digits", folder, largest_file=largest_file)
    assert code == 2
    assert_one_line_about(said, "File too large", str(folder))
    assert train("digits", folder)[0] == 0
    assert_same_end(folder, finished("digits"))


def assert_one_line_about(said, *words):
    assert said.count("\n") == 1
    assert all(word in said for word in words), said
