"""Data sets of Hugging Face: of the hub, or in a user's own folder or file."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
from pydantic import Field

from fedlab.data.clients_by import groups_of
from fedlab.data.dataset import Dataset, Encoding, Examples, IntArray, Task
from fedlab.data.formats.picture import read_picture
from fedlab.data.hugging_face.columns import Columns, find_columns
from fedlab.data.hugging_face.loading import load_splits
from fedlab.data.scaling import standardise
from fedlab.data.texts.dataset import Parts, drawn_parts, encoded
from fedlab.data.texts.rows import TextRows
from fedlab.data.texts.settings import TargetKind, TokenSettings
from fedlab.data.texts.targets import Targets, scaled, targets_of
from fedlab.errors import FedlabError, shortened
from fedlab.registry import datasets
from fedlab.settings import IsPath


@datasets.register("huggingface")
class HuggingFace:
    """Data sets of Hugging Face: the hub's, or local Parquet, Arrow, imagefolder, CSV or JSON."""

    class Settings(TokenSettings):
        """Keys of the huggingface data set."""

        name: str = "huggingface"
        path: Annotated[str, IsPath(or_name=True)] = Field(
            min_length=1,
            description="name of a data set on the hub, a folder (save_to_disk, Parquet, "
            "imagefolder, CSV, JSON) or a file",
        )
        config: str | None = Field(
            None, min_length=1, description="configuration, of a data set that has several"
        )
        train_split: str | None = Field(
            None, min_length=1, description="split to learn from; default: 'train', or the only one"
        )
        test_split: str | None = Field(
            None,
            min_length=1,
            description="split to test on; default: 'test', else 'validation', else a part of the "
            "training split",
        )
        input_column: str | None = Field(
            None,
            min_length=1,
            description="column of pictures or texts; default: the one of pictures, else the one "
            "called 'text' or with the longest texts, else all columns of numbers",
        )
        label_column: str | None = Field(
            None,
            min_length=1,
            description="column of what is predicted; default: the one of class labels, else the "
            "one called 'label', 'class', 'target', 'score' or the like",
        )
        clients_by: str | None = Field(
            None, min_length=1, description="column that says who is a client"
        )
        targets: TargetKind = Field(
            "infer", description="'classes', 'numbers' (a regression), or 'infer' from the column"
        )
        image_size: int = Field(
            64, ge=4, le=1024, description="pictures are scaled and cropped to this square, once"
        )
        channels: Literal[1, 3] = Field(3, description="3 colour, 1 grey")
        test_fraction: float = Field(
            0.2, gt=0, lt=1, description="fraction held out if there is no split to test on"
        )

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def load(self, seed: int) -> Dataset:
        """Return tokens, pictures or numbers, with classes or numbers.

        Raises:
            FedlabError: If the data set cannot be had, or a column is missing.
        """
        settings = self.settings
        named, columns, found_notes = self._named()
        splits = [split for _, split in named]
        rows = self._rows(named, columns)
        targets = self._targets(rows, columns)
        parts = drawn_parts(rows, targets, settings.test_fraction, _WHERE, seed)
        notes = (*found_notes, *columns.notes, *targets.notes)
        if columns.kind == "text":
            return encoded(rows, targets, parts, settings, notes)
        if columns.kind == "picture":
            return self._pictures(splits, columns, rows, targets, parts, notes)
        return _numbers(splits, columns, rows, targets, parts, notes)

    def texts(self) -> TextRows | None:
        """Return the texts as they are, with their labels; None where the inputs are no texts.

        Raises:
            FedlabError: If the data set cannot be had, or a column is missing.
        """
        named, columns, notes = self._named()
        if columns.kind != "text":
            return None
        return replace(self._rows(named, columns), notes=(*notes, *columns.notes))

    def _named(self) -> tuple[list[tuple[str, Any]], Columns, tuple[str, ...]]:
        """Return the splits by name, the training one first, what their columns are, and notes."""
        settings = self.settings
        found = load_splits(
            settings.path, settings.config, settings.train_split, settings.test_split
        )
        columns = find_columns(
            found.train[1], settings.input_column, settings.label_column, settings.clients_by
        )
        if found.test is not None:
            columns.check(found.test[1], found.test[0])
        named = [found.train, *([found.test] if found.test is not None else [])]
        return named, columns, tuple(found.notes)

    def _rows(self, named: Sequence[tuple[str, Any]], columns: Columns) -> TextRows:
        """Return texts (empty ones for other inputs), labels and clients of all splits."""
        texts: list[str] = []
        labels: list[str] = []
        clients: list[str] = []
        rows_of: list[str] = []
        for name, split in named:
            labels += columns.labels(split)
            clients += columns.clients(split) or []
            given = split[columns.inputs[0]] if columns.kind == "text" else [""] * len(split)
            texts += [text or "" for text in given]
            rows_of += [f"{_WHERE}: split '{name}', row {row}" for row in range(1, len(split) + 1)]
        places = [f"{row}, column '{columns.label}'" for row in rows_of]
        for number, row in enumerate(rows_of):
            if columns.kind == "text" and not texts[number].strip():
                raise FedlabError(f"{row}, column '{columns.inputs[0]}': there is no text")
            if not labels[number]:
                is_test = number >= len(named[0][1])
                hint = "; data.test_split names another split to test on" if is_test else ""
                raise FedlabError(f"{places[number]}: there is no class or number{hint}")
            if clients and not clients[number]:
                raise FedlabError(f"{row}, column '{columns.client}': there is no client")
        learned = len(named[0][1])
        held_out = [number >= learned for number in range(len(labels))]
        return TextRows(
            texts,
            labels,
            places,
            held_out,
            clients or None,
            (),
            True,
            (columns.inputs[0], columns.label),
        )

    def _targets(self, rows: TextRows, columns: Columns) -> Targets:
        labels = rows.labels
        if len({*labels}) < 2:
            raise FedlabError(
                f"{_WHERE}: all rows are of one class, '{shortened(labels[0])}' in column "
                f"'{columns.label}'; two or more are needed"
            )
        if not columns.classes:
            return targets_of(rows, self.settings.targets, _WHERE)
        numbers = {name: number for number, name in enumerate(columns.classes)}
        values = torch.tensor([numbers[label] for label in labels], dtype=torch.int64)
        return Targets(columns.classes, values)

    def _pictures(
        self,
        splits: list[Any],
        columns: Columns,
        rows: TextRows,
        targets: Targets,
        parts: Parts,
        notes: tuple[str, ...],
    ) -> Dataset:
        import datasets as library

        shape = (self.settings.channels, self.settings.image_size, self.settings.image_size)
        stored = torch.empty((len(rows), *shape), dtype=torch.uint8)
        row = 0
        for split in splits:
            column = split.select_columns(columns.inputs)
            raw = column.cast_column(columns.inputs[0], library.Image(decode=False))
            for entry in raw:
                stored[row] = _picture(entry[columns.inputs[0]] or {}, shape, row + 1)
                row += 1
        return _dataset("image", stored, rows, targets, parts, notes)


_WHERE = "data.path"


def _picture(given: dict[str, Any], shape: tuple[int, ...], number: int) -> torch.Tensor:
    """Return a picture that a data set holds as bytes or by the name of its file."""
    if given.get("bytes") is None:
        return read_picture(Path(given.get("path") or ""), shape)
    with tempfile.TemporaryDirectory(prefix="fedlab-") as folder:
        path = Path(folder) / (Path(given.get("path") or "").name or "picture")
        path.write_bytes(given["bytes"])
        try:
            return read_picture(path, shape)
        except FedlabError as error:
            reason = str(error).replace(str(path), f"picture {number}")
            raise FedlabError(f"{_WHERE}: {reason}") from error


def _numbers(
    splits: list[Any],
    columns: Columns,
    rows: TextRows,
    targets: Targets,
    parts: Parts,
    notes: tuple[str, ...],
) -> Dataset:
    """Return the columns of numbers, scaled; what is missing becomes the mean."""
    table = np.array(
        [
            [np.nan if value is None else value for split in splits for value in split[name]]
            for name in columns.inputs
        ],
        dtype=np.float64,
    ).T
    odd = np.argwhere(np.isinf(table))
    if len(odd):
        place = rows.places[odd[0][0]].partition(", column")[0]
        raise FedlabError(
            f"{place}, column '{columns.inputs[odd[0][1]]}': {table[tuple(odd[0])]:g} is no number "
            "to learn from"
        )
    raw = torch.from_numpy(np.ascontiguousarray(table))
    inputs, scaling = standardise([raw[torch.from_numpy(p)] for p in parts], columns.inputs)
    whole = torch.empty(raw.shape, dtype=torch.float32)
    for part, values in zip(parts, inputs, strict=True):
        whole[torch.from_numpy(part)] = values
    return _dataset("tabular", whole, rows, targets, parts, notes, Encoding(features=scaling))


def _dataset(
    modality: Literal["image", "tabular"],
    stored: torch.Tensor,
    rows: TextRows,
    targets: Targets,
    parts: Parts,
    notes: tuple[str, ...],
    encoding: Encoding | None = None,
) -> Dataset:
    groups, names = groups_of(rows.clients) if rows.clients is not None else (None, ())
    values = [targets.values[torch.from_numpy(part)] for part in parts]
    label = rows.columns[1] if rows.columns else "target"
    if not targets.classes:
        values, scaling = scaled(targets.values, parts, label)
        encoding = replace(encoding or Encoding(), targets=scaling)
    task = Task(
        "classification" if targets.classes else "regression",
        modality,
        tuple(stored.shape[1:]),
        len(targets.classes) or 1,
        targets.classes or (label,),
        encoding=encoding,
    )
    examples = [
        _examples(stored, part, v, groups, names) for part, v in zip(parts, values, strict=True)
    ]
    return Dataset(task, *examples, notes=notes)


def _examples(
    stored: torch.Tensor,
    part: IntArray,
    values: torch.Tensor,
    groups: IntArray | None,
    names: tuple[str, ...],
) -> Examples:
    own = None if groups is None else groups[part]
    return Examples(stored[torch.from_numpy(part)], values, own, names)
