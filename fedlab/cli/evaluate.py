"""``fedlab evaluate``: evaluate a trained network on its test set or on other data."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TextIO

import typer

from fedlab.cli.best import Best
from fedlab.cli.trust import Trust
from fedlab.streams import machine_output
from fedlab.trust import own_code


def evaluate(
    run: Annotated[Path, typer.Argument(help="the run folder")],
    data: Annotated[
        Path | None,
        typer.Option(
            help="a folder with one subfolder of pictures or texts per class, or a CSV file; "
            "by default the run's own test set"
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="print JSON; what is no finite number is null")
    ] = False,
    best: Best = False,
    trust: Trust = False,
) -> None:
    """Evaluate a trained network."""
    with machine_output(as_json) as stream, own_code(trust):
        _evaluate(run, data, best, stream if as_json else None)


def _evaluate(run: Path, data: Path | None, best: bool, stream: TextIO | None) -> None:
    from fedlab.files import BEST
    from fedlab.run.folder import strict_json
    from fedlab.use.evaluate import evaluate_trained
    from fedlab.use.loading import load_trained

    def tell(note: str) -> None:
        typer.echo(f"note: {note}", err=True)

    metrics = evaluate_trained(load_trained(run, best), data, tell).compute()
    if stream is not None:
        stream.write(strict_json(metrics) + "\n")
        return
    where = str(data) if data is not None else "the run's own test set"
    _show(metrics, f"{where}, {BEST}" if best else where)


def _show(metrics: dict[str, float], where: str) -> None:
    from rich.table import Table

    from fedlab.metrics.names import metric_name
    from fedlab.terminal import PlainConsole

    table = Table("metric", f"on {where}")
    for name, value in metrics.items():
        metric = metric_name(name)
        table.add_row(metric.label, metric.text(value))
    PlainConsole().print(table)
