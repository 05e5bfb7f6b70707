"""Rows of a user's tables, encoded as those that a run was trained on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from fedlab.data.dataset import IntArray
from fedlab.data.names import class_name, listed, shown
from fedlab.data.table_encoding import TableEncoding
from fedlab.data.tables.columns import check_columns, raw_of, with_plain_numbers
from fedlab.data.tables.reading import Frame, missing_in, read_frame
from fedlab.data.tables.target import target_classes, target_numbers
from fedlab.errors import FedlabError
from fedlab.registry import readers
from fedlab.use.inputs import DATA, Item, Reader
from fedlab.use.notes import tell
from fedlab.use.standard_input import opened


@readers.register("table")
class RawTables(Reader):
    """Files in any format that training reads: CSV, TSV, Parquet.

    Columns go by name; further ones, the target among them, may be there and are not looked at.
    """

    def read(self, arguments: Sequence[str]) -> Iterator[Item]:
        """Yield the rows of the files; a row that cannot be encoded with its fault."""
        for argument in arguments:
            with opened(argument) as (path, name):
                frame = read_frame(path, "", self._table.text_encoding)
                yield from self._items(frame, shown(name))

    def labelled(self, path: Path) -> Iterator[Item]:
        """Yield the rows of a file, each with what stands in the column that was learned.

        Raises:
            FedlabError: If a row has no target or one that is no class of the run.
        """
        table = self._table
        frame = read_frame(path, DATA, table.text_encoding)
        absent = missing_in(table.missing_words)(frame.of(table.target, DATA))
        if absent.any():
            row = int(np.flatnonzero(absent)[0])
            raise FedlabError(f"{frame.place(row, table.target)}: there is no target")
        targets = self._targets(frame)
        for item, target in zip(self._items(frame, shown(path)), targets, strict=True):
            yield replace(item, target=target)

    @property
    def _table(self) -> TableEncoding:
        encoding = self.task.encoding
        assert encoding is not None
        assert encoding.table is not None
        return encoding.table

    def _targets(self, frame: Frame) -> torch.Tensor:
        """Return the targets of all rows, as the data set stores them."""
        column, task = self._table.target, self.task
        if task.kind == "classification":
            known = {label: number for number, label in enumerate(task.labels)}
            return torch.from_numpy(target_classes(frame, column, known)).long()
        numbers = target_numbers(frame, column)[:, None]
        scaling = task.encoding.targets if task.encoding is not None else None
        if scaling is not None:
            numbers = (numbers - scaling.offset) / scaling.scale
        return torch.from_numpy(numbers).float()

    def _items(self, frame: Frame, name: str) -> Iterator[Item]:
        tell(*frame.notes)
        check_columns(frame, self._table.columns)
        clients = self._clients(frame)
        try:
            encoded = self._encoded(frame, clients)
        except FedlabError:
            # One row is at fault, or several: each is named, and the others are read.
            plain = with_plain_numbers(frame, self._table.columns)
            for row in range(len(frame)):
                yield self._one(plain, row, clients, name)
            return
        for row, stored in enumerate(encoded):
            yield Item(name, row + 1, stored)

    def _one(self, frame: Frame, row: int, clients: IntArray | None, name: str) -> Item:
        only = np.array([row])
        try:
            of = None if clients is None else clients[only]
            return Item(name, row + 1, self._encoded(frame.take(only), of)[0])
        except FedlabError as error:
            return Item(name, row + 1, fault=str(error))

    def _encoded(self, frame: Frame, clients: IntArray | None) -> torch.Tensor:
        """Return the features of rows, each by its own client's statistics if it has some.

        Raises:
            FedlabError: If a field is not of its column's kind, or a row lacks a value where
                training refused such rows or left them out.
        """
        table = self._table
        raw = raw_of(frame, table.columns, table.missing_words)
        if table.missing in ("drop", "refuse") and np.isnan(raw).any():
            row, slot = (int(part[0]) for part in np.nonzero(np.isnan(raw)))
            of_slots = [column.name for column in table.columns for _ in range(column.slots)]
            raise FedlabError(
                f"{frame.place(row, of_slots[slot])}: there is no value, and the run was trained "
                f"on whole rows alone (data.missing = '{table.missing}')"
            )
        return torch.from_numpy(table.encode(raw, clients))

    def _clients(self, frame: Frame) -> IntArray | None:
        """Return the client of each row, −1 for a stranger; what follows from that is printed."""
        table = self._table
        if not table.by_client:
            return None
        numbers = {name: number for number, name in enumerate(table.clients)}
        fields = frame.columns.get(table.clients_by)
        usual = "all clients' statistics together scale"
        if fields is None:
            tell(f"no column '{table.clients_by}' says whose rows these are; {usual} them")
            return None
        names = [class_name(text) for text in fields]
        strangers = sorted({name for name in names if name not in numbers})
        if strangers:
            tell(
                f"column '{table.clients_by}': {listed(strangers)} took no part in training; "
                f"{usual} their rows"
            )
        return np.array([numbers.get(name, -1) for name in names], dtype=np.int64)
