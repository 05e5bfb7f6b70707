"""What the readers of whole files share: a picture, a recording or a text each."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import ClassVar

import torch

from fedlab.data.folders import OwnFolder
from fedlab.data.names import shown
from fedlab.data.parts import find_parts
from fedlab.errors import FedlabError
from fedlab.use.inputs import DATA, Classes, Item, Reader
from fedlab.use.notes import tell
from fedlab.use.standard_input import CALLED, STANDARD_INPUT, as_file, as_text, content


class FileReader(Reader):
    """Reads files, each of which is one input.

    Folders stand for the files in them, however deep. Standard input is a list of files, a line
    each, or one file itself. Labelled data are a folder with one subfolder per class.

    Attributes:
        what: What the files are, in the plural, for messages.
    """

    what: ClassVar[str]

    @abstractmethod
    def suffixes(self) -> Collection[str]:
        """Return the suffixes of the files in folders that are taken, in lower case."""

    @abstractmethod
    def load(self, path: Path) -> torch.Tensor:
        """Return a file's stored input.

        Raises:
            FedlabError: If it is missing or cannot be read; the file is named.
        """

    def read(self, arguments: Sequence[str]) -> Iterator[Item]:
        """Yield the files that the arguments name, in order."""
        for argument in arguments:
            yield from self._read_one(argument)

    def labelled(self, path: Path) -> Iterator[Item]:
        """Yield the files in the subfolders of ``path`` with the class that each is named after."""
        if self.task.kind != "classification":
            raise FedlabError(
                f"{DATA}: folders of {self.what}, one for each class, serve classification, and "
                f"this run's task is {self.task.kind} on {self.task.modality} inputs: leave --data "
                "out"
            )
        own = OwnFolder(path, self.suffixes(), DATA)
        parts = find_parts(own)
        files, labels = own.labelled(parts.test or own.root).flat()
        if not files:
            aside = f" ({own.left_out})" if own.left_out else ""
            raise FedlabError(
                f"{DATA}: {shown(path)} has no folders of {self.what}, one for each class{aside}"
            )
        classes = Classes(self.task)
        numbers = {label: classes.of(label, shown(path)) for label in dict.fromkeys(labels)}
        if parts.test is not None:
            tell(f"{DATA}: evaluated on the part '{shown(parts.test.name)}'")
        tell(*own.notes())
        for file, label in zip(files, labels, strict=True):
            yield self.item(file, target=numbers[label])

    def item(self, path: Path, target: torch.Tensor | None = None, name: str = "") -> Item:
        """Return a file's input, or why it cannot be read.

        Args:
            path: The file.
            target: Its target, where the data are labelled.
            name: What it is called, if not by its path.
        """
        source = name or shown(path)
        try:
            return Item(source, stored=self.load(path), target=target)
        except FedlabError as error:
            said = str(error).replace(shown(path), source)
            return Item(source, fault=said if source in said else f"{source}: {said}")

    def _read_one(self, argument: str) -> Iterator[Item]:
        if argument == STANDARD_INPUT:
            yield from self._standard_input()
        elif is_folder(argument):
            yield from map(self.item, self._files(Path(argument)))
        else:
            yield self.item(Path(argument))

    def _files(self, folder: Path) -> list[Path]:
        own = OwnFolder(folder, self.suffixes(), shown(folder))
        files = own.files()
        tell(*own.notes())
        if not files:
            raise FedlabError(f"{shown(folder)} holds no {self.what}")
        return files

    def _standard_input(self) -> Iterator[Item]:
        found = content()
        text = as_text(found)
        if text is None:
            with as_file(found) as path:
                yield self.item(path, name=CALLED)
        else:
            for line in filter(None, map(str.strip, text.splitlines())):
                yield from self._read_one("./-" if line == STANDARD_INPUT else line)


def is_folder(argument: str) -> bool:
    """Return whether an argument names a folder; a long text names nothing."""
    try:
        return bool(argument) and Path(argument).is_dir()
    except (OSError, ValueError):
        return False


def is_file(argument: str) -> bool:
    """Return whether an argument names a file; a long text names nothing."""
    try:
        return Path(argument).is_file()
    except (OSError, ValueError):
        return False
