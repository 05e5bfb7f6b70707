"""Series in CSV files, and in .ts files where a run was trained on such."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fedlab.data.formats.columns import Table, table_of, take_header
from fedlab.data.formats.delimited import read_fields
from fedlab.data.formats.table import find_columns
from fedlab.data.formats.ts import read_ts
from fedlab.data.names import listed, shown
from fedlab.data.scaling import scaled
from fedlab.data.series_table import (
    FloatArray,
    Series,
    SeriesColumns,
    cut,
    filled,
    padded,
    series_of,
)
from fedlab.data.tables.fields import numbers
from fedlab.errors import FedlabError
from fedlab.registry import readers
from fedlab.use.inputs import DATA, Classes, Item, Reader
from fedlab.use.notes import tell
from fedlab.use.readers.tabular import LABEL_COLUMNS
from fedlab.use.standard_input import opened


@readers.register("series")
class SeriesFiles(Reader):
    """CSV files of one series or, told apart by the columns of the run, of several.

    Of a series, a forecast continues the end; classes are predicted window by window, the last one
    up to its end.
    """

    def read(self, arguments: Sequence[str]) -> Iterator[Item]:
        """Yield the windows of the files."""
        for argument in arguments:
            with opened(argument) as (path, name):
                yield from self._of_file(path, shown(name))

    def labelled(self, path: Path) -> Iterator[Item]:
        """Yield windows with the values that follow them, or with their classes."""
        if self.task.kind not in ("classification", "regression"):
            raise FedlabError(
                f"{DATA}: series serve classification and forecasts, and this run's task is "
                f"{self.task.kind}: leave --data out"
            )
        if path.suffix.lower() == ".ts":
            yield from self._of_ts(path, with_classes=True)
            return
        try:
            table = self._table(path)
        except FedlabError as error:
            raise FedlabError(f"{DATA}: {error}") from error
        columns = self._columns([*table.columns], f"{DATA}: {shown(path)}", with_targets=True)
        series, _, notes = series_of(table, columns)
        tell(*notes)
        pieces = [run for one in series for run in one.runs()] if columns.label else series
        stride = getattr(self.data, "stride", self._length)
        windows = cut(pieces, self._length, self.task.outputs, stride, columns.gaps)
        if not len(windows):
            raise FedlabError(
                f"{DATA}: no series in {shown(path)} has {self._length} steps"
                + ("" if columns.label else f" and {self.task.outputs} that follow")
            )
        classes = Classes(self.task) if columns.label else None
        for number, values in enumerate(windows.inputs):
            if classes is not None:
                target = classes.of(windows.labels[number], shown(path))
            else:
                target = self._scaled_target(windows.targets[number])
            yield Item(shown(path), number + 1, self._stored(values), target=target)

    @property
    def _length(self) -> int:
        return self.task.input_shape[0]

    def _of_file(self, path: Path, name: str) -> Iterator[Item]:
        if path.suffix.lower() == ".ts":
            yield from self._of_ts(path, with_classes=False)
            return
        table = self._table(path)
        columns = self._columns([*table.columns], name, with_targets=False)
        series, _, notes = series_of(table, columns)
        tell(*(note.partition("; data.time")[0] for note in notes))
        for one in series:
            yield from self._windows(one, name, columns)

    def _windows(self, one: Series, name: str, columns: SeriesColumns) -> Iterator[Item]:
        """Yield what is predicted of a series."""
        length, steps = self._length, len(one)
        which = " ".join(filter(None, (one.client, one.name)))
        own = f" of '{which}'" if which else ""
        sorted_by = f" in the order of '{columns.time}'" if columns.time else ""
        is_forecast = self.task.kind == "regression"
        if steps < length and is_forecast:
            fault = f"{name} has {steps} rows{own}, and the network reads {length} at a time"
            yield Item(name, f"1 to {steps}{own}", fault=fault)
            return
        values = filled(one.values, columns.gaps)
        starts = [steps - length] if is_forecast else [*range(0, steps - length + 1, length)]
        if not is_forecast and (not starts or starts[-1] + length < steps):
            starts.append(max(steps - length, 0))
        for start in starts:
            rows = f"{start + 1} to {min(start + length, steps)}{own}{sorted_by}"
            window = padded(values[start : start + length], length)
            yield Item(name, rows, self._stored(window))

    def _stored(self, values: FloatArray) -> torch.Tensor:
        features = self.task.encoding.features if self.task.encoding is not None else None
        return scaled(torch.from_numpy(values), features)

    def _scaled_target(self, values: FloatArray) -> torch.Tensor:
        scaling = self.task.encoding.targets if self.task.encoding is not None else None
        return scaled(torch.from_numpy(values), scaling)

    def _table(self, path: Path) -> Table:
        """Return a file's columns; one without a header has those of the run, by place."""
        where, found = shown(path), read_fields(path)
        first = found.rows[0].fields
        if not np.isnan(numbers([field.strip() for field in first], found.separator)).any():
            width = self.task.input_shape[-1]
            if len(first) != width:
                raise FedlabError(
                    f"{where} has {len(first)} columns, and the network takes {width}"
                )
            header = [*self._inputs] or [str(number) for number in range(1, width + 1)]
        else:
            header = take_header(found, where)
        tell(*found.notes)
        return table_of(found, header, where, "first line")

    @property
    def _inputs(self) -> tuple[str, ...]:
        """Return the names of the columns that the network reads, where they have some."""
        features = self.task.encoding.features if self.task.encoding is not None else None
        return features.columns if features is not None else ()

    def _columns(self, header: list[str], name: str, with_targets: bool) -> SeriesColumns:
        """Return what the columns of a file are, by the keys of the run and its own header."""
        data = self.data
        inputs = self._present(self._inputs, header, name)
        label = target = None
        if with_targets and self.task.kind == "classification":
            known = [getattr(data, "label", None), *LABEL_COLUMNS]
            label = next((name for name in known if name in header), None)
            if label is None:
                raise FedlabError(
                    f"{name} needs a header with one of {listed(filter(None, known))}"
                )
        elif with_targets:
            target = self._target()
            find_columns(header, [target], name)

        def there(key: str) -> str | None:
            column = getattr(data, key, None)
            return column.strip() if column and column.strip() in header else None

        gaps: Any = getattr(data, "missing", "refuse")
        found = SeriesColumns(
            inputs, target, label, there("clients_by"), there("series"), there("time"),
            gaps,
        )  # fmt: skip
        words = getattr(data, "missing_words", None)
        return replace(found, missing=words) if words is not None else found

    def _target(self) -> str:
        """Return the column that is forecast, which the names of the outputs begin with."""
        chosen = getattr(self.data, "target", None)
        return str(chosen or self.task.labels[0].rpartition(" + ")[0])

    def _present(self, inputs: tuple[str, ...], header: list[str], name: str) -> tuple[str, ...]:
        """Return the input columns of a file: by name, or by place where it has no such names."""
        width = self.task.input_shape[-1]
        if any(column.strip() in header for column in inputs):
            find_columns(header, inputs, name)
            return inputs
        if len(header) != width:
            if inputs and not all(column.startswith("channel ") for column in inputs):
                find_columns(header, inputs, name)
            raise FedlabError(f"{name} has {len(header)} columns, and the network takes {width}")
        return tuple(header)

    def _of_ts(self, path: Path, with_classes: bool) -> Iterator[Item]:
        """Yield the series of a .ts file."""
        found = read_ts(path)
        if found.channels != self.task.input_shape[1]:
            raise FedlabError(
                f"{shown(path)} has {found.channels} channels, and the network takes "
                f"{self.task.input_shape[1]}"
            )
        classes = Classes(self.task)
        rows = zip(found.series, found.labels, strict=True)
        for number, (values, label) in enumerate(rows, 1):
            window = padded(np.asarray(values[: self._length], dtype=np.float64), self._length)
            target = classes.of(label, shown(path)) if with_classes else None
            yield Item(shown(path), number, self._stored(window), target=target)
