"""``fedlab metrics``: all figures of runs as CSV or Parquet."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fedlab.cli.completion import run_folders


def metrics(
    runs: Annotated[
        list[Path],
        typer.Argument(
            help="run folders, or a folder of 'fedlab sweep'", autocompletion=run_folders
        ),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="the file to write: .csv or .parquet")
    ] = Path("metrics.csv"),
    clients: Annotated[
        bool, typer.Option("--clients", help="what each client reported, in place of rounds")
    ] = False,
) -> None:
    """Write all figures of runs, baselines included, as one table with a row for each."""
    from fedlab.results.metric_tables import write_metrics
    from fedlab.results.sweep_folder import records_in

    count = write_metrics(records_in(runs), output, clients)
    typer.echo(f"Table  {output}, {count} rows")
