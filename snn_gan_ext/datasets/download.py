"""Downloads by other packages."""

import socket
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager

from snn_gan_ext.errors import InputError, first_line

__all__ = ["downloading"]

PATIENCE = 60.0  # seconds without a word from the host


@contextmanager
def downloading(subject: str, cure: str) -> Iterator[None]:
    """Let a download end in time, extract within its folder, and fail as an `InputError`.

    Python's defaults wait for a silent host for ever, and let tar archives write anywhere. They are
    restored afterwards.

    Args:
        subject: Name of the download in the message.
        cure: Instruction in the message.

    Raises:
        InputError: If anything fails.
    """
    patience, extraction = socket.getdefaulttimeout(), vars(tarfile.TarFile).get("extraction_filter")
    socket.setdefaulttimeout(PATIENCE)
    tarfile.TarFile.extraction_filter = staticmethod(tarfile.data_filter)
    try:
        yield
    except Exception as error:  # hosts, archives and formats raise many kinds
        got = f"{type(error).__name__}: {first_line(error)}"
        raise InputError(subject, expected="a complete download", got=got, cure=cure) from None
    finally:
        socket.setdefaulttimeout(patience)
        tarfile.TarFile.extraction_filter = extraction
