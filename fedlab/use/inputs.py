"""Files and text as stored inputs, encoded like the examples of the run's data set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from fedlab.data.dataset import Task
from fedlab.data.folders import OwnFolder
from fedlab.data.formats.picture import picture_suffixes, read_picture
from fedlab.data.formats.text_file import TEXT_SUFFIXES
from fedlab.data.names import readable, shown
from fedlab.errors import FedlabError
from fedlab.use.notes import tell
from fedlab.use.tables import CsvFile
from fedlab.use.text import encode, fit_length


@dataclass(frozen=True)
class Inputs:
    """Stored inputs and their names.

    Attributes:
        names: One per input: the file, or the file and the row.
        stored: (N, ...) as the data set stores them, not yet prepared for the network.
    """

    names: tuple[str, ...]
    stored: torch.Tensor


@dataclass(frozen=True)
class SeriesColumns:
    """What a run's series had beside their numbers: names of columns, where it had them."""

    time: str | None = None
    group: str | None = None


def read_inputs(
    task: Task, arguments: Sequence[str], columns: SeriesColumns | None = None
) -> Inputs:
    """Return the inputs that the arguments name.

    Args:
        task: The task that the network was trained for.
        arguments: Picture files or folders of them; text, text files or folders of them; CSV
            files, for tables and series.
        columns: What series are sorted and told apart by.

    Raises:
        FedlabError: If a file is missing, corrupt or does not fit; the message names it.
    """
    if task.modality == "image":
        return _pictures(task, expanded(task, arguments))
    if task.modality == "text":
        return _texts(task, expanded(task, arguments))
    if task.modality == "tabular":
        return _tables(task, arguments)
    return _series(task, arguments, columns or SeriesColumns())


def suffixes_of(task: Task) -> frozenset[str]:
    """Return the suffixes of the files that hold inputs of a task of pictures or texts."""
    return picture_suffixes() if task.modality == "image" else TEXT_SUFFIXES


def expanded(task: Task, arguments: Sequence[str]) -> list[str]:
    """Return the arguments with the files of each folder in its place; notes are printed.

    Args:
        task: A task of pictures or texts.
        arguments: Files, texts and folders.

    Raises:
        FedlabError: If a folder holds no file that is wanted.
    """
    suffixes = suffixes_of(task)
    found: list[str] = []
    for argument in arguments:
        if not _is_folder(argument):
            found.append(argument)
            continue
        own = OwnFolder(Path(argument), suffixes, shown(argument))
        files = own.files()
        tell(own.notes())
        if not files:
            what = "pictures" if task.modality == "image" else "text files"
            raise FedlabError(f"{shown(argument)} holds no {what}")
        found += map(str, files)
    return found


def _is_folder(argument: str) -> bool:
    """Return whether an argument names a folder; a long text names nothing."""
    try:
        return bool(argument) and Path(argument).is_dir()
    except (OSError, ValueError):
        return False


def _pictures(task: Task, arguments: Sequence[str]) -> Inputs:
    pictures = [read_picture(Path(argument), task.input_shape) for argument in arguments]
    return Inputs(tuple(map(shown, arguments)), torch.stack(pictures))


def _texts(task: Task, arguments: Sequence[str]) -> Inputs:
    rows = [fit_length(task, encode(task, argument)) for argument in arguments]
    return Inputs(tuple(map(readable, arguments)), torch.stack(rows))


def _tables(task: Task, arguments: Sequence[str]) -> Inputs:
    names: list[str] = []
    parts: list[torch.Tensor] = []
    for argument in arguments:
        values = CsvFile.read(Path(argument)).features(task)
        names += [f"{shown(argument)}, row {number}" for number in range(1, len(values) + 1)]
        parts.append(values)
    return Inputs(tuple(names), torch.cat(parts))


def _series(task: Task, arguments: Sequence[str], columns: SeriesColumns) -> Inputs:
    """Read one series per file: forecasts continue its end, classes are predicted per window."""
    length = task.input_shape[0]
    names: list[str] = []
    windows: list[torch.Tensor] = []
    for argument in arguments:
        file = CsvFile.read(Path(argument))
        order = file.order(columns.time, columns.group)
        values = file.features(task)[order]
        sorted_by = "" if (order[1:] > order[:-1]).all() else f" in the order of '{columns.time}'"
        if len(values) < length:
            raise FedlabError(
                f"{shown(argument)} has {len(values)} rows, and the network reads {length} at a "
                "time"
            )
        first = len(values) - length if task.kind == "regression" else 0
        for start in range(first, len(values) - length + 1, length):
            names.append(f"{shown(argument)}, rows {start + 1} to {start + length}{sorted_by}")
            windows.append(values[start : start + length])
    return Inputs(tuple(names), torch.stack(windows))


def class_names(task: Task) -> tuple[str, ...]:
    """Return the names of a classification's classes, or their numbers if they have none."""
    return task.labels or tuple(str(number) for number in range(max(task.outputs, 2)))
