"""MNIST from a file, and from OpenML without a network."""

import numpy as np
import pytest
import sklearn.datasets
import torch

from snn_gan_ext import InputError
from snn_gan_ext.datasets.mnist import find_mnist, load_mnist

COUNT = 320


@pytest.fixture
def arrays():
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (COUNT, 28, 28), np.uint8), np.arange(COUNT) % 10


@pytest.fixture
def path(arrays, tmp_path):
    np.savez(tmp_path / "digits.npz", images=arrays[0], labels=arrays[1])
    return tmp_path / "digits.npz"


def test_splits_are_disjoint_stratified_and_repeatable(path, arrays):
    splits = load_mnist(path)
    assert [len(part.labels) for part in splits] == [220, 40, 60]
    assert all((torch.bincount(part.labels) == len(part.labels) / 10).all() for part in splits)
    rows = torch.cat([part.images for part in splits])
    pixels = torch.from_numpy(arrays[0].reshape(COUNT, -1).astype(np.float32) / 255)
    assert torch.equal(rows.sort(0).values, pixels.sort(0).values)
    again = load_mnist(path)
    assert all(torch.equal(a.images, b.images) for a, b in zip(splits, again, strict=True))
    labels = {image.numpy().tobytes(): label for image, label in zip(pixels, arrays[1], strict=True)}
    test = splits.test
    assert all(labels[x.numpy().tobytes()] == y for x, y in zip(test.images, test.labels, strict=True))


def test_14_pixels_are_means_of_four(path):
    large, small = load_mnist(path).test.images, load_mnist(path, 14).test.images
    assert small.shape[1] == 196
    square = large.view(-1, 28, 28)[:, 4:6, 6:8].mean((1, 2))
    assert torch.allclose(small.view(-1, 14, 14)[:, 2, 3], square)


def test_files_of_keras_are_read(arrays, tmp_path):
    images, labels = arrays
    parts = {"x_train": images[:200], "y_train": labels[:200], "x_test": images[200:]}
    np.savez(tmp_path / "mnist.npz", **parts, y_test=labels[200:].astype(np.uint8))
    assert sum(len(part.labels) for part in load_mnist(tmp_path / "mnist.npz")) == COUNT


def test_openml_gives_the_same_splits(arrays, monkeypatch, path):
    class Found:
        data = arrays[0].reshape(COUNT, -1).astype(np.int64)
        target = arrays[1].astype(str)

    def fetch(name, **options):
        assert name == "mnist_784"
        return Found

    monkeypatch.setattr(sklearn.datasets, "fetch_openml", fetch)
    assert find_mnist("", download=True) is None
    fetched = load_mnist(None)
    assert torch.equal(fetched.test.images, load_mnist(path).test.images)


@pytest.mark.parametrize(
    "error",
    [
        OSError("no route to host"),
        ValueError("md5 checksum does not match"),
        EOFError(),
        KeyError("data"),
    ],
    ids=repr,
)
def test_a_download_that_fails_is_an_input_error(monkeypatch, error):
    def fetch(name, **options):
        raise error

    monkeypatch.setattr(sklearn.datasets, "fetch_openml", fetch)
    with pytest.raises(InputError, match=f"{type(error).__name__}: .*; try again"):
        load_mnist(None)


def test_the_file_is_found_by_argument_or_environment(path, monkeypatch, tmp_path):
    assert find_mnist(str(path), download=False) == path
    (tmp_path / "mnist").mkdir()
    path.rename(tmp_path / "mnist" / "mnist8k.npz")
    monkeypatch.setenv("SNN_GAN_EXT_DATA", str(tmp_path))
    assert find_mnist("", download=False) == tmp_path / "mnist" / "mnist8k.npz"
    with pytest.raises(InputError, match="one of them"):
        find_mnist("x.npz", download=True)
    monkeypatch.delenv("SNN_GAN_EXT_DATA")
    with pytest.raises(InputError, match="give --data FILE, or --download"):
        find_mnist("", download=False)
    with pytest.raises(InputError, match=r"nowhere\.npz"):
        find_mnist("nowhere.npz", download=False)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"pictures": np.zeros(3)}, "images and labels or x_train"),
        ({"images": np.zeros((40, 28, 28)), "labels": np.zeros(40, int)}, "uint8"),
        ({"images": np.zeros((40, 784), np.uint8), "labels": np.zeros(40, int)}, r"28, 28"),
        ({"images": np.zeros((40, 28, 28), np.uint8), "labels": np.zeros(39, int)}, "labels"),
        ({"images": np.zeros((40, 28, 28), np.uint8), "labels": np.zeros(40, int)}, "ten digits"),
        ({"images": np.zeros((0, 28, 28), np.uint8), "labels": np.zeros(0, int)}, "ten digits"),
        ({"images": np.array([None]), "labels": np.zeros(1, int)}, "readable"),
        ({"images": np.float64(3), "labels": np.int64(1)}, "labels"),
    ],
)
def test_other_files_are_refused(content, words, tmp_path):
    np.savez(tmp_path / "other.npz", **content)
    with pytest.raises(InputError, match=words):
        load_mnist(tmp_path / "other.npz")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 broken", b"\x93NUMPY nothing"])
def test_damaged_files_are_refused(content, tmp_path):
    (tmp_path / "broken.npz").write_bytes(content)
    with pytest.raises(InputError, match=r"readable \.npz"):
        load_mnist(tmp_path / "broken.npz")


def test_other_formats_are_refused(tmp_path):
    np.save(tmp_path / "digits.npy", np.zeros(3))
    with pytest.raises(InputError, match=r"readable \.npz"):
        load_mnist(tmp_path / "digits.npy")


def test_digits_under_two_names_are_read_once(arrays, tmp_path):
    images, labels = arrays
    np.savez(tmp_path / "x.npz", images=images, labels=labels, x_train=images, y_train=labels)
    assert sum(len(part.labels) for part in load_mnist(tmp_path / "x.npz")) == COUNT


def test_other_sides_are_refused(path):
    with pytest.raises(InputError, match="28 or 14"):
        load_mnist(path, 7)


@pytest.mark.parametrize(
    ("images", "words"),
    [(lambda x: x % 2, "0 .. 1"), (lambda x: x[:1].repeat(len(x), 0), "copies of one")],
)
def test_implausible_images_are_refused(images, words, arrays, tmp_path):
    np.savez(tmp_path / "digits.npz", images=images(arrays[0]), labels=arrays[1])
    with pytest.raises(InputError, match=words):
        load_mnist(tmp_path / "digits.npz")


def test_a_home_folder_is_expanded(path, monkeypatch):
    monkeypatch.setenv("HOME", str(path.parent))
    assert find_mnist("~/digits.npz", download=False) == path
    assert len(load_mnist("~/digits.npz").test.labels) == 60


@pytest.mark.parametrize("folder", [None, ""])
def test_a_file_below_the_working_folder_is_not_taken_by_itself(path, monkeypatch, tmp_path, folder):
    (tmp_path / "mnist").mkdir()
    path.rename(tmp_path / "mnist" / "mnist8k.npz")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SNN_GAN_EXT_DATA", raising=False)
    if folder is not None:
        monkeypatch.setenv("SNN_GAN_EXT_DATA", folder)
    with pytest.raises(InputError, match="give --data FILE"):
        find_mnist("", download=False)


def test_many_different_labels_are_refused_briefly(tmp_path):
    images, labels = np.zeros((70_000, 28, 28), np.uint8), np.arange(70_000)
    np.savez_compressed(tmp_path / "odd.npz", images=images, labels=labels)
    with pytest.raises(InputError, match="ten digits") as found:
        load_mnist(tmp_path / "odd.npz")
    assert len(str(found.value)) < 400
