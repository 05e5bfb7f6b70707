"""Rows of tables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from fedlab.data.dataset import Task
from fedlab.data.formats.table import check_length, find_columns
from fedlab.data.names import shown
from fedlab.errors import FedlabError
from fedlab.registry import readers
from fedlab.use.inputs import DATA, Classes, Item, Reader
from fedlab.use.notes import tell
from fedlab.use.standard_input import opened
from fedlab.use.tables import CsvFile

LABEL_COLUMNS = ("label", "class", "target")


@readers.register("tabular")
class Tables(Reader):
    """CSV files, each row an input; standard input is such a file."""

    def read(self, arguments: Sequence[str]) -> Iterator[Item]:
        """Yield the rows of the files."""
        for argument in arguments:
            with opened(argument) as (path, name):
                yield from _rows(CsvFile.read(path), self.task, shown(name))

    def labelled(self, path: Path) -> Iterator[Item]:
        """Yield the rows of a file whose header has a column "label", "class" or "target"."""
        if self.task.kind != "classification":
            raise FedlabError(
                f"{DATA}: tables with labels serve classification, and this run's task is "
                f"{self.task.kind}: leave --data out"
            )
        file = CsvFile.read(path)
        names = [name for name in LABEL_COLUMNS if name in [n.strip() for n in file.header or ()]]
        if not names:
            raise FedlabError(
                f"{DATA}: {shown(path)} needs a header with one of {', '.join(LABEL_COLUMNS)}"
            )
        place = find_columns(file.header or (), names[:1], f"{DATA}: {shown(path)}")[names[0]]
        width = len(file.header or ())
        classes, targets = Classes(self.task), []
        for line, fields in file.rows:
            where = f"{shown(path)}, line {line}"
            check_length(fields, width, f"{DATA}: {where}")
            targets.append(classes.of(fields[place], where))
        rows = _rows(file.without(place), self.task, shown(path))
        for item, target in zip(rows, targets, strict=True):
            yield Item(item.source, item.row, item.stored, item.fault, target)


def _rows(file: CsvFile, task: Task, name: str) -> Iterator[Item]:
    tell(*file.notes)
    for number, values in enumerate(file.each(task), 1):
        if isinstance(values, FedlabError):
            yield Item(name, number, fault=str(values))
        else:
            yield Item(name, number, values)
