"""Text files, in UTF-8."""

from __future__ import annotations

from pathlib import Path

from fedlab.data.names import shown
from fedlab.errors import FedlabError

TEXT_SUFFIXES = frozenset({".txt", ".text"})
"""Of the files in a folder that are texts, in lower case."""
_MARKS = (
    (b"\xff\xfe\0\0", "UTF-32"),
    (b"\0\0\xfe\xff", "UTF-32"),
    (b"\xff\xfe", "UTF-16"),
    (b"\xfe\xff", "UTF-16"),
)


def read_text(path: Path) -> str:
    r"""Return a file's text without a byte order mark; every line ends with "\n".

    Raises:
        FedlabError: If it cannot be read or is no UTF-8 text; the line is named.
    """
    return read_whole(path).replace("\r\n", "\n").replace("\r", "\n")


def read_whole(path: Path) -> str:
    """Return a file's text without a byte order mark; lines end as they do in the file.

    Raises:
        FedlabError: If it cannot be read or is no UTF-8 text; the line is named.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise FedlabError(f"{shown(path)} cannot be read: {error.strerror}") from error
    for mark, name in _MARKS:
        if content.startswith(mark):
            raise FedlabError(f"{shown(path)} cannot be read: it is {name} text; save it as UTF-8")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise FedlabError(f"{shown(path)} cannot be read: {_not_utf8(content, error)}") from error
    if "\0" in text:
        raise FedlabError(
            f"{shown(path)} cannot be read: line {_line(content, content.index(0))} holds a zero "
            "byte, as no UTF-8 text does; save it as UTF-8"
        )
    return text


def _not_utf8(content: bytes, error: UnicodeDecodeError) -> str:
    byte = content[error.start]
    in_windows = bytes([byte]).decode("cp1252", "replace")
    perhaps = f", '{in_windows}' in Windows-1252" if in_windows.isprintable() else ""
    line = _line(content, error.start)
    return f"line {line} is not UTF-8 (byte 0x{byte:02x}{perhaps}); save the file as UTF-8"


def _line(content: bytes, position: int) -> int:
    """Return the number of the line in which a byte is, from 1."""
    before = content[:position]
    return 1 + (before.count(b"\n") or before.count(b"\r"))
