"""CSV files with a header."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from fedlab.errors import FedlabError, unknown


def read_table(path: Path, columns: Sequence[str], key: str) -> dict[str, list[str]]:
    """Return the wanted columns of a CSV file, as text.

    Args:
        path: The file, UTF-8, commas between fields.
        columns: Names that the header must hold.
        key: The scenario's key that names the file, for messages.

    Raises:
        FedlabError: If the file cannot be read, has no such column, or a row has too few fields.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            header = reader.fieldnames
            if not header:
                raise FedlabError(f"{key}: {path} is empty; its first line names the columns")
            for column in columns:
                if column not in header:
                    raise FedlabError(f"{key}: {path} has an {unknown('column', column, header)}")
            rows = [(reader.line_num, row) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise FedlabError(f"{key}: {path} cannot be read: {error}") from error
    for number, row in rows:
        if any(row[column] is None for column in columns):
            raise FedlabError(f"{key}: {path}, line {number}: this row has too few fields")
    if not rows:
        raise FedlabError(f"{key}: {path} has a header and no rows")
    return {column: [row[column] for _, row in rows] for column in columns}


def read_numbers(texts: Sequence[str], path: Path, column: str) -> list[float]:
    """Return a column's numbers.

    Raises:
        FedlabError: If a field is not a finite number; its row is named.
    """
    numbers = []
    for row, text in enumerate(texts, 1):
        try:
            numbers.append(float(text))
        except ValueError:
            numbers.append(float("nan"))
        if numbers[-1] - numbers[-1] != 0:
            raise FedlabError(
                f"{path}, row {row} below the header, column '{column}': {text!r} is not a number"
            )
    return numbers
