"""The examples run, and print what they say they do."""

import os
import subprocess
import sys
from pathlib import Path

EXAMPLES = Path(__file__).parent.parent / "examples"


def run(name, *options):
    command = [sys.executable, str(EXAMPLES / name), *options]
    one_thread = {**os.environ, "OMP_NUM_THREADS": "1"}  # more get in each other's way
    return subprocess.run(command, capture_output=True, text=True, check=True, env=one_thread).stdout


def test_sequential():
    assert "the same spikes: True" in run("sequential.py")


def test_firing_modes_for_a_few_steps():
    lines = run("firing_modes.py", "5").splitlines()
    assert lines[0].startswith("step 0: discriminator's loss 1.")
    assert [line.split(":")[0] for line in lines[1:]] == [f"particle {place}" for place in range(3)]


def test_digits_classifier_with_either_way_of_learning():
    """Half the epochs of the default; every line ends with an accuracy on the test digits."""
    lines = run("digits_classifier.py", "--epochs", "10").splitlines()
    accuracies = {name.strip(): float(value) for name, value in (li.split(":") for li in lines)}
    assert len(accuracies) == 3
    assert min(accuracies.values()) > 0.91, accuracies
