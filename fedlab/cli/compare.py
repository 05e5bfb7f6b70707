"""``fedlab compare``: several runs of one task side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer


def compare(
    runs: Annotated[list[Path], typer.Argument(help="two or more run folders")],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="where the plot is written")
    ] = Path("compare.png"),
) -> None:
    """Show several runs of one task in a table and a plot."""
    from rich.box import SIMPLE
    from rich.console import Console
    from rich.table import Table

    from fedlab.results.comparison import Comparison
    from fedlab.results.style import save_png

    comparison = Comparison.load(runs)
    table = Table(
        title=comparison.title,
        title_justify="left",
        box=SIMPLE,
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )
    for place, header in enumerate(comparison.headers()):
        side: Literal["left", "right"] = "left" if place < 2 else "right"
        # Only the run's name gives way in a narrow terminal.
        width = 9 if place == 0 else None
        table.add_column(header, justify=side, no_wrap=place > 0, min_width=width, overflow="fold")
    for row in comparison.rows():
        table.add_row(*row)
    Console().print(table)
    save_png(comparison.draw(), output)
    typer.echo(f"Plot  {output}")
