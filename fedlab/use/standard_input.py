"""What predict is given on its standard input: rows, texts, names of files, or one file."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fedlab.errors import FedlabError

STANDARD_INPUT = "-"
"""The argument that stands for it."""
CALLED = "standard input"


def content() -> bytes:
    """Return what standard input holds.

    Raises:
        FedlabError: If nothing was written to it.
    """
    binary = getattr(sys.stdin, "buffer", None)
    found: bytes = binary.read() if binary is not None else sys.stdin.read().encode()
    if not found.strip():
        raise FedlabError(f"{CALLED} is empty; '-' predicts what is written to it")
    return found


def as_text(found: bytes) -> str | None:
    """Return the content as text without a byte order mark, or None if it is no UTF-8 text."""
    try:
        text = found.decode("utf-8-sig")
    except UnicodeDecodeError:
        return None
    return None if "\0" in text else text


@contextmanager
def as_file(found: bytes) -> Iterator[Path]:
    """Yield a temporary file with the content; in errors it is called standard input."""
    with tempfile.TemporaryDirectory(prefix="fedlab-") as folder:
        path = Path(folder) / "input"
        path.write_bytes(found)
        try:
            yield path
        except FedlabError as error:
            raise FedlabError(str(error).replace(str(path), CALLED)) from error


@contextmanager
def opened(argument: str) -> Iterator[tuple[Path, str]]:
    """Yield the file that an argument names, or one of what standard input holds, and its name.

    Args:
        argument: A file, or "-".
    """
    if argument == STANDARD_INPUT:
        with as_file(content()) as path:
            yield path, CALLED
    else:
        yield Path(argument), argument
