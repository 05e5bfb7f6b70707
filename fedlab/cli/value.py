"""``fedlab value``: what each client of a run is worth."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal

import typer

from fedlab.cli.options import RunFolderPath


def value(
    run: RunFolderPath,
    method: Annotated[
        Literal["shapley", "leave-one-out"],
        typer.Option(
            help="'shapley': what a client's updates add to those of others, in one repetition of "
            "the run; 'leave-one-out': what the run loses without the client, a run for each"
        ),
    ] = "shapley",
    client: Annotated[
        list[int] | None,
        typer.Option(help="with leave-one-out: whose value; may be given several times"),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="a JSON file to write, too")
    ] = None,
) -> None:
    """Say what each client of a run is worth, by repeating it with and without the client."""
    from fedlab.engine.ray.start import start_early
    from fedlab.files import check_replaceable
    from fedlab.run.folder import RunFolder

    if output is not None:
        check_replaceable(output, "--output")
    folder = RunFolder.open(run)
    start_early(folder.scenario.engine.model_dump())

    from fedlab.cli.tables import print_table
    from fedlab.files import write_whole
    from fedlab.results.text_tables import TextTable
    from fedlab.run.value import ranked
    from fedlab.run.value import value as measure
    from fedlab.terminal import PlainConsole

    found = measure(folder, method, client or (), typer.echo)
    scale, unit = (100.0, "points of ") if found.metric.is_fraction else (1.0, "")
    title = f"What clients are worth, in {unit}test {found.metric.label} ({method})"
    rows = [
        [str(number), f"{scale * worth:+.2f}".replace("-", "−"), str(found.rounds.get(number, "–"))]
        for number, worth in ranked(found)
    ]
    print_table(PlainConsole(), TextTable(title, ["client", "value", "rounds"], rows))
    if output is not None:
        content = {
            "method": found.method,
            "metric": found.metric.name,
            "values": {str(number): worth for number, worth in ranked(found)},
        }
        write_whole(output, (json.dumps(content, indent=1) + "\n").encode())
        typer.echo(f"Values  {output}")
