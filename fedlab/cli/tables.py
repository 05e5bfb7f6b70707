"""Tables in a terminal or a pipe, for the commands that show figures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from fedlab.results.settings_comparison import SettingsComparison
    from fedlab.results.text_tables import TextTable
    from fedlab.terminal import PlainConsole

NARROWEST_NAME = 9
"""Letters of a run's name in a line of the table."""


def say_settings(console: PlainConsole, settings: SettingsComparison) -> None:
    """Print settings over seeds, and their differences."""
    print_table(console, settings.table())
    differences = settings.differences()
    if differences.rows:
        print_table(console, differences)


def print_table(console: PlainConsole, table: TextTable) -> None:
    """Print a table."""
    _print(console, table.title, list(table.headers), [list(r) for r in table.rows], table.texts)


def _print(
    console: PlainConsole, title: str, headers: list[str], rows: list[list[str]], texts: int
) -> None:
    """Print a table; in a terminal too narrow for its columns, a paragraph a run.

    Args:
        console: Where.
        title: Its title.
        headers: Of its columns; the first is the run.
        rows: Its rows.
        texts: How many of its first columns are no numbers.
    """
    from rich.box import SIMPLE
    from rich.table import Table

    widths = [max(map(len, column)) + 2 for column in zip(headers[1:], *_rest(rows), strict=True)]
    if console.is_terminal and NARROWEST_NAME + sum(widths) > console.width:
        console.say(f"{title}\n")
        for row in rows:
            console.say(row[0])
            for header, value in zip(headers[1:], row[1:], strict=True):
                console.say(f"  {header}: {value}")
        console.say("")
        return
    table = Table(
        title=title, title_justify="left", box=SIMPLE, padding=(0, 1, 0, 0), pad_edge=False
    )
    for place, header in enumerate(headers):
        side: Literal["left", "right"] = "left" if place < texts else "right"
        # Only the run's name is broken in a narrow terminal.
        width = NARROWEST_NAME if place == 0 else None
        table.add_column(header, justify=side, no_wrap=place > 0, min_width=width, overflow="fold")
    for row in rows:
        table.add_row(*row)
    console.print(table)


def _rest(rows: list[list[str]]) -> list[list[str]]:
    return [row[1:] for row in rows]
