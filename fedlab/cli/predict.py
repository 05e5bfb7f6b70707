"""``fedlab predict``: predictions for pictures, texts, tables, series or sound."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TextIO, cast, get_args

import typer

from fedlab.cli.best import Best
from fedlab.cli.options import Device, RunFolderPath
from fedlab.cli.trust import Trust
from fedlab.errors import FedlabError, unknown
from fedlab.streams import machine_output
from fedlab.trust import own_code

if TYPE_CHECKING:
    from fedlab.data.unreadable import OnError
    from fedlab.use.predict import Prediction

Format = Literal["table", "csv", "json"]
SUFFIXES: dict[str, Format] = {".csv": "csv", ".json": "json", ".jsonl": "json", ".ndjson": "json"}
ROWS_OF_A_TABLE = 1000


def predict(
    run: RunFolderPath,
    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="INPUT...",
            help="pictures, recordings or text files, or folders of them; text; CSV files for "
            "tables and series; '-' for standard input",
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
    form: Annotated[
        str | None,
        typer.Option(
            "--format",
            help="table, csv or json (a line per input; what is no finite number is null); by "
            "default as the suffix of --output says, else table",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="the same as --format json")] = False,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="the file to write: .csv, .json or .jsonl")
    ] = None,
    on_error: Annotated[
        str,
        typer.Option(
            help="what is done about inputs that cannot be read: 'refuse' ends at the first, "
            "'skip' names them and predicts the others"
        ),
    ] = "refuse",
    best: Best = False,
    device: Device = None,
    trust: Trust = False,
) -> None:
    """Predict classes, numbers, or the continuation of a text."""
    from fedlab.use.devices import on_its_device
    from fedlab.use.loading import load_trained
    from fedlab.use.notes import tell
    from fedlab.use.predict import Sampling
    from fedlab.use.predict import predict as predict_inputs
    from fedlab.use.prediction_files import write

    chosen = _format("json" if as_json and form is None else form, output)
    handling = _on_error(on_error)
    sampling = Sampling(length, temperature, seed)
    with machine_output(chosen != "table" and output is None) as stream, own_code(trust):
        trained = on_its_device(load_trained(run, best), device, tell)
        found = predict_inputs(trained, inputs, top, sampling, handling)
        with _opened(output, stream) as file:
            if chosen == "table":
                unread = _show(found)
            else:
                unread = write(found, file, chosen, trained.task, top)
    if output is not None:
        typer.echo(f"{output}  {output.stat().st_size / 1e6:.1f} MB", err=True)
    if unread:
        many = "s" if unread > 1 else ""
        tell(f"{unread} input{many} cannot be read, and named there")


def _format(form: str | None, output: Path | None) -> Format:
    """Return the format that is asked for, by name or by the suffix of the file.

    Raises:
        FedlabError: If there is no such format, or a table is to be written to a file.
    """
    if form is not None and form not in get_args(Format):
        raise FedlabError(f"--format: {unknown('format', form, get_args(Format))}")
    chosen = cast("Format | None", form)
    if output is None:
        return chosen or "table"
    from fedlab.files import check_replaceable

    check_replaceable(output, "--output")
    chosen = chosen or SUFFIXES.get(output.suffix.lower())
    if chosen is None or chosen == "table":
        raise FedlabError(
            f"--output: {output} does not say its format; name a file that ends in "
            f"{', '.join(SUFFIXES)}, or say --format csv or json"
        )
    return chosen


def _on_error(word: str) -> OnError:
    from fedlab.data.unreadable import OnError

    if word not in get_args(OnError):
        raise FedlabError(f"--on-error: {unknown('choice', word, get_args(OnError))}")
    return cast(OnError, word)


@contextmanager
def _opened(output: Path | None, stream: TextIO) -> Iterator[TextIO]:
    """Yield where predictions are written: a file that is whole or not there, or the stream."""
    if output is None:
        yield stream
        return
    from fedlab.files import replacing

    try:
        with replacing(output) as draft, draft.open("w", encoding="utf-8", newline="") as file:
            yield file
    except OSError as error:
        raise FedlabError(f"{output} cannot be written: {error.strerror or error}") from error


def _show(predictions: Iterable[Prediction]) -> int:
    """Print predictions, some at a time, and return how many inputs could not be read."""
    from fedlab.use.predict import Unread

    unread, waiting = 0, iter(predictions)
    while rows := list(islice(waiting, ROWS_OF_A_TABLE)):
        unread += sum(isinstance(row, Unread) for row in rows)
        _show_table(rows)
    return unread


def _show_table(predictions: Iterable[Prediction]) -> None:
    from rich.table import Table

    from fedlab.errors import one_line
    from fedlab.terminal import PlainConsole
    from fedlab.use.predict import Continuation, Ranked, Unread

    console = PlainConsole()
    table = Table()
    table.add_column("input", overflow="fold")
    table.add_column("prediction", overflow="fold")
    for prediction in predictions:
        if isinstance(prediction, Continuation):
            console.print(prediction.input, style="dim", end="", soft_wrap=True)
            console.print(prediction.text, soft_wrap=True)
            continue
        row, place = prediction.row, "row" if isinstance(prediction.row, int) else "rows"
        name = prediction.input if row is None else f"{prediction.input}, {place} {row}"
        if isinstance(prediction, Ranked):
            parts = [f"{one_line(label)} {100 * p:.1f} %" for label, p in prediction.classes]
        elif isinstance(prediction, Unread):
            parts = [prediction.error]
        else:
            parts = [f"{one_line(label)} {v:.6g}".strip() for label, v in prediction.values]
        table.add_row(name, ", ".join(parts))
    if table.row_count:
        console.print(table)
