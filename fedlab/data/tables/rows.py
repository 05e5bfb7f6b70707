"""Rows of a user's files that are complete enough to be used, and whose they are."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from fedlab.data.clients_by import check_sites, groups_of
from fedlab.data.dataset import IntArray
from fedlab.data.names import class_name
from fedlab.data.tables.reading import Frame, joined, missing_in, read_frame, table_files
from fedlab.data.tables.settings import FILE, SITE, TableSettings
from fedlab.data.unreadable import settle
from fedlab.errors import FedlabError, unknown


class Rows(NamedTuple):
    """Rows of a table.

    Attributes:
        frame: All their columns.
        groups: (rows,) the client of each; −1 where it is not known.
        names: The clients' names; nothing where nothing says who is a client.
        notes: What the user should know of which rows these are.
    """

    frame: Frame
    groups: IntArray
    names: tuple[str, ...]
    notes: tuple[str, ...] = ()

    def take(self, rows: IntArray) -> Rows:
        """Return some of the rows, given in ascending order."""
        return self._replace(frame=self.frame.take(rows), groups=self.groups[rows])


def read_rows(settings: TableSettings) -> Rows:
    """Return the rows of all files, with the client of each.

    Raises:
        FedlabError: If a file or a column is missing, or two files have other columns.
    """
    if settings.sites:
        check_sites(settings.sites)
        frame = joined(
            [_file(site.path, f"data.sites '{site.name}'", settings) for site in settings.sites]
        )
        order, names = groups_of([site.name for site in settings.sites])
        return Rows(frame, order[frame.parts_of_rows()], names, frame.notes)
    assert settings.path is not None
    path = Path(settings.path)
    files = table_files(path, "data.path") if path.is_dir() else [path]
    frame = joined([_file(str(file), "data.path", settings) for file in files])
    column = class_name(settings.clients_by or "")
    if not column:
        return Rows(frame, np.zeros(len(frame), dtype=np.int64), (), frame.notes)
    if column == FILE and column not in frame.columns:
        groups, names = groups_of([file.stem for file in files])
        return Rows(frame, groups[frame.parts_of_rows()], names, frame.notes)
    groups, names = groups_of([class_name(text) for text in frame.of(column, "data.clients_by")])
    return Rows(frame, groups, names, frame.notes)


def _file(path: str, key: str, settings: TableSettings) -> Frame:
    frame = read_frame(Path(path), key, settings.encoding, settings.separator)
    return frame.without([class_name(name) for name in settings.drop])


def usable(rows: Rows, settings: TableSettings) -> Rows:
    """Return the rows that have a target, a client and, where that is asked for, all values.

    Raises:
        FedlabError: If one lacks its target or its client and ``on_error`` refuses that, if one
            lacks a value and ``missing`` refuses that, or if no row is left.
    """
    frame, is_missing = rows.frame, missing_in(settings.missing_words)
    target, column = class_name(settings.target), class_name(settings.clients_by or "")
    lacking = {"target": (target, is_missing(frame.of(target, "data.target")))}
    if column in frame.columns:
        lacking["client"] = (column, is_missing(frame.columns[column]))
    faults: dict[int, str] = {}
    for what, (name, absent) in lacking.items():
        for row in np.flatnonzero(absent).tolist():
            place = frame.place(row, name).removeprefix("data.path: ")
            faults.setdefault(row, f"{place}: there is no {what}")
    ordered = [faults[row] for row in sorted(faults)]
    notes = settle(ordered, len(frame), "data.path", settings.on_error, "rows")
    kept = np.setdiff1d(np.arange(len(frame)), np.array(sorted(faults), dtype=np.int64))
    if len(kept) == 0:
        raise FedlabError(f"data.target: no row has a value in column '{target}'")
    return _complete(_renumbered(rows.take(kept))._replace(notes=rows.notes + notes), settings)


def _renumbered(rows: Rows) -> Rows:
    """Return the rows with the names of only those clients that have some."""
    present, groups = np.unique(rows.groups, return_inverse=True)
    names = tuple(rows.names[group] for group in present) if rows.names else ()
    return rows._replace(groups=groups.astype(np.int64), names=names)


def _complete(rows: Rows, settings: TableSettings) -> Rows:
    """Return the rows without missing values, where the settings ask for such alone."""
    if settings.missing not in ("drop", "refuse"):
        return rows
    is_missing, count = missing_in(settings.missing_words), len(rows.frame)
    gaps = {name: is_missing(rows.frame.columns[name]) for name in inputs_of(rows, settings)}
    incomplete = np.any(list(gaps.values()), axis=0) if gaps else np.zeros(count, dtype=bool)
    lost = int(incomplete.sum())
    if not lost:
        return rows
    first = int(np.flatnonzero(incomplete)[0])
    column = next(name for name, absent in gaps.items() if absent[first])
    if settings.missing == "refuse":
        raise FedlabError(
            f"{rows.frame.place(first, column)}: there is no value (in {lost} of {count} rows "
            "something is missing), and data.missing = 'refuse'; 'mean', 'most-frequent' or "
            "'indicator' fill such in, 'drop' leaves the rows out"
        )
    if lost == count:
        raise FedlabError(
            "data.missing: 'drop' leaves no row, because each lacks a value somewhere; data.drop "
            "takes columns out, and 'indicator' keeps all rows"
        )
    note = f"data.missing: left out {lost} of {count} rows that lack a value"
    kept = rows.take(np.flatnonzero(~incomplete))
    return _renumbered(kept)._replace(notes=(*rows.notes, note))


def inputs_of(rows: Rows, settings: TableSettings) -> list[str]:
    """Return the columns that are neither the target nor the client.

    Raises:
        FedlabError: If the settings name a column that there is not.
    """
    others = {class_name(settings.target)}
    if settings.clients_by:
        others.add(class_name(settings.clients_by))
    for name in map(class_name, settings.columns):
        if name not in rows.frame.columns:
            raise FedlabError(f"data.columns: {unknown('column', name, rows.frame.columns)}")
    return [name for name in rows.frame.columns if name not in others]


def read_test(settings: TableSettings, names: tuple[str, ...]) -> Rows:
    """Return the rows of ``data.test_path``, with the client of each where the file says it.

    Args:
        settings: The settings.
        names: The clients' names.

    Raises:
        FedlabError: If the file cannot be read, a row lacks its target, or names another client.
    """
    assert settings.test_path is not None
    frame = _file(settings.test_path, "data.test_path", settings)
    target = class_name(settings.target)
    absent = missing_in(settings.missing_words)(frame.of(target, "data.target"))
    if absent.any():
        row = int(np.flatnonzero(absent)[0])
        raise FedlabError(f"{frame.place(row, target)}: there is no target")
    by = class_name(settings.clients_by or (SITE if settings.sites else ""))
    if by not in frame.columns or not names:
        return Rows(frame, np.full(len(frame), -1), ())
    numbers = {name: number for number, name in enumerate(names)}
    groups = [numbers.get(class_name(text), -1) for text in frame.columns[by]]
    if -1 in groups:
        row = groups.index(-1)
        word = class_name(frame.columns[by][row])
        raise FedlabError(f"{frame.place(row, by)}: {unknown('client', word, numbers)}")
    return Rows(frame, np.array(groups, dtype=np.int64), names)
