"""Whether a table's rows are the steps of series: evenly spaced in time, in each of its series."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from itertools import permutations
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from fedlab.data.clients_by import groups_of
from fedlab.data.column_names import CALLED_CLIENT, CALLED_SERIES
from fedlab.data.dataset import IntArray
from fedlab.data.formats.columns import Table
from fedlab.data.formats.table import finite
from fedlab.data.time_order import times_or_none

FEWEST_STEPS = 10
"""Rows that a series has, on average; a patient's few visits are no series."""
MOST_NAMES = 4
"""Columns that are tried for what tells series apart, alone and in pairs."""
_REGULAR = 0.7
"""Of the steps in time, how many are equal: trading days are, but for weekends and holidays."""
_EQUAL = 0.1
"""By how much equal steps differ, relatively: months do, and clocks."""


class SeriesFound(NamedTuple):
    """What orders a table's rows, and tells its series apart.

    Attributes:
        time: The column of times, or None.
        client: The column that says whose a series is, or None.
        series: The column that tells a client's series apart, or None.
        groups: (rows,) the series of each row.
        step: The median step in time: seconds, or what the column counts; 0 without times.
        is_regular: Whether the times are evenly spaced.
    """

    time: str | None
    client: str | None
    series: str | None
    groups: IntArray
    step: float
    is_regular: bool


def series_in(table: Table) -> SeriesFound:
    """Return the first reading of a table that has evenly spaced times, else the likeliest one."""
    rows = len(table.lines)
    distinct = None
    for column in table.columns:
        times = _numbers(times_or_none(table, column))
        if times is None:
            continue
        for client, series in _apart(table, column):
            groups = _groups(table, client, series)
            step, is_regular = _spacing(times, groups)
            found = SeriesFound(column, client, series, groups, step, is_regular)
            if is_regular:
                return found
            if step > 0:
                distinct = distinct or found
    return distinct or SeriesFound(None, None, None, np.zeros(rows, np.int64), 0.0, False)


def _numbers(times: list[Any] | None) -> npt.NDArray[np.float64] | None:
    """Return times as numbers, dates in seconds; None where there are none."""
    if times is None or not times:
        return None
    if not isinstance(times[0], datetime):
        return np.array(times, dtype=np.float64)
    first = times[0]
    return np.array([(time - first).total_seconds() for time in times])


def _apart(table: Table, time: str) -> Iterator[tuple[str | None, str | None]]:
    """Yield what may tell series apart: nothing, a column, or a client and a series of its own."""
    yield None, None
    names = [name for name in table.columns if name != time and _may_name(table, name)]
    likeliest = sorted(names, key=lambda n: (not CALLED_CLIENT.search(n), not _is_series(n)))
    for name in likeliest[:MOST_NAMES]:
        yield (None, name) if _is_series(name) else (name, None)
    for client, series in permutations(likeliest[:MOST_NAMES], 2):
        if not _is_series(client):
            yield client, series


def _is_series(name: str) -> bool:
    return CALLED_SERIES.search(name) is not None


def _may_name(table: Table, column: str) -> bool:
    """Return whether a column may name series: words, or whole numbers that are called so."""
    fields = table.of(column)
    count = len(set(fields))
    if count * FEWEST_STEPS > len(fields) or not all(fields):
        return False
    numbers = [finite(field) for field in set(fields)]
    if any(number is None for number in numbers):
        return all(number is None for number in numbers) or bool(CALLED_CLIENT.search(column))
    called = CALLED_CLIENT.search(column) or CALLED_SERIES.search(column)
    return called is not None and all(float(number or 0).is_integer() for number in numbers)


def _groups(table: Table, client: str | None, series: str | None) -> IntArray:
    columns = [table.named(name) for name in (client, series) if name is not None]
    if not columns:
        return np.zeros(len(table.lines), np.int64)
    numbers, _ = groups_of(["\0".join(names) for names in zip(*columns, strict=True)])
    return numbers


def _spacing(times: npt.NDArray[np.float64], groups: IntArray) -> tuple[float, bool]:
    """Return the median step, 0 where a series has a time twice, and whether most steps equal it.

    Args:
        times: (rows,) numbers.
        groups: (rows,) the series of each.
    """
    order = np.lexsort((times, groups))
    steps = np.diff(times[order])[np.diff(groups[order]) == 0]
    if not len(steps) or (steps <= 0).any():
        return 0.0, False
    median = float(np.median(steps))
    equal = np.abs(steps - median) <= _EQUAL * median
    long_enough = len(times) >= FEWEST_STEPS * len(np.unique(groups))
    return median, bool(long_enough and equal.mean() >= _REGULAR)
