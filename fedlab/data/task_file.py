"""The task as a file of the run folder: whoever uses a trained model needs no training data."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from fedlab.data.dataset import Scaling, Task
from fedlab.data.table_encoding import TableEncoding
from fedlab.errors import FedlabError, one_line

_ADAPTER = TypeAdapter(Task)
_DIMENSIONS = {"image": 3, "text": 1, "series": 2, "tabular": 1}
_LARGEST = 2**31


def dumps(task: Task) -> str:
    """Return the task as JSON."""
    return _ADAPTER.dump_json(task, indent=1).decode() + "\n"


def read(path: Path) -> Task:
    """Return the task that a file holds.

    Raises:
        FedlabError: If the file cannot be read or holds no task, or one that contradicts itself.
    """
    try:
        task = _ADAPTER.validate_json(path.read_bytes(), strict=True)
    except OSError as error:
        raise FedlabError(f"{path} cannot be read: {error.strerror}") from error
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        # An objection of the task's own begins with the key.
        reason = first.get("ctx", {}).get("error", first["msg"])
        raise FedlabError(
            one_line(f"{path} does not describe a task: {f'{key}: ' if key else ''}{reason}")
        ) from error
    for objection in _contradictions(task):
        raise FedlabError(f"{path} does not describe a task: {objection}")
    return task


def _contradictions(task: Task) -> Iterator[str]:
    """Yield what does not fit together, each beginning with the key."""
    shape, wanted = task.input_shape, _DIMENSIONS[task.modality]
    if len(shape) != wanted or min(shape) < 1 or math.prod(shape) > _LARGEST:
        yield f"input_shape: {list(shape)} is no shape of '{task.modality}' inputs"
    if not 1 <= task.outputs <= _LARGEST:
        yield f"outputs: it must be from 1 to {_LARGEST}, not {task.outputs}"
    named = task.classes if task.kind == "classification" else task.outputs
    if task.labels and len(task.labels) != named:
        yield f"labels: {len(task.labels)} names for {named} outputs"
    if not 0 <= task.vocabulary <= _LARGEST:
        yield f"vocabulary: it must be from 0 to {_LARGEST}, not {task.vocabulary}"
    if not 0 <= task.source_length <= shape[0]:
        yield f"source_length: it must be from 0 to {shape[0]}, not {task.source_length}"
    encoding = task.encoding
    if encoding is None:
        return
    tokens = len(encoding.tokens)
    if tokens and tokens != task.vocabulary:
        yield f"encoding.tokens: {tokens} tokens for a vocabulary of {task.vocabulary}"
    if not 0 <= encoding.unknown < max(task.vocabulary, 1):
        yield f"encoding.unknown: {encoding.unknown} is no token of the vocabulary"
    yield from _table_misfits(encoding.table, shape[-1])
    sound = encoding.sound
    if sound is not None and (task.modality != "series" or shape != (sound.frames, sound.mels)):
        yield f"encoding.sound: its spectrograms do not have the shape {list(shape)}"
    yield from _misfits("encoding.features", encoding.features, shape[-1])
    if task.kind == "regression":
        yield from _misfits("encoding.targets", encoding.targets, task.outputs)


def _table_misfits(table: TableEncoding | None, features: int) -> Iterator[str]:
    if table is None:
        return
    if sum(table.widths) != features:
        yield f"encoding.table.columns: {sum(table.widths)} features for inputs of {features}"
    if len(table.clients) != len(table.by_client):
        yield f"encoding.table.by_client: {len(table.by_client)} for {len(table.clients)} clients"
    slots = sum(column.slots for column in table.columns)
    for number, fitted in enumerate((table.fitted, *table.by_client)):
        key = "encoding.table." + (f"by_client.{number - 1}" if number else "fitted")
        parts = (fitted.fill, fitted.offset, fitted.scale)
        if any(len(part) != slots for part in parts):
            yield f"{key}: fill, offset and scale have {slots} numbers each"
        wanted = features if table.fitted.mean else 0
        if {len(fitted.mean), len(fitted.deviation)} != {wanted}:
            yield f"{key}: mean and deviation have {wanted} numbers each"
        every = (*parts, fitted.mean, fitted.deviation)
        if not all(math.isfinite(value) for part in every for value in part):
            yield f"{key}: all of its numbers must be finite"
        if not all((*fitted.scale, *fitted.deviation)):
            yield f"{key}: inputs are divided by scale and deviation, so that none may be 0"


def _misfits(key: str, scaling: Scaling | None, columns: int) -> Iterator[str]:
    if scaling is None:
        return
    if scaling.columns and len(scaling.columns) != columns:
        yield f"{key}.columns: {len(scaling.columns)} names for {columns} columns"
    for name, values in (("offset", scaling.offset), ("scale", scaling.scale)):
        if len(values) != columns:
            yield f"{key}.{name}: {len(values)} numbers for {columns} columns"
        if not all(map(math.isfinite, values)):
            yield f"{key}.{name}: all of them must be finite"
    if not all(scaling.scale):
        yield f"{key}.scale: inputs are divided by it, so that none may be 0"
