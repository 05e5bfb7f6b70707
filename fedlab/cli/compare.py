"""``fedlab compare``: several runs of one task side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def compare(
    runs: Annotated[list[Path], typer.Argument(help="two or more run folders")],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="where the plot is written")
    ] = Path("compare.png"),
) -> None:
    """Show several runs of one task in a table and a plot."""
    from rich.console import Console
    from rich.table import Table

    from fedlab.results.comparison import Comparison
    from fedlab.results.style import save_png

    comparison = Comparison.load(runs)
    table = Table()
    for place, header in enumerate(comparison.headers()):
        table.add_column(header, justify="left" if place < 3 else "right", overflow="fold")
    for row in comparison.rows():
        table.add_row(*row)
    Console().print(table)
    save_png(comparison.draw(), output)
    typer.echo(f"Plot  {output}")
