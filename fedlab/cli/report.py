"""``fedlab report``: write a run's report again."""

from __future__ import annotations

from typing import Annotated

import typer

from fedlab.cli.options import RunFolderPath


def report(
    run: RunFolderPath,
    tensorboard: Annotated[
        bool, typer.Option("--tensorboard", help="also write TensorBoard event files")
    ] = False,
    share: Annotated[
        bool,
        typer.Option(
            "--share",
            help="write report-shared.html instead, which leaves out paths, the command line, the "
            "folder's name and names of clients; names of classes, title and description stay",
        ),
    ] = False,
) -> None:
    """Write report.html and plots/*.png of a run, finished or not."""
    from fedlab.results.report.page import write_report
    from fedlab.results.tensorboard import write_tensorboard

    typer.echo(f"Report       {write_report(run, share)}")
    if tensorboard:
        typer.echo(f"TensorBoard  {write_tensorboard(run)}")
