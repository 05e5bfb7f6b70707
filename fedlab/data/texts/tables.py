"""Rows of texts from tables: CSV, TSV, Parquet and JSON lines."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np

from fedlab.data.formats import json_lines
from fedlab.data.formats.json_lines import read_json_lines
from fedlab.data.formats.table import finite, is_missing
from fedlab.data.names import class_name, listed, shown
from fedlab.data.tables.reading import PARQUET_SUFFIXES, Frame, Part, read_frame
from fedlab.data.texts.rows import TextRows
from fedlab.data.texts.settings import FOLDER, TextSettings
from fedlab.data.unreadable import settle
from fedlab.errors import FedlabError

SUFFIXES = frozenset({".csv", ".tsv", ".tab", *PARQUET_SUFFIXES, *json_lines.SUFFIXES})
"""Of the files in a folder that are tables, in lower case."""
TEXT_NAMES = ("text", "sentence", "review", "content", "message", "body", "comment", "document",
              "tweet", "question", "name", "surname")  # fmt: skip
LABEL_NAMES = ("label", "class", "target", "category", "score", "rating", "stars", "sentiment",
               "language", "y")  # fmt: skip
_A_SENTENCE = 3
"""Words that no name of a column has."""
_A_TEXT = 15
"""Letters that fields have on average in a column that is taken for the texts by their length."""


def read_text_frame(path: Path, settings: TextSettings, key: str) -> Frame:
    """Return the columns of a table file, as text.

    Raises:
        FedlabError: If it cannot be read; the message names key, file and line.
    """
    if path.suffix.lower() not in json_lines.SUFFIXES:
        return read_frame(path, key, settings.encoding, settings.separator)
    try:
        columns, lines = read_json_lines(path)
    except FedlabError as error:
        raise FedlabError(f"{key}: {error}") from error
    return Frame(columns, (Part(f"{key}: {shown(path)}", "", np.array(lines)),))


def read_table(path: Path, settings: TextSettings, key: str) -> TextRows:
    """Return the texts of a table with their targets, and their clients if a column has them.

    Raises:
        FedlabError: If the file cannot be read, a column is missing or ambiguous, or a row lacks
            something.
    """
    frame = read_text_frame(path, settings, key)
    by = settings.clients_by if settings.clients_by not in (None, FOLDER) else None
    others = {class_name(by)} if by else set()
    text = find_text(frame, settings.text_column, others)
    label = find_label(frame, settings.label_column, {text, *others})
    names = [name for name in (settings.text_column, settings.label_column, by) if name]
    if len({text, label, *others}) < 2 + len(others) or len(set(names)) < len(names):
        raise FedlabError(
            "data.text_column, data.label_column, data.clients_by: they name one column twice"
        )
    wanted = [label, *(class_name(name) for name in (by,) if name)]
    if by:
        frame.of(by, "data.clients_by")
    _check_has_header(frame, text, label, settings)
    kept, notes = _complete(frame, text, wanted, settings, key)
    columns = {n: [frame.columns[n][row] for row in kept] for n in (text, *wanted)}
    return TextRows(
        columns[text],
        [class_name(field) for field in columns[label]],
        [frame.place(row, label) for row in kept],
        [False] * len(kept),
        [class_name(field) for field in columns[wanted[1]]] if by else None,
        (*frame.notes, *_told(text, label, settings), *notes),
        True,
        (text, label),
    )


def find_text(frame: Frame, asked: str | None, others: Collection[str]) -> str:
    """Return the column that holds the texts: that which is asked for, or is likeliest.

    Raises:
        FedlabError: If there is no such column, or it cannot be told.
    """
    candidates = [name for name in frame.columns if name not in others]
    named = _asked_or_named(frame, asked, "data.text_column", candidates, TEXT_NAMES)
    if named is not None:
        return named
    lengths = {name: _mean_length(frame.columns[name]) for name in candidates}
    long = [name for name, length in lengths.items() if length >= _A_TEXT]
    if len(long) == 1:
        return long[0]
    raise FedlabError(
        f"data.text_column: {frame.file} has no column 'text'; say which of "
        f"{listed(frame.columns)} holds the texts; where none does, it is a table, which "
        "data.name = 'table' reads from CSV, TSV and Parquet"
    )


def find_label(frame: Frame, asked: str | None, others: Collection[str]) -> str:
    """Return the column that holds the targets: that which is asked for, or is likeliest.

    Raises:
        FedlabError: If there is no such column, or it cannot be told.
    """
    candidates = [name for name in frame.columns if name not in others]
    named = _asked_or_named(frame, asked, "data.label_column", candidates, LABEL_NAMES)
    if named is not None:
        return named
    if len(candidates) == 1:
        return candidates[0]
    held = f"say which of {listed(candidates)} holds the classes or scores"
    if not candidates:
        held = "it holds the texts alone, and classes or scores are needed"
    raise FedlabError(f"data.label_column: {frame.file} has no column 'label'; {held}")


def _asked_or_named(
    frame: Frame, asked: str | None, key: str, candidates: Sequence[str], usual: Sequence[str]
) -> str | None:
    """Return the column that the user names, else the first with a usual name, in any case.

    Raises:
        FedlabError: If there is no column that is asked for.
    """
    if asked is not None:
        frame.of(asked, key)
        return class_name(asked)
    lower = {name.lower(): name for name in reversed(candidates)}
    return next((lower[name] for name in usual if name in lower), None)


def _mean_length(fields: Sequence[str]) -> float:
    if all(finite(field) is not None for field in fields if field):
        return 0.0
    return sum(map(len, fields)) / max(1, len(fields))


def _check_has_header(frame: Frame, text: str, label: str, settings: TextSettings) -> None:
    """Refuse a first line that is an example: a sentence, and a class of others as well.

    Raises:
        FedlabError: If it is.
    """
    is_sentence = settings.text_column is None and len(text.split()) >= _A_SENTENCE
    if is_sentence and label in frame.columns[label]:
        raise FedlabError(
            f"{frame.parts[0].where}: the first line should name the columns, and looks like an "
            f"example of the class '{label}'; put a line such as text,label before it"
        )


def _told(text: str, label: str, settings: TextSettings) -> tuple[str, ...]:
    """Return a note on the columns that were taken, where nobody named them."""
    found = []
    if settings.text_column is None and text != TEXT_NAMES[0]:
        found.append(f"texts are in column '{text}' (data.text_column)")
    if settings.label_column is None and label != LABEL_NAMES[0]:
        found.append(f"what is predicted in column '{label}' (data.label_column)")
    return (f"data: {', '.join(found)}",) if found else ()


def _complete(
    frame: Frame, text: str, names: Sequence[str], settings: TextSettings, key: str
) -> tuple[list[int], tuple[str, ...]]:
    """Return the rows in which no field is missing, and a note on those left out."""
    missing = is_missing(settings.missing)
    faults, kept = [], []
    for row in range(len(frame)):
        if not frame.columns[text][row].strip():
            faults.append(f"{frame.place(row, text)}: there is no text")
        elif lost := [name for name in names if missing(frame.columns[name][row])]:
            faults.append(_no_name(frame, row, lost[0], names[0]))
        else:
            kept.append(row)
    # What is wrong begins with the key and the file.
    faults = [fault.removeprefix(f"{key}: ") for fault in faults]
    notes = settle(faults, len(frame), key, settings.on_error, "rows")
    if not kept:
        raise FedlabError(f"{frame.parts[0].where}: no row is complete")
    return kept, notes


def _no_name(frame: Frame, row: int, column: str, label: str) -> str:
    """Return the sentence for a row without a class, or without a client."""
    kind = "class" if column == label else "client"
    field = frame.columns[column][row].strip()
    stands = f" ('{field}' stands for a missing one; data.missing says which words do)"
    return f"{frame.place(row, column)}: there is no {kind}{stands if field else ''}"
