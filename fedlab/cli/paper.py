"""``fedlab paper``: a sweep's tables, figures and commands, as a paper prints them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fedlab.cli.completion import run_folders


def paper(
    sweep: Annotated[
        Path, typer.Argument(help="the folder of a sweep", autocompletion=run_folders)
    ],
    target: Annotated[
        float | None,
        typer.Option(help="count rounds, bytes and seconds to this value of the test metric"),
    ] = None,
    against: Annotated[
        str, typer.Option(help="the setting that others are compared with; default: the first")
    ] = "",
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="the folder to write; default: SWEEP/paper"),
    ] = None,
) -> None:
    """Write a sweep's tables (LaTeX, Markdown, CSV), figures (PDF, SVG) and commands."""
    from fedlab.results.sweep_folder import read_sweep
    from fedlab.use.sweep.paper import write_paper
    from fedlab.use.sweep.running import compared

    read_sweep(sweep)
    comparison, settings = compared(sweep, target, against)
    folder = output or sweep / "paper"
    for note in [*comparison.notes, *settings.notes()]:
        typer.echo(f"note: {note}", err=True)
    for path in write_paper(sweep.resolve(), folder, comparison, settings):
        typer.echo(path)
