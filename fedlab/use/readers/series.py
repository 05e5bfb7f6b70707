"""Series in CSV files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from fedlab.data.names import shown
from fedlab.errors import FedlabError
from fedlab.registry import readers
from fedlab.use.inputs import DATA, Item, Reader
from fedlab.use.standard_input import opened
from fedlab.use.tables import CsvFile


@readers.register("series")
class Series(Reader):
    """CSV files, one series each: forecasts continue its end, classes are predicted per window."""

    def read(self, arguments: Sequence[str]) -> Iterator[Item]:
        """Yield the windows of the files."""
        for argument in arguments:
            with opened(argument) as (path, name):
                yield from self._windows(CsvFile.read(path), shown(name))

    def labelled(self, path: Path) -> Iterator[Item]:
        """Refuse: series with labels are not read."""
        raise FedlabError(
            f"{DATA}: own data serve classifications of pictures, texts and tables; this run's "
            f"task is {self.task.kind} on series inputs: leave --data out"
        )

    def _windows(self, file: CsvFile, name: str) -> Iterator[Item]:
        length = self.task.input_shape[0]
        time = getattr(self.data, "time", None)
        order = file.order(time, getattr(self.data, "group", None))
        values = file.features(self.task)[order]
        sorted_by = "" if (order[1:] > order[:-1]).all() else f" in the order of '{time}'"
        if len(values) < length:
            raise FedlabError(
                f"{name} has {len(values)} rows, and the network reads {length} at a time"
            )
        first = len(values) - length if self.task.kind == "regression" else 0
        for start in range(first, len(values) - length + 1, length):
            rows = f"{start + 1} to {start + length}{sorted_by}"
            yield Item(name, rows, values[start : start + length])
