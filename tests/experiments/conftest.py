"""Short runs that tests share, and stand-ins for data that the package does not ship."""

import shutil

import numpy as np
import pytest

from snn_gan_ext.coding.events import EVENT
from snn_gan_ext.datasets import event_files
from tests.experiments.helpers import SHORT, command


@pytest.fixture(scope="session")
def squares(tmp_path_factory):
    """A file in place of MNIST: ten kinds of bright squares."""
    path = tmp_path_factory.mktemp("data") / "squares.npz"
    rng = np.random.default_rng(0)
    labels = np.arange(480) % 10
    images = rng.integers(0, 60, (480, 28, 28), np.uint8)
    for image, label in zip(images, labels, strict=True):
        top, left = 4 + 10 * (label // 4), 1 + 7 * (label % 4)
        image[top : top + 6, left : left + 6] += 190
    np.savez(path, images=images, labels=labels)
    return path


def blob(label, rng, count=300):
    """A recording whose events lie in a place of its label's."""
    recording = np.empty(count, EVENT)
    centre = np.array([6 + 2 * label, 30 - 2 * label])
    recording["x"], recording["y"] = np.clip(
        centre[:, None] + rng.normal(0, 2, (2, count)), 0, 33
    ).astype(int)
    recording["t"], recording["p"] = np.sort(rng.integers(0, 100_000, count)), rng.integers(0, 2, count)
    return recording


@pytest.fixture(scope="session")
def recordings(tmp_path_factory):
    """A folder in place of N-MNIST: 20 recordings of each label."""
    folder = tmp_path_factory.mktemp("data") / "nmnist-small"
    rng = np.random.default_rng(0)
    labels = np.arange(200) % 10
    event_files.write_nmnist_folder([blob(label, rng) for label in labels], labels, folder)
    return folder


@pytest.fixture(scope="session")
def location(request):
    """Returns the options that name a recipe's data; it skips where a package is missing."""

    def options(name):
        if "mnist" not in name:
            if name.startswith("brian"):
                pytest.importorskip("brian2", reason="brian2 is not installed")
            return []
        if name.startswith("nmnist"):
            pytest.importorskip("tonic", reason="tonic is not installed")
        data = "recordings" if name.startswith("nmnist") else "squares"
        return ["--data", str(request.getfixturevalue(data))]

    return options


@pytest.fixture(scope="session")
def finished(tmp_path_factory, location):
    """Returns the folder of a recipe's finished run, trained once. Tests may add files to it."""
    folders = {}

    def train(name):
        if name not in folders:
            options = [*SHORT[name].split(), *location(name), "--no-progress"]
            folder = tmp_path_factory.mktemp("runs") / name
            assert command("train", name, *options, "--out", folder) == 0
            folders[name] = folder
        return folders[name]

    return train


@pytest.fixture
def copied(finished, tmp_path):
    """Returns a copy of a finished run that a test may damage."""

    def copy(name, to="copy"):
        return shutil.copytree(finished(name), tmp_path / to, dirs_exist_ok=True)

    return copy
