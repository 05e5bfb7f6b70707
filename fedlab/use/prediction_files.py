"""Predictions as rows of CSV or lines of JSON, written one at a time."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any, Literal, TextIO

from fedlab.data.dataset import Task
from fedlab.run.folder import strict_json
from fedlab.use.predict import Prediction, Ranked, Unread


def write_json_lines(predictions: Iterable[Prediction], stream: TextIO) -> int:
    """Write a line of JSON per prediction and return how many inputs could not be read.

    What is no finite number is null.
    """
    unread = 0
    for prediction in predictions:
        unread += isinstance(prediction, Unread)
        stream.write(strict_json(asdict(prediction)) + "\n")
    return unread


def write_csv(predictions: Iterable[Prediction], stream: TextIO, task: Task, top: int) -> int:
    """Write a row per prediction below a header, and return how many inputs could not be read.

    Columns: input, row, then for classes class_1, probability_1, class_2, ... as many as ``top``;
    for numbers one per target; for continued texts "continuation"; and last "error".
    """
    unread = 0
    columns = _columns(task, top)
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["input", "row", *columns, "error"])
    for prediction in predictions:
        row = "" if getattr(prediction, "row", None) is None else getattr(prediction, "row", "")
        if isinstance(prediction, Unread):
            unread += 1
            writer.writerow([prediction.input, row, *[""] * len(columns), prediction.error])
        else:
            writer.writerow([prediction.input, row, *_values(prediction), ""])
    return unread


def _columns(task: Task, top: int) -> list[str]:
    if task.kind == "classification":
        ranks = range(1, min(top, task.classes) + 1)
        return [f"{name}_{rank}" for rank in ranks for name in ("class", "probability")]
    if task.kind == "regression":
        labels = task.labels or ("",) * task.outputs
        return [name or f"prediction_{number}" for number, name in enumerate(labels, 1)]
    return ["continuation"]


def _values(prediction: Prediction) -> list[Any]:
    if isinstance(prediction, Ranked):
        return [value for pair in prediction.classes for value in (pair[0], _shortest(pair[1]))]
    values = getattr(prediction, "values", None)
    if values is not None:
        return [_shortest(number) for _, number in values]
    return [getattr(prediction, "text", "")]


def _shortest(number: float) -> str:
    """Return a number in the nine digits that tell float32 numbers apart."""
    return f"{number:.9g}"


def write(
    predictions: Iterable[Prediction],
    stream: TextIO,
    form: Literal["csv", "json"],
    task: Task,
    top: int,
) -> int:
    """Write predictions and return how many inputs could not be read."""
    if form == "csv":
        return write_csv(predictions, stream, task, top)
    return write_json_lines(predictions, stream)
