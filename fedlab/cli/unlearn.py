"""``fedlab unlearn``: a run's model without what a client has brought to it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fedlab.cli.options import RunFolderPath


def unlearn(
    run: RunFolderPath,
    client: Annotated[
        list[int], typer.Option(help="who is to be forgotten; may be given several times")
    ],
    method: Annotated[
        list[str] | None,
        typer.Option(
            help="'retrain' (the oracle), 'federaser', 'projected-ascent' ('fedlab list "
            "unlearning'); may be given several times; default: all that can correct the run"
        ),
    ] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="METHOD.KEY=VALUE", help="a method's key: federaser.interval=3"
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="the new folder; default: RUN-without-CLIENT"),
    ] = None,
) -> None:
    """Make a run's model forget a client, and compare it with one that never saw the client.

    'retrain' runs again without the client: the oracle, against which the others are measured. Each
    model gets a folder that 'evaluate', 'predict' and 'export' take.
    """
    from fedlab.engine.ray.start import start_early
    from fedlab.run.folder import RunFolder

    folder = RunFolder.open(run)
    start_early(folder.scenario.engine.model_dump())

    from fedlab.cli.tables import print_table
    from fedlab.files import UNLEARNING
    from fedlab.results.unlearning import tables_of
    from fedlab.run.unlearning.unlearn import unlearn as make
    from fedlab.terminal import PlainConsole

    numbers = "-".join(str(number) for number in sorted(set(client)))
    path = output or run.resolve().with_name(f"{run.resolve().name}-without-{numbers}")
    found = make(folder, client, path, method or (), overrides or (), typer.echo)
    console = PlainConsole()
    for table in tables_of(found):
        print_table(console, table)
    typer.echo(f"Unlearned   {path / UNLEARNING}, and a folder for each model beside it")
