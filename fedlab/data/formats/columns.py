"""Columns of a table in a text file, by the names in its header."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fedlab.data.formats.delimited import (
    Fields,
    check_header,
    check_not_repeated,
    decode,
    find_separator,
    read_fields,
)
from fedlab.data.formats.table import check_length, find_columns, finite
from fedlab.data.names import class_name, shown
from fedlab.errors import FedlabError


@dataclass(frozen=True)
class Table:
    """Columns of a text file by name, as text without spaces around it.

    Attributes:
        where: The key and the file, for messages.
        columns: The fields of each column.
        lines: The line of the file on which each row begins.
        separator: What stands between two fields; a comma stands before decimals where it is ";".
        notes: What the user should know of how the file was read.
    """

    where: str
    columns: dict[str, list[str]]
    lines: list[int]
    separator: str = ","
    notes: tuple[str, ...] = ()

    def of(self, column: str) -> list[str]:
        """Return the fields of a column."""
        return self.columns[column.strip()]

    def place(self, row: int, column: str) -> str:
        """Return how messages call a field."""
        return f"{self.where}, line {self.lines[row]}, column '{column}'"

    def numbers(self, column: str) -> list[float]:
        """Return a column's numbers.

        Raises:
            FedlabError: If a field is not a finite number; its line is named.
        """
        found = []
        for row, text in enumerate(self.of(column)):
            number = finite(text)
            if number is None:
                raise FedlabError(f"{self.place(row, column)}: {text!r} is not a number")
            found.append(number)
        return found

    def named(self, column: str) -> list[str]:
        """Return a column of names, each as it counts: without spaces around it."""
        return [class_name(text) for text in self.of(column)]


def read_table(path: Path, columns: Sequence[str], key: str) -> Table:
    """Return the columns of a text file: those that are wanted, and all others with a name.

    Encoding and separator are found as :func:`fedlab.data.formats.delimited.read_fields` does.

    Args:
        path: The file; its first line names the columns.
        columns: Names that the header must hold.
        key: The scenario's key that names the file, for messages.

    Raises:
        FedlabError: If the file cannot be read, has no such column, or a row has too few fields or
            too many.
    """
    try:
        found = read_fields(path)
        header = take_header(found, shown(path), columns)
    except FedlabError as error:
        raise FedlabError(f"{key}: {error}") from error
    notes = tuple(f"{key}: {note}" for note in found.notes)
    return table_of(found._replace(notes=notes), header, f"{key}: {shown(path)}")


def first_columns(head: bytes) -> dict[str, list[str]]:
    """Return the fields of each column in the first lines of a table; {} where it is none.

    Args:
        head: The first bytes of the file, whose last line may be cut.
    """
    try:
        text, _ = decode(head, "")
        header, *rows = csv.reader(io.StringIO(text), delimiter=find_separator(text))
    except (FedlabError, csv.Error, ValueError):
        return {}
    whole = rows[:-1] or rows
    return {
        class_name(name): [row[place].strip() for row in whole if place < len(row)]
        for place, name in enumerate(header)
        if class_name(name)
    }


def take_header(found: Fields, where: str, wanted: Sequence[str] = ()) -> list[str]:
    """Take the header off the rows of a file and return it.

    Args:
        found: The rows, of which the first is taken away.
        where: How messages call the file.
        wanted: Names that it must hold.

    Raises:
        FedlabError: If it names no columns, one twice, or not those that are wanted.
    """
    line, header = found.rows.pop(0)
    check_header(header, f"{where}, line {line}")
    find_columns(header, wanted, where)
    if not found.rows:
        raise FedlabError(f"{where} has a header and no rows")
    return [class_name(name) for name in header]


def table_of(found: Fields, header: Sequence[str], where: str, first: str = "header") -> Table:
    """Return the table of rows below a header; columns without a name are left out.

    Args:
        found: The rows, without the header.
        header: The names of the columns.
        where: How messages call the file.
        first: What messages call the line that says how many fields there are.

    Raises:
        FedlabError: If a row is shorter or longer than the header, or is the header once more.
    """
    for line, fields in found.rows:
        check_length(fields, len(header), f"{where}, line {line}", first)
    check_not_repeated(header, found.rows, where)
    places = {name: place for place, name in enumerate(header) if name}
    columns = {name: [row.fields[at].strip() for row in found.rows] for name, at in places.items()}
    return Table(where, columns, [row.line for row in found.rows], found.separator, found.notes)
