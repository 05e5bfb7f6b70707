"""What people read: a console for terminals, pipes and log files."""

from __future__ import annotations

import textwrap
import unicodedata
from collections.abc import Sequence
from typing import IO, TYPE_CHECKING, Any, NoReturn

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from rich.text import Text

_WIDE = 100_000


class PlainConsole(Console):
    """A console that prints text as it is: names of users are never markup.

    On a terminal words wrap, and a path that is longer than a line stays in one piece; elsewhere
    nothing wraps.
    """

    def __init__(self, *, stderr: bool = False, file: IO[str] | None = None) -> None:
        super().__init__(stderr=stderr, file=file, markup=False, emoji=False, highlight=False)
        if not self.is_terminal:
            self.width = _WIDE
            self.soft_wrap = True

    def say(self, text: str) -> None:
        """Print lines of text; words wrap on a terminal, and paths are never broken."""
        if self.is_terminal:
            text = "\n".join(map(self._wrapped, text.split("\n")))
        self.print(text, soft_wrap=True)

    def _wrapped(self, line: str) -> str:
        indent = line[: len(line) - len(line.lstrip(" "))]
        return textwrap.fill(
            line,
            max(self.width, len(indent) + 1),
            break_long_words=False,
            break_on_hyphens=False,
            subsequent_indent=indent,
        )

    def rows(self, headers: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Print a table; on a terminal that is too narrow for its words, a paragraph a row."""
        words = [
            max(map(len, " ".join(column).split())) for column in zip(headers, *rows, strict=True)
        ]
        if self.is_terminal and sum(words) + 2 * len(words) > self.width:
            for row in rows:
                self.say("\n  ".join(part for part in row if part))
            return
        table = Table(*headers, box=None, padding=(0, 2, 0, 0))
        for row in rows:
            table.add_row(*row)
        self.print(table)

    def render_str(self, text: str, **how: Any) -> Text:
        """Return text without what would move a terminal's cursor or turn its lines around."""
        return super().render_str(printable(text), **how)

    def on_broken_pipe(self) -> NoReturn:
        """Let the caller know, where the console would end the process."""
        raise BrokenPipeError


def printable(text: str) -> str:
    """Return text in which control characters are escaped, and direction marks left out."""
    if text.isprintable():
        return text
    return "".join(map(_shown, text))


def _shown(character: str) -> str:
    kind = unicodedata.category(character)
    if character.isprintable() or character in "\n\t" or kind == "Zs":
        return character
    if kind == "Cf":
        return ""
    is_byte = 0xDC80 <= ord(character) <= 0xDCFF
    return character if is_byte else ascii(character)[1:-1]
