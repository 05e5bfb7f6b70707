"""Texts: of the command line, of files and folders, of tables, or standard input."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from fedlab.data.dataset import DataSettings, Task
from fedlab.data.formats.table import finite
from fedlab.data.formats.text_file import TEXT_SUFFIXES
from fedlab.data.names import class_name, readable, shown
from fedlab.data.texts import tables
from fedlab.data.texts.folders import lines_of
from fedlab.data.texts.reading import read_place, read_texts
from fedlab.data.texts.rows import TextRows
from fedlab.data.texts.settings import FOLDER, TextSettings
from fedlab.errors import FedlabError, shortened
from fedlab.registry import readers
from fedlab.use.file_reader import FileReader, is_file, is_folder
from fedlab.use.inputs import DATA, Classes, Item, class_names
from fedlab.use.notes import tell
from fedlab.use.standard_input import CALLED, STANDARD_INPUT, as_file, as_text, content
from fedlab.use.text import encode, encode_text, fit_length


@readers.register("text")
class Texts(FileReader):
    """Texts, files and folders of them, and tables with a column of them.

    Standard input holds a text a line, or JSON lines. Labelled data are what training takes: a
    table, a folder for each class, or a file for each class with an example a line.

    Args:
        task: The task that the network was trained for.
        data: The keys of ``[data]`` of its run, or None.
    """

    what = "text files"

    def __init__(self, task: Task, data: DataSettings | None = None) -> None:
        super().__init__(task, data)
        self._settings = _settings(data)

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
                yield from self._standard_input()
            elif is_folder(argument):
                yield from super().read([argument])
            elif _is_table(argument):
                yield from self._table(Path(argument), shown(argument))
            elif self._is_of_lines(argument):
                for number, line in enumerate(lines_of(Path(argument)), 1):
                    yield self._item(line, line, number)
            else:
                yield self._of(argument)

    def labelled(self, path: Path) -> Iterator[Item]:
        """Yield the texts at ``path`` with their classes or scores."""
        if self.task.kind not in ("classification", "regression"):
            raise FedlabError(
                f"{DATA}: own texts serve classification and regression, and this run's task is "
                f"{self.task.kind}: leave --data out"
            )
        rows = self._rows(path)
        chosen = [n for n, held_out in enumerate(rows.held_out) if held_out]
        if chosen:
            tell(f"{DATA}: evaluated on the part that is held out, {len(chosen)} texts")
        tell(*rows.notes)
        target_of = self._target_of()
        for row in chosen or range(len(rows)):
            target = target_of(rows.labels[row], rows.places[row].removeprefix(f"{DATA}: "))
            yield self._item(
                rows.texts[row], rows.places[row].removeprefix(f"{DATA}: "), None, target
            )

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

    def _rows(self, path: Path) -> TextRows:
        """Return the rows of labelled data, whoever the clients are."""
        settings = self._settings.model_copy(update={"clients_by": None, "sites": ()})
        if self._settings.clients_by == FOLDER and path.is_dir():
            known = set(class_names(self.task))
            inside = {class_name(entry.name) for entry in path.iterdir() if entry.is_dir()}
            if inside and not inside & known:
                settings = settings.model_copy(update={"clients_by": FOLDER, "path": str(path)})
                return _saying_data(lambda: read_texts(settings))
        return _saying_data(lambda: read_place(path, settings, DATA))

    def _is_of_lines(self, argument: str) -> bool:
        by_line = self.task.encoding is not None and self.task.encoding.by_line
        return by_line and Path(argument).suffix.lower() in TEXT_SUFFIXES and is_file(argument)

    def _target_of(self) -> Any:
        """Return a function from a label and its place to what the data set stores of it."""
        if self.task.kind == "classification":
            return Classes(self.task).of
        scaling = self.task.encoding.targets if self.task.encoding is not None else None

        def number(label: str, where: str) -> torch.Tensor:
            found = finite(class_name(label))
            if found is None:
                raise FedlabError(f"{DATA}: {where}: '{shortened(label)}' is not a number")
            if scaling is not None:
                found = (found - scaling.offset[0]) / scaling.scale[0]
            return torch.tensor([found], dtype=torch.float32)

        return number

    def _of(self, argument: str, row: int | None = None) -> Item:
        """Return a text, or that of a file; a file of a run on lines holds a text a line."""
        source = readable(argument)
        try:
            return Item(source, row, fit_length(self.task, encode(self.task, argument)))
        except FedlabError as error:
            return Item(source, row, fault=str(error))

    def _item(
        self, text: str, source: str, row: int | None, target: torch.Tensor | None = None
    ) -> Item:
        try:
            stored = fit_length(self.task, encode_text(self.task, text, source))
        except FedlabError as error:
            return Item(source, row, fault=str(error))
        return Item(source, row, stored, target=target)

    def _table(self, path: Path, name: str) -> Iterator[Item]:
        """Yield the texts of a table's rows; no other column is looked at."""
        if not path.is_file():
            raise FedlabError(f"there is no file {name}")
        settings = self._settings
        others = {class_name(n) for n in (settings.label_column, settings.clients_by) if n}
        frame = tables.read_text_frame(path, settings, "input")
        column = tables.find_text(frame, settings.text_column, others)
        tell(*(note.removeprefix("input: ") for note in frame.notes))
        for number, text in enumerate(frame.columns[column], 1):
            if text.strip():
                yield self._item(text, name, number)
            else:
                yield Item(name, number, fault=f"{name}, row {number}: there is no text")

    def _standard_input(self) -> Iterator[Item]:
        found = content()
        text = as_text(found)
        if text is None:
            raise FedlabError(f"{CALLED} is no UTF-8 text")
        if text.lstrip().startswith("{"):
            with as_file(found) as path:
                given = path.with_suffix(".jsonl")
                path.rename(given)
                yield from self._table(given, CALLED)
            return
        for number, line in enumerate(_lines_of(text), 1):
            yield self._item(line, line, number)


def _is_table(argument: str) -> bool:
    """Return whether an argument is a table by its name, there or not."""
    return "\n" not in argument and Path(argument).suffix.lower() in tables.SUFFIXES


def _saying_data(read: Callable[[], TextRows]) -> TextRows:
    """Return what is read; messages call it by the option that names it."""
    try:
        return read()
    except FedlabError as error:
        raise FedlabError(str(error).replace("data.path:", f"{DATA}:", 1)) from error


def lines() -> list[str]:
    """Return the lines of standard input that are not blank.

    Raises:
        FedlabError: If it is no text.
    """
    text = as_text(content())
    if text is None:
        raise FedlabError(f"{CALLED} is no UTF-8 text")
    return _lines_of(text)


def _lines_of(text: str) -> list[str]:
    """Return the lines that are not blank; they end as in files, not at a form feed or U+2028."""
    ended = text.replace("\r\n", "\n").replace("\r", "\n")
    return [line for line in ended.split("\n") if line.strip()]


def _settings(data: DataSettings | None) -> TextSettings:
    """Return how a run's texts are laid out, or what is usual where it was of other data."""
    if isinstance(data, TextSettings):
        return data
    return TextSettings(name="text", path="-")
