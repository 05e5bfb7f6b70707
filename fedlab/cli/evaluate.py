"""``fedlab evaluate``: evaluate a trained network on its test set or on other data."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, TextIO

import typer

from fedlab.cli.best import Best
from fedlab.cli.options import Device, RunFolderPath
from fedlab.cli.trust import Trust
from fedlab.streams import machine_output
from fedlab.trust import own_code


def evaluate(
    run: RunFolderPath,
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
    device: Device = None,
    trust: Trust = False,
) -> None:
    """Evaluate a trained network."""
    with machine_output(as_json) as stream, own_code(trust):
        _evaluate(run, data, best, device, stream if as_json else None)


def _evaluate(
    run: Path, data: Path | None, best: bool, device: str | None, stream: TextIO | None
) -> None:
    from fedlab.files import BEST
    from fedlab.run.folder import strict_json
    from fedlab.use.devices import on_its_device
    from fedlab.use.evaluate import evaluate_by_site
    from fedlab.use.loading import load_trained
    from fedlab.use.notes import tell

    trained = on_its_device(load_trained(run, best), device, tell)
    evaluation, sites = evaluate_by_site(trained, data, tell)
    metrics = evaluation.compute()
    if stream is not None:
        stream.write(strict_json({**metrics, **({"sites": sites} if sites else {})}) + "\n")
        return
    where = str(data) if data is not None else "the run's own test set"
    _show(metrics, f"{where}, {BEST}" if best else where)
    if sites:
        show_sites(sites)


def show_sites(sites: Mapping[str, Mapping[str, float]]) -> None:
    """Print each site's metrics as a table."""
    from fedlab.metrics.sites import site_rows
    from fedlab.terminal import PlainConsole

    PlainConsole().rows(*site_rows(sites))


def _show(metrics: dict[str, float], where: str) -> None:
    from rich.table import Table

    from fedlab.metrics.names import metric_name
    from fedlab.terminal import PlainConsole

    table = Table("metric", f"on {where}")
    for name, value in metrics.items():
        metric = metric_name(name)
        table.add_row(metric.label, metric.text(value))
    PlainConsole().print(table)
