"""Files and text as stored inputs, encoded like the examples of the run's data set."""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from fedlab.data.dataset import Modality, Task
from fedlab.data.formats.picture import read_picture
from fedlab.errors import FedlabError, nearest
from fedlab.use.text import encode, fit_length, read_text

Read = Callable[[Task, Sequence[str]], "Inputs"]


@dataclass(frozen=True)
class Inputs:
    """Stored inputs and their names.

    Attributes:
        names: One per input: the file, or the file and the row.
        stored: (N, ...) as the data set stores them, not yet prepared for the network.
    """

    names: tuple[str, ...]
    stored: torch.Tensor


def read_inputs(task: Task, arguments: Sequence[str]) -> Inputs:
    """Return the inputs that the arguments name.

    Args:
        task: The task that the network was trained for.
        arguments: Picture files; text or text files; CSV files, for tables and series.

    Raises:
        FedlabError: If a file is missing, corrupt or does not fit; the message names it.
    """
    return _READERS[task.modality](task, arguments)


def _pictures(task: Task, arguments: Sequence[str]) -> Inputs:
    pictures = [read_picture(Path(argument), task.input_shape) for argument in arguments]
    return Inputs(tuple(arguments), torch.stack(pictures))


def _texts(task: Task, arguments: Sequence[str]) -> Inputs:
    rows = [fit_length(task, encode(task, read_text(argument))) for argument in arguments]
    return Inputs(tuple(arguments), torch.stack(rows))


def _tables(task: Task, arguments: Sequence[str]) -> Inputs:
    names: list[str] = []
    parts: list[torch.Tensor] = []
    for argument in arguments:
        values = read_rows(read_table(Path(argument)), argument, task)
        names += [f"{argument}, row {number}" for number in range(1, len(values) + 1)]
        parts.append(values)
    return Inputs(tuple(names), torch.cat(parts))


def _series(task: Task, arguments: Sequence[str]) -> Inputs:
    """Read one series per file: forecasts continue its end, classes are predicted per window."""
    length = task.input_shape[0]
    names: list[str] = []
    windows: list[torch.Tensor] = []
    for argument in arguments:
        values = read_rows(read_table(Path(argument)), argument, task)
        if len(values) < length:
            raise FedlabError(
                f"{argument} has {len(values)} rows, and the network reads {length} at a time"
            )
        first = len(values) - length if task.kind == "regression" else 0
        for start in range(first, len(values) - length + 1, length):
            names.append(f"{argument}, rows {start + 1} to {start + length}")
            windows.append(values[start : start + length])
    return Inputs(tuple(names), torch.stack(windows))


_READERS: dict[Modality, Read] = {
    "image": _pictures,
    "text": _texts,
    "tabular": _tables,
    "series": _series,
}


def read_rows(table: list[list[str]], where: str, task: Task) -> torch.Tensor:
    """Return a table's rows, (rows, features) float32, scaled as in training.

    A first line that is not entirely numeric is a header. If the run knows its columns' names, a
    header may have further columns, in any order.

    Raises:
        FedlabError: If columns are missing, or a value is not a number.
    """
    header: list[str] | None = None
    lines = list(enumerate(table, 1))
    if not all(is_number(cell) for cell in table[0]):
        header = [cell.strip() for cell in lines.pop(0)[1]]
    if not lines:
        raise FedlabError(f"{where} has a header and no rows")
    positions = _positions(where, task, header, len(table[0]))
    rows = [[_number(where, line, row, at) for at in positions] for line, row in lines]
    values = torch.tensor(rows, dtype=torch.float64)
    scaling = task.encoding.features if task.encoding is not None else None
    if scaling is not None:
        values = (values - torch.tensor(scaling.offset)) / torch.tensor(scaling.scale)
    return values.float()


def read_table(path: Path) -> list[list[str]]:
    """Return the rows of a CSV file that are not empty.

    Raises:
        FedlabError: If it cannot be read or is empty.
    """
    if not path.is_file():
        raise FedlabError(f"there is no file {path}")
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = [row for row in csv.reader(file) if row]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise FedlabError(f"{path} cannot be read as CSV: {error}") from error
    if not rows:
        raise FedlabError(f"{path} is empty; rows of numbers are wanted")
    return rows


def class_names(task: Task) -> tuple[str, ...]:
    """Return the names of a classification's classes, or their numbers if they have none."""
    return task.labels or tuple(str(number) for number in range(max(task.outputs, 2)))


def is_number(cell: str) -> bool:
    """Return whether a cell of a table holds a number."""
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _positions(where: str, task: Task, header: list[str] | None, width: int) -> list[int]:
    """Return the column of each feature."""
    features = task.input_shape[-1]
    scaling = task.encoding.features if task.encoding is not None else None
    columns = scaling.columns if scaling is not None else ()
    if header is not None and columns:
        for column in columns:
            if column not in header:
                raise FedlabError(f"{where} has no column '{column}'.{nearest(column, header)}")
        return [header.index(column) for column in columns]
    if width != features:
        raise FedlabError(f"{where} has {width} columns, and the network takes {features}")
    return list(range(features))


def _number(where: str, line: int, row: list[str], position: int) -> float:
    if position >= len(row):
        raise FedlabError(f"{where}, line {line} has {len(row)} columns, fewer than the first line")
    if not is_number(row[position]):
        raise FedlabError(f"{where}, line {line}: '{row[position]}' is not a number")
    return float(row[position])
