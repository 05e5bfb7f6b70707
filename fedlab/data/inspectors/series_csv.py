"""Series in a CSV file: rows that are evenly spaced in time, of one series or several."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from fedlab.data.column_names import CALLED_LABEL, CALLED_TARGET
from fedlab.data.dataset import IntArray
from fedlab.data.formats.columns import Table, read_table, table_of, take_header
from fedlab.data.formats.delimited import Fields, decode, find_separator
from fedlab.data.formats.table import is_missing, rows_of
from fedlab.data.inspection import HEAD, Contents, Finding
from fedlab.data.inspectors.series import RECURRENT_RATE
from fedlab.data.names import listed, shown
from fedlab.data.regular_times import SeriesFound, series_in
from fedlab.data.series_table import Series, SeriesColumns, series_of
from fedlab.data.tables.fields import numbers
from fedlab.data.time_order import by_time
from fedlab.errors import FedlabError
from fedlab.registry import inspectors

LONGEST_WINDOW = {True: 64, False: 24}
"""Steps of a window at most, of classes and of forecasts."""
_KEY = "data.path"
_SUFFIXES = frozenset({".csv", ".tsv", ".tab"})
_LARGE = 1 << 28
"""Bytes of a file whose first rows alone decide what it is."""
FEWEST_PER_CLASS = 20
"""Steps of each class, on average."""
_STRETCH = 5
"""Steps that stretches of one class have, on average."""
_UNITS = ((86400 * 28, 86400 * 31, "a month"), (86400, 86400, "a day"), (3600, 3600, "an hour"))


class _Roles(NamedTuple):
    """What columns are: what is read, what is forecast, and the class at each step."""

    inputs: tuple[str, ...]
    target: str | None
    label: str | None
    left_out: tuple[str, ...]


@inspectors.register("series-csv")
class SeriesCsvFile:
    """Series in a CSV file with a column of evenly spaced times."""

    def __init__(self) -> None:
        self._read: tuple[Path, Table] | None = None

    def _table(self, path: Path) -> Table:
        """Return a file's table, which is read once for the claim and what follows it."""
        if self._read is None or self._read[0] != path:
            self._read = path, read_table(path, (), _KEY)
        return self._read[1]

    def claim(self, contents: Contents) -> float:
        """Return more than a table does, where the first rows and then all are evenly spaced."""
        if not contents.is_file or contents.path.suffix.lower() not in _SUFFIXES:
            return 0.0
        try:
            if not _are_series(_first_rows(contents)):
                return 0.0
            is_large = contents.path.stat().st_size > _LARGE
            return 0.6 if is_large or _are_series(self._table(contents.path)) else 0.0
        except (FedlabError, OSError):
            return 0.0

    def inspect(self, contents: Contents) -> Finding:
        """Return what is there.

        Raises:
            FedlabError: If it is no table, or has no column of numbers.
        """
        table = self._table(contents.path)
        found = series_in(table)
        roles = _roles(table, found)
        columns = SeriesColumns(
            roles.inputs,
            roles.target,
            roles.label,
            found.client,
            found.series,
            found.time,
            "interpolate",
        )
        series, _, notes = series_of(table, columns)
        pieces = [run for one in series for run in one.runs()] if roles.label else series
        window = _window(pieces, is_class=roles.label is not None)
        windows = [_windows(piece, window, roles.label) for piece in pieces]
        sites: Counter[str] = Counter()
        classes: Counter[str] = Counter()
        for piece, count in zip(pieces, windows, strict=True):
            sites[piece.client] += count
            if roles.label:
                classes[piece.labels[0]] += count
        gaps = any(np.isnan(one.values).any() for one in series)
        lengths = sorted(map(len, series))
        return Finding(
            "series-csv",
            contents.path,
            sum(windows),
            f"windows of {window} steps, a row a step",
            dict(sorted(classes.items())),
            dict(sorted(sites.items())) if found.client else {},
            _facts(found, roles, lengths),
            (*_taken_for(found), *_guessed(roles), *notes),
            {"lengths": lengths[:: len(lengths) - 1 or 1], "step": found.step},
            _scenario(contents, found, roles, window, gaps),
        )


def _first_rows(contents: Contents) -> Table:
    """Return the table of the rows in the first bytes of a file."""
    head = contents.head()
    if len(head) == HEAD:
        head = head[: head.rfind(b"\n") + 1]
    text, _ = decode(head, shown(contents.path))
    separator = find_separator(text)
    rows = [row for row in rows_of(text, "", separator) if any(map(str.strip, row.fields))]
    if len(rows) < 2:
        raise FedlabError(f"{shown(contents.path)} has no rows")
    fields = Fields(rows, separator, ())
    return table_of(fields, take_header(fields, ""), "")


def _are_series(table: Table) -> bool:
    """Return whether rows are evenly spaced in time, and hold numbers beside it."""
    found = series_in(table)
    return found.is_regular and bool(_numeric(table, found))


def _numeric(table: Table, found: SeriesFound) -> list[str]:
    """Return the columns of numbers that are nothing else."""
    absent = is_missing(SeriesColumns().missing)
    other = {found.time, found.client, found.series}
    names = []
    for name, fields in table.columns.items():
        if name not in other:
            present = [field for field in fields if not absent(field)]
            if present and not np.isnan(numbers(present, table.separator)).any():
                names.append(name)
    return names


def _roles(table: Table, found: SeriesFound) -> _Roles:
    """Return what the columns are that neither order rows nor tell series apart."""
    numeric = _numeric(table, found)
    counters = tuple(name for name in numeric if _counts_rows(table, name))
    label = _label(table, found)
    inputs = tuple(name for name in numeric if name not in (*counters, label))
    if not inputs:
        raise FedlabError(f"{table.where} has no column of numbers to read")
    named = [name for name in inputs if CALLED_TARGET.fullmatch(name.strip())]
    target = None if label else [*inputs, *named][-1]
    return _Roles(inputs, target, label, counters)


def _counts_rows(table: Table, column: str) -> bool:
    values = numbers(table.of(column), table.separator)
    return len(values) > 1 and bool((np.diff(values) == 1).all())


def _label(table: Table, found: SeriesFound) -> str | None:
    """Return a column that is called a class, and has each for several steps in a row, or None."""
    absent = is_missing(SeriesColumns().missing)
    order = _in_time(table, found)
    for name, fields in table.columns.items():
        is_other = name in (found.time, found.client, found.series)
        if is_other or not CALLED_LABEL.fullmatch(name.strip()) or any(map(absent, fields)):
            continue
        groups, names = found.groups[order], np.array(fields)[order]
        changes = int(((np.diff(groups) != 0) | (names[1:] != names[:-1])).sum())
        count = len(set(fields))
        if 2 <= count <= len(fields) / FEWEST_PER_CLASS and len(fields) >= _STRETCH * (changes + 1):
            return name
    return None


def _in_time(table: Table, found: SeriesFound) -> IntArray:
    """Return the rows in the order of time, series by series."""
    if found.time is None:
        return np.argsort(found.groups, kind="stable")
    return by_time(table, found.time, found.groups)


def _window(pieces: list[Series], is_class: bool) -> int:
    """Return the steps of a window that fits the last fifth of most series."""
    middle = int(np.median([len(piece) for piece in pieces]))
    return max(1, min(LONGEST_WINDOW[is_class], middle // 5 - (not is_class)))


def _windows(piece: Series, window: int, label: str | None) -> int:
    """Return how many windows a series or a stretch of one class has."""
    return max(len(piece) - window, 0) + 1 if label else max(len(piece) - window, 0)


def _facts(found: SeriesFound, roles: _Roles, lengths: list[int]) -> tuple[tuple[str, str], ...]:
    spread = str(lengths[0]) if lengths[0] == lengths[-1] else f"{lengths[0]} to {lengths[-1]}"
    apart = [name for name in (found.client, found.series) if name]
    return (
        ("series", f"{len(lengths):,}" + (f", told apart by {listed(apart)}" if apart else "")),
        ("steps", spread),
        ("numbers", f"{len(roles.inputs)}: {', '.join(map(shown, roles.inputs))}"),
        *([("time", shown(found.time))] if found.time else []),
        ("class", shown(roles.label)) if roles.label else ("forecast", shown(roles.target or "")),
        ("clients by", f"probably {shown(found.client)}" if found.client else "not recognised"),
    )


def _taken_for(found: SeriesFound) -> list[str]:
    """Return what rows are taken for, and how to say otherwise."""
    if not found.is_regular:
        return ["rows are taken for the steps of series, though no times in them are evenly spaced"]
    spaced = next(
        (f", {unit} apart" for least, most, unit in _UNITS if least <= found.step <= most), ""
    )
    return [
        f"rows are taken for the steps of series, because the times in '{found.time}' are evenly "
        f"spaced{spaced}; --kind table takes them for independent examples"
    ]


def _guessed(roles: _Roles) -> list[str]:
    notes = [f"column '{name}' is no input: it numbers the rows" for name in roles.left_out]
    if roles.label:
        return [*notes, f"windows are classified by '{roles.label}' (data.label)"]
    return [*notes, f"'{roles.target}' is forecast; data.target names another column"]


def _scenario(
    contents: Contents, found: SeriesFound, roles: _Roles, window: int, gaps: bool
) -> dict[str, Any]:
    """Return tables that learn from these series, as a start."""
    data: dict[str, Any] = {
        "name": "series-csv",
        "path": str(contents.path.absolute()),
        "time": found.time,
        "clients_by": found.client,
        "series": found.series,
        "columns": list(roles.inputs) if roles.left_out else None,
        "target": roles.target,
        "label": roles.label,
        "window": window,
        "missing": "interpolate" if gaps else None,
    }
    return {
        "data": {key: value for key, value in data.items() if value is not None},
        "model": {"name": "gru"},
        "client": {"optimizer": {"lr": RECURRENT_RATE}},
        "evaluation": {"baselines": ["centralised", "local"]},
    }
