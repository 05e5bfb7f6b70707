"""Names that come from outside: of files, whose names are bytes, and of classes."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterable
from os import PathLike


def shown(path: str | PathLike[str]) -> str:
    r"""Return a file's name, or its whole path, as it can be printed and written anywhere.

    Bytes that are not UTF-8, and characters that cannot be seen, stand escaped.

    Example:
        >>> shown("caf\udce9")
        'caf\\xe9'
    """
    text = readable(os.fspath(path))
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def readable(text: str) -> str:
    """Return a text as it can be printed, with the bytes escaped that are not UTF-8.

    Names of files and arguments of the command line may hold such bytes.
    """
    try:
        return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:  # Half a pair of surrogates, which no name of a file holds.
        return text.encode("ascii", "backslashreplace").decode()


def class_name(text: str) -> str:
    """Return a label as it counts: without spaces around it, composed as most programs write it."""
    return unicodedata.normalize("NFC", text).strip()


def lookalikes(names: Iterable[str]) -> list[tuple[str, str]]:
    """Return pairs of names that differ in upper and lower case alone, or in compatible letters."""
    first: dict[str, str] = {}
    found = []
    for name in names:
        folded = unicodedata.normalize("NFKC", name).casefold()
        if first.setdefault(folded, name) != name:
            found.append((first[folded], name))
    return found


def listed(names: Iterable[str], limit: int = 5) -> str:
    """Return some names in quotation marks, with commas between them."""
    known = list(names)
    rest = [f"{len(known) - limit} more"] if len(known) > limit else []
    return ", ".join([*(f"'{name}'" for name in known[:limit]), *rest])
