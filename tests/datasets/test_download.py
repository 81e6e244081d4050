"""Downloads that fail, that never end, and archives that write elsewhere."""

import io
import socket
import tarfile
import urllib.request

import pytest

from snn_gan_ext import InputError
from snn_gan_ext.datasets import download
from snn_gan_ext.datasets.download import downloading


@pytest.mark.parametrize(
    "error", [OSError("no route"), EOFError(), ValueError("a\\nb"), KeyError("md5")], ids=repr
)
def test_any_failure_is_one_line_with_its_cure(error):
    with (
        pytest.raises(
            InputError, match=f"^x: expected a complete download, got {type(error).__name__}: .*; y$"
        ),
        downloading("x", "y"),
    ):
        raise error


def test_a_silent_host_is_given_up(monkeypatch):
    monkeypatch.setattr(download, "PATIENCE", 0.1)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        pytest.raises(InputError, match="timed out"),
        downloading("x", "y"),
    ):
        opener.open(f"http://127.0.0.1:{server.getsockname()[1]}")


def test_archives_stay_in_their_folder(tmp_path):
    with tarfile.open(tmp_path / "x.tar", "w") as archive:
        archive.addfile(tarfile.TarInfo("../escaped"), io.BytesIO())
    inner = tmp_path / "inner"
    with (
        tarfile.open(tmp_path / "x.tar") as archive,
        pytest.raises(InputError, match="OutsideDestination"),
        downloading("x", "y"),
    ):
        archive.extractall(inner)
    assert not (tmp_path / "escaped").exists()


def test_defaults_are_restored():
    before = socket.getdefaulttimeout(), vars(tarfile.TarFile).get("extraction_filter")
    with downloading("x", "y"):
        assert socket.getdefaulttimeout() == download.PATIENCE
    assert (socket.getdefaulttimeout(), vars(tarfile.TarFile).get("extraction_filter")) == before
