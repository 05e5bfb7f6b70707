"""Rows of texts from folders: a subfolder a class, or a file a class with an example a line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from fedlab.data.folders import OwnFolder, case_notes, is_left_out
from fedlab.data.formats.text_file import TEXT_SUFFIXES, read_text
from fedlab.data.names import class_name, shown
from fedlab.data.parts import find_parts, nothing_in, role_of
from fedlab.data.texts.rows import TextRows, joined
from fedlab.data.texts.settings import TextSettings
from fedlab.data.texts.tables import SUFFIXES, read_table
from fedlab.data.unreadable import settle
from fedlab.errors import FedlabError


def read_folder(path: Path, settings: TextSettings, key: str) -> TextRows:
    """Return the texts of a folder: its tables, its classes' folders, or its classes' files.

    Raises:
        FedlabError: If it holds no texts, or one cannot be read.
    """
    own = OwnFolder(path, TEXT_SUFFIXES, key)
    tables = files_in(path, SUFFIXES)
    if tables and not own.inside(path).files():
        return joined(list(_tables(tables, settings, key)))
    parts = find_parts(own)
    rows, notes = _place(own, parts.train, settings, key)
    if parts.test is not None:
        tested, further = _place(own, parts.test, settings, key)
        rows, notes = joined([rows, tested.tested()]), (*notes, *further)
    classes = sorted(set(rows.labels))
    # Of files with an example a line, the record has that they lie beside no folders.
    of_files = case_notes(classes, key) if rows.by_line else own.notes(classes)
    notes = (*parts.notes, *of_files, *notes)
    return TextRows(
        rows.texts, rows.labels, rows.places, rows.held_out, None, notes, by_line=rows.by_line
    )


def files_in(folder: Path, suffixes: frozenset[str]) -> list[Path]:
    """Return the files of these suffixes that are directly in a folder, sorted by name."""
    try:
        inside = sorted(folder.iterdir())
    except OSError as error:
        raise FedlabError(f"{shown(folder)} cannot be read: {error.strerror}") from error
    return [
        file
        for file in inside
        if file.suffix.lower() in suffixes and not is_left_out(file.name) and file.is_file()
    ]


def lines_of(path: Path) -> list[str]:
    """Return the lines of a text file that are not blank, without spaces around them.

    Raises:
        FedlabError: If it cannot be read, or holds none.
    """
    found = [line for line in map(str.strip, read_text(path).split("\n")) if line]
    if not found:
        raise FedlabError(f"{shown(path)} holds no text")
    return found


def _tables(tables: list[Path], settings: TextSettings, key: str) -> Iterator[TextRows]:
    """Yield the rows of each table; one that is called after a part is of that part."""
    roles = {file: role_of(file.stem) for file in tables}
    has_test = "test" in roles.values()
    if not ("train" in roles.values() and len(set(roles.values())) > 1):
        roles = dict.fromkeys(tables, None)
    for file, role in roles.items():
        rows = read_table(file, settings, key)
        if role == "val" and has_test:
            note = f"{key}: '{shown(file.name)}' is not used: the model is tested on another table"
            yield rows.none_with(note)
            continue
        yield rows.tested() if role in ("val", "test") else rows


def _place(
    own: OwnFolder, place: Path, settings: TextSettings, key: str
) -> tuple[TextRows, tuple[str, ...]]:
    """Return the texts of a part of a folder, and notes."""
    direct = files_in(place, TEXT_SUFFIXES)
    if direct and not any(own.inside(folder).files() for folder in own.inside(place).folders()):
        return _by_line(direct, settings, key)
    found = own.labelled(place)
    if not any(found.files):
        wanted = "a folder of them for each class, or a file for each class with an example a line"
        raise nothing_in(own, place, f"text files: {wanted}")
    for name, files in zip(found.classes, found.files, strict=True):
        if not files:
            raise nothing_in(own, place / name, "text files")
    return _by_file(*found.flat(), settings, key)


def _by_file(
    files: list[Path], labels: list[str], settings: TextSettings, key: str
) -> tuple[TextRows, tuple[str, ...]]:
    """Return the texts of files, each of them one example."""
    texts, kept, places, faults = [], [], [], []
    for file, label in zip(files, labels, strict=True):
        try:
            text = read_text(file)
            if not text.strip():
                raise FedlabError(f"{shown(file)} holds no text")
        except FedlabError as error:
            faults.append(str(error))
            continue
        texts.append(text)
        kept.append(label)
        places.append(shown(file))
    notes = settle(faults, len(files), key, settings.on_error)
    if lost := sorted(set(labels) - set(kept)):
        raise FedlabError(f"{key}: no text of the class '{lost[0]}' can be read")
    return TextRows(texts, kept, places, [False] * len(texts)), notes


def _by_line(
    files: list[Path], settings: TextSettings, key: str
) -> tuple[TextRows, tuple[str, ...]]:
    """Return the lines of files, each of them one example of the class of its file."""
    found, faults = [], []
    for file in files:
        try:
            lines = lines_of(file)
        except FedlabError as error:
            faults.append(str(error))
            continue
        places = [f"{shown(file)}, '{line[:20]}'" for line in lines]
        labels = [class_name(shown(file.stem))] * len(lines)
        found.append(TextRows(lines, labels, places, [False] * len(lines), by_line=True))
    notes = settle(faults, len(files), key, settings.on_error)
    if not found:
        raise FedlabError(f"{key}: no text file can be read")
    rows = joined(found)
    note = f"{key}: each line of {len(found)} files is an example, and each file a class"
    return rows, (note, *notes)
