"""Rows of CSV files, and what their fields hold."""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import NamedTuple

from fedlab.data.formats.text_file import read_whole
from fedlab.data.names import shown
from fedlab.errors import FedlabError, unknown

MISSING = ("NaN", "NA", "N/A", "#N/A", "<NA>", "null", "None")
"""What programs write where a value is missing."""
LARGEST = 3.4028234e38
"""Of what float32 holds, but for rounding."""


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
        wanted: Names that the header must hold.
        where: How messages call the file.

    Raises:
        FedlabError: If one is missing.
    """
    names = [name.strip() for name in header]
    places = {}
    for column in wanted:
        found = [place for place, name in enumerate(names) if name == column.strip()]
        if not found:
            sentence = unknown("column", column, filter(None, names))
            raise FedlabError(f"{where} has an {sentence}")
        places[column] = found[0]
    return places


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
