"""``fedlab compare``: compare runs of one task."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from fedlab.cli.completion import run_folders

if TYPE_CHECKING:
    from fedlab.terminal import PlainConsole

NARROWEST_NAME = 9
"""Letters of a run's name in a line of the table."""


def compare(
    runs: Annotated[
        list[Path], typer.Argument(help="two or more run folders", autocompletion=run_folders)
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="the plot to write: .png, .pdf or .svg")
    ] = Path("compare.png"),
) -> None:
    """Compare runs of one task in a table and a plot."""
    from fedlab.results.comparison import Comparison
    from fedlab.results.drawing.style import check_format, save_figure
    from fedlab.terminal import PlainConsole

    check_format(output)
    comparison = Comparison.load(runs)
    console = PlainConsole()
    _print(console, comparison.title, comparison.headers(), comparison.rows(), texts=2)
    if fairness := comparison.fairness_rows():
        title = f"Clients' {comparison.metric.label} on their own validation parts"
        _print(console, title, comparison.fairness_headers(), fairness, texts=1)
    for note in comparison.notes:
        typer.echo(f"note: {note}", err=True)
    save_figure(comparison.draw(), output)
    typer.echo(f"Plot  {output}")


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
