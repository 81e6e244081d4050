"""MNIST digits, from a file or through scikit-learn, split into training, validation and test data."""

import os
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from snn_gan_ext.coding.images import Labelled
from snn_gan_ext.datasets import DATA_VARIABLE
from snn_gan_ext.datasets.digits import DigitSplits, split
from snn_gan_ext.datasets.download import downloading
from snn_gan_ext.errors import InputError, first_line
from snn_gan_ext.validation import path_of

__all__ = ["find_mnist", "load_mnist"]

SIDE, CLASSES = 28, 10
TEST_SHARE, VALIDATION_SHARE = 3 / 16, 1 / 8
NAMES = (("images", "labels"), ("x_train", "y_train"), ("x_test", "y_test"))


def find_mnist(data: str, download: bool) -> Path | None:
    """Return the file to read, or None if MNIST is to be downloaded.

    Args:
        data: Path of a file; if empty, ``mnist/mnist8k.npz`` in the folder of the environment variable
            SNN_GAN_EXT_DATA.
        download: Download MNIST instead.

    Raises:
        InputError: If both a file and a download are asked for, or there is no such file.
    """
    if data and download:
        raise InputError("--data and --download", expected="one of them", got="both")
    if download:
        return None
    path = None
    if data:
        path = path_of("--data", data)
    elif folder := os.environ.get(DATA_VARIABLE):
        path = path_of(DATA_VARIABLE, folder) / "mnist" / "mnist8k.npz"
    if path is None or not path.is_file():
        subject = f"MNIST ({path})" if path else "MNIST"
        expected = "a .npz file with images [n, 28, 28] and labels [n] (Keras's mnist.npz will do)"
        cure = "give --data FILE, or --download to fetch it from OpenML (15 MB)"
        raise InputError(subject, expected=expected, got="none", cure=cure)
    return path


def load_mnist(path: Path | str | None, side: int = SIDE, split_seed: int = 0) -> DigitSplits:
    """Load digits in [0, 1], split 11 : 2 : 3 into training, validation and test, stratified by class.

    The split mixes MNIST's own training and test digits.

    Args:
        path: File as `find_mnist` returns it; None downloads 70,000 digits from OpenML.
        side: Side of an image in pixels: 28, or 14 for means of four pixels.
        split_seed: Seed of the split. Results are comparable only on the same split.

    Returns:
        Images ``[n, side ** 2]`` and labels of each part.

    Raises:
        InputError: If the file is not a sound MNIST file, or ``side`` is neither 28 nor 14.
    """
    if side not in (SIDE, SIDE // 2):
        raise InputError("side", expected=f"{SIDE} or {SIDE // 2}", got=f"{side}")
    images, labels = _fetched() if path is None else _read(path_of("path", path))
    pixels = torch.from_numpy(images.astype(np.float32) / 255)
    if side < SIDE:
        pixels = F.avg_pool2d(pixels.unsqueeze(1), SIDE // side).squeeze(1)
    digits = Labelled(pixels.flatten(1), torch.from_numpy(labels.astype(np.int64)))
    return split(digits, TEST_SHARE, VALIDATION_SHARE, split_seed)


def _read(path: Path) -> tuple[NDArray[np.number], NDArray[np.integer]]:
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as found:
            parts = [(found[x], found[y]) for x, y in NAMES if x in found and y in found]
            parts = parts[:1] if "images" in found else parts
    except Exception as error:  # zip and array formats raise many kinds
        got = f"{type(error).__name__}: {first_line(error)}"
        raise InputError(f"{path}", expected="a readable .npz file", got=got) from None
    if not parts:
        expected = " or ".join(f"{x} and {y}" for x, y in NAMES)
        raise InputError(f"{path}", expected=expected, got="neither")
    for images, labels in parts:
        shapes = labels.ndim == 1 and images.shape == (len(labels), SIDE, SIDE)
        if not shapes or images.dtype != np.uint8 or labels.dtype.kind not in "iu":
            got = f"{images.dtype} {list(images.shape)} and {labels.dtype} {list(labels.shape)}"
            expected = "images uint8 [n, 28, 28] and whole labels [n]"
            raise InputError(f"{path}", expected=expected, got=got)
    images, labels = (np.concatenate(column) for column in zip(*parts, strict=True))
    found, counts = np.unique(labels, return_counts=True)
    if found.tolist() != list(range(CLASSES)) or counts.min() < 20:
        got = f"{dict(zip(found.tolist(), counts.tolist(), strict=True))}"
        raise InputError(f"{path}", expected="20 or more of each of the ten digits", got=f"{got:.100}")
    if images.max() <= 1 or (images == images[0]).all():
        got = f"{images.min()} .. {images.max()}" if images.max() <= 1 else "copies of one"
        raise InputError(f"{path}", expected="images that differ, grey levels 0 .. 255", got=got)
    return images, labels


def _fetched() -> tuple[NDArray[np.number], NDArray[np.integer]]:
    from sklearn.datasets import fetch_openml

    with downloading("MNIST from OpenML", "try again, or name a file with --data"):
        # Without pandas, which scikit-learn's quicker parser needs.
        found = fetch_openml("mnist_784", version=1, as_frame=False, parser="liac-arff")
        return found.data.reshape(-1, SIDE, SIDE), found.target.astype(np.int64)
