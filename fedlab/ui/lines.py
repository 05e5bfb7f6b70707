"""Reading JSON Lines files that grow: only what is new, only the end, only one round."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path
from typing import IO, Generic

from fedlab.errors import FedlabError
from fedlab.results.parsing import M, open_regular, parsed_line
from fedlab.results.rows import ClientRow, RoundNumber, Row

_COMPARED = 256
"""Bytes before the end of what was read that show whether a file only grew."""
_BLOCK = 1 << 18


class _Numbered(Row):
    """A line of which only the round is looked at."""

    round: RoundNumber


class GrowingLines(Generic[M]):
    """The lines of a file that a run appends to; what was read once is not read again.

    Attributes:
        rows: What the lines say.
        generation: How often the file was found to be another: a run that goes on writes it anew.
    """

    def __init__(self, path: Path, kind: type[M], without: str = "") -> None:
        self.rows: list[M] = []
        self.generation = 0
        self._path, self._kind, self._without = path, kind, without
        self._inode = self._offset = self._number = 0
        self._end = b""

    def read(self) -> list[M]:
        """Return all lines, except a half-written last one.

        Raises:
            FedlabError: If the file cannot be read, or a line of it is damaged.
        """
        file = open_regular(self._path)
        if file is None:
            self._forget(0)
            return self.rows
        with file:
            status = os.fstat(file.fileno())
            if status.st_ino != self._inode or not self._only_grew(file, status.st_size):
                self._forget(status.st_ino)
            file.seek(self._offset)
            for line in file:
                row = parsed_line(line, self._kind, self._path, self._number + 1, self._without)
                if row is not None:
                    self.rows.append(row)
                elif line.strip():
                    break  # half a line: what is missing of it comes later
                self._number += 1
                self._offset += len(line)
                self._end = (self._end + line)[-_COMPARED:]
        return self.rows

    def _only_grew(self, file: IO[bytes], size: int) -> bool:
        if size < self._offset:
            return False
        file.seek(self._offset - len(self._end))
        return file.read(len(self._end)) == self._end

    def _forget(self, inode: int) -> None:
        """Begin again: the file is another."""
        if self._offset:
            self.generation += 1
            self.rows = []
        self._inode, self._offset, self._number, self._end = inode, 0, 0, b""


def last_lines(path: Path, kind: type[M], without: str = "") -> Iterator[M]:
    """Yield what the lines of a file say, from its end backwards; the file may be large.

    Raises:
        FedlabError: If the file cannot be read, or a line that is looked at is damaged.
    """
    file = open_regular(path)
    if file is None:
        return
    with file:
        place = file.seek(0, os.SEEK_END)
        rest = b""
        while place:
            start = max(0, place - _BLOCK)
            file.seek(start)
            rest = file.read(place - start) + rest
            place = start
            # What stands before the first end of a line may be the end of one that begins earlier.
            cut = 0 if start == 0 else rest.find(b"\n") + 1
            if start and not cut:
                continue
            whole, rest = rest[cut:], rest[:cut]
            begins = place + cut + len(whole)
            for line in reversed(whole.splitlines(keepends=True)):
                begins -= len(line)
                row = _parsed(file, begins, line, kind, path, without)
                if row is not None:
                    yield row


def lines_of_round(path: Path, number: int, without: str = "") -> Iterator[ClientRow]:
    """Yield a round's lines of a file whose rounds ascend, as those of ``clients.jsonl`` do.

    Where they begin is found by bisection, so that a file of millions of lines is not read.

    Raises:
        FedlabError: If the file cannot be read, or a line that is looked at is damaged.
    """
    file = open_regular(path)
    if file is None:
        return
    with file:
        low, high = 0, file.seek(0, os.SEEK_END)
        while low < high:
            middle = (low + high) // 2
            start, line = _line_after(file, middle)
            found = _parsed(file, start, line, _Numbered, path, without)
            if line and found is None and line.endswith(b"\n"):
                low = start + len(line)  # an empty line
            elif found is None or found.round >= number:
                high = middle
            else:
                low = start + len(line)
        start, line = _line_after(file, low)
        while line:
            row = _parsed(file, start, line, ClientRow, path, without)
            if row is not None and row.round > number:
                return
            if row is not None and row.round == number:
                yield row
            start += len(line)
            file.seek(start)
            line = file.readline()


def _line_after(file: IO[bytes], place: int) -> tuple[int, bytes]:
    """Return where the first line begins that does so at a place or after it, and the line."""
    file.seek(max(0, place - 1))
    if place:
        file.readline()
    start = file.tell()
    return start, file.readline()


def _parsed(
    file: IO[bytes], start: int, line: bytes, kind: type[M], path: Path, without: str
) -> M | None:
    """Return what the line that begins at ``start`` says; an error names its number."""
    try:
        return parsed_line(line, kind, path, 0, without)
    except FedlabError:
        file.seek(0)
        before = sum(1 for _ in takewhile(lambda _: file.tell() <= start, iter(file.readline, b"")))
        parsed_line(line, kind, path, before + 1, without)
        raise
