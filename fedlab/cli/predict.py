"""``fedlab predict``: predictions for pictures, texts, tables or series."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fedlab.cli.trust import Trust
from fedlab.streams import machine_output
from fedlab.trust import own_code

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
    as_json: Annotated[
        bool,
        typer.Option(
            "--json", help="print one JSON line per input; what is no finite number is null"
        ),
    ] = False,
    trust: Trust = False,
) -> None:
    """Predict classes, numbers, or the continuation of a text."""
    from dataclasses import asdict

    from fedlab.run.folder import strict_json
    from fedlab.use.loading import load_trained
    from fedlab.use.predict import Sampling
    from fedlab.use.predict import predict as predict_inputs

    sampling = Sampling(length, temperature, seed)
    with machine_output(as_json) as stream, own_code(trust):
        predictions = predict_inputs(load_trained(run), inputs, top, sampling)
        if as_json:
            stream.writelines(strict_json(asdict(found)) + "\n" for found in predictions)
    if not as_json:
        _show(predictions)


def _show(predictions: Sequence[Prediction]) -> None:
    from rich.table import Table

    from fedlab.errors import one_line
    from fedlab.terminal import PlainConsole
    from fedlab.use.predict import Continuation, Ranked

    console = PlainConsole()
    table = Table()
    table.add_column("input", overflow="fold")
    table.add_column("prediction", overflow="fold")
    for prediction in predictions:
        if isinstance(prediction, Continuation):
            console.print(prediction.input, style="dim", end="", soft_wrap=True)
            console.print(prediction.text, soft_wrap=True)
        elif isinstance(prediction, Ranked):
            classes = [f"{one_line(name)} {100 * p:.1f} %" for name, p in prediction.classes]
            table.add_row(prediction.input, ", ".join(classes))
        else:
            values = [f"{one_line(name)} {v:.6g}".strip() for name, v in prediction.values]
            table.add_row(prediction.input, ", ".join(values))
    if table.row_count:
        console.print(table)
