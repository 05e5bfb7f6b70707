"""Texts: of files, of the command line, or standard input."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

import torch

from fedlab.data.formats.text_file import TEXT_SUFFIXES
from fedlab.data.names import readable
from fedlab.errors import FedlabError
from fedlab.registry import readers
from fedlab.use.file_reader import FileReader, is_folder
from fedlab.use.inputs import Item
from fedlab.use.standard_input import CALLED, STANDARD_INPUT, as_text, content
from fedlab.use.text import encode, fit_length


@readers.register("text")
class Texts(FileReader):
    """Texts, text files and folders of them; standard input holds a text a line."""

    what = "text files"

    def suffixes(self) -> Collection[str]:
        """Return the suffixes of text files."""
        return TEXT_SUFFIXES

    def load(self, path: Path) -> torch.Tensor:
        """Return the tokens of a file, (T,), cut or padded to the length of the data set."""
        return fit_length(self.task, encode(self.task, str(path)))

    def read(self, arguments: Sequence[str]) -> Iterator[Item]:
        """Yield the texts that the arguments are or name."""
        for argument in arguments:
            if argument == STANDARD_INPUT:
                for number, line in enumerate(lines(), 1):
                    yield self._of(line, number)
            elif is_folder(argument):
                yield from super().read([argument])
            else:
                yield self._of(argument)

    def _of(self, argument: str, row: int | None = None) -> Item:
        source = readable(argument)
        try:
            return Item(source, row, fit_length(self.task, encode(self.task, argument)))
        except FedlabError as error:
            return Item(source, row, fault=str(error))

    def arguments(self, given: Sequence[str]) -> list[str]:
        """Return texts and files that are continued, the files of each folder in its place."""
        found: list[str] = []
        for argument in given:
            if argument == STANDARD_INPUT:
                found.append("\n".join(lines()))
            elif is_folder(argument):
                found += map(str, self._files(Path(argument)))
            else:
                found.append(argument)
        return found


def lines() -> list[str]:
    """Return the lines of standard input that are not blank.

    Raises:
        FedlabError: If it is no text.
    """
    text = as_text(content())
    if text is None:
        raise FedlabError(f"{CALLED} is no UTF-8 text")
    return [line for line in text.splitlines() if line.strip()]
