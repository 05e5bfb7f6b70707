"""Labelled data from a user's files, with the classes of a run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from fedlab.data.dataset import Examples, Task
from fedlab.data.folders import OwnFolder
from fedlab.data.formats.table import check_length, find_columns
from fedlab.data.names import class_name, shown
from fedlab.data.parts import find_parts
from fedlab.data.unreadable import settle
from fedlab.errors import FedlabError, unknown
from fedlab.use.inputs import class_names, read_inputs, suffixes_of
from fedlab.use.notes import tell
from fedlab.use.tables import CsvFile

_KEY = "--data"
LABEL_COLUMNS = ("label", "class", "target")


def read_labelled(task: Task, path: Path) -> Examples:
    """Return the examples at ``path``.

    Args:
        task: A classification of pictures, texts or rows of a table.
        path: For pictures and texts a folder with one subfolder per class; for a table a CSV file
            whose header has a column "label", "class" or "target".

    Raises:
        FedlabError: If the data cannot be read, or name a class that the run does not know.
    """
    if task.kind != "classification" or task.modality == "series":
        raise FedlabError(
            f"--data: own data serve classifications of pictures, texts and tables; this run's "
            f"task is {task.kind} on {task.modality} inputs: leave --data out"
        )
    return _table(task, path) if task.modality == "tabular" else _class_folders(task, path)


def _class_folders(task: Task, path: Path) -> Examples:
    what = "pictures" if task.modality == "image" else "text files"
    own = OwnFolder(path, suffixes_of(task), _KEY)
    parts = find_parts(own)
    found = own.labelled(parts.test or own.root)
    files, labels = found.flat()
    if not files:
        aside = f" ({own.left_out})" if own.left_out else ""
        raise FedlabError(
            f"{_KEY}: {shown(path)} has no folders of {what}, one for each class{aside}"
        )
    numbers = _Classes(task)
    targets = torch.tensor([numbers.of(label, shown(path)) for label in labels])
    if parts.test is not None:
        tell([f"{_KEY}: evaluated on the part '{shown(parts.test.name)}'"])
    tell(own.notes())
    return Examples(_read_files(task, files), targets)


def _read_files(task: Task, files: Sequence[Path]) -> torch.Tensor:
    """Return the stored inputs of all files; the first that cannot be read is named."""
    stored, faults = [], []
    for file in files:
        try:
            stored.append(read_inputs(task, [str(file)]).stored)
        except FedlabError as error:
            name = shown(file)
            faults.append(str(error) if name in str(error) else f"{name}: {error}")
    settle(faults, len(files), _KEY, "refuse")
    return torch.cat(stored)


def _table(task: Task, path: Path) -> Examples:
    file = CsvFile.read(path)
    names = [name for name in LABEL_COLUMNS if name in (file.header or ())]
    if not names:
        raise FedlabError(
            f"{_KEY}: {shown(path)} needs a header with one of {', '.join(LABEL_COLUMNS)}"
        )
    place = find_columns(file.header or (), names[:1], f"{_KEY}: {shown(path)}")[names[0]]
    width = len(file.header or ())
    numbers, targets = _Classes(task), []
    for line, fields in file.rows:
        where = f"{shown(path)}, line {line}"
        check_length(fields, width, f"{_KEY}: {where}")
        targets.append(numbers.of(fields[place], where))
    return Examples(file.without(place).features(task), torch.tensor(targets))


class _Classes:
    """The number of each class that a run knows, by its name."""

    def __init__(self, task: Task) -> None:
        self._numbers = {class_name(name): k for k, name in enumerate(class_names(task))}

    def of(self, label: str, where: str) -> int:
        """Return the number of a class.

        Args:
            label: Its name, perhaps with spaces around it.
            where: Where that stands, for messages.

        Raises:
            FedlabError: If there is no such class.
        """
        number = self._numbers.get(class_name(label))
        if number is None:
            name = class_name(label)
            problem = unknown("class", name, self._numbers) if name else "there is no class"
            raise FedlabError(f"{_KEY}: {where}: {problem}")
        return number
