"""CSV files of new rows, scaled as those that a network was trained on."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from fedlab.data.dataset import Task
from fedlab.data.formats.columns import take_header
from fedlab.data.formats.delimited import check_not_repeated, read_fields
from fedlab.data.formats.table import Row, check_length, find_columns
from fedlab.data.names import shown
from fedlab.data.tables.fields import numbers
from fedlab.errors import FedlabError


@dataclass(frozen=True)
class CsvFile:
    """The rows of a CSV file, with or without a header.

    Attributes:
        where: How messages call it.
        header: The names of its columns, or None.
        rows: Its rows, without the header, one or more.
        separator: What stands between two fields.
        notes: What the user should know of how it was read.
    """

    where: str
    header: list[str] | None
    rows: list[Row]
    separator: str = ","
    notes: tuple[str, ...] = ()

    @classmethod
    def read(cls, path: Path) -> CsvFile:
        """Return the file's rows. A first line that is not entirely numeric is a header.

        Raises:
            FedlabError: If it cannot be read or is empty.
        """
        where, found = shown(path), read_fields(path)
        header = None
        first = [cell.strip() for cell in found.rows[0].fields]
        if np.isnan(numbers(first, found.separator)).any():
            header = take_header(found, where)
            check_not_repeated(header, found.rows, where)
        return cls(where, header, found.rows, found.separator, found.notes)

    def without(self, column: int) -> CsvFile:
        """Return the file without one of its columns."""
        rows = [Row(r.line, [*r.fields[:column], *r.fields[column + 1 :]]) for r in self.rows]
        header = self.header and [*self.header[:column], *self.header[column + 1 :]]
        return CsvFile(self.where, header, rows, self.separator, self.notes)

    def features(self, task: Task) -> torch.Tensor:
        """Return the rows, (rows, features) float32, scaled as in training.

        If the run knows its columns' names, a header may have further columns, in any order.

        Raises:
            FedlabError: If columns are missing or named twice, a row is shorter or longer than the
                first line, or a value is not a number.
        """
        rows = []
        for values in self.each(task):
            if isinstance(values, FedlabError):
                raise values
            rows.append(values)
        return torch.stack(rows)

    def each(self, task: Task) -> Iterator[torch.Tensor | FedlabError]:
        """Yield each row, (features,) float32, scaled as in training, or why it cannot be read.

        Raises:
            FedlabError: If columns are missing or named twice.
        """
        places = self._places(task)
        width = len(self.header or self.rows[0].fields)
        scaling = task.encoding.features if task.encoding is not None else None
        offset = torch.tensor(scaling.offset if scaling else 0.0, dtype=torch.float64)
        scale = torch.tensor(scaling.scale if scaling else 1.0, dtype=torch.float64)
        for line, fields in self.rows:
            where = f"{self.where}, line {line}"
            try:
                check_length(fields, width, where, "first line")
                read = [_number(fields[place], self.separator, where) for place in places]
            except FedlabError as error:
                yield error
            else:
                values = torch.tensor(read, dtype=torch.float64)
                yield ((values - offset) / scale).float()

    def _places(self, task: Task) -> Collection[int]:
        """Return the place of each feature in a row."""
        features = task.input_shape[-1]
        scaling = task.encoding.features if task.encoding is not None else None
        if self.header is not None and scaling is not None and scaling.columns:
            return [
                find_columns(self.header, [column], self.where)[column]
                for column in scaling.columns
            ]
        width = len(self.header or self.rows[0].fields)
        if width != features:
            raise FedlabError(f"{self.where} has {width} columns, and the network takes {features}")
        return range(features)


def _number(field: str, separator: str, where: str) -> float:
    number = float(numbers([field.strip()], separator)[0])
    if math.isnan(number):
        raise FedlabError(f"{where}: '{field}' is not a number")
    return number
