"""``fedlab compare``: compare runs of one task."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from fedlab.cli.completion import run_folders

if TYPE_CHECKING:
    from rich.table import Table


def compare(
    runs: Annotated[
        list[Path], typer.Argument(help="two or more run folders", autocompletion=run_folders)
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="where the plot is written")
    ] = Path("compare.png"),
) -> None:
    """Compare runs of one task in a table and a plot."""
    from fedlab.results.comparison import Comparison
    from fedlab.results.drawing.style import save_png
    from fedlab.terminal import PlainConsole

    comparison = Comparison.load(runs)
    console = PlainConsole()
    table = _table(comparison.title)
    for place, header in enumerate(comparison.headers()):
        side: Literal["left", "right"] = "left" if place < 2 else "right"
        # Only the run's name is shortened in a narrow terminal.
        width = 9 if place == 0 else None
        table.add_column(header, justify=side, no_wrap=place > 0, min_width=width, overflow="fold")
    for row in comparison.rows():
        table.add_row(*row)
    console.print(table)
    if fairness := comparison.fairness_rows():
        spread = _table(f"Clients' {comparison.metric.label} on their own validation parts")
        for place, header in enumerate(comparison.fairness_headers()):
            spread.add_column(header, justify="right" if place else "left", overflow="fold")
        for row in fairness:
            spread.add_row(*row)
        console.print(spread)
    for note in comparison.notes:
        typer.echo(f"note: {note}", err=True)
    save_png(comparison.draw(), output)
    typer.echo(f"Plot  {output}")


def _table(title: str) -> Table:
    from rich.box import SIMPLE
    from rich.table import Table

    return Table(
        title=title, title_justify="left", box=SIMPLE, padding=(0, 1, 0, 0), pad_edge=False
    )
