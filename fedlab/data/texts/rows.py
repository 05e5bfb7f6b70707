"""Texts as they were read: what each says, its target, and whose it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class TextRows:
    """Texts with their targets.

    Attributes:
        texts: The texts.
        labels: The class or score of each, as text.
        places: How messages call each: its file, or its file and line.
        held_out: For each, whether the user has set it apart for testing.
        clients: The natural client of each, or None.
        notes: What the user should know of how they were read.
        is_table: Whether the labels are fields of a table, which may be numbers.
        columns: What the columns of text and label are called, where there are some.
        by_line: Whether a file holds an example a line.
    """

    texts: list[str]
    labels: list[str]
    places: list[str]
    held_out: list[bool]
    clients: list[str] | None = None
    notes: tuple[str, ...] = ()
    is_table: bool = False
    columns: tuple[str, str] | None = None
    by_line: bool = False

    def __len__(self) -> int:
        return len(self.texts)

    def of(self, client: str) -> TextRows:
        """Return the same texts, all of one client."""
        return replace(self, clients=[client] * len(self))

    def none_with(self, note: str) -> TextRows:
        """Return no texts, with the same columns and a note on why."""
        gone = replace(self, texts=[], labels=[], places=[], held_out=[], notes=(note,))
        return gone if self.clients is None else replace(gone, clients=[])

    def tested(self) -> TextRows:
        """Return the same texts, all held out."""
        return replace(self, held_out=[True] * len(self))


def joined(parts: Sequence[TextRows]) -> TextRows:
    """Return texts below one another; all of them have clients, or none has."""
    first = parts[0]
    clients = None
    if first.clients is not None:
        clients = [name for part in parts for name in part.clients or ()]
    return TextRows(
        [text for part in parts for text in part.texts],
        [label for part in parts for label in part.labels],
        [place for part in parts for place in part.places],
        [flag for part in parts for flag in part.held_out],
        clients,
        tuple(dict.fromkeys(note for part in parts for note in part.notes)),
        first.is_table,
        first.columns,
        first.by_line,
    )
