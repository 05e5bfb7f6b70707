"""Tables: columns, what they hold, and which of them may be the target and the client."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from fedlab.data.column_names import CALLED_CLIENT, CALLED_TARGET
from fedlab.data.inspection import Contents, Finding
from fedlab.data.names import class_name, listed, shown
from fedlab.data.tables.columns import Found, column_numbers, examine, notes_on_words
from fedlab.data.tables.reading import (
    MISSING_WORDS,
    PARQUET_SUFFIXES,
    Frame,
    joined,
    missing_in,
    read_frame,
    table_files,
)
from fedlab.data.tables.settings import FILE
from fedlab.data.tables.target import MOST_CLASSES, target_labels
from fedlab.errors import FedlabError
from fedlab.registry import inspectors

_SURELY = frozenset({".csv", ".tsv", ".tab", *PARQUET_SUFFIXES})
_KEY = "data.path"
FEWEST_ROWS = 5
"""A column that names clients has this many rows for each in the mean."""


@inspectors.register("table")
class TableFiles:
    """Tables: CSV, TSV and Parquet, one file, or a folder with a file for each client."""

    def claim(self, contents: Contents) -> float:
        """Return half the share of files that are tables by their suffix."""
        return 0.5 * contents.share(_SURELY) or 0.1 * contents.share({".data", ".txt"})

    def inspect(self, contents: Contents) -> Finding:
        """Return what is there.

        Raises:
            FedlabError: If it is no table, or files have different columns.
        """
        path = contents.path
        files = [path] if contents.is_file else table_files(path, _KEY)
        frames = [read_frame(file, _KEY) for file in files]
        frame, others = _together(frames)
        notes = (
            [f"not all files have {listed(others)}; data.drop leaves them out"] if others else []
        )
        found, faults = _examined(frame)
        target = _target(frame, found)
        by = FILE if len(files) > 1 else _client(frame, found, target)
        sites = Counter(
            {file.stem: len(part) for file, part in zip(files, frames, strict=True)}
            if len(files) > 1
            else map(class_name, frame.columns[by] if by else ())
        )
        facts, details = _facts(found, target, by)
        told = (
            *frame.notes,
            *notes,
            *faults,
            *_left_out(found, target, by),
            *notes_on_words(found),
            *_in_time(found),
        )
        scenario = _scenario(path, target, by, found, others)
        return Finding(
            "table",
            path,
            len(frame),
            f"{len(files)} files, {len(frame.columns)} columns"
            if len(files) > 1
            else f"{len(frame.columns)} columns",
            _classes(frame, found, target),
            dict(sorted(sites.items())),
            facts,
            told,
            details,
            scenario,
            "" if scenario else "no column looks like one to learn; set data.target yourself",
        )


def _together(frames: list[Frame]) -> tuple[Frame, list[str]]:
    """Return the files as one table of the columns that all have, and the others' names."""
    common = set.intersection(*(set(frame.columns) for frame in frames))
    others = sorted({name for frame in frames for name in frame.columns} - common)
    if not common:
        raise FedlabError("the tables have no column in common; inspect them one by one")
    return joined([frame.without(others) for frame in frames]), others


def _examined(frame: Frame) -> tuple[dict[str, Found], list[str]]:
    """Return what each column holds, and what is wrong with some."""
    is_missing, faults = missing_in(MISSING_WORDS), []
    found = {}
    for name, fields in frame.columns.items():
        absent = is_missing(fields)
        try:
            found[name] = examine(frame, name, absent)
        except FedlabError as error:
            faults.append(str(error))
            found[name] = examine(frame, name, absent, "category")
    return found, faults


def _target(frame: Frame, found: dict[str, Found]) -> str | None:
    """Return the column that is probably learned: by its name, else the last that may be."""
    possible = [name for name, column in found.items() if _can_be_learned(column, len(frame))]
    named = [name for name in possible if CALLED_TARGET.fullmatch(name.strip())]
    others = [name for name in possible if not CALLED_CLIENT.search(name)]
    return next(iter([*reversed(named), *reversed(others), *reversed(possible)]), None)


def _can_be_learned(column: Found, rows: int) -> bool:
    if column.left_out or column.kind == "date" or column.distinct < 2:
        return False
    return column.kind == "number" or column.distinct <= max(2, min(MOST_CLASSES, rows // 2))


def _client(frame: Frame, found: dict[str, Found], target: str | None) -> str | None:
    """Return the column that probably says whose a row is, or None."""
    for name, column in found.items():
        enough = column.distinct >= 2 and column.distinct * FEWEST_ROWS <= len(frame)
        if name != target and enough and not column.missing and CALLED_CLIENT.search(name):
            return name
    return None


def _classes(frame: Frame, found: dict[str, Found], target: str | None) -> dict[str, int]:
    """Return how many rows each class has, where the target has classes."""
    if target is None:
        return {}
    rows = np.flatnonzero(~missing_in(MISSING_WORDS)(frame.columns[target]))
    values = column_numbers(frame.take(rows), target)
    are_numbers = not np.isnan(values).any()
    if are_numbers and (found[target].distinct > MOST_CLASSES or (values != values.round()).any()):
        return {}
    return dict(sorted(Counter(target_labels(frame.take(rows), target)).items()))


def _facts(
    found: dict[str, Found], target: str | None, by: str | None
) -> tuple[tuple[tuple[str, str], ...], dict[str, Any]]:
    """Return what is to be shown, and the same for ``--json``."""
    kinds = {"number": "numbers", "category": "categories", "date": "dates"}
    facts = []
    for kind, plural in kinds.items():
        names = [name for name, column in found.items() if column.kind == kind]
        if names:
            facts.append((plural, f"{len(names)}: {', '.join(map(shown, names))}"))
    gaps = [f"{shown(name)} {column.missing:,}" for name, column in found.items() if column.missing]
    facts.append(("missing values", ", ".join(gaps) or "none"))
    facts.append(("target", f"probably {shown(target)}" if target else "not recognised"))
    whose = "a file each" if by == FILE else f"probably {shown(by)}" if by else "not recognised"
    facts.append(("clients by", whose))
    details = {
        "columns": {name: column._asdict() for name, column in found.items()},
        "target": target,
        "clients_by": by,
    }
    return tuple(facts), details


def _left_out(found: dict[str, Found], target: str | None, by: str | None) -> list[str]:
    return [
        f"column '{shown(name)}' is no input: {column.left_out}"
        for name, column in found.items()
        if column.left_out and name not in (target, by)
    ]


def _in_time(found: dict[str, Found]) -> list[str]:
    """Return what a table with dates was taken for, and how to say otherwise."""
    named = [name for name, column in found.items() if column.kind == "date"]
    if not named:
        return []
    return [
        f"rows are taken for independent examples, and {listed(named)} for a property of each; "
        "--kind series-csv takes them for the steps of series"
    ]


def _scenario(
    path: Path, target: str | None, by: str | None, found: dict[str, Found], others: list[str]
) -> dict[str, Any]:
    """Return tables that learn from this one, as a start."""
    if target is None:
        return {}
    data: dict[str, Any] = {"name": "table", "path": str(path.absolute()), "target": target}
    if by is not None:
        data["clients_by"] = by
    if found[target].missing or (by in found and found[by or ""].missing):
        data["on_error"] = "skip"
    if others:
        data["drop"] = others
    return {
        "data": data,
        "model": {"name": "mlp", "hidden": [64]},
        "evaluation": {"baselines": ["centralised", "local"]},
    }
