"""Tables in text files as programs write them: encodings, separators and decimal commas."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from fedlab.data.formats.table import Row, check_length, rows_of
from fedlab.data.names import class_name, shown
from fedlab.errors import FedlabError

Separator = Literal["auto", ",", ";", "\t", "|"]
SEPARATORS: dict[str, str] = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
_MARKS = (
    (b"\xff\xfe\0\0", "utf-32"),
    (b"\0\0\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
    (b"\xef\xbb\xbf", "utf-8-sig"),
)
_LINES_LOOKED_AT = 20


class Fields(NamedTuple):
    """The rows of a table as they stand in a text file.

    Attributes:
        rows: Its rows, one or more, without blank ones; the first may be a header.
        separator: What stands between two fields.
        notes: What the user should know of how the file was read.
    """

    rows: list[Row]
    separator: str
    notes: tuple[str, ...] = ()


class Delimited(NamedTuple):
    """A table with a header as it stands in a text file.

    Attributes:
        header: The names of its columns.
        rows: Its rows, each as long as the header.
        separator: What stands between two fields.
        notes: What the user should know of how the file was read.
    """

    header: list[str]
    rows: list[Row]
    separator: str
    notes: tuple[str, ...] = ()


def read_fields(path: Path, encoding: str = "auto", separator: Separator = "auto") -> Fields:
    """Return the rows of a text file.

    Args:
        path: The file.
        encoding: A name that Python knows, or "auto": what a byte order mark says, else UTF-8,
            else Windows-1252, which is noted.
        separator: What stands between two fields; "auto" takes the one that splits the first
            lines into equally many fields, two at least.

    Raises:
        FedlabError: If there is no such file, or it cannot be read or is empty.
    """
    where = shown(path)
    if not path.exists():
        raise FedlabError(f"there is no file {where}")
    if path.is_dir():
        raise FedlabError(f"{where} is a folder, and a file with a table is wanted")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise FedlabError(f"{where} cannot be read: {error.strerror}") from error
    text, notes = decode(content, where, encoding)
    between = find_separator(text) if separator == "auto" else separator
    rows = [row for row in rows_of(text, where, between) if any(map(str.strip, row.fields))]
    if not rows:
        raise FedlabError(f"{where} is empty; its first line names the columns")
    return Fields(rows, between, notes)


def read_delimited(path: Path, encoding: str = "auto", separator: Separator = "auto") -> Delimited:
    """Return the table of a text file whose first line names the columns.

    Args:
        path: The file.
        encoding: As :func:`read_fields` takes it.
        separator: Likewise.

    Raises:
        FedlabError: If the file cannot be read, is empty, or a row has too few fields or too many;
            the message names file and line.
    """
    where = shown(path)
    (first, *rows), between, notes = read_fields(path, encoding, separator)
    line, header = first
    if not rows:
        raise FedlabError(f"{where} has a header and no rows")
    for row in rows:
        check_length(row.fields, len(header), f"{where}, line {row.line}")
    check_header(header, f"{where}, line {line}")
    check_not_repeated(header, rows, where)
    return Delimited([class_name(name) for name in header], rows, between, notes)


def decode(content: bytes, where: str, encoding: str = "auto") -> tuple[str, tuple[str, ...]]:
    """Return a file's text, and a note where its encoding had to be guessed.

    Args:
        content: The file.
        where: How messages call it.
        encoding: See :func:`read_delimited`.

    Raises:
        FedlabError: If the content is no text in that encoding.
    """
    if encoding != "auto":
        return _decoded(content, where, encoding), ()
    for mark, name in _MARKS:
        if content.startswith(mark):
            return _decoded(content, where, name), ()
    if b"\0" in content:
        line = 1 + content[: content.index(0)].count(b"\n")
        raise FedlabError(
            f"{where}, line {line}: there is a zero byte, as no text file has; save the table as "
            "CSV in UTF-8"
        )
    try:
        return content.decode("utf-8"), ()
    except UnicodeDecodeError as error:
        line = 1 + content[: error.start].count(b"\n")
        text = _decoded(content, where, "cp1252")
        odd = text.split("\n")[line - 1].strip()[:60]
        return text, (
            f"{where} is not UTF-8 (line {line}), and is read as Windows-1252: '{odd}'; "
            "if that is wrong, save the file as UTF-8",
        )


def known_encoding(encoding: str) -> str:
    """Return the name of an encoding of text, or "auto".

    Raises:
        ValueError: If Python knows none of that name, as validators of settings do.
    """
    try:
        "".encode("utf-8" if encoding == "auto" else encoding)
    except (LookupError, ValueError):
        raise ValueError(
            f"'{encoding}' is no encoding; utf-8, utf-16, cp1252 and latin-1 are"
        ) from None
    return encoding


def _decoded(content: bytes, where: str, encoding: str) -> str:
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        line = 1 + content[: error.start].count(b"\n")
        raise FedlabError(
            f"{where}, line {line}: this is no text in {encoding.removesuffix('-sig')} (byte "
            f"0x{content[error.start]:02x}); save the file as UTF-8, or let data.encoding say "
            "which encoding it has"
        ) from error


def find_separator(text: str) -> str:
    """Return what stands between two fields of a table, "," where nothing else fits better.

    Example:
        >>> find_separator("age;height\\n3;1,02\\n4;1,10\\n")
        ';'
    """
    widths = {between: _width(text, between) for between in SEPARATORS}
    return max(SEPARATORS, key=lambda between: widths[between])


def _width(text: str, separator: str) -> int:
    """Return how many fields all of the first lines have, or 0 where they differ."""
    lines = io.StringIO(text, newline="")
    found = set()
    try:
        for number, fields in enumerate(csv.reader(lines, delimiter=separator)):
            if number == _LINES_LOOKED_AT:
                break
            if any(map(str.strip, fields)):
                found.add(len(fields))
    except csv.Error:
        return 0
    # A ragged file shall be refused as what it is, not read as one column.
    return found.pop() if len(found) == 1 else min(found, default=0)


def check_header(header: Sequence[str], where: str) -> None:
    """Refuse a first line without names, and names that are there twice.

    Raises:
        FedlabError: If it is such a line.
    """
    names = [class_name(name) for name in header]
    if all(_is_number(name) for name in names if name) and any(names):
        raise FedlabError(
            f"{where}: the first line holds numbers alone, and should name the columns; put a line "
            f"of {len(names)} names before it"
        )
    for place, name in enumerate(names):
        if name and name in names[:place]:
            raise FedlabError(
                f"{where}: two columns are called '{name}' (columns {names.index(name) + 1} and "
                f"{place + 1}); rename or remove one"
            )


def check_not_repeated(header: Sequence[str], rows: Sequence[Row], where: str) -> None:
    """Refuse a row that is the header once more, as where files were put below one another.

    Raises:
        FedlabError: If there is one; its line is named.
    """
    names = [class_name(name) for name in header]
    if len(names) < 2:
        return  # A single word may well be what its column is called.
    for line, fields in rows:
        if fields[0].strip() == names[0] and [class_name(text) for text in fields] == names:
            raise FedlabError(
                f"{where}, line {line}: this row is the header once more, as where files were put "
                "below one another; remove it"
            )


def _is_number(field: str) -> bool:
    try:
        float(field.replace(",", "."))
    except ValueError:
        return False
    return True
