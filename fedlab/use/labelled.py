"""Labelled data from a user's files, with the classes of a run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from fedlab.data.dataset import Examples, Task
from fedlab.errors import FedlabError, unknown
from fedlab.use.inputs import class_names, read_inputs, read_rows, read_table

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
    if not path.is_dir():
        raise FedlabError(f"--data: there is no folder {path}")
    files: list[str] = []
    labels: list[str] = []
    for folder in sorted(entry for entry in path.iterdir() if _visible_folder(entry)):
        found = sorted(str(file) for file in folder.rglob("*") if _visible_file(file))
        files += found
        labels += [folder.name] * len(found)
    if not files:
        raise FedlabError(f"--data: {path} has no folders of files, one for each class")
    targets = _numbers(task, labels, str(path))
    return Examples(read_inputs(task, files).stored, targets)


def _table(task: Task, path: Path) -> Examples:
    header, *rows = read_table(path)
    position = next((header.index(name) for name in LABEL_COLUMNS if name in header), None)
    if position is None:
        raise FedlabError(f"--data: {path} needs a header with one of {', '.join(LABEL_COLUMNS)}")
    labels = [row[position].strip() if position < len(row) else "" for row in rows]
    features = [[*row[:position], *row[position + 1 :]] for row in (header, *rows)]
    values = read_rows(features, str(path), task)
    return Examples(values, _numbers(task, labels, str(path)))


def _numbers(task: Task, labels: Sequence[str], where: str) -> torch.Tensor:
    """Return the number of each label's class, (N,)."""
    known = {name: number for number, name in enumerate(class_names(task))}
    for label in labels:
        if label not in known:
            raise FedlabError(f"--data: {where}: {unknown('class', label, known)}")
    return torch.tensor([known[label] for label in labels])


def _visible_folder(entry: Path) -> bool:
    return entry.is_dir() and not entry.name.startswith(".")


def _visible_file(entry: Path) -> bool:
    return entry.is_file() and not entry.name.startswith(".")
