"""``fedlab compress``: write a smaller form of a trained network, and what it costs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TextIO

import typer

from fedlab.cli.best import Best
from fedlab.cli.options import RunFolderPath
from fedlab.cli.trust import Trust
from fedlab.streams import machine_output
from fedlab.trust import own_code


def compress(
    run: RunFolderPath,
    prune: Annotated[
        float, typer.Option(help="set this fraction of the weights, the smallest of all, to 0")
    ] = 0.0,
    prune_channels: Annotated[
        float,
        typer.Option(
            help="remove this fraction of the channels or units of each hidden layer, those of the "
            "smallest weights: a smaller and faster network"
        ),
    ] = 0.0,
    int8: Annotated[
        bool, typer.Option("--int8", help="weights as whole numbers of 8 bits, a scale a row")
    ] = False,
    bits: Annotated[
        int | None,
        typer.Option(help="weights as whole numbers of so many bits, 2 to 8, a scale a row"),
    ] = None,
    rank: Annotated[
        float | None,
        typer.Option(help="matrices as factors of this fraction of their full rank"),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="the new folder; by default the run's, with '-compressed'"
        ),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(help="labelled data to evaluate on; by default the run's own test set"),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
    best: Best = False,
    trust: Trust = False,
) -> None:
    """Write a smaller network: pruned, of 8-bit weights, or of low rank; and its cost."""
    with machine_output(as_json) as stream, own_code(trust):
        from fedlab.use.compress import Options

        options = Options(prune, prune_channels, int8, rank, bits)
        _compress(run, options, (output, data), best, stream if as_json else None)


def _compress(
    run: Path,
    options: object,
    paths: tuple[Path | None, Path | None],
    best: bool,
    stream: TextIO | None,
) -> None:
    from dataclasses import asdict

    from fedlab.run.folder import strict_json
    from fedlab.terminal import PlainConsole
    from fedlab.use.compress import Options, compress, table
    from fedlab.use.loading import load_trained
    from fedlab.use.notes import tell

    assert isinstance(options, Options)
    folder, rows = compress(load_trained(run, best), options, *paths, tell)
    if stream is not None:
        models = [asdict(row) for row in rows]
        stream.write(strict_json({"folder": str(folder), "models": models}) + "\n")
        return
    PlainConsole().rows(*table(rows))
    typer.echo(f"{folder}: fedlab evaluate, predict and export take it like a run")
