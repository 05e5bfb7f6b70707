"""A user's own texts with classes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
import torch
from pydantic import Field, field_validator, model_validator

from fedlab.data.clients_by import groups_of
from fedlab.data.dataset import (
    Dataset,
    DataSettings,
    Examples,
    IntArray,
    Task,
    without_effect,
)
from fedlab.data.folders import OwnFolder, case_notes
from fedlab.data.formats.table import MISSING, Table, is_missing, read_table
from fedlab.data.formats.text_file import TEXT_SUFFIXES, read_text
from fedlab.data.holdout import hold_out
from fedlab.data.names import shown
from fedlab.data.parts import find_parts, read_parts
from fedlab.data.tokenisers import HUGGING_FACE, known_tokens, tokeniser_for
from fedlab.data.unreadable import OnError, on_error_field, settle
from fedlab.errors import FedlabError
from fedlab.registry import datasets
from fedlab.settings import FilePath, IsPath, renamed

_KEY = "data.path"


class _Texts(NamedTuple):
    """Texts, the class of each, and whatever else is known of them.

    Attributes:
        held_out: How many, at the end, are the part that the user held out; 0 without one.
        groups: (N,) the natural client of each, or None.
        group_names: Their names, by number.
        notes: What the user should know of how they were read.
    """

    texts: list[str]
    labels: list[str]
    held_out: int = 0
    groups: IntArray | None = None
    group_names: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@datasets.register("text-classification")
class TextClassification:
    """Your own texts with classes: a CSV file, or a folder of path/<class>/*.txt."""

    class Settings(DataSettings):
        """Keys of the text-classification data set."""

        name: str = "text-classification"
        path: FilePath = Field(
            description="CSV file with a header, or folder with one subfolder per class, or with "
            "the parts train and test (or val)"
        )
        text_column: str = Field("text", description="column of a CSV file that holds the text")
        label_column: str = Field("label", description="column of a CSV file that holds the class")
        group_column: str | None = Field(
            None, description="column of a CSV file that identifies authors: natural clients"
        )
        missing: tuple[str, ...] = Field(
            MISSING,
            description="words that stand for a missing class or author, in any case; an empty "
            "field always does",
        )
        tokens: Annotated[str, IsPath(("characters", "words"), HUGGING_FACE)] = Field(
            "characters",
            description="'characters', 'words', or 'huggingface:MODEL' for the tokeniser of a "
            "model: its folder, or its name on the hub",
        )
        length: int = Field(
            200, ge=1, le=10000, description="length to which texts are cut or padded"
        )
        vocabulary: int = Field(
            5000,
            ge=3,
            le=32000,
            description="size of the vocabulary: most frequent tokens of the training part",
        )
        test_fraction: float = Field(
            0.2,
            gt=0,
            lt=1,
            description="fraction held out as the server's test set, stratified, if there is no "
            "part 'test' or 'val'",
        )
        on_error: OnError = on_error_field()

        @model_validator(mode="before")
        @classmethod
        def _older_names(cls, keys: Any) -> Any:
            """Accept the key's former name."""
            return renamed(keys, {"unit": "tokens"})

        @field_validator("tokens")
        @classmethod
        def _is_known(cls, tokens: str) -> str:
            return known_tokens(tokens)

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def load(self, seed: int) -> Dataset:
        """Return tokens (N, length), padded at the end, with classes (N,).

        Raises:
            FedlabError: If a file or a row cannot be read, or there are fewer than two classes.
        """
        settings = self.settings
        path = Path(settings.path).expanduser()
        found = self._read_folder(path) if path.is_dir() else self._read_table(path)
        classes, numbers = np.unique(found.labels, return_inverse=True)
        if len(classes) < 2:
            raise FedlabError(f"{_KEY}: {shown(path)} holds texts of a single class")
        parts = self._parts(found, numbers, seed)
        tokeniser = tokeniser_for(
            settings.tokens, [found.texts[row] for row in parts[0]], settings.vocabulary
        )
        inputs = tokeniser.encode(found.texts, settings.length)
        targets = torch.from_numpy(numbers).long()
        examples = Examples(inputs, targets, found.groups, found.group_names)
        names = tuple(str(name) for name in classes)
        task = Task(
            "classification",
            "text",
            (settings.length,),
            len(names),
            names,
            vocabulary=tokeniser.size,
            input_padding=tokeniser.padding,
            encoding=tokeniser.encoding,
        )
        train, test = (examples.take(part) for part in parts)
        return Dataset(task, train, test, notes=found.notes)

    def _parts(self, found: _Texts, numbers: IntArray, seed: int) -> tuple[IntArray, IntArray]:
        """Return the rows of the training and of the test part."""
        count = len(found.texts)
        if not found.held_out:
            names = sorted(set(found.labels))
            return hold_out(count, self.settings.test_fraction, seed, numbers, names)
        border = count - found.held_out
        return np.arange(border), np.arange(border, count)

    def _read_folder(self, path: Path) -> _Texts:
        """Return the texts of a folder, those of the training part first."""
        if self.settings.group_column:
            raise FedlabError("data.group_column: only a CSV file has columns, not a folder")
        own = OwnFolder(path, TEXT_SUFFIXES, _KEY)
        parts = find_parts(own)
        files = read_parts(own, parts, "text files")
        texts, labels, notes = self._read_files(*files.train)
        held_out = 0
        if files.test is not None:
            tested = self._read_files(*files.test)
            texts, labels, notes = texts + tested[0], labels + tested[1], notes + tested[2]
            held_out = len(tested[0])
            reason = "the folder has a part of its own that is held out"
            notes += without_effect(self.settings, ["test_fraction"], reason)
        keys = ("text_column", "label_column", "missing")
        notes += without_effect(self.settings, keys, "only a CSV file has columns, not a folder")
        notes = (*parts.notes, *own.notes(files.classes), *notes)
        return _Texts(texts, labels, held_out, notes=notes)

    def _read_files(
        self, files: list[Path], labels: list[str]
    ) -> tuple[list[str], list[str], tuple[str, ...]]:
        """Return the texts of these files, the class of each, and a note on those left out."""
        texts, kept, faults = [], [], []
        for file, label in zip(files, labels, strict=True):
            try:
                texts.append(_not_empty(read_text(file), file))
                kept.append(label)
            except FedlabError as error:
                faults.append(str(error))
        notes = settle(faults, len(files), _KEY, self.settings.on_error)
        if lost := sorted(set(labels) - set(kept)):
            raise FedlabError(f"{_KEY}: no text of the class '{lost[0]}' can be read")
        return texts, kept, notes

    def _read_table(self, path: Path) -> _Texts:
        """Return the texts of a CSV file, and their natural clients if a column has them."""
        settings = self.settings
        extra = [settings.group_column] if settings.group_column else []
        wanted = [settings.text_column, settings.label_column, *extra]
        if len({column.strip() for column in wanted}) < len(wanted):
            raise FedlabError(
                "data.text_column, data.label_column, data.group_column: they name one column twice"
            )
        table, notes = self._complete(read_table(path, wanted, _KEY), wanted)
        labels = table.named(settings.label_column)
        notes += case_notes(sorted(set(labels)), f"{_KEY}: {shown(path)}")
        texts = table.of(settings.text_column)
        if not settings.group_column:
            return _Texts(texts, labels, notes=notes)
        groups, names = groups_of(table.named(settings.group_column))
        return _Texts(texts, labels, 0, groups, names, notes)

    def _complete(self, table: Table, wanted: Sequence[str]) -> tuple[Table, tuple[str, ...]]:
        """Return the rows in which no field is missing, and a note on those left out."""
        text, *names = wanted
        blank, missing = is_missing(()), is_missing(self.settings.missing)
        faults, kept = [], []
        for row in range(len(table.lines)):
            if blank(table.of(text)[row]):
                faults.append(f"{table.place(row, text)}: there is no text")
            elif lost := [name for name in names if missing(table.of(name)[row])]:
                faults.append(_no_name(table, row, lost[0], names[0]))
            else:
                kept.append(row)
        # What is wrong begins with the key and the file.
        faults = [fault.removeprefix(f"{_KEY}: ") for fault in faults]
        notes = settle(faults, len(table.lines), _KEY, self.settings.on_error, "rows")
        if not kept:
            raise FedlabError(f"{table.where}: no row is complete")
        return (table.take(kept) if notes else table), notes


def _not_empty(text: str, file: Path) -> str:
    if not text.strip():
        raise FedlabError(f"{shown(file)} holds no text")
    return text


def _no_name(table: Table, row: int, column: str, label_column: str) -> str:
    """Return the sentence for a row without a class, or without an author."""
    kind = "class" if column == label_column else "author"
    field = table.of(column)[row].strip()
    stands = f" ('{field}' stands for a missing one; data.missing says which words do)"
    return f"{table.place(row, column)}: there is no {kind}{stands if field else ''}"
