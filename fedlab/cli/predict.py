"""``fedlab predict``: predictions for pictures, texts, tables or series."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from fedlab.use.predict import Prediction


def predict(
    run: Annotated[Path, typer.Argument(help="the run folder")],
    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="INPUT...",
            help="picture files; text, or text files; CSV files for tables and series",
        ),
    ],
    top: Annotated[int, typer.Option(min=1, help="number of classes to report")] = 3,
    length: Annotated[
        int, typer.Option(min=1, max=100_000, help="tokens that continue a text")
    ] = 200,
    temperature: Annotated[
        float,
        typer.Option(
            min=0.0, help="0 takes the most probable token, 1 draws from the learned distribution"
        ),
    ] = 0.8,
    seed: Annotated[int, typer.Option(min=0, help="seed of the token draws")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="print one JSON line per input")] = False,
) -> None:
    """Predict classes, numbers, or the continuation of a text."""
    from dataclasses import asdict

    from fedlab.use.loading import load_trained
    from fedlab.use.predict import Sampling
    from fedlab.use.predict import predict as predict_inputs

    sampling = Sampling(length, temperature, seed)
    predictions = predict_inputs(load_trained(run), inputs, top, sampling)
    if as_json:
        for prediction in predictions:
            typer.echo(json.dumps(asdict(prediction), ensure_ascii=False))
    else:
        _show(predictions)


def _show(predictions: Sequence[Prediction]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from fedlab.use.predict import Continuation, Ranked

    console = Console()
    table = Table("input", "prediction")
    for prediction in predictions:
        if isinstance(prediction, Continuation):
            console.print(Text.assemble((prediction.input, "dim"), prediction.text))
        elif isinstance(prediction, Ranked):
            classes = [f"{name} {100 * share:.1f} %" for name, share in prediction.classes]
            table.add_row(Text(prediction.input), Text(", ".join(classes)))
        else:
            values = [f"{name} {value:.6g}".strip() for name, value in prediction.values]
            table.add_row(Text(prediction.input), Text(", ".join(values)))
    if table.row_count:
        console.print(table)
