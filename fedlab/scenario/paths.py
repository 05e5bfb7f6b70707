"""Relative paths in a scenario: looked up beside the file in which they stand.

Which keys hold paths, their types say (:class:`fedlab.settings.IsPath`).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from fedlab.scenario.problems import entry_at, model_in
from fedlab.settings import IsPath


def make_absolute(
    raw: dict[str, Any], schema: type[BaseModel], folder_of: Callable[[str], Path], prefix: str = ""
) -> None:
    """Make every path in a scenario's content absolute, in place.

    ``~`` stands for the home folder; links are not followed.

    Args:
        raw: The content of a table.
        schema: Its settings class.
        folder_of: Returns the folder that a key's relative path begins in.
        prefix: What stands before the table's keys.
    """
    for name, field in schema.model_fields.items():
        value, key, mark = raw.get(name), f"{prefix}{name}", _mark(field)
        if mark is not None and isinstance(value, list):
            raw[name] = [_absolute(part, mark, folder_of(key)) for part in value]
        elif mark is not None and value is not None:
            raw[name] = _absolute(value, mark, folder_of(key))
        for table, kind, where in _tables(value, field, key):
            make_absolute(table, kind, folder_of, f"{where}.")


def _absolute(value: Any, mark: IsPath, folder: Path) -> Any:
    """Return a path as an absolute one, and what is no path as it is."""
    if not isinstance(value, str) or not value or value in mark.words:
        return value
    if mark.prefix:
        rest = value.removeprefix(mark.prefix)
        if rest == value or not _is_path(rest, folder):
            return value
        return mark.prefix + str(_absolute(rest, IsPath(), folder))
    if mark.or_name and not _is_path(value, folder):
        return value
    whole = folder / os.path.expanduser(value)
    return os.path.abspath(whole) if here().is_absolute() else str(whole)


def _is_path(text: str, folder: Path) -> bool:
    """Return whether a text that may be a name instead is meant as a path."""
    return text.startswith((".", "/", "~")) or bool(text and (folder / text).exists())


def here() -> Path:
    """Return the current folder; if it has been removed, nothing can be said but "."."""
    try:
        return Path.cwd()
    except FileNotFoundError:
        return Path()


def path_keys(settings: BaseModel, prefix: str = "") -> Iterator[str]:
    """Yield the keys that hold paths: ``data.path``."""
    for name, field in type(settings).model_fields.items():
        if _mark(field) is not None:
            yield f"{prefix}{name}"
        value = getattr(settings, name)
        entries = enumerate(value) if isinstance(value, tuple) else [(None, value)]
        for number, entry in entries:
            if isinstance(entry, BaseModel):
                place = name if number is None else f"{name}.{number}"
                yield from path_keys(entry, f"{prefix}{place}.")


def _tables(
    value: Any, field: FieldInfo, key: str
) -> Iterator[tuple[dict[str, Any], type[BaseModel], str]]:
    """Yield the tables that a key holds, with their settings classes and keys."""
    entries: list[tuple[Any, Any, str]] = [(value, field.annotation, key)]
    if isinstance(value, list):
        entries = [
            (entry, entry_at(field.annotation, number), f"{key}.{number}")
            for number, entry in enumerate(value)
        ]
    for content, annotation, where in entries:
        kind = model_in(annotation)
        if isinstance(content, dict) and kind is not None:
            yield content, kind, where


def _mark(field: FieldInfo) -> IsPath | None:
    """Return what marks a field as one of paths, or None."""
    marks = [*field.metadata, *_marks(field.annotation)]
    return next((mark for mark in marks if isinstance(mark, IsPath)), None)


def _marks(annotation: Any) -> Iterator[Any]:
    """Yield what marks the branches of a union, or the entries of a list."""
    if get_origin(annotation) is Annotated:
        yield from annotation.__metadata__
        yield from _marks(annotation.__origin__)
    elif not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
        for argument in get_args(annotation):
            yield from _marks(argument)
