"""Files of tables as one table of text, whose every field can be named in a message."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from fedlab.data.formats.delimited import Separator, read_delimited
from fedlab.data.formats.parquet import read_parquet
from fedlab.data.formats.table import MISSING
from fedlab.data.names import class_name, listed, shown
from fedlab.errors import FedlabError, unknown

TEXT_SUFFIXES = frozenset({".csv", ".tsv", ".tab", ".txt", ".data"})
PARQUET_SUFFIXES = frozenset({".parquet", ".pq"})
SUFFIXES = TEXT_SUFFIXES | PARQUET_SUFFIXES
"""Of the files in a folder that are tables, in lower case."""
MISSING_WORDS = (*MISSING, "?", "-", "--", "nil", "missing")
"""What people and programs write where a value is missing, in any case."""


@dataclass(frozen=True)
class Part:
    """Which rows of a table one file gave.

    Attributes:
        where: How messages call the file.
        separator: What stands between its fields; nothing where the format has none.
        lines: (rows,) on which line of it each row begins.
    """

    where: str
    separator: str
    lines: npt.NDArray[np.int64]


@dataclass(frozen=True)
class Frame:
    """Columns of text by name, of one file or of several below one another.

    Attributes:
        columns: The fields of each column.
        parts: The files, in order.
        notes: What the user should know of how they were read.
    """

    columns: dict[str, list[str]]
    parts: tuple[Part, ...]
    notes: tuple[str, ...] = field(default=(), compare=False)

    def __len__(self) -> int:
        return sum(len(part.lines) for part in self.parts)

    @property
    def file(self) -> str:
        """Return the name of its first file."""
        return self.parts[0].where.rpartition(": ")[2]

    def of(self, column: str, key: str) -> list[str]:
        """Return the fields of a column.

        Args:
            column: Its name.
            key: The scenario's key that names it, for messages.

        Raises:
            FedlabError: If there is no such column.
        """
        name = class_name(column)
        if name not in self.columns:
            raise FedlabError(f"{key}: {self.file} has an {unknown('column', name, self.columns)}")
        return self.columns[name]

    def line(self, row: int) -> str:
        """Return how messages call a row: its file and line."""
        for part in self.parts:
            if row < len(part.lines):
                return f"{part.where}, line {part.lines[row]}"
            row -= len(part.lines)
        raise IndexError(row)

    def place(self, row: int, column: str) -> str:
        """Return how messages call a field: its file, line and column."""
        return f"{self.line(row)}, column '{column}'"

    def parts_of_rows(self) -> npt.NDArray[np.int64]:
        """Return the number of the file that each row is of, (rows,)."""
        return np.repeat(np.arange(len(self.parts)), [len(part.lines) for part in self.parts])

    def take(self, rows: npt.NDArray[np.int64]) -> Frame:
        """Return the table of these rows, given in ascending order."""
        of = self.parts_of_rows()[rows]
        starts = np.cumsum([0, *(len(part.lines) for part in self.parts)])
        parts = tuple(
            Part(part.where, part.separator, part.lines[rows[of == number] - starts[number]])
            for number, part in enumerate(self.parts)
        )
        chosen = rows.tolist()
        columns = {name: [fields[row] for row in chosen] for name, fields in self.columns.items()}
        return Frame(columns, parts, self.notes)

    def without(self, names: Collection[str]) -> Frame:
        """Return the table without some of its columns."""
        kept = {name: fields for name, fields in self.columns.items() if name not in names}
        return Frame(kept, self.parts, self.notes)


def read_frame(
    path: Path, key: str, encoding: str = "auto", separator: Separator = "auto"
) -> Frame:
    """Return the table of one file: Parquet by its suffix, else text with separators.

    Raises:
        FedlabError: If it cannot be read as one; the message names key, file and line.
    """
    where = f"{key}: {shown(path)}" if key else shown(path)
    try:
        if not path.is_file():
            if path.is_dir():
                raise FedlabError(f"{shown(path)} is a folder, and a file with a table is wanted")
            raise FedlabError(f"there is no file {shown(path)}")
        if path.suffix.lower() in PARQUET_SUFFIXES:
            columns, count = read_parquet(path)
            return Frame(columns, (Part(where, "", np.arange(1, count + 1)),))
        found = read_delimited(path, encoding, separator)
    except FedlabError as error:
        raise FedlabError(f"{key}: {error}" if key else str(error)) from error
    places = {name: place for place, name in enumerate(found.header) if name}
    columns = {name: [row.fields[at].strip() for row in found.rows] for name, at in places.items()}
    notes = [f"{key}: {note}" if key else note for note in found.notes]
    if len(places) < len(found.header):
        numbers = [str(at + 1) for at, name in enumerate(found.header) if not name]
        notes.append(f"{where}: column {', '.join(numbers)} has no name and is left out")
    lines = np.array([row.line for row in found.rows], dtype=np.int64)
    return Frame(columns, (Part(where, found.separator, lines),), tuple(notes))


def joined(frames: Sequence[Frame]) -> Frame:
    """Return tables below one another; columns go by name, and their order may differ.

    Raises:
        FedlabError: If one lacks a column that the first has, or has a further one.
    """
    first = frames[0]
    for frame in frames[1:]:
        lacking = [name for name in first.columns if name not in frame.columns]
        further = [name for name in frame.columns if name not in first.columns]
        if lacking or further:
            told = [f"lacks {listed(lacking)}"] if lacking else []
            told += [f"has {listed(further)}, too"] if further else []
            raise FedlabError(
                f"{frame.parts[0].where} has other columns than {first.file}: it "
                f"{' and '.join(told)}; give both the same columns, or list in data.drop those "
                "that not all have"
            )
    columns = {
        name: [field for frame in frames for field in frame.columns[name]] for name in first.columns
    }
    notes = tuple(note for frame in frames for note in frame.notes)
    return Frame(columns, tuple(part for frame in frames for part in frame.parts), notes)


def table_files(folder: Path, key: str) -> list[Path]:
    """Return the tables in a folder, by name; hidden files are none.

    Raises:
        FedlabError: If it holds none.
    """
    try:
        inside = sorted(folder.iterdir())
    except OSError as error:
        raise FedlabError(f"{key}: {shown(folder)} cannot be read: {error.strerror}") from error
    files = [
        file
        for file in inside
        if file.suffix.lower() in SUFFIXES and not file.name.startswith(".") and file.is_file()
    ]
    if not files:
        raise FedlabError(
            f"{key}: {shown(folder)} holds no tables ({', '.join(sorted(SUFFIXES))}); "
            "data.path names a file, or a folder of files"
        )
    return files


def missing_in(words: Iterable[str]) -> Callable[[Sequence[str]], npt.NDArray[np.bool_]]:
    """Return a function from fields to whether each holds no value, (fields,).

    Args:
        words: What stands for a missing value, in any case; an empty field always does.
    """
    known = {"", *(word.strip().lower() for word in words)}
    return lambda fields: np.array([text.strip().lower() in known for text in fields], dtype=bool)
