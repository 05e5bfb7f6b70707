"""Standard output and error: whoever reads them, and whatever is printed, nothing ends by it.

Characters that a terminal cannot show are replaced. When the reader of a pipe goes away, what is
written to it from then on is dropped. A program that reads JSON gets nothing else.
"""

from __future__ import annotations

import codecs
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from typing import Any, TextIO

SHOWN = "fedlab-shown"
"""The error handler of our streams, by name: see `_replaced`."""
READER_GONE = 141
"""The exit code when the reader of a pipe goes away, as of a program that SIGPIPE ends."""


def _replaced(error: UnicodeError) -> tuple[bytes | str, int]:
    """Return what is written for characters that an encoding does not have.

    Bytes of a file's name that are no text are written as they are, so that the name can be copied.
    """
    if not isinstance(error, UnicodeEncodeError):
        raise error
    found = error.object[error.start : error.end]
    kept = (ord(c) - 0xDC00 if 0xDC80 <= ord(c) <= 0xDCFF else ord("?") for c in found)
    return bytes(kept), error.end


codecs.register_error(SHOWN, _replaced)


class _Lasting(io.FileIO):
    """An open file descriptor whose reader may go away: what is written then is dropped."""

    def write(self, data: Any) -> int:
        try:
            return super().write(data) or 0
        except BrokenPipeError:
            nothing = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nothing, self.fileno())
            os.close(nothing)
            return memoryview(data).nbytes


def lasting_stream(number: int, encoding: str | None = None) -> TextIO:
    """Return a text stream over a file descriptor that no character and no broken pipe ends."""
    buffer = io.BufferedWriter(_Lasting(number, "w", closefd=False))
    return io.TextIOWrapper(buffer, encoding=encoding, errors=SHOWN, line_buffering=True)


def forgive_encodings() -> None:
    """Let the process's standard streams replace characters that they cannot write."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors in ("strict", "backslashreplace"):
            stream.reconfigure(errors=SHOWN)


@contextmanager
def lasting_output() -> Iterator[None]:
    """Let what is printed within the block outlast the readers of standard output and error.

    A run goes on when the `head` or the log that it is piped into ends: its folder has everything.
    """
    before = sys.stdout, sys.stderr
    for number, name in ((1, "stdout"), (2, "stderr")):
        stream = getattr(sys, name)
        if _number(stream) == number:
            stream.flush()
            setattr(sys, name, lasting_stream(number, stream.encoding))
    try:
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        sys.stdout, sys.stderr = before


@contextmanager
def machine_output(wanted: bool) -> Iterator[TextIO]:
    """Yield the stream for a program that reads standard output.

    If that is ``wanted``, nothing else reaches standard output within the block: what clients, own
    modules, libraries and processes started meanwhile print there goes to standard error.
    """
    if not wanted:
        yield sys.stdout
        return
    sys.stdout.flush()
    stream, kept = sys.stdout, -1
    if _number(sys.stdout) == 1:
        kept = os.dup(1)
        os.dup2(2, 1)
        stream = lasting_stream(kept, "utf-8")
    try:
        with redirect_stdout(sys.stderr):
            yield stream
    finally:
        stream.flush()
        if kept >= 0:
            os.dup2(kept, 1)
            os.close(kept)


def _number(stream: Any) -> int | None:
    """Return a stream's file descriptor, or None where it has none."""
    try:
        number: int = stream.fileno()
    except (AttributeError, OSError, ValueError):
        return None
    return number
