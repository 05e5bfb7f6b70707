"""Series in CSV files: told apart, in the order of time, without gaps, and cut into windows."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from fedlab.data.clients_by import groups_of
from fedlab.data.dataset import IntArray
from fedlab.data.formats.columns import Table, read_table
from fedlab.data.formats.table import MISSING, is_missing
from fedlab.data.names import listed
from fedlab.data.tables.columns import MOSTLY
from fedlab.data.tables.fields import numbers
from fedlab.data.time_order import by_time, unordered
from fedlab.errors import FedlabError

FloatArray = npt.NDArray[np.float64]
Gaps = Literal["refuse", "interpolate", "previous", "mean"]


@dataclass(frozen=True)
class SeriesColumns:
    """What the columns of a CSV file are.

    Attributes:
        inputs: What the network reads; () for every column of numbers that is nothing else.
        target: What is forecast, or None.
        label: The class at each step, or None.
        client: Whose series it is, or None.
        series: Which of a client's series it is, or None.
        time: By what the rows of a series are sorted, or None.
        gaps: What is done about missing numbers.
        missing: The words that stand for a missing value, in any case.
    """

    inputs: tuple[str, ...] = ()
    target: str | None = None
    label: str | None = None
    client: str | None = None
    series: str | None = None
    time: str | None = None
    gaps: Gaps = "refuse"
    missing: tuple[str, ...] = MISSING

    @property
    def named(self) -> list[str]:
        """Return the columns that are asked for by name, without those of numbers."""
        return [c for c in (self.label, self.client, self.series, self.time) if c]


@dataclass(frozen=True)
class Series:
    """One series, in the order of time.

    Attributes:
        client: Whose it is; "" where nothing says that.
        name: Which series it is; "" where the file is one.
        values: (T, F) numbers; NaN where one is missing.
        target: (T,) what is forecast; NaN where it is missing. Empty without one.
        labels: The class at each step; () without classes.
    """

    client: str
    name: str
    values: FloatArray
    target: FloatArray
    labels: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.values)

    def part(self, start: int, stop: int) -> Series:
        """Return some of the steps."""
        steps = slice(start, stop)
        return Series(
            self.client, self.name, self.values[steps], self.target[steps], self.labels[steps]
        )

    def runs(self) -> Iterator[Series]:
        """Yield the stretches of steps of one class."""
        start = 0
        for _, steps in groupby(self.labels):
            stop = start + sum(1 for _ in steps)
            yield self.part(start, stop)
            start = stop


def read_series(
    path: Path, columns: SeriesColumns, key: str
) -> tuple[list[Series], SeriesColumns, tuple[str, ...]]:
    """Return the series of a file, by client and name; its columns; and notes.

    Args:
        path: A CSV file with a header and one row per step.
        columns: What its columns are.
        key: The scenario's key or the option that names it, for messages.

    Raises:
        FedlabError: If a column is missing, a field is no number, or a time is there twice.
    """
    wanted = [*columns.inputs, *columns.named]
    wanted += [columns.target] if columns.target else []
    table = read_table(path, list(dict.fromkeys(wanted)), key)
    return series_of(table, columns)


def series_of(
    table: Table, columns: SeriesColumns
) -> tuple[list[Series], SeriesColumns, tuple[str, ...]]:
    """Return the series of a table; see :func:`read_series`."""
    absent = is_missing(columns.missing)
    notes = list(table.notes)
    inputs = columns.inputs or _numeric(table, columns, absent)
    if not columns.inputs:
        notes.append(f"{table.where}: the inputs are {listed(inputs)} (data.columns)")
    columns = SeriesColumns(**{**vars(columns), "inputs": inputs})
    values = np.array([_numbers(table, name, columns, absent) for name in inputs]).T
    target = (
        _numbers(table, columns.target, columns, absent)
        if columns.target
        else np.empty((len(values), 0))
    )
    clients, series = (_names(table, name, absent) for name in (columns.client, columns.series))
    labels = _names(table, columns.label, absent)
    groups, names = groups_of([f"{a}\0{b}" for a, b in zip(clients, series, strict=True)])
    order, note = _order(table, columns, groups)
    notes += [note] if note else []
    found = []
    for number, name in enumerate(names):
        rows = order[groups[order] == number]
        client, _, own = name.partition("\0")
        said = tuple(labels[row] for row in rows) if columns.label else ()
        found.append(Series(client, own, values[rows], target[rows], said))
    gaps = int(np.isnan(values).sum())
    if gaps:
        notes.append(
            f"{table.where}: {gaps} of {values.size} numbers are missing (data.missing = "
            f"'{columns.gaps}')"
        )
    return found, columns, tuple(notes)


def _numeric(
    table: Table, columns: SeriesColumns, absent: Callable[[str], bool]
) -> tuple[str, ...]:
    """Return the columns that hold numbers and are nothing else.

    Raises:
        FedlabError: If there is none, or most fields of a column are numbers and some are not.
    """
    other = {name.strip() for name in columns.named}
    found = []
    for name, fields in table.columns.items():
        if name in other:
            continue
        present = np.array([not absent(field) for field in fields])
        are_numbers = ~np.isnan(numbers(fields, table.separator))[present]
        if are_numbers.any() and (are_numbers.all() or are_numbers.mean() > MOSTLY):
            _check_numbers(table, name, present, are_numbers)
            found.append(name)
    if not found:
        raise FedlabError(f"{table.where} has no column of numbers to read; name some")
    return tuple(found)


def _check_numbers(
    table: Table, column: str, present: npt.NDArray[np.bool_], are_numbers: npt.NDArray[np.bool_]
) -> None:
    """Refuse a column of numbers in which something else stands, too.

    Args:
        table: The table.
        column: The column.
        present: (rows,) where it holds something.
        are_numbers: Of those rows, where that is a number.

    Raises:
        FedlabError: If it is none somewhere; the line is named.
    """
    if are_numbers.all():
        return
    row = int(np.flatnonzero(present)[~are_numbers][0])
    raise FedlabError(
        f"{table.place(row, column)}: {table.of(column)[row]!r} is not a number, and "
        f"{100 * are_numbers.mean():.3g} % of the column's values are; correct it, let "
        "data.missing_words list it, or name the inputs in data.columns"
    )


def _numbers(
    table: Table, column: str, columns: SeriesColumns, absent: Callable[[str], bool]
) -> FloatArray:
    """Return a column's numbers, NaN for missing ones.

    Raises:
        FedlabError: If a field is neither, or one is missing where that is refused.
    """
    if columns.gaps == "refuse":
        for row, field in enumerate(table.of(column)):
            if absent(field):
                raise FedlabError(
                    f"{table.place(row, column)}: there is no number; data.missing = "
                    "'interpolate', 'previous' or 'mean' says what stands there"
                )
    fields = table.of(column)
    found = numbers(fields, table.separator)
    gone = np.array([absent(field) for field in fields])
    stray = np.flatnonzero(np.isnan(found) & ~gone)
    if len(stray):
        row = int(stray[0])
        raise FedlabError(f"{table.place(row, column)}: {fields[row]!r} is not a number")
    if gone.all():
        raise FedlabError(f"{table.where}: column '{column}' holds no number in any row")
    found[gone] = np.nan
    return found


def _names(table: Table, column: str | None, absent: Callable[[str], bool]) -> list[str]:
    """Return a column of names, or empty ones without a column.

    Raises:
        FedlabError: If a row has none.
    """
    if column is None:
        return [""] * len(table.lines)
    for row, field in enumerate(table.of(column)):
        if absent(field):
            stands = f" ('{field.strip()}' stands for a missing one; data.missing_words says so)"
            raise FedlabError(
                f"{table.place(row, column)}: there is no name{stands if field.strip() else ''}"
            )
    return table.named(column)


def _order(table: Table, columns: SeriesColumns, groups: IntArray) -> tuple[IntArray, str | None]:
    """Return the rows in the order of time, series by series, and a note where that is unclear."""
    if columns.time:
        return by_time(table, columns.time, groups), None
    used = [*columns.inputs, *columns.named, *([columns.target] if columns.target else [])]
    return np.arange(len(groups), dtype=np.int64), unordered(table, used, groups)


def filled(values: FloatArray, gaps: Gaps) -> FloatArray:
    """Return (T, F) numbers with gaps filled; what nothing can be said of stays NaN.

    "interpolate": on the straight line between the neighbours, beyond them the nearest one;
    "previous": the last number before; "mean": NaN, which standardising turns into the mean.
    """
    if gaps not in ("interpolate", "previous") or not np.isnan(values).any():
        return values
    found = values.copy()
    steps = np.arange(len(values))
    for column in found.T:
        known = ~np.isnan(column)
        if not known.any():
            continue
        if gaps == "interpolate":
            column[:] = np.interp(steps, steps[known], column[known])
        else:
            last = np.maximum.accumulate(np.where(known, steps, -1))
            column[:] = np.where(last >= 0, column[last], np.nan)
    return found


@dataclass(frozen=True)
class Windows:
    """Windows of series.

    Attributes:
        inputs: (N, window, F) numbers.
        targets: (N, horizon) numbers; empty for classes.
        labels: The class of each; () for forecasts.
        clients: Whose each is.
    """

    inputs: FloatArray
    targets: FloatArray
    labels: tuple[str, ...]
    clients: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.inputs)


def cut(pieces: Sequence[Series], window: int, horizon: int, stride: int, gaps: Gaps) -> Windows:
    """Return the windows of pieces of series, one after the other.

    With classes, a window lies within steps of one class; where there are fewer than a window has,
    they are padded at the end with NaN. Of forecasts, a window whose targets are missing is left
    out: what is filled in is no truth.
    """
    inputs: list[FloatArray] = []
    targets: list[FloatArray] = []
    labels: list[str] = []
    clients: list[str] = []
    for piece in pieces:
        values = filled(piece.values, gaps)
        if piece.labels:
            label = piece.labels[0]
            for start in range(0, max(len(values) - window, 0) + 1, stride):
                inputs.append(padded(values[start : start + window], window))
                labels.append(label)
                clients.append(piece.client)
            continue
        for start in range(0, len(values) - window - horizon + 1, stride):
            wanted = piece.target[start + window : start + window + horizon]
            if not np.isnan(wanted).any():
                inputs.append(values[start : start + window])
                targets.append(wanted)
                clients.append(piece.client)
    width = pieces[0].values.shape[1] if pieces else 0
    return Windows(
        np.stack(inputs) if inputs else np.empty((0, window, width)),
        np.stack(targets) if targets else np.empty((0, horizon)),
        tuple(labels),
        tuple(clients),
    )


def padded(values: FloatArray, window: int) -> FloatArray:
    """Return (window, F) steps, NaN after the last one."""
    return np.pad(values, ((0, window - len(values)), (0, 0)), constant_values=np.nan)


def clients_in(pieces: Collection[Series]) -> list[str]:
    """Return the names of the clients, sorted."""
    return sorted({piece.client for piece in pieces})
