"""``fedlab export``: write a trained network for other software."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fedlab.cli.best import Best
from fedlab.cli.options import RunFolderPath
from fedlab.cli.trust import Trust
from fedlab.trust import own_code


def export(
    run: RunFolderPath,
    form: Annotated[
        str | None,
        typer.Option(
            "--format",
            help="safetensors, onnx or torchscript; default: what --output ends in (.safetensors, "
            ".onnx, .pt), else safetensors",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="the file; by default 'exported.*' in the run folder"),
    ] = None,
    best: Best = False,
    with_preprocessing: Annotated[
        bool,
        typer.Option(
            "--with-preprocessing",
            help="onnx only: the graph takes raw inputs (RGB pictures of any size, numbers in "
            "their own units), and gives probabilities or numbers, too",
        ),
    ] = False,
    trust: Trust = False,
) -> None:
    """Write a trained network as safetensors, ONNX or TorchScript, with its preprocessing."""
    from fedlab.use.export import export as write
    from fedlab.use.export import format_of
    from fedlab.use.loading import load_trained

    chosen = format_of(form, output)
    with own_code(trust):
        path = write(load_trained(run, best), chosen, output, with_preprocessing)
    typer.echo(f"{path}  {path.stat().st_size / 1e6:.1f} MB")
