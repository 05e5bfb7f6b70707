"""``fedlab evaluate``: evaluate a trained network on its test set or on other data."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer


def evaluate(
    run: Annotated[Path, typer.Argument(help="the run folder")],
    data: Annotated[
        Path | None,
        typer.Option(
            help="a folder with one subfolder of pictures or texts per class, or a CSV file; "
            "by default the run's own test set"
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """Evaluate a trained network."""
    from fedlab.use.evaluate import evaluate_trained
    from fedlab.use.loading import load_trained

    metrics = evaluate_trained(load_trained(run), data).compute()
    if as_json:
        typer.echo(json.dumps(metrics))
        return
    _show(metrics, str(data) if data is not None else "the run's own test set")


def _show(metrics: dict[str, float], where: str) -> None:
    from rich.console import Console
    from rich.table import Table

    from fedlab.metrics.names import metric_name

    table = Table("metric", f"on {where}")
    for name, value in metrics.items():
        metric = metric_name(name)
        table.add_row(metric.label, metric.text(value))
    Console().print(table)
