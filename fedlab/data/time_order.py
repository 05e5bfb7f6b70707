"""The order of a table's rows in time."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from itertools import pairwise
from typing import Any

import numpy as np

from fedlab.data.dataset import IntArray
from fedlab.data.formats.columns import Table
from fedlab.data.formats.table import finite
from fedlab.errors import FedlabError

_CALLED_TIME = frozenset({"time", "timestamp", "date", "datetime"})
"""Names of columns, in lower case, whose numbers are taken for times."""


def by_time(table: Table, column: str, groups: IntArray) -> IntArray:
    """Return the rows in the order of time within each group, (rows,); groups stay together.

    Args:
        table: The table.
        column: Its column of times: numbers, or dates with or without a time of day as ISO 8601
            writes them (2024-12-31, 2024-12-31 23:00, 2024-12-31T23:00:00Z).
        groups: (rows,) the series that each row belongs to.

    Raises:
        FedlabError: If a field is no time, or a series has one time twice; the lines are named.
    """
    times = _times(table, column)
    order = sorted(range(len(times)), key=lambda row: (groups[row], times[row]))
    for earlier, later in pairwise(order):
        if groups[earlier] == groups[later] and times[earlier] == times[later]:
            raise FedlabError(
                f"{table.place(later, column)}: the time {table.of(column)[later].strip()!r} is "
                f"on line {table.lines[earlier]}, too; "
                "a series has one row for each time (data.clients_by and data.series "
                "tell series apart)"
            )
    return np.array(order, dtype=np.int64)


def unordered(table: Table, used: Collection[str], groups: IntArray) -> str | None:
    """Return a note on a column of times that do not ascend, or None if there is none.

    Args:
        table: The table, whose rows are taken in the order of the file.
        used: Columns that are something else: inputs, the target, the group.
        groups: (rows,) the series that each row belongs to.
    """
    for column in table.columns.keys() - {name.strip() for name in used}:
        times = times_or_none(table, column)
        if times is None:
            continue
        last: dict[int, int] = {}
        for row, group in enumerate(groups.tolist()):
            before = last.get(group)
            if before is not None and times[row] < times[before]:
                return (
                    f"{table.where}: the times in column '{column}' do not ascend (line "
                    f"{table.lines[row]} is before line {table.lines[before]}), and rows are taken "
                    f"in the order of the file; data.time = '{column}' sorts them"
                )
            last[group] = row
    return None


def times_or_none(table: Table, column: str) -> list[Any] | None:
    """Return a column's times, one a row, or None if it holds something else.

    Times are numbers, where the column is called a time, or dates, all with a time zone or all
    without.
    """
    fields = table.of(column)
    if _number(fields[0]) is not None and column.lower() not in _CALLED_TIME:
        return None
    try:
        return _times(table, column)
    except FedlabError:
        return None


def _times(table: Table, column: str) -> list[Any]:
    """Return a column's times: all numbers, or all dates, with a time zone or without."""
    fields = [field.strip() for field in table.of(column)]
    read = _date if _number(fields[0]) is None else _number
    times: list[Any] = [read(field) for field in fields]
    kinds = [_kind(time) for time in times]
    for row, kind in enumerate(kinds):
        if kind is None or kind != kinds[0]:
            raise FedlabError(
                f"{table.place(row, column)}: {_complaint(fields[row], kind, kinds[0])}"
            )
    return times


def _complaint(field: str, kind: str | None, first: str | None) -> str:
    if not field:
        return "there is no time"
    if kind is None and first == "a number":
        return f"{field!r} is not a number, as the first time is"
    if kind is None:
        return f"{field!r} is neither a number nor a date such as 2024-12-31 or 2024-12-31 23:00"
    return f"{field!r} is {kind}, and the first time is {first}"


def _kind(time: Any) -> str | None:
    if isinstance(time, datetime):
        return "without a time zone" if time.tzinfo is None else "in a time zone"
    return None if time is None else "a number"


def _date(field: str) -> datetime | None:
    try:
        return datetime.fromisoformat(field)
    except ValueError:
        return None


def _number(field: str) -> int | float | None:
    """Return a number exactly: nanoseconds since 1970 have more digits than a float."""
    try:
        return int(field)
    except ValueError:
        return finite(field)
