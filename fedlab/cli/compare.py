"""``fedlab compare``: compare runs of one task."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from fedlab.cli.completion import run_folders

if TYPE_CHECKING:
    from fedlab.results.settings_comparison import SettingsComparison
    from fedlab.results.text_tables import TextTable
    from fedlab.terminal import PlainConsole

NARROWEST_NAME = 9
"""Letters of a run's name in a line of the table."""


def compare(
    runs: Annotated[
        list[Path],
        typer.Argument(
            help="two or more run folders, or a folder of 'fedlab sweep'",
            autocompletion=run_folders,
        ),
    ],
    output: Annotated[
        list[Path] | None,
        typer.Option(
            "--output",
            "-o",
            help="what to write, by its suffix: a plot (.png, .pdf, .svg), a table (.md, .tex, "
            ".csv) or all figures (.json); may be given several times; default: compare.png",
        ),
    ] = None,
    target: Annotated[
        float | None,
        typer.Option(
            help="with several seeds: count rounds, bytes and seconds to this value of the test "
            "metric, such as 0.9; default: 95 % of the best setting's last"
        ),
    ] = None,
    against: Annotated[
        str,
        typer.Option(
            help="with several seeds: the setting that others are compared with; default: the first"
        ),
    ] = "",
) -> None:
    """Compare runs of one task in a table and a plot; runs that differ by seeds make one row."""
    from fedlab.results.comparison import Comparison
    from fedlab.results.comparison_files import check_output, write_comparison
    from fedlab.results.settings_comparison import SettingsComparison
    from fedlab.terminal import PlainConsole

    outputs = output or [Path("compare.png")]
    for path in outputs:
        check_output(path)
    comparison = Comparison.load(runs)
    console = PlainConsole()
    settings = None
    if target is not None or against or any(len(g.records) > 1 for g in comparison.groups):
        settings = SettingsComparison(comparison.groups, comparison.metric, target, against)
        say_settings(console, settings)
        _say_sources(console, settings.table())
    else:
        print_table(console, comparison.table())
        _say_sources(console, comparison.table())
        if fairness := comparison.fairness_table():
            print_table(console, fairness)
    for note in [*comparison.notes, *(settings.notes() if settings else ())]:
        typer.echo(f"note: {note}", err=True)
    for path in outputs:
        kind = write_comparison(path, comparison, settings)
        typer.echo(f"{kind:<6}{path}")


def say_settings(console: PlainConsole, settings: SettingsComparison) -> None:
    """Print settings over seeds, and their differences."""
    print_table(console, settings.table())
    differences = settings.differences()
    if differences.rows:
        print_table(console, differences)


def print_table(console: PlainConsole, table: TextTable) -> None:
    """Print a table."""
    _print(console, table.title, list(table.headers), [list(r) for r in table.rows], table.texts)


def _say_sources(console: PlainConsole, table: TextTable) -> None:
    """Print what a table's rows are made from."""
    for source in table.sources:
        console.say(source)
    if table.sources:
        console.say("")


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
