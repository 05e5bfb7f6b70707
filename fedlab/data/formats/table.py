"""CSV files, with a header where columns are asked for by name."""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from fedlab.data.formats.text_file import read_whole
from fedlab.data.names import class_name, shown
from fedlab.errors import FedlabError, unknown

MISSING = ("NaN", "NA", "N/A", "#N/A", "<NA>", "null", "None")
"""What programs write where a value is missing."""
LARGEST = 3.4028234e38
"""Of what float32 holds, but for rounding."""
_OTHER_DELIMITERS = {";": "semicolons", "\t": "tabs", "|": "bars"}


class Row(NamedTuple):
    """A row of a CSV file.

    Attributes:
        line: The line of the file on which it begins, from 1.
        fields: Its fields, as they stand in the file.
    """

    line: int
    fields: list[str]


def read_rows(path: Path) -> list[Row]:
    """Return the rows of a CSV file that are not blank.

    Args:
        path: The file: UTF-8, with commas between fields.

    Raises:
        FedlabError: If it cannot be read or breaks the format; the line is named.
    """
    return rows_of(read_whole(path), shown(path))


def rows_of(text: str, where: str, separator: str = ",") -> list[Row]:
    """Return the rows of a table in a text that are not blank.

    Args:
        text: The whole text.
        where: How messages call the file.
        separator: What stands between two fields.

    Raises:
        FedlabError: If the text breaks the format; the line is named.
    """
    # Texts are longer than the csv module expects of a field; its limit holds for all readers.
    limit = csv.field_size_limit(sys.maxsize)
    lines = io.StringIO(text, newline="")
    reader = csv.reader(lines, delimiter=separator, strict=True)
    rows, begins = [], 1
    try:
        for fields in reader:
            if fields:
                rows.append(Row(begins, fields))
            begins = reader.line_num + 1
    except csv.Error as error:
        raise FedlabError(
            f"{where}, line {begins}: this row is not CSV ({error}); a field with a "
            'quotation mark stands in quotation marks, with "" for each within'
        ) from error
    finally:
        csv.field_size_limit(limit)
    return rows


def find_columns(header: Sequence[str], wanted: Collection[str], where: str) -> dict[str, int]:
    """Return the place of each wanted column in a header.

    Args:
        header: The names, as they stand in the file.
        wanted: Names that the header must hold, once.
        where: How messages call the file.

    Raises:
        FedlabError: If one is missing, or there twice.
    """
    names = [name.strip() for name in header]
    places = {}
    for column in wanted:
        found = [place for place, name in enumerate(names) if name == column.strip()]
        if not found:
            sentence = unknown("column", column, filter(None, names))
            raise FedlabError(f"{where} has an {sentence}{_other_delimiter(header)}")
        if len(found) > 1:
            numbers = " and ".join(str(place + 1) for place in found)
            raise FedlabError(
                f"{where} names the column '{column}' more than once (columns {numbers}); rename "
                "all but one"
            )
        places[column] = found[0]
    return places


def _other_delimiter(header: Sequence[str]) -> str:
    """Return a hint where a header's fields look separated by something else than commas."""
    for delimiter, name in _OTHER_DELIMITERS.items():
        if len(header) <= 1 and any(delimiter in field for field in header):
            return f" Its first line has {name}; fields are separated by commas"
    return ""


@dataclass(frozen=True)
class Table:
    """Columns of a CSV file by name, as text.

    Attributes:
        where: The key and the file, for messages.
        columns: The fields of each column.
        lines: The line of the file on which each row begins.
    """

    where: str
    columns: dict[str, list[str]]
    lines: list[int]

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

    def take(self, rows: Sequence[int]) -> Table:
        """Return the table of these rows."""
        columns = {name: [c[row] for row in rows] for name, c in self.columns.items()}
        return Table(self.where, columns, [self.lines[row] for row in rows])


def read_table(path: Path, columns: Sequence[str], key: str) -> Table:
    """Return the columns of a CSV file: those that are wanted, and all others with a name.

    Args:
        path: The file, UTF-8, commas between fields.
        columns: Names that the header must hold.
        key: The scenario's key that names the file, for messages.

    Raises:
        FedlabError: If the file cannot be read, has no such column, or a row has too few fields or
            too many.
    """
    where = f"{key}: {shown(path)}"
    try:
        rows = read_rows(path)
    except FedlabError as error:
        raise FedlabError(f"{key}: {error}") from error
    if not rows:
        raise FedlabError(f"{where} is empty; its first line names the columns")
    header = rows.pop(0).fields
    find_columns(header, columns, where)
    if not rows:
        raise FedlabError(f"{where} has a header and no rows")
    for line, fields in rows:
        check_length(fields, len(header), f"{where}, line {line}")
    return header_table(where, header, rows)


def header_table(where: str, header: Sequence[str], rows: Sequence[Row]) -> Table:
    """Return the table of rows that are as long as their header; columns without a name go."""
    places = {name.strip(): place for place, name in enumerate(header) if name.strip()}
    found = {name: [row.fields[place] for row in rows] for name, place in places.items()}
    return Table(where, found, [row.line for row in rows])


def check_length(fields: Sequence[str], expected: int, where: str, first: str = "header") -> None:
    """Check that a row has as many fields as the first line; empty ones at its end do not count.

    Raises:
        FedlabError: If it has too few or too many.
    """
    if len(fields) < expected:
        raise FedlabError(
            f"{where}: this row has too few fields: {len(fields)}, and the {first} has {expected}"
        )
    if any(field.strip() for field in fields[expected:]):
        raise FedlabError(
            f"{where}: this row has too many fields: {len(fields)}, and the {first} has "
            f"{expected}; a field with a comma stands in quotation marks"
        )


def finite(text: str) -> float | None:
    """Return the number that a field holds, or None if it holds none that float32 can."""
    try:
        number = float(text)
    except ValueError:
        return None
    return number if abs(number) <= LARGEST else None


def is_missing(missing: Collection[str]) -> Callable[[str], bool]:
    """Return a function that tells whether a field holds no value.

    Args:
        missing: The words that stand for a missing value, in any case; an empty field always does.
    """
    words = {"", *(word.strip().lower() for word in missing)}
    return lambda field: field.strip().lower() in words
