"""A user's own texts with classes."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from pydantic import Field

from fedlab.data.dataset import Dataset, DataSettings, Encoding, Examples, IntArray, Task
from fedlab.data.formats.table import read_table
from fedlab.data.holdout import hold_out
from fedlab.data.vocabulary import Unit, Vocabulary, split_tokens
from fedlab.errors import FedlabError
from fedlab.registry import datasets

_PADDING, _UNKNOWN = "<padding>", "<unknown>"


class _Texts(NamedTuple):
    texts: list[str]
    labels: list[str]


@datasets.register("text-classification")
class TextClassification:
    """Your own texts with classes: a CSV file, or a folder of path/<class>/*.txt."""

    class Settings(DataSettings):
        """Keys of the text-classification data set."""

        name: str = "text-classification"
        path: str = Field(
            description="CSV file with a header, or folder with one subfolder per class"
        )
        text_column: str = Field("text", description="column of a CSV file that holds the text")
        label_column: str = Field("label", description="column of a CSV file that holds the class")
        group_column: str | None = Field(
            None, description="column of a CSV file that identifies authors: natural clients"
        )
        unit: Unit = Field("characters", description="kind of tokens")
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
            0.2, gt=0, lt=1, description="fraction held out as the server's test set, stratified"
        )

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def load(self, seed: int) -> Dataset:
        """Return int16 tokens (N, length), padded with 0 at the end, with classes (N,)."""
        settings = self.settings
        texts, labels, groups, group_names = self._read()
        classes, numbers = np.unique(labels, return_inverse=True)
        if len(classes) < 2:
            raise FedlabError(f"data.path: {settings.path} holds texts of a single class")
        parts = hold_out(len(texts), settings.test_fraction, seed, numbers)
        tokens = [split_tokens(text, settings.unit) for text in texts]
        vocabulary = Vocabulary.of(
            (token for row in parts[0] for token in tokens[row]),
            settings.vocabulary,
            (_PADDING, _UNKNOWN),
        )
        inputs = self._encode(tokens, vocabulary)
        examples = Examples(inputs, torch.from_numpy(numbers).long(), groups, group_names)
        names = tuple(str(name) for name in classes)
        task = Task(
            "classification",
            "text",
            (settings.length,),
            len(names),
            names,
            vocabulary=len(vocabulary),
            input_padding=0,
            encoding=Encoding(vocabulary.tokens, settings.unit, unknown=1),
        )
        return Dataset(task, examples.take(parts[0]), examples.take(parts[1]))

    def _encode(self, tokens: list[list[str]], vocabulary: Vocabulary) -> torch.Tensor:
        length = self.settings.length
        inputs = np.zeros((len(tokens), length), dtype=np.int16)
        for row, words in enumerate(tokens):
            numbers = vocabulary.encode(words[:length])
            inputs[row, : len(numbers)] = numbers
        return torch.from_numpy(inputs)

    def _read(self) -> tuple[list[str], list[str], IntArray | None, tuple[str, ...]]:
        """Return texts, classes, and natural clients with their names, if a column has them."""
        settings = self.settings
        path = Path(settings.path).expanduser()
        if path.is_dir():
            if settings.group_column:
                raise FedlabError("data.group_column: only a CSV file has columns, not a folder")
            return (*_read_folder(path), None, ())
        wanted = [settings.text_column, settings.label_column]
        extra = [settings.group_column] if settings.group_column else []
        table = read_table(path, [*wanted, *extra], "data.path")
        texts, labels = (table[column] for column in wanted)
        if not settings.group_column:
            return texts, labels, None, ()
        names, groups = np.unique(table[settings.group_column], return_inverse=True)
        return texts, labels, groups.astype(np.int64), tuple(str(name) for name in names)


def _read_folder(root: Path) -> _Texts:
    """Return the texts in ``root/<class>/*.txt``, in the order of their paths."""
    files = sorted(root.glob("*/*.txt"))
    if not files:
        raise FedlabError(f"data.path: {root} holds no text files <class>/*.txt")
    texts = []
    for file in files:
        try:
            texts.append(file.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise FedlabError(f"data.path: {file} cannot be read: {error}") from error
    return _Texts(texts, [file.parent.name for file in files])
